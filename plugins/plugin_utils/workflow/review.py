# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""review: what a change of policy does, for the people who have to approve it (a pull request comment)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..model import services as line
from ..model.addresses import Address
from ..model.edges import Edges
from ..model.errors import Finding, Place, StoreError
from ..model.estate import Estate, Modes
from ..model.intervals import Intervals, subtraction, union
from ..model.lifting import Lifter
from ..model.policy import Policy, PolicyTest
from ..monitoring.writers.review import refused as refused_comment
from ..monitoring.writers.review import render
from ..orchestration.files import write_atomically
from ..orchestration.risks import Risk, availability, security, unobserved
from ..policy.approvals import RequiredApproval, required_approvals
from ..policy.bundling import make_bundle
from ..policy.changes import Changes, RuleChange, changes
from ..policy.compile import compile_policy
from ..policy.difference import PolicyDifference
from ..policy.permissions import approves, judge_author
from ..policy.resolve import resolve
from ..policy.rule_flows import RuleFlows, Verdicts, between, flows_of, verdicts
from ..policy.weights import weight_of
from .check import CheckReport, check
from .diff import compare_imagined, compare_inputs, pairs_of
from .inputs import Hosts, Inputs, load
from .revisions import Source, read


@dataclass(frozen=True)
class ReviewRequest:
    """`hosts` None: no inventory, so label combinations are compared and guardrails and tests are not judged.

    `author` "" judges nobody. `approved_by`: who approved; None where approvals are only listed.
    """

    hosts: Hosts | None = None
    edges: Edges | None = None
    author: str = ""
    approved_by: tuple[str, ...] | None = None
    at: datetime | None = None
    facts: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Review:
    """JSON types in `data`, see docs/workflow.md; `outcome` ok or findings."""

    data: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        return bool(self.data["outcome"] == "ok")

    def to_dict(self) -> dict[str, Any]:
        return dict(self.data)

    def markdown(self, full: str = "") -> str:
        """The comment of a pull request. `full` says where the rest is where it had to be shortened."""
        return render(self.data, full)


@dataclass(frozen=True)
class _Flows:
    edges: Edges
    judged: Verdicts


def review(before: Source, after: Source, request: ReviewRequest) -> Review:
    """Everything by intent, as if every managed workload were in full mode: a change is read for what it says.

    Raises what reading either version raises.
    """
    at = request.at or datetime.now(UTC)
    if request.hosts is None:
        old, new = read(before)[0], read(after)[0]
        made = changes(old, new)
        basis = "label combinations"
        packets = compare_imagined(old, new, "active", at)
        today: PolicyDifference | None = None
        parts = _unjudged(packets, made)
        findings = _without_estate(old, new)
        workloads = estate = None
    else:
        first, second = (load(side, request.hosts, at, request.facts) for side in (before, after))
        old, new, workloads = first.policy, second.policy, second.estate.workloads
        estate = first.estate
        made = changes(old, new)
        basis = "inventory"
        broken = bool(first.errors or second.errors)
        packets = PolicyDifference((), ()) if broken else compare_inputs(first, second, intent=True)
        today = PolicyDifference((), ()) if broken else compare_inputs(first, second)
        parts, findings = _judged(first, second, made, packets, request.edges, broken)
        if broken:
            basis = "nothing: a rule is wrong"
    approvals = required_approvals(old, new, made, workloads)
    permissions = list(judge_author(old, made, request.author)) if request.author else []
    missing = [] if request.approved_by is None else list(_missing(old, new, approvals, request))
    everything = [*permissions, *missing, *findings]
    bad = any(finding.severity == "error" for finding in everything)
    return Review(
        {
            "outcome": "findings" if bad else "ok",
            "before": {"revision": str(before), "policy": old.digest},
            "after": {"revision": str(after), "policy": new.digest},
            "author": request.author,
            "basis": basis,
            **_packets(packets, at),
            "pairs_allowed": sum(box.pairs for box in packets.newly_allowed),
            "pairs_denied": sum(box.pairs for box in packets.newly_denied),
            "today": None
            if today is None
            else {"newly_allowed": len(today.newly_allowed), "newly_denied": len(today.newly_denied)},
            **parts,
            "documents": [
                {"kind": one.kind, "what": one.what, "name": one.name, **_where(one.place)} for one in made.documents
            ],
            "tests_lost": list(_lost(old, new, estate, request.edges)),
            "scheduled": list(_scheduled(made, at)),
            "approvals": [_approval(one, old, new, request) for one in approvals],
            "findings": [finding.to_dict() for finding in everything],
        }
    )


def _packets(packets: PolicyDifference, at: datetime) -> dict[str, Any]:
    """`since` only where a change comes later than at once."""
    data = packets.to_dict()
    for key in ("newly_allowed", "newly_denied"):
        for box in data[key]:
            if box.get("since") is not None and datetime.fromisoformat(box["since"]) <= at:
                box["since"] = None
    return data


