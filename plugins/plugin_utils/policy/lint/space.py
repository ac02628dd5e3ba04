# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The space of all packets of an estate, as four bitsets: own end, far end, service, moment.

Ends that no rule can tell apart are one *group*: workloads of one class, zone and region of written prefixes, or a
region of addresses of nobody. Services are cut into atoms no rule cuts further. Families are spaces of their own, since
no packet has an end in each. What a workload sends to itself is no packet.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from ...model import services as line
from ...model.addresses import WHOLE_FAMILY, Address, Family, Prefix, parse_prefix, show
from ...model.artifact import FAILSAFE
from ...model.estate import DIRECTIONS, Direction
from ...model.intervals import Intervals
from ..classes import positions_of, to_bits
from ..compile import Compiled, Copy
from .times import Times

#: A product set of packets: own groups, far groups, service atoms, moments.
Product = tuple[int, int, int, int]
_LOOPBACK = tuple(parse_prefix(text) for text in ("127.0.0.0/8", "::1/128"))


@dataclass(frozen=True, slots=True)
class Group:
    """`names` are workloads; empty for a region of nobody, whose `address` is one that nobody has."""

    address: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One packet, in words."""

    consumer: str
    provider: str
    service: str
    at: datetime

    def to_dict(self) -> dict[str, str]:
        return {"from": self.consumer, "to": self.provider, "service": self.service, "at": self.at.isoformat()}

    def __str__(self) -> str:
        return f"{self.consumer} -> {self.provider} {self.service}"


class Atoms:
    """The service line, cut where any set of services begins or ends."""

    def __init__(self, services: Iterable[Intervals]) -> None:
        cuts = {cut for one in services for low, high in one for cut in (low, high + 1)}
        cuts.update(cut for low, high in chain(*line.UNIVERSE.values()) for cut in (low, high + 1))
        self._cuts = sorted(cuts)
        self._known: dict[Intervals, int] = {}

    def bits(self, services: Intervals) -> int:
        if services not in self._known:
            bits = 0
            for low, high in services:
                start, end = bisect_left(self._cuts, low), bisect_left(self._cuts, high + 1)
                bits |= (1 << end) - (1 << start)
            self._known[services] = bits
        return self._known[services]

    def show(self, bits: int) -> str:
        """The point of the set that a person would try first."""
        intervals = tuple((self._cuts[index], self._cuts[index + 1] - 1) for index in positions_of(bits))
        point = line.representative(intervals)
        return line.show(((point, point),))[0]


class Space:
    """One address family of a compiled policy, with the moments and atoms both families share."""

    def __init__(self, compiled: Compiled, family: Family, atoms: Atoms, times: Times) -> None:
        self.family = family
        self._compiled = compiled
        self._atoms = atoms
        self._times = times
        self._services = atoms.bits(line.UNIVERSE[family])
        self.groups: list[Group] = []
        self._of_class: list[list[int]] = [[] for _ in compiled.classes.items]
        self._index: dict[tuple[str, int, int], int] = {}
        self._regions: dict[str, list[int]] = {}
        self._start: dict[str, int] = {}
        self._twins: dict[int, int] = {}
        self._members: dict[int, int] = {}
        self._collect()
        self.everywhere = (1 << len(self.groups)) - 1
        managed = [index for index, item in enumerate(compiled.classes.items) if item.managed]
        self.enforceable = self.members(to_bits(managed))

    def _collect(self) -> None:
        written = [
            prefix
            for source in self._compiled.sources.values()
            for prefix in source.prefixes or ()
            if prefix.family == self.family
        ]
        cuts = sorted(
            {cut for item in (*written, *_LOOPBACK) if item.family == self.family for cut in (item.low, item.high + 1)}
        )
        self._cuts = cuts
        held: dict[tuple[str, int, int], list[str]] = {}
        first: dict[tuple[str, int, int], int] = {}
        taken: dict[str, set[int]] = {"": set()}
        for workload in self._compiled.estate.workloads.values():
            position = self._compiled.classes.of[workload.name]
            for address in workload.of_family(self.family):
                taken.setdefault(address.zone, set()).add(address.number)
                key = (address.zone, bisect_right(cuts, address.number), position)
                names = held.setdefault(key, [])
                first.setdefault(key, address.number)
                if not names or names[-1] != workload.name:
                    names.append(workload.name)
        for zone in {prefix.zone for prefix in written if prefix.zone is not None}:
            taken.setdefault(zone, set())
        outside = [
            ((zone, region, -1), number)
            for zone, numbers in taken.items()
            for region, number in self._free(cuts, sorted(numbers))
        ]
        entries = [(key, Group(first[key], tuple(names))) for key, names in held.items()]
        entries += [(key, Group(number)) for key, number in outside]
        for (zone, region, position), group in sorted(entries, key=lambda entry: entry[0]):
            index = len(self.groups)
            self._start.setdefault(zone, index)
            self._regions.setdefault(zone, []).append(region)
            self.groups.append(group)
            self._index[zone, region, position] = index
            if position >= 0:
                self._of_class[position].append(index)
        self._find_twins()

    def _free(self, cuts: Sequence[int], taken: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Regions in which somebody could stand who is nobody, with such an address; never loopback."""
        low, highest = WHOLE_FAMILY[self.family][0]
        for region, cut in enumerate((*cuts, highest + 1)):
            if cut <= low:
                continue
            inside = taken[bisect_left(taken, low) : bisect_left(taken, cut)]
            loopback = any(item.family == self.family and item.low <= low <= item.high for item in _LOOPBACK)
            if len(inside) < cut - low and not loopback:
                held = set(inside)
                wanted = low + 1 if cut - low > 1 else low
                while wanted in held:
                    wanted += 1
                if wanted == cut:
                    wanted = low
                yield region, wanted
            low = cut

    def group_of(self, address: Address, position: int) -> int:
        """The group of an address of a workload of this class (-1: of nobody); -1 where nobody can stand there."""
        return self._index.get((address.zone, bisect_right(self._cuts, address.number), position), -1)

    def _find_twins(self) -> None:
        alone: dict[str, list[int]] = {}
        for index, group in enumerate(self.groups):
            if len(group.names) == 1:
                alone.setdefault(group.names[0], []).append(index)
        self._single = to_bits(sorted(index for indices in alone.values() for index in indices))
        for indices in alone.values():
            bits = to_bits(indices)
            self._twins.update(dict.fromkeys(indices, bits))
        self.most_twins = max(map(len, alone.values()), default=0)

    def exists(self, own: int, far: int) -> bool:
        """Is there a packet between two of the groups, that is, one that no workload sends to itself?"""
        if not own or not far:
            return False
        both = own | far
        if both & ~self._single:
            return True
        return bool(both & ~self._twins[(own & -own).bit_length() - 1])

    def to_itself(self, own: int, far: int) -> int:
        """At least as many pairs of groups as are no packets."""
        return (
            (own & far & self._single).bit_count()
            if self.most_twins <= 1
            else ((own & self._single).bit_count() * self.most_twins)
        )

    def members(self, classes: int) -> int:
        """Groups of a set of classes."""
        if classes not in self._members:
            found = [index for position in positions_of(classes) for index in self._of_class[position]]
            self._members[classes] = to_bits(sorted(found))
        return self._members[classes]

    def _zone(self, zone: str) -> int:
        start = self._start.get(zone)
        return 0 if start is None else ((1 << len(self._regions[zone])) - 1) << start

    def _within(self, prefixes: Iterable[Prefix], zone: str) -> int:
        bits = 0
        for prefix in prefixes:
            where = zone if prefix.zone is None else prefix.zone
            regions = self._regions.get(where)
            if prefix.family != self.family or regions is None:
                continue
            low = bisect_left(regions, bisect_right(self._cuts, prefix.low))
            high = bisect_right(regions, bisect_right(self._cuts, prefix.high))
            bits |= ((1 << high) - (1 << low)) << self._start[where]
        return bits

    def products(self, copy: Copy, bound: int) -> Iterator[Product]:
        """What a copy matches where it binds: one product, or one per zone where addresses are read by zone."""
        services = self._atoms.bits(copy.artifact.services) & self._services
        moments = self._times.bits(copy.artifact.validity)
        own = self.members(bound) & self.enforceable
        if not services or not moments or not own:
            return
        members = self.everywhere if copy.artifact.peers is None else self.members(copy.peer_bits)
        if copy.own_prefixes is None and not copy.peer_prefixes:
            if self.exists(own, members):
                yield own, members, services, moments
            return
        for zone in self._regions:
            here = own & self._zone(zone)
            if copy.own_prefixes is not None:
                here &= self._within(copy.own_prefixes, zone)
            if not here:
                continue
            if copy.artifact.tier == FAILSAFE:  # controllers are recognised in every zone
                far = members
                for other in self._regions:
                    far |= self._within(copy.peer_prefixes, other) & self._zone(other)
            else:
                far = members | self._within(copy.peer_prefixes, zone)
            if self.exists(here, far):
                yield here, far, services, moments

    def sample(self, product: Product, direction: Direction) -> Sample:
        own, far, services, moments = product
        near, peer = self._two(own, far)
        ends = (near, peer) if direction == "egress" else (peer, near)
        return Sample(*ends, self._atoms.show(services), self._times.moment(moments))

    def _two(self, own: int, far: int) -> tuple[str, str]:
        """Names of two distinct ends."""
        for near in positions_of(own):
            for peer in positions_of(far):
                for name in self.groups[near].names[:2]:
                    for other in self.groups[peer].names[:2] or (show(self.family, self.groups[peer].address),):
                        if name != other:
                            return name, other
        raise ValueError("no packet goes between these groups")


def spaces(compiled: Compiled, at: datetime) -> tuple[Space, Space]:
    """IPv4 and IPv6."""
    artifacts = [copy.artifact for direction in DIRECTIONS for copy in compiled.copies[direction]]
    atoms = Atoms({artifact.services for artifact in artifacts})
    times = Times((artifact.validity for artifact in artifacts), at)
    return Space(compiled, 4, atoms, times), Space(compiled, 6, atoms, times)


def overlap(left: Product, right: Product) -> Product | None:
    own, far = left[0] & right[0], left[1] & right[1]
    services, moments = left[2] & right[2], left[3] & right[3]
    return (own, far, services, moments) if own and far and services and moments else None


__all__ = ["Atoms", "Group", "Product", "Sample", "Space", "overlap", "spaces"]
