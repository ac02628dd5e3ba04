# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Observed conversations against a change: which of them it cuts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..model.bundle import WorkloadEntry
from ..model.flows import Flow, Observations
from ..model.intervals import contains
from .pairs import Change, Group, Pairs, When
from .statements import Statement


@dataclass(frozen=True)
class Judged:
    """`cut`: conversations allowed or not surely denied before, and denied or not surely allowed after.

    The weights of denied conversations, before and after, are the figures of the availability risk.
    """

    cut: tuple[tuple[Flow, Group, Group], ...]
    denied_before: float
    denied_after: float

    def by_statement(self, statements: Sequence[Statement]) -> dict[int, list[Flow]]:
        """Positions of statements with the cut conversations each of them is about."""
        index: dict[tuple[int, int], list[tuple[int, Change]]] = {}
        for position, statement in enumerate(statements):
            for change in statement.changes:
                index.setdefault((_key(change.consumers), _key(change.providers)), []).append((position, change))
        result: dict[int, list[Flow]] = {}
        for flow, consumer, provider in self.cut:
            for position, change in index.get((_key(consumer), _key(provider)), ()):
                if (
                    change.verdict != "allowed"
                    and contains(change.services, flow.service)
                    and _in(change.consumers, consumer)
                    and _in(change.providers, provider)
                ):
                    result.setdefault(position, []).append(flow)
        return result


def judged(observations: Observations, pairs: Pairs, workloads: Mapping[str, WorkloadEntry]) -> Judged:
    """Both ends of a flow must be in one zone: across zones an address does not say whom it means.

    What was dropped already is nothing a change can cut.
    """
    cut: list[tuple[Flow, Group, Group]] = []
    before = after = 0.0
    for flow in observations.flows:
        if flow.consumer.zone != flow.provider.zone or flow.consumer.family != flow.provider.family:
            continue
        if flow.disposition == "dropped":
            continue
        for name, consumer in pairs.ends(flow.consumer.zone, flow.consumer.family, flow.consumer.number):
            for peer, provider in pairs.ends(flow.provider.zone, flow.provider.family, flow.provider.number):
                if name and name == peer:
                    continue
                weight = workloads[peer].weight if peer else 1.0
                was = _allowed(pairs, consumer, provider, flow.service, "before")
                now = _allowed(pairs, consumer, provider, flow.service, "after")
                before += weight if was is False else 0.0
                after += weight if now is False else 0.0
                if was is not False and now is not True and was is not now:
                    cut.append((flow, consumer, provider))
    return Judged(tuple(cut), before, after)


def observed(observations: Observations) -> dict[str, Any]:
    """What the flows cover, for every text that mentions them."""
    return {
        "window": observations.window,
        "start": observations.start.isoformat(timespec="seconds"),
        "end": observations.end.isoformat(timespec="seconds"),
        "coverage": round(observations.coverage, 4),
        "loss": observations.loss,
        "source": observations.source,
        "flows": len(observations.flows),
    }


def _allowed(pairs: Pairs, consumer: Group, provider: Group, service: int, when: When) -> bool | None:
    """None: it cannot be judged."""
    allowed, unknown = pairs.services(consumer, provider, when)
    if contains(unknown, service):
        return None
    return contains(allowed, service)


def _key(group: Group) -> int:
    """Groups of workloads by identity; all addresses of nobody alike, they are told apart by `_in`."""
    return id(group) if group.members else 0


def _in(group: Group, end: Group) -> bool:
    if (group.zone, group.family) != (end.zone, end.family):
        return False
    return group is end or contains(group.outside, end.number)
