# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Edges: flows in columns, for questions about millions of them at once.

An edge is what `flows.Flow` is: one consumer, one provider, one service point, with counts and times. Edges keep them
as numpy columns over a table of distinct ends, so that what is asked about an address is asked once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from .addresses import Address
from .flows import Flow, Observations


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the observation covers: "no data is not no traffic". `loss` is a share, 0 to 1.

    `gaps` are stretches [low, high) between `start` and `end` in which nobody looked, ascending and disjoint.
    """

    start: datetime
    end: datetime
    reported: tuple[str, ...]
    expected: tuple[str, ...]
    loss: float
    source: str
    gaps: tuple[tuple[datetime, datetime], ...] = ()

    @property
    def stretches(self) -> tuple[tuple[datetime, datetime], ...]:
        """The stretches [low, high) in which somebody looked."""
        bounds = (self.start, *(moment for gap in self.gaps for moment in gap), self.end)
        return tuple(zip(bounds[::2], bounds[1::2], strict=True))

    def whole(self, low: datetime, high: datetime) -> bool:
        """Was somebody looking through all of [low, high)?"""
        return any(start <= low and high <= end for start, end in self.stretches)

    @property
    def watched(self) -> timedelta:
        return sum((high - low for low, high in self.stretches), timedelta())

    @property
    def share(self) -> float:
        """Share of the expected hosts that reported, 0 to 1; 0 where nobody was expected."""
        return len(set(self.reported) & set(self.expected)) / len(self.expected) if self.expected else 0.0


@dataclass(frozen=True)
class Edges:
    """Columns of equal length. `consumer`, `provider`: positions in `ends`. `service`: point of the service line.

    `first`, `last`: seconds since 1970 (UTC). `dropped`: the sensor saw it not get through. `sensor`: position in
    `sensors`.
    """

    ends: tuple[Address, ...]
    sensors: tuple[str, ...]
    consumer: npt.NDArray[np.int32]
    provider: npt.NDArray[np.int32]
    service: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    dropped: npt.NDArray[np.bool_]
    sensor: npt.NDArray[np.int32]
    coverage: Coverage

    def __len__(self) -> int:
        return len(self.service)

    def flows(self) -> Iterator[Flow]:
        """One by one, for questions about few of them."""
        for index in range(len(self)):
            yield self.flow(index)

    def flow(self, index: int) -> Flow:
        return Flow(
            consumer=self.ends[int(self.consumer[index])],
            provider=self.ends[int(self.provider[index])],
            service=int(self.service[index]),
            count=int(self.count[index]),
            first_seen=datetime.fromtimestamp(int(self.first[index]), UTC),
            last_seen=datetime.fromtimestamp(int(self.last[index]), UTC),
            sensor=self.sensors[int(self.sensor[index])],
            disposition="dropped" if self.dropped[index] else "allowed",
        )


def taken(edges: Edges, keep: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Edges:
    """The edges of a mask, or at these positions; `ends` and `sensors` stay as they are."""
    return replace(
        edges,
        consumer=edges.consumer[keep],
        provider=edges.provider[keep],
        service=edges.service[keep],
        count=edges.count[keep],
        first=edges.first[keep],
        last=edges.last[keep],
        dropped=edges.dropped[keep],
        sensor=edges.sensor[keep],
    )


def edges_of(observations: Observations) -> Edges:
    """The flows of an observation, in their order."""
    ends: dict[Address, int] = {}
    sensors: dict[str, int] = {}
    flows = observations.flows
    return Edges(
        consumer=np.array([ends.setdefault(flow.consumer, len(ends)) for flow in flows], np.int32),
        provider=np.array([ends.setdefault(flow.provider, len(ends)) for flow in flows], np.int32),
        service=np.array([flow.service for flow in flows], np.int64),
        count=np.array([flow.count for flow in flows], np.int64),
        first=np.array([int(flow.first_seen.timestamp()) for flow in flows], np.int64),
        last=np.array([int(flow.last_seen.timestamp()) for flow in flows], np.int64),
        dropped=np.array([flow.disposition == "dropped" for flow in flows], np.bool_),
        sensor=np.array([sensors.setdefault(flow.sensor, len(sensors)) for flow in flows], np.int32),
        ends=tuple(ends),
        sensors=tuple(sensors),
        coverage=Coverage(
            observations.start,
            observations.end,
            observations.reported,
            observations.expected,
            observations.loss,
            observations.source,
            observations.gaps,
        ),
    )


__all__ = ["Coverage", "Edges", "edges_of", "taken"]
