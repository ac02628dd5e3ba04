# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The rule that would allow a connection: as small as labels can say it, in the scope that should hold it.

A suggestion is tried out before it is made: the policy with the rule is compiled and asked the same question.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ..model import services as line
from ..model.addresses import Prefix
from ..model.estate import Estate, Workload
from ..model.labels import Truth
from ..model.policy import AddressPeer, LabelPeer, Peer, Policy, Rule, Ruleset, Scope, WorkloadPeer
from ..model.selectors import Requirement, Selector
from .compile import Stage, compile_policy
from .decide import Decider, End
from .explain import Explanation, Target, explain, find_targets

#: Beyond this a trial compile takes longer than the answer is worth.
MOST_WORKLOADS = 50_000


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`line` is the rule in short form. `ruleset` is one that exists and is enforced, or "" where there is none."""

    line: str
    scope: str
    ruleset: str
    owners: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"rule": self.line, "scope": self.scope, "ruleset": self.ruleset, "owners": list(self.owners)}


def suggest(
    policy: Policy, estate: Estate, answer: Explanation, point: int, at: datetime, stage: Stage
) -> Suggestion | None:
    """None where no single allow rule does it: a deny decides, or a service address or unknown end is asked about."""
    if len(estate.workloads) > MOST_WORKLOADS:
        return None
    pair = next((pair for pair in answer.pairs if pair.verdict == "denied"), None)
    if pair is None or pair.member:
        return None
    for scope in _homes(policy, pair.consumer, pair.provider):
        consumer, provider = (_peer(policy, scope, end) for end in (pair.consumer, pair.provider))
        services = line.show(((point, point),))
        rule = Rule("suggestion", (consumer,), (provider,), ((point, point),))
        if _allows(policy, estate, scope, rule, answer, point, at, stage):
            text = f"allow {_said(consumer)} -> {_said(provider)} : {', '.join(services)}"
            return Suggestion(text, scope.name, _ruleset(scope), scope.owners)
    return None


def _homes(policy: Policy, consumer: End, provider: End) -> list[Scope]:
    """Scopes that may hold the rule: the provider's, the consumer's, then those of the whole estate."""
    homes: list[Scope] = []
    for end in (provider, consumer):
        if end.workload is not None:
            inside = (scope for scope in policy.scopes if _inside(scope, end.workload) and not scope.estate)
            homes.extend(sorted(inside, key=lambda scope: -len(scope.match.requirements)))
    homes.extend(scope for scope in policy.scopes if scope.estate)
    return list({scope.name: scope for scope in homes}.values())


def _inside(scope: Scope, workload: Workload) -> bool:
    return scope.match.matches(workload.labels, None) is Truth.YES


def _peer(policy: Policy, scope: Scope, end: End) -> Peer:
    """By labels where the workload has some that rules of the scope use; else by its name, or its address."""
    workload = end.workload
    if workload is None:
        return AddressPeer((Prefix(end.address.zone or None, end.address.family, *[end.address.number] * 2),))
    lasting = {key: fact.value for key, fact in workload.labels.items() if fact.expires is None}
    inside = _inside(scope, workload)
    wanted = {key for key in _keys_used(scope) | _required(policy) if key in lasting}
    if not inside:
        if not scope.match.keys <= lasting.keys():
            return WorkloadPeer(workload.name)  # the scope would add keys that this workload lacks
        wanted |= scope.match.keys
    else:
        wanted -= scope.match.keys
    if not wanted - scope.match.keys:
        own = [key for key in policy.settings.labels if key in lasting and key not in scope.match.keys]
        if not own:
            return WorkloadPeer(workload.name)
        wanted |= {own[0]}
    return LabelPeer(Selector(tuple(sorted(Requirement(key, "in", (lasting[key],)) for key in wanted))))


def _keys_used(scope: Scope) -> set[str]:
    """Keys by which the rules of the scope tell its workloads apart."""
    return {
        key
        for ruleset in scope.rulesets
        for rule in ruleset.rules
        for peer in (*rule.consumers, *rule.providers)
        if isinstance(peer, LabelPeer)
        for key in peer.selector.keys
    }


def _required(policy: Policy) -> set[str]:
    return {key for key, declaration in policy.settings.labels.items() if declaration.required}


def _ruleset(scope: Scope) -> str:
    found = (item.name for item in scope.rulesets if item.stage == "active" and item.tier == "application")
    return next(found, "")


def _said(peer: Peer) -> str:
    match peer:
        case LabelPeer(selector):
            return str(selector)
        case WorkloadPeer(name):
            return f"workload {name}"
        case AddressPeer(prefixes, _name):
            zone = f" in zone {prefixes[0].zone}" if prefixes[0].zone else ""
            return f"{replace(prefixes[0], zone=None)}{zone}"
    raise AssertionError(peer)


def _allows(
    policy: Policy,
    estate: Estate,
    scope: Scope,
    rule: Rule,
    answer: Explanation,
    point: int,
    at: datetime,
    stage: Stage,
) -> bool:
    trial = replace(scope, rulesets=(*scope.rulesets, Ruleset("suggestion", (rule,), stage="active")))
    changed = replace(policy, scopes=tuple(trial if one.name == scope.name else one for one in policy.scopes))
    decider = Decider(compile_policy(changed, estate, stage), at)
    targets: tuple[Target, Target] = find_targets(decider, answer.consumer, answer.provider)
    return explain(decider, *targets, point, answer.service).verdict == "allowed"


__all__ = ["Suggestion", "suggest"]
