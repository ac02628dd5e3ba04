# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The two risks of a plan: what becomes reachable, and what stops working.

*Security* adds up the reachable pairs of workloads the plan touches, each multiplied by the criticality weight of the
provider and by its exposure: 1 for one port, one more for every tenfold number of ports, five times as much when the
consumer is any address outside the estate. *Availability* adds up the observed conversations that are denied, each
multiplied by the criticality weight of the provider. Both stand as before -> after. The level is about the increase:

=============  ========  =========  ========
level          LOW       MEDIUM     HIGH
=============  ========  =========  ========
security       below 10  below 100  from 100
availability   0         below 10   from 10
=============  ========  =========  ========

Without observations availability is UNKNOWN as soon as the plan denies anything: no data is not no traffic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..model.bundle import WorkloadEntry
from ..model.intervals import Intervals, size
from .pairs import Change, Group, Pairs

Level = Literal["LOW", "MEDIUM", "HIGH", "UNKNOWN"]
SECURITY_LEVELS = (10.0, 100.0)
AVAILABILITY_LEVELS = (1e-9, 10.0)
OUTSIDE_FACTOR = 5.0


@dataclass(frozen=True, slots=True)
class Risk:
    """`before` and `after` are None where nothing is known."""

    before: float | None
    after: float | None
    level: Level

    def to_dict(self) -> dict[str, Any]:
        return {"before": self.before, "after": self.after, "level": self.level}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Risk:
        return cls(data["before"], data["after"], data["level"])

    def __str__(self) -> str:
        if self.before is None or self.after is None:
            return "unknown"
        mark = "" if self.level == "LOW" else f" {self.level}"
        return f"{_short(self.before)} -> {_short(self.after)}{mark}"


def exposure(services: Intervals) -> float:
    """
    >>> exposure(((443, 443),)), exposure(((1, 100),)), exposure(())
    (1.0, 3.0, 0.0)
    """
    return 1.0 + math.log10(size(services)) if services else 0.0


def security(changes: Iterable[Change], pairs: Pairs, workloads: Mapping[str, WorkloadEntry]) -> Risk:
    """Over the pairs of groups the plan touches; what is not touched is equal before and after."""
    before = after = 0.0
    weights: dict[int, float] = {}
    exposed: dict[int, float] = {}
    met: set[tuple[int, int]] = set()
    for change in changes:
        consumer, provider = change.consumers, change.providers
        pair = id(consumer), id(provider)
        if pair in met:
            continue
        met.add(pair)
        for answer in (change.before, change.after):
            if answer not in exposed:
                exposed[answer] = exposure(pairs.value(answer)[0])
        key = id(provider)
        if key not in weights:
            weights[key] = _weight(provider, workloads)
        both = len(consumer.workloads & provider.workloads)
        consumers = len(consumer.workloads) or OUTSIDE_FACTOR
        share = (len(provider.workloads) - both / consumers) if provider.members else 1.0
        factor = consumers * share * weights[key]
        before += factor * exposed[change.before]
        after += factor * exposed[change.after]
    return Risk(round(before, 1), round(after, 1), level(after - before, SECURITY_LEVELS))


def availability(denied_before: float, denied_after: float) -> Risk:
    """Of weights of observed conversations."""
    return Risk(
        round(denied_before, 1), round(denied_after, 1), level(denied_after - denied_before, AVAILABILITY_LEVELS)
    )


def unobserved(denies: bool) -> Risk:
    """Without any observation: harmless only where nothing is denied."""
    return Risk(None, None, "UNKNOWN") if denies else Risk(0.0, 0.0, "LOW")


def worst(risks: Iterable[Risk]) -> Risk:
    """The one that rises most, as of several moments; what is unknown is worse than what is known."""
    return max(risks, key=lambda risk: math.inf if risk.after is None else risk.after - (risk.before or 0.0))


def level(increase: float, limits: tuple[float, float]) -> Level:
    return "LOW" if increase < limits[0] else "MEDIUM" if increase < limits[1] else "HIGH"


def _weight(group: Group, workloads: Mapping[str, WorkloadEntry]) -> float:
    """The mean weight of the group's workloads; 1 for addresses of nobody."""
    names = group.workloads
    return sum(workloads[name].weight for name in names) / len(names) if names else 1.0


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"