def refused(findings: Iterable[Finding], full: str = "") -> str:
    """The comment where the documents after the change cannot be read."""
    return refused_comment([finding.to_dict() for finding in findings], full)


def write_comment(file: Path, text: str) -> None:
    """Raises StoreError (E-REPORT-WRITE), with nothing half-written."""
    try:
        write_atomically(file, text.encode())
    except StoreError as error:
        raise StoreError("E-REPORT-WRITE", error.message, str(file), error.hint) from None


def _unjudged(packets: PolicyDifference, made: Changes) -> dict[str, Any]:
    denied = bool(packets.newly_denied)
    return {
        "security": Risk(None, None, "UNKNOWN").to_dict(),
        "availability": unobserved(denied).to_dict(),
        "observed": None,
        "rules": [_rule(change, None) for change in made.rules],
        "guardrails": None,
        "tests": None,
    }


def _without_estate(old: Policy, new: Policy) -> list[Finding]:
    """What scopes do not let rules say; which workloads there are, nobody knows without an inventory."""
    known = {(one.code, one.message) for one in resolve(old, {})[1]}
    found = [one for one in resolve(new, {})[1] if one.code != "E-WORKLOAD"]
    return [one for one in found if one.severity == "error" or (one.code, one.message) not in known]


def _judged(
    old: Inputs, new: Inputs, made: Changes, packets: PolicyDifference, edges: Edges | None, broken: bool
) -> tuple[dict[str, Any], list[Finding]]:
    flows = None
    if edges is not None and not broken:
        flows = _Flows(edges, verdicts(old.active, new.active, edges))
    before, after = check(old), check(new)
    known = {(one.code, one.message) for one in before.findings}
    findings = [one for one in after.findings if one.severity == "error" or (one.code, one.message) not in known]
    risks = (Risk(None, None, "UNKNOWN"), Risk(None, None, "UNKNOWN")) if broken else _risks(old, new, packets, flows)
    return {
        "security": risks[0].to_dict(),
        "availability": risks[1].to_dict(),
        "observed": None if edges is None else _observed(edges),
        "rules": [
            _rule(change, None if flows is None else _evidence(change, old, new, flows)) for change in made.rules
        ],
        "guardrails": _guardrails(before, after),
        "tests": _tests(before, after),
    }, findings


def _risks(old: Inputs, new: Inputs, packets: PolicyDifference, flows: _Flows | None) -> tuple[Risk, Risk]:
    """The two figures that a plan has, as if all enforcement points were in full mode.

    What breaks counts in full: conversations that the change newly allows make up for none.
    """
    bundles = [
        make_bundle(one.policy, compile_policy(one.policy, _in_full(one.estate), "active")) for one in (old, new)
    ]
    workloads = {**bundles[0].workloads, **bundles[1].workloads}
    pairs = pairs_of(bundles[0], bundles[1], new.at, Lifter(workloads))
    exposed = security(pairs.changes(), pairs, workloads)
    if flows is None:
        return exposed, unobserved(bool(packets.newly_denied))
    edges = flows.edges
    weights = np.array(
        [max((weight_of(new.policy, one) for one in new.estate.holders(end)), default=1.0) for end in edges.ends]
    )
    each = weights[edges.provider] if len(edges) else np.zeros(0)
    before = float(each[flows.judged.denied_before].sum())
    return exposed, availability(before, before + float(each[flows.judged.broken].sum()))


def _in_full(estate: Estate) -> Estate:
    return replace(
        estate,
        workloads={
            name: replace(one, modes=Modes("full", "full")) if one.enforcement else one
            for name, one in estate.workloads.items()
        },
    )


def _observed(edges: Edges) -> dict[str, Any]:
    coverage = edges.coverage
    return {
        "start": coverage.start.isoformat(timespec="minutes"),
        "end": coverage.end.isoformat(timespec="minutes"),
        "coverage": round(coverage.share, 4),
        "loss": coverage.loss,
        "source": coverage.source,
        "flows": len(edges),
        "conversations": int(edges.count.sum()),
    }


def _rule(change: RuleChange, evidence: dict[str, Any] | None) -> dict[str, Any]:
    home = change.home
    return {
        "rule": home.id,
        "what": change.what,
        "by_name": change.by_name,
        "action": home.rule.action,
        "stage": home.stage,
        "was": change.before.stage if change.before else "",
        "tier": home.tier,
        "services": line.show(home.rule.services),
        "reason": home.rule.reason,
        "owner": home.rule.owner,
        "ticket": home.rule.ticket,
        **_where(change.place),
        "evidence": evidence,
    }


