# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Groups of ends that no rule can tell apart, so that all-pairs questions are asked once per pair of groups.

Two ends are in one group when their workloads are in one class and zone, enforce the same directions, and no
written prefix separates their addresses; a shared address has a group of its own. Addresses of nobody form groups too:
one for every region that prefixes and guardrails cut out of the address space.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..model.addresses import FAMILIES, WHOLE_FAMILY, Address, Family, Prefix
from ..model.estate import DIRECTIONS, Workload
from ..model.intervals import Intervals, intersection, normalised, subtraction
from .compile import Compiled
from .decide import End


@dataclass(frozen=True, slots=True)
class Group:
    """`representative` stands for all `ends`. External groups have no ends but a region of addresses."""

    family: Family
    representative: End
    ends: tuple[End, ...]
    region: Intervals = ()


#: Zone, family, and a number: addresses of one place are in the same written prefixes.
Place = tuple[str, Family, int]


class Ends:
    def __init__(
        self, compiled: Compiled, prefixes: Iterable[Prefix] = (), workloads: Iterable[Workload] | None = None
    ) -> None:
        """`prefixes`: more of them than the rules name, e.g. those of guardrails. `workloads`: only these; None: all
        of the estate."""
        self._compiled = compiled
        self._workloads = compiled.estate.workloads.values() if workloads is None else workloads
        written = [
            prefix for source in compiled.sources.values() if source.prefixes is not None for prefix in source.prefixes
        ]
        written.extend(prefixes)
        self._zones = {prefix.zone for prefix in written if prefix.zone is not None}
        self._cuts: dict[Family, list[int]] = {
            family: sorted({cut for item in written if item.family == family for cut in (item.low, item.high + 1)})
            for family in FAMILIES
        }
        self.groups: list[Group] = []
        self._positions: dict[End, int] = {}
        self._collect()

    def _collect(self) -> None:
        collected: dict[tuple[object, ...], list[End]] = {}
        for workload in self._workloads:
            enforced = tuple(workload.enforces(direction) for direction in DIRECTIONS)
            for end in ends_of(workload):
                address = end.address
                key = (
                    self._compiled.classes.of[workload.name],
                    workload.zone,
                    enforced,
                    address.family,
                    self._region(address.family, address.number),
                    address.number if len(self._compiled.estate.holders(address)) > 1 else -1,
                )
                collected.setdefault(key, []).append(end)
        for ends in collected.values():
            for end in ends:
                self._positions[end] = len(self.groups)
            self.groups.append(Group(ends[0].address.family, ends[0], tuple(ends)))

    def _region(self, family: Family, number: int) -> int:
        return bisect_right(self._cuts[family], number)

    def place(self, address: Address) -> Place:
        return address.zone, address.family, self._region(address.family, address.number)

    def of(self, end: End) -> int:
        """The position of the group of a workload's end. Raises KeyError for addresses of nobody."""
        return self._positions[end]

    def all_externals(self, imagined: bool = False) -> Iterator[Group]:
        """The groups of nobody in every zone that policy or estate knows: each has an outside of its own.

        `imagined`: the workloads are made up and take no address from anybody.
        """
        zones = {"", *(workload.zone for workload in self._compiled.estate.workloads.values()), *self._zones}
        for zone in sorted(zones):
            yield from self.externals(zone, imagined)

    def externals(self, zone: str = "", imagined: bool = False) -> Iterator[Group]:
        """One group per region of the address space that holds addresses of nobody."""
        taken: dict[Family, Intervals] = {
            family: normalised(
                (address.number, address.number)
                for address in self._compiled.estate.by_address
                if address.family == family and address.zone == zone and not imagined
            )
            for family in FAMILIES
        }
        for family in FAMILIES:
            low, highest = WHOLE_FAMILY[family][0]
            left = subtraction(WHOLE_FAMILY[family], taken[family])
            first = 0  # of the free stretches, those before it lie below `low`
            for cut in [*self._cuts[family], highest + 1]:
                if cut > low:
                    last = first
                    while last < len(left) and left[last][0] < cut:
                        last += 1
                    free = intersection(left[first:last], ((low, cut - 1),))
                    first = last - 1 if last > first and left[last - 1][1] >= cut else last
                    if free:
                        yield Group(family, End(Address(zone, family, _likely(free))), (), free)
                    low = cut


def ends_of(workload: Workload) -> Iterator[End]:
    for address in workload.addresses:
        yield End(address, workload)


def _likely(region: Intervals) -> int:
    """An address a person would believe in: not the very first of a block where there is another."""
    low, high = region[0]
    return low + 1 if high > low else low


def distinct_ends(source: Group, target: Group) -> tuple[End, End] | None:
    """A consumer and a provider out of two groups that are not one workload; None where there are no such two."""
    consumers = source.ends or (source.representative,)
    providers = target.ends or (target.representative,)
    for provider in providers:
        if consumers[0].workload is None or consumers[0].workload is not provider.workload:
            return consumers[0], provider
    for consumer in consumers:  # all providers are the first consumer: a workload may have several ends in a group
        if consumer.workload is not consumers[0].workload:
            return consumer, providers[0]
    return None
