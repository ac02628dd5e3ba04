# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Groups of flows that a person reads as one line: consumer and provider in label words, and the service.

Lines are ranked by conversations, by distinct pairs of addresses and by the time over which they were seen, taken in
turn: a nightly backup is one flow of one pair, and stands beside what talks all the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from ..model import services as line
from ..model.addresses import Address, cidrs
from ..model.edges import Edges
from ..model.labels import Fact
from .compile import Compiled
from .decide import Decider, SideDecision
from .explain import side_to_dict
from .simulate import Simulation, ends_at

#: Label keys that are shown of one end.
MOST_KEYS = 4
#: Length of the block that stands for addresses of nobody.
BLOCKS = {4: 24, 6: 64}


@dataclass(frozen=True, slots=True)
class Group:
    """`flows` are conversations, `pairs` distinct pairs of addresses; `row` is the edge with most conversations."""

    consumer: str
    provider: str
    service: str
    flows: int
    pairs: int
    dropped: int
    first: int
    last: int
    row: int

    def to_dict(self, edges: Edges) -> dict[str, Any]:
        flow = edges.flow(self.row)
        return {
            "from": self.consumer,
            "to": self.provider,
            "service": self.service,
            "flows": self.flows,
            "pairs": self.pairs,
            "observed_dropped": self.dropped,
            "first_seen": datetime.fromtimestamp(self.first, UTC).isoformat(),
            "last_seen": datetime.fromtimestamp(self.last, UTC).isoformat(),
            "example": {
                "from": str(flow.consumer),
                "to": str(flow.provider),
                "service": line.show(((flow.service, flow.service),))[0],
            },
        }


def groups(edges: Edges, rows: npt.NDArray[np.intp], compiled: Compiled) -> list[Group]:
    """The given edges, summed up, in the order in which a person should read them."""
    if not len(rows):
        return []
    names: dict[str, int] = {}
    of_end = np.zeros(len(edges.ends), np.int64)
    for end in np.unique(np.concatenate([edges.consumer[rows], edges.provider[rows]])).tolist():
        of_end[end] = names.setdefault(words(compiled, edges.ends[end]), len(names))
    consumer, provider = of_end[edges.consumer[rows]], of_end[edges.provider[rows]]
    keys = (consumer * len(names) + provider) * 0x60000 + edges.service[rows]
    distinct, inverse = np.unique(keys, return_inverse=True)
    size = len(distinct)
    count = edges.count[rows]
    flows = np.zeros(size, np.int64)
    np.add.at(flows, inverse, count)
    dropped = np.zeros(size, np.int64)
    np.add.at(dropped, inverse, np.where(edges.dropped[rows], count, 0))
    first = np.full(size, np.iinfo(np.int64).max)
    np.minimum.at(first, inverse, edges.first[rows])
    last = np.zeros(size, np.int64)
    np.maximum.at(last, inverse, edges.last[rows])
    ends = edges.consumer[rows].astype(np.int64) << 32 | edges.provider[rows]
    order = np.lexsort((ends, inverse))
    fresh = np.ones(len(rows), np.bool_)
    fresh[1:] = (ends[order][1:] != ends[order][:-1]) | (inverse[order][1:] != inverse[order][:-1])
    pairs = np.bincount(inverse[order][fresh], minlength=size)
    biggest = np.zeros(size, np.int64)
    biggest[inverse[np.lexsort((-rows, count))]] = rows[np.lexsort((-rows, count))]
    texts = list(names)
    ranked = _in_turn([flows, pairs, last - first])
    return [
        Group(
            texts[int(distinct[place]) // 0x60000 // len(names)],
            texts[int(distinct[place]) // 0x60000 % len(names)],
            line.show(((int(distinct[place]) % 0x60000,) * 2,))[0],
            *(int(column[place]) for column in (flows, pairs, dropped, first, last, biggest)),
        )
        for place in ranked
    ]


def _in_turn(measures: Sequence[npt.NDArray[np.int64]]) -> Iterator[int]:
    """The best by the first measure, the best by the second, …, each position once."""
    orders = [np.argsort(-measure, kind="stable").tolist() for measure in measures]
    taken: set[int] = set()
    for places in zip(*orders, strict=True):
        for place in places:
            if place not in taken:
                taken.add(place)
                yield place


def words(compiled: Compiled, address: Address) -> str:
    """An end by the labels that the policy looks at; addresses of nobody as blocks."""
    estate = compiled.estate
    for service in estate.service_addresses:
        if service.address == address:
            return service.name
    holders = estate.holders(address)
    zone = f" in zone {address.zone}" if address.zone else ""
    if not holders:
        length = BLOCKS[address.family]
        size = 1 << ((32 if address.family == 4 else 128) - length)
        low = address.number // size * size
        return f"{cidrs(address.family, ((low, low + size - 1),))[0]}{zone}"
    if len(holders) > 1:
        return f"{address}{zone}"
    item = compiled.classes.items[compiled.classes.of[holders[0].name]]
    return item.workload or _labels(item.labels) or holders[0].name


def _labels(labels: Any) -> str:
    facts: dict[str, Fact] = dict(labels)
    return ",".join(f"{key}={facts[key].value}" for key in sorted(facts)[:MOST_KEYS])


def deciding(simulation: Simulation, question: int, row: int, *, opened_over: int | None = None) -> dict[str, Any]:
    """Who decides about a flow: the side that denies it; with `opened_over` the side that question denied."""
    edges = simulation.edges
    context = min(simulation.contexts_of(row))
    sides = _sides(simulation.decider(question, context), edges, row)
    name = _denying(sides)
    if opened_over is not None:
        name = _denying(_sides(simulation.decider(opened_over, context), edges, row)) or "ingress"
    return {"side": name or "ingress", **side_to_dict(sides[name or "ingress"])}


def _sides(decider: Decider, edges: Edges, row: int) -> dict[str, SideDecision]:
    flow = edges.flow(row)
    source, target = (ends_at(decider.compiled.estate, end)[0] for end in (flow.consumer, flow.provider))
    return {
        "ingress": decider.decide("ingress", target, source, flow.service),
        "egress": decider.decide("egress", source, target, flow.service),
    }


def _denying(sides: dict[str, SideDecision]) -> str:
    """A rule is worth more to a reader than a mode."""
    denying = [name for name, side in sides.items() if side.verdict == "denied"]
    return next((name for name in denying if sides[name].copy is not None), denying[0] if denying else "")


__all__ = ["Group", "deciding", "groups", "words"]