def _evidence(change: RuleChange, old: Inputs, new: Inputs, flows: _Flows) -> dict[str, Any]:
    """Of a rule that stays: what it speaks about. What breaks is counted on the rule as it was and as it is."""
    found: list[RuleFlows] = []
    for inputs, home in ((old, change.before), (new, change.after)):
        if home is not None:
            edges, broken = flows.edges, flows.judged.broken
            found.append(flows_of(inputs.policy, inputs.estate, home, edges, broken, inputs.at))
    now = found[-1]
    strength = now.strength if change.after is not None and change.home.rule.action == "allow" else ""
    return {**now.to_dict(), "breaks": max(one.breaks for one in found), "strength": strength}


def _guardrails(before: CheckReport, after: CheckReport) -> list[dict[str, Any]]:
    """Those that are violated; `new`: they held before, or were not there."""
    was = {one.guardrail.id for one in before.guardrails if one.outcome == "violated"}
    return [
        {**one.to_dict(), "new": one.guardrail.id not in was} for one in after.guardrails if one.outcome == "violated"
    ]


def _tests(before: CheckReport, after: CheckReport) -> list[dict[str, Any]]:
    """Those that fail; `new`: they passed before, or were not there."""
    was = {(one.test.expect, one.test.text) for one in before.tests if not one.passes}
    return [
        {**one.to_dict(), "new": (one.test.expect, one.test.text) not in was} for one in after.tests if not one.passes
    ]


def _lost(old: Policy, new: Policy, estate: Estate | None, edges: Edges | None) -> Iterator[dict[str, Any]]:
    """Tests that are gone, with the packets that no test of the same kind looks at any more.

    `conversations`: how many of these were observed, None where nobody can tell.
    """
    kept: dict[tuple[str, str, str, datetime | None], Intervals] = {}
    for test in new.tests:
        kept[_pair(test)] = union(kept.get(_pair(test), ()), test.services)
    for test in old.tests:
        rest = subtraction(test.services, kept.get(_pair(test), ()))
        if rest:
            seen = None
            if estate is not None and edges is not None:
                seen = between(edges, _addresses(estate, test.consumer), _addresses(estate, test.provider), rest)
            yield {
                "text": test.text,
                "expect": test.expect,
                "because": test.because,
                "services": line.show(rest),
                "conversations": seen,
                **_where(test.place),
            }


def _addresses(estate: Estate, name: str) -> list[Address]:
    if name in estate.workloads:
        return list(estate.workloads[name].addresses)
    return [end for end in estate.by_address if str(end) == name]


def _pair(test: PolicyTest) -> tuple[str, str, str, datetime | None]:
    """A test of another moment looks at other packets: what is denied at night says nothing about noon."""
    return test.expect, test.consumer, test.provider, test.at


def _scheduled(made: Changes, at: datetime) -> Iterator[dict[str, Any]]:
    """What only the clock will bring, of the rules that are new or changed."""
    for change in made.rules:
        if change.after is None or change.after.stage == "draft":
            continue
        rule = change.after.rule
        if rule.expires is not None and rule.expires > at:
            yield {"rule": change.after.id, "moment": rule.expires.isoformat(timespec="minutes"), "event": "ends"}
        if rule.schedule is not None:
            moment = rule.schedule.next_change(at)
            if moment is not None:
                event = "closes" if rule.schedule.open_at(at) else "opens"
                yield {"rule": change.after.id, "moment": moment.isoformat(timespec="minutes"), "event": event}


def _approval(one: RequiredApproval, old: Policy, new: Policy, request: ReviewRequest) -> dict[str, Any]:
    by = [] if request.approved_by is None else _approvers(one, old, new, request)
    return {**one.to_dict(), "by": by, "given": None if request.approved_by is None else bool(by)}


def _approvers(one: RequiredApproval, old: Policy, new: Policy, request: ReviewRequest) -> list[str]:
    roles = old.roles or new.roles
    return [who for who in request.approved_by or () if approves(roles, one.parties, who, request.author)]


def _missing(
    old: Policy, new: Policy, approvals: Iterable[RequiredApproval], request: ReviewRequest
) -> Iterator[Finding]:
    for one in approvals:
        if _approvers(one, old, new, request):
            continue
        if not one.parties:
            if old.roles:  # without any role nobody is responsible for anything
                yield Finding(
                    "E-APPROVAL",
                    "error",
                    f"nobody is named who could approve what changes about {one.subject}.",
                    hint="Name owners of the scope, or a role that may write such documents, in a change before this.",
                )
            continue
        yield Finding(
            "E-APPROVAL",
            "error",
            f"nobody of {', '.join(one.parties)} has approved what changes about {one.subject}.",
            hint=f"Ask for it: {one.why[0]}{' and more' if len(one.why) > 1 else ''}.",
        )


def _where(place: Place) -> dict[str, Any]:
    return {"file": place.file, "line": place.line}
