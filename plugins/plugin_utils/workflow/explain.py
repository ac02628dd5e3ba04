# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""explain: may A open this connection to B, who says so, and what would make it otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..model.addresses import Address
from ..model.edges import Edges
from ..model.errors import Place
from ..model.policy import Guardrail
from ..policy.background import InMode, NearMiss, PathPoint, by_mode, near_misses, path_points
from ..policy.compile import Stage
from ..policy.decide import Decider, SideDecision
from ..policy.explain import Explanation, PairExplanation, find_targets, matching_rules, parse_point
from ..policy.explain import explain as explain_pair
from ..policy.resolve import resolve
from ..policy.suggest import Suggestion, suggest
from ..policy.timing import in_time
from ..policy.users import others_with_sessions
from ..visibility.edges_file import read_edges
from .blame import Blame, blame
from .inputs import Inputs


@dataclass(frozen=True, slots=True)
class Seen:
    """What was observed of this connection, and what the observation covers."""

    flows: int
    dropped: int
    first: str
    last: str
    window: tuple[str, str]
    share: float
    loss: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "flows": self.flows,
            "dropped": self.dropped,
            "first_seen": self.first,
            "last_seen": self.last,
            "window": list(self.window),
            "coverage": self.share,
            "loss": self.loss,
        }


@dataclass(frozen=True)
class ExplainReport:
    """`staged` is the answer with staged rulesets. All other fields are about `pair`, the first that has the verdict.

    `rules`: every rule that looks at the pair, per side in tier order. `modes`: per side what every mode would say.
    `times`: per side what the clock will do to the rule that decides. `shared_with`: users outside a deciding user rule
    who send from the same workload.
    """

    answer: Explanation
    staged: Explanation
    pair: PairExplanation
    rules: dict[str, list[dict[str, Any]]]
    times: Mapping[str, str] = field(default_factory=dict)
    shared_with: tuple[str, ...] = ()
    near: tuple[NearMiss, ...] = ()
    modes: Mapping[str, Mapping[str, InMode]] = field(default_factory=dict)
    points: tuple[PathPoint, ...] = ()
    suggestion: Suggestion | None = None
    forbidden_by: Guardrail | None = None
    blamed: Mapping[str, Blame] = field(default_factory=dict)
    seen: Seen | None = None

    def to_dict(self) -> dict[str, Any]:
        staged = next((one for one in self.staged.pairs if one.verdict == self.staged.verdict), self.staged.pairs[0])
        suggestion = self.suggestion
        return {
            **self.answer.to_dict(),
            "with_staged": self.staged.verdict,
            "with_staged_by": [_rule_of(side) for side in (staged.egress, staged.ingress)],
            "rules": self.rules,
            "times": dict(self.times),
            "shared_with": list(self.shared_with),
            "near_misses": [miss.to_dict() for miss in self.near],
            "modes": {side: {mode: one.to_dict() for mode, one in modes.items()} for side, modes in self.modes.items()},
            "points": [point.to_dict() for point in self.points],
            "blame": {side: one.to_dict() for side, one in self.blamed.items()},
            "seen": self.seen.to_dict() if self.seen else None,
            "suggestion": suggestion.to_dict() if suggestion else None,
            "forbidden_by": _guardrail(self.forbidden_by),
            "pull_request": pull_request(self) if suggestion else None,
        }


def _guardrail(one: Guardrail | None) -> dict[str, Any] | None:
    return None if one is None else {"id": one.id, "reason": one.reason, "file": one.place.file, "line": one.place.line}


def _rule_of(side: SideDecision) -> str | None:
    return side.copy.artifact.id if side.copy is not None else None


def explain(inputs: Inputs, consumer: str, provider: str, service: str, *, stage: Stage = "active") -> ExplainReport:
    """`consumer`, `provider`: workload, service address or IP address. `service`: one point, or a named service.

    A named service with several points is explained by the first one. Raises PolicyError (E-TARGET, E-SERVICE).
    """
    inputs.usable()
    point = parse_point(service, inputs.policy.services)

    def answer(which: Stage) -> Explanation:
        decider = Decider(inputs.compiled(which), inputs.at)
        return explain_pair(decider, *find_targets(decider, consumer, provider), point, service)

    decider = Decider(inputs.compiled(stage), inputs.at)
    found = answer(stage)
    pair = next((one for one in found.pairs if one.verdict == found.verdict), found.pairs[0])
    rules = {
        "egress": matching_rules(decider, "egress", pair.consumer, pair.provider, point),
        "ingress": matching_rules(decider, "ingress", pair.provider, pair.consumer, point),
    }
    sides = {"egress": pair.egress, "ingress": pair.ingress}
    times = {
        word: in_time(side.copy.artifact.validity, inputs.at)
        for word, side in sides.items()
        if side.copy is not None and side.copy.artifact.timed
    }
    shared = {
        user
        for side in sides.values()
        if side.copy is not None and side.copy.origin is not None and pair.consumer.name
        for user in others_with_sessions(side.copy.origin, inputs.estate, pair.consumer.name, inputs.at)
    }
    times = {word: said for word, said in times.items() if said}
    return ExplainReport(found, answer("staged"), pair, rules, times, tuple(sorted(shared)))


