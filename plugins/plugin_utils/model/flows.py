# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Flows: aggregated conversations that were observed, and what the observation covers.

"No data is not no traffic": observations always carry their window, which hosts reported, and what was lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from . import services as line
from .addresses import Address, parse_address

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Flow:
    """One consumer talked to one service point of one provider `count` times; times are aware datetimes.

    `disposition`: what the sensor saw happen to it; a conversation that got through was allowed.
    """

    consumer: Address
    provider: Address
    service: int
    count: int
    first_seen: datetime
    last_seen: datetime
    sensor: str
    disposition: Literal["allowed", "dropped"] = "allowed"

    def to_dict(self) -> dict[str, Any]:
        return {
            "consumer": str(self.consumer),
            "consumer_zone": self.consumer.zone,
            "provider": str(self.provider),
            "provider_zone": self.provider.zone,
            "service": line.show(((self.service, self.service),))[0],
            "count": self.count,
            "first_seen": _text(self.first_seen),
            "last_seen": _text(self.last_seen),
            "sensor": self.sensor,
            "disposition": self.disposition,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Flow:
        return cls(
            consumer=parse_address(data["consumer"], data["consumer_zone"]),
            provider=parse_address(data["provider"], data["provider_zone"]),
            service=line.parse(data["service"])[0][0],
            count=int(data["count"]),
            first_seen=datetime.fromisoformat(data["first_seen"]),
            last_seen=datetime.fromisoformat(data["last_seen"]),
            sensor=data["sensor"],
            disposition=data["disposition"],
        )


@dataclass(frozen=True, slots=True)
class Observations:
    """`loss` is the share (0 to 1) of conversations the sensors say they missed; `source` names the way of looking.

    `gaps` are stretches [low, high) between `start` and `end` in which nobody looked, ascending and disjoint.
    """

    flows: tuple[Flow, ...]
    start: datetime
    end: datetime
    reported: tuple[str, ...]
    expected: tuple[str, ...]
    loss: float
    source: str
    gaps: tuple[tuple[datetime, datetime], ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the expected hosts that reported, 0 to 1; 0 where nobody was expected."""
        return len(set(self.reported) & set(self.expected)) / len(self.expected) if self.expected else 0.0

    @property
    def window(self) -> str:
        """`30 d`, `6 h`, `90 s`: the length of the window as a person says it."""
        seconds = int((self.end - self.start).total_seconds())
        for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
            if seconds >= 2 * length:
                return f"{seconds // length} {unit}"
        return f"{seconds} s"

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "flows": [flow.to_dict() for flow in self.flows],
            "start": _text(self.start),
            "end": _text(self.end),
            "reported": sorted(self.reported),
            "expected": sorted(self.expected),
            "loss": self.loss,
            "source": self.source,
            **({"gaps": [[_text(low), _text(high)] for low, high in self.gaps]} if self.gaps else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Observations:
        return cls(
            flows=tuple(Flow.from_dict(flow) for flow in data["flows"]),
            start=datetime.fromisoformat(data["start"]),
            end=datetime.fromisoformat(data["end"]),
            reported=tuple(data["reported"]),
            expected=tuple(data["expected"]),
            loss=float(data["loss"]),
            source=data["source"],
            gaps=tuple(
                (datetime.fromisoformat(low), datetime.fromisoformat(high)) for low, high in data.get("gaps", ())
            ),
        )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
