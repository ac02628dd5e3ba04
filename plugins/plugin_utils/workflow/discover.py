# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""discover: what hosts saw of themselves, as observations: who talks to whom, and how much of the estate reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..model import services as line
from ..model.addresses import Address, parse_address
from ..model.errors import MicrosegError
from ..model.estate import Estate
from ..model.flows import Flow, Observations
from ..orchestration.observations import load_observations, save_observations
from ..orchestration.store import Store

SENSOR = "workload_facts"


@dataclass(frozen=True)
class DiscoverReport:
    observations: Observations
    digest: str
    edges: tuple[Mapping[str, Any], ...]
    unread: int

    def to_dict(self) -> dict[str, Any]:
        seen = self.observations
        return {
            "digest": self.digest,
            "flows": len(seen.flows),
            "reported": len(seen.reported),
            "expected": len(seen.expected),
            "coverage": round(seen.coverage, 4),
            "loss": seen.loss,
            "window": seen.window,
            "unread": self.unread,
            "edges": [dict(edge) for edge in self.edges],
        }


def discover(
    estate: Estate, answers: Mapping[str, Mapping[str, Any]], store: Store, at: datetime, expected: Iterable[str]
) -> DiscoverReport:
    """`answers`: what `workload_facts` with bulk returned, by workload. Adds to what was seen before.

    Each conversation is seen by both of its ends; it is counted once, by the greater of both numbers. One bad record
    never stops the rest; `unread` says how many there were.
    """
    seen: dict[tuple[Address, Address, int], int] = {}
    unread = 0
    reported = sorted(name for name, answer in answers.items() if "connections" in answer)
    for name in reported:
        workload = estate.workloads.get(name)
        zone = workload.zone if workload else ""
        for record in answers[name]["connections"]:
            try:
                key, count = _conversation(record, zone)
            except (MicrosegError, KeyError, TypeError, ValueError):
                unread += 1
                continue
            seen[key] = max(seen.get(key, 0), count)
    before = load_observations(store)
    flows = _merged(before.flows if before else (), seen, at)
    observations = Observations(
        flows=flows,
        start=min(before.start, at) if before else at,
        end=at,
        reported=tuple(sorted({*(before.reported if before else ()), *reported})),
        expected=tuple(sorted(set(expected))),
        loss=0.0,
        source=SENSOR,
    )
    digest = save_observations(store, observations)
    return DiscoverReport(observations, digest, tuple(_edges(estate, flows)), unread)


def _conversation(record: Mapping[str, Any], zone: str) -> tuple[tuple[Address, Address, int], int]:
    local, peer = parse_address(record["local"], zone), parse_address(record["peer"], zone)
    service = line.parse(f"{record['proto']}/{int(record['port'])}")[0][0]
    consumer, provider = (peer, local) if record["direction"] == "inbound" else (local, peer)
    return (consumer, provider, service), int(record["count"])


def _merged(before: Iterable[Flow], seen: Mapping[tuple[Address, Address, int], int], at: datetime) -> tuple[Flow, ...]:
    merged = {(flow.consumer, flow.provider, flow.service): flow for flow in before}
    for (consumer, provider, service), count in seen.items():
        known = merged.get((consumer, provider, service))
        first = known.first_seen if known else at
        total = count + (known.count if known else 0)
        merged[consumer, provider, service] = Flow(consumer, provider, service, total, first, at, SENSOR)
    return tuple(merged[key] for key in sorted(merged))


def _edges(estate: Estate, flows: Iterable[Flow]) -> Iterator[Mapping[str, Any]]:
    """Who talks to whom by name, most frequent first."""
    for flow in sorted(flows, key=lambda flow: (-flow.count, flow.consumer, flow.provider, flow.service)):
        yield {
            "from": _name(estate, flow.consumer),
            "to": _name(estate, flow.provider),
            "service": line.show(((flow.service, flow.service),))[0],
            "count": flow.count,
            "last_seen": flow.last_seen.isoformat(),
        }


def _name(estate: Estate, address: Address) -> str:
    holders = estate.holders(address)
    return holders[0].name if holders else str(address)
