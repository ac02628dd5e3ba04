# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Reach: which services may every workload use on every other one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from ..model import services as line
from ..model.addresses import FAMILIES, FAMILY_NAMES, Family
from ..model.estate import Workload
from ..model.intervals import EMPTY, Intervals, intersection, subtraction, union
from .decide import Decider, End
from .ends import Ends


@dataclass(frozen=True, slots=True)
class AddressPair:
    """One pair of addresses. `unknown` where workloads that share an address would be answered differently."""

    consumer: End
    provider: End
    allowed: Intervals
    unknown: Intervals


@dataclass(frozen=True, slots=True)
class PairReach:
    consumer: str
    provider: str
    family: Family
    allowed: Intervals
    unknown: Intervals
    by_address: tuple[AddressPair, ...] | None
    one_sided: bool

    def to_dict(self) -> dict[str, Any]:
        by_address = None
        if self.by_address is not None:
            by_address = [
                {
                    "from": str(pair.consumer.address),
                    "to": str(pair.provider.address),
                    "allowed": line.show(pair.allowed, self.family),
                    "unknown": line.show(pair.unknown, self.family),
                }
                for pair in self.by_address
            ]
        return {
            "from": self.consumer,
            "to": self.provider,
            "family": FAMILY_NAMES[self.family],
            "allowed": line.show(self.allowed, self.family),
            "unknown": line.show(self.unknown, self.family),
            "by_address": by_address,
            "one_sided": self.one_sided,
        }


class Reach:
    """All-pairs answers of one decider; equal questions are asked once (see `ends`)."""

    def __init__(self, decider: Decider) -> None:
        self.decider = decider
        self._ends = Ends(decider.compiled)
        self._known: dict[tuple[int, int], Intervals] = {}

    def allowed(self, consumer: End, provider: End) -> Intervals:
        key = (self._ends.of(consumer), self._ends.of(provider))
        if key not in self._known:
            self._known[key] = self.decider.allowed(consumer, provider)
        return self._known[key]

    def pair(self, consumer: Workload, provider: Workload, family: Family) -> PairReach | None:
        """None where one of the two has no address in the family."""
        sources, targets = consumer.of_family(family), provider.of_family(family)
        if not sources or not targets:
            return None
        pairs = [
            self._address_pair(End(source, consumer), End(target, provider))
            for source, target in product(sources, targets)
        ]
        first = pairs[0]
        same = all((pair.allowed, pair.unknown) == (first.allowed, first.unknown) for pair in pairs)
        allowed, unknown = EMPTY, EMPTY
        for pair in pairs:
            allowed, unknown = union(allowed, pair.allowed), union(unknown, pair.unknown)
        return PairReach(
            consumer.name,
            provider.name,
            family,
            allowed,
            subtraction(unknown, allowed),
            None if same else tuple(pairs),
            self.decider.one_sided(End(sources[0], consumer), End(targets[0], provider)),
        )

    def _address_pair(self, consumer: End, provider: End) -> AddressPair:
        estate = self.decider.compiled.estate
        sources, targets = estate.holders(consumer.address), estate.holders(provider.address)
        if len(sources) == 1 and len(targets) == 1:
            return AddressPair(consumer, provider, self.allowed(consumer, provider), EMPTY)
        always, sometimes = line.UNIVERSE[consumer.address.family], EMPTY
        for source, target in product(sources, targets):
            if source is not target:
                answer = self.allowed(End(consumer.address, source), End(provider.address, target))
                always, sometimes = intersection(always, answer), union(sometimes, answer)
        return AddressPair(consumer, provider, always, subtraction(sometimes, always))

    def pairs(
        self, consumers: Callable[[Workload], bool], providers: Callable[[Workload], bool]
    ) -> Iterator[PairReach]:
        """Every ordered pair of distinct workloads, in name order, family by family."""
        workloads = self.decider.compiled.estate.workloads.values()
        targets = [workload for workload in workloads if providers(workload)]
        for consumer in workloads:
            if not consumers(consumer):
                continue
            for provider in targets:
                if provider is consumer:
                    continue
                for family in FAMILIES:
                    pair = self.pair(consumer, provider, family)
                    if pair is not None:
                        yield pair