def explain_fully(
    inputs: Inputs,
    consumer: str,
    provider: str,
    service: str,
    *,
    stage: Stage = "active",
    directory: Path | None = None,
    flows: Path | None = None,
) -> ExplainReport:
    """The same with its background: near misses, other modes, enforcement points, and the rule that would allow it.

    With the policy `directory` deciding rules are blamed, with `flows` (a file or a
    directory) observed ones counted.
    """
    report = explain(inputs, consumer, provider, service, stage=stage)
    found, pair = report.answer, report.pair
    point = parse_point(service, inputs.policy.services)
    decider = Decider(inputs.compiled(stage), inputs.at)
    rules = resolve(inputs.policy, inputs.estate.workloads)[0]
    denied = found.verdict == "denied"
    advice = suggest(inputs.policy, inputs.estate, found, point, inputs.at, stage) if denied else None
    return replace(
        report,
        near=tuple(near_misses(rules, decider, pair.consumer, pair.provider, point, stage)),
        modes={
            "egress": by_mode(decider, "egress", pair.consumer, pair.provider, point),
            "ingress": by_mode(decider, "ingress", pair.provider, pair.consumer, point),
        },
        points=tuple(path_points(pair.consumer, pair.provider)),
        suggestion=advice if isinstance(advice, Suggestion) else None,
        forbidden_by=advice if isinstance(advice, Guardrail) else None,
        blamed={} if directory is None else _blamed(directory, pair),
        seen=None if flows is None else _seen(read_edges(flows), found, point),
    )


def _blamed(directory: Path, pair: PairExplanation) -> dict[str, Blame]:
    places: dict[str, Place] = {
        word: side.copy.origin.place
        for word, side in (("egress", pair.egress), ("ingress", pair.ingress))
        if side.copy is not None and side.copy.origin is not None
    }
    found = {word: blame(directory, place) for word, place in places.items()}
    return {word: one for word, one in found.items() if one is not None}


def _seen(edges: Edges, answer: Explanation, point: int) -> Seen:
    pairs = {(pair.consumer.address, pair.provider.address) for pair in answer.pairs}
    positions = {address: position for position, address in enumerate(edges.ends)}
    flows = dropped = 0
    first: int | None = None
    last: int | None = None
    for source, target in sorted(pairs, key=str):
        here = _between(edges, positions, source, target, point)
        if here is None or not here.any():
            continue
        flows += int(edges.count[here].sum())
        dropped += int(edges.count[here & edges.dropped].sum())
        first = min(int(edges.first[here].min()), first if first is not None else 2**62)
        last = max(int(edges.last[here].max()), last if last is not None else 0)
    cover = edges.coverage
    window = cover.start.isoformat(timespec="minutes"), cover.end.isoformat(timespec="minutes")
    return Seen(flows, dropped, _moment(first), _moment(last), window, cover.share, cover.loss)


def _between(edges: Edges, positions: Mapping[Address, int], source: Address, target: Address, point: int) -> Any:
    if source not in positions or target not in positions:
        return None
    consumer, provider = positions[source], positions[target]
    return (edges.consumer == consumer) & (edges.provider == provider) & (edges.service == point)


def _moment(seconds: int | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def pull_request(report: ExplainReport) -> dict[str, str]:
    """Title and text for the change that would allow the connection."""
    suggestion, answer = report.suggestion, report.answer
    assert suggestion is not None
    seen = report.seen
    observed = "No flow data was looked at."
    if seen is not None:
        rest = f"{seen.window[0]} to {seen.window[1]}, {seen.share:.0%} of the hosts reported, loss {seen.loss:.1%}"
        observed = f"Observed: {seen.flows:,} flows, {seen.dropped:,} of them dropped ({rest})."
    owners = ", ".join(suggestion.owners) or "nobody named"
    body = (
        f"{answer.consumer} may not open {answer.service} to {answer.provider} today.\n\n"
        f"    {suggestion.line}\n\n"
        f"in scope {suggestion.scope} (owners: {owners}) would allow it.\n\n{observed}\n\n"
        "Reason: \nTicket: \n"
    )
    return {"title": f"Allow {answer.consumer} -> {answer.provider} {answer.service}", "body": body}


__all__ = ["ExplainReport", "Seen", "explain", "explain_fully", "pull_request"]
