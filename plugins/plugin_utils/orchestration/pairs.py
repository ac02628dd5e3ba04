# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who may talk to whom before and after a change, judged end to end and by groups of addresses.

A connection is allowed iff the consumer's egress and the provider's ingress allow it (DESIGN §3.1), so a change on one
end counts only where the other end lets it through. Addresses that no form involved can tell apart are one *group*;
answers are interned, so that a pair of groups costs a few table look-ups.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ..model import services as line
from ..model.addresses import WHOLE_FAMILY, Family
from ..model.bundle import WorkloadEntry
from ..model.estate import Direction
from ..model.forms import Cell, Form
from ..model.intervals import EMPTY, Intervals, intersection, size, subtraction, union
from ..model.lifting import Lifter, class_text

Verdict = Literal["allowed", "denied", "unknown"]
VERDICTS: tuple[Verdict, ...] = ("denied", "allowed", "unknown")
When = Literal["before", "after"]
Cells = tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class PointForms:
    """One enforcement point: whose it is, and the meaning of its own objects before and after (cells shared)."""

    point: str
    workload: str
    before: Form
    after: Form


@dataclass(frozen=True, eq=False)
class Group:
    """Addresses of one class, zone and family that get equal answers from everybody and give equal answers.

    `members` are (workload, address) in order. A group of addresses of nobody has none and holds `outside`.
    Groups are compared by identity: equal ones are the same object.
    """

    zone: str
    family: Family
    labels: str
    members: tuple[tuple[str, int], ...]
    outside: Intervals = EMPTY

    @cached_property
    def number(self) -> int:
        return self.members[0][1] if self.members else self.outside[0][0]

    @cached_property
    def workloads(self) -> frozenset[str]:
        return frozenset(name for name, _number in self.members)


@dataclass(frozen=True, slots=True)
class Change:
    """The services whose verdict between two groups becomes `verdict` (unknown: it was or stays unknown).

    `before` and `after` are answers of `Pairs.value`. `was_open`: everything was allowed before and most is denied
    after, as when a default of denial begins; such a pair is a change also where rules allow all of it (then without
    `services`).
    """

    verdict: Verdict
    consumers: Group
    providers: Group
    services: Intervals
    before: int
    after: int
    was_open: bool = False


@dataclass(frozen=True, slots=True)
class _Side:
    """The cells of all points of a group in one direction, before and after."""

    before: tuple[Cells, ...]
    after: tuple[Cells, ...]

    @property
    def changed(self) -> bool:
        return self.before != self.after


class Pairs:
    """Built once for a plan; see `changes` and `services`."""

    def __init__(self, workloads: Mapping[str, WorkloadEntry], points: Iterable[PointForms], lifter: Lifter) -> None:
        self._workloads = workloads
        self._lifter = lifter
        self._points: dict[str, list[PointForms]] = {}
        for point in points:
            self._points.setdefault(point.workload, []).append(point)
        self._starts: dict[int, tuple[list[int], list[int]]] = {}
        self._kept: dict[int, Cells] = {}
        self._answers: dict[tuple[Intervals, Intervals], int] = {}
        self._values: list[tuple[Intervals, Intervals]] = []
        self._both: dict[tuple[int, int], int] = {}
        self._compared: dict[tuple[int, int], tuple[Intervals, Intervals, Intervals]] = {}
        self._tables: dict[tuple[int, Direction, When], tuple[tuple[list[int], list[int]], ...]] = {}
        self._groups: list[Group] = []  # keeps them alive, since tables go by identity
        self._defaults: set[tuple[int, int]] = set()
        self._sides: dict[tuple[str, Family, int, Direction], _Side] = {}
        self._beyond: dict[tuple[str, Family, tuple[int, ...]], tuple[Group, ...]] = {}
        self._outsiders: dict[tuple[str, Family, Intervals], Group] = {}
        self._nobody: dict[tuple[str, Family, int], tuple[Intervals, ...]] = {}
        self._nothing = {family: self._intern(line.UNIVERSE[family], EMPTY) for family in (4, 6)}
        self.groups = self._grouped()
        self._home = {(name, group.family, number): group for group in self.groups for name, number in group.members}

    # -- what changes -----------------------------------------------------------------------------------------------

    def changes(self) -> Iterator[Change]:
        """Every pair of groups with a change, estate addresses and addresses of nobody; see `Change.was_open`.

        A group is also paired with itself, be it a single workload: what its rules say about its own class does not
        depend on how many members the class has.
        """
        by_place: dict[tuple[str, Family], list[Group]] = {}
        for group in self.groups:
            by_place.setdefault((group.zone, group.family), []).append(group)
        for groups in by_place.values():
            moved_out = {id(group) for group in groups if self._side(group, "egress").changed}
            moved_in = {id(group) for group in groups if self._side(group, "ingress").changed}
            if not moved_out and not moved_in:
                continue
            for consumer in groups:
                candidates = groups if id(consumer) in moved_out else [g for g in groups if id(g) in moved_in]
                for provider in candidates:
                    yield from self._change(consumer, provider)
            for group in groups:
                for outside in self._outside(group, "egress") if id(group) in moved_out else ():
                    yield from self._change(group, outside)
                for outside in self._outside(group, "ingress") if id(group) in moved_in else ():
                    yield from self._change(outside, group)

    def _change(self, consumer: Group, provider: Group) -> Iterator[Change]:
        before, after = self._answer(consumer, provider, "before"), self._answer(consumer, provider, "after")
        everything = before == self._nothing[consumer.family]
        if before == after:
            if everything:
                yield Change("denied", consumer, provider, EMPTY, before, after, was_open=True)
            return
        if (before, after) not in self._compared:
            found = _compare(self._values[before], self._values[after])
            self._compared[before, after] = found
            if 2 * size(found[0]) > size(line.UNIVERSE[consumer.family]):
                self._defaults.add((before, after))
        opened = everything and (before, after) in self._defaults
        for verdict, services in zip(VERDICTS, self._compared[before, after], strict=True):
            if services:
                yield Change(verdict, consumer, provider, services, before, after, opened and verdict == "denied")

    # -- one pair ---------------------------------------------------------------------------------------------------

    def value(self, answer: int) -> tuple[Intervals, Intervals]:
        """(allowed, unknown) of an answer."""
        return self._values[answer]

    def services(self, consumer: Group, provider: Group, when: When) -> tuple[Intervals, Intervals]:
        """(allowed, unknown) end to end."""
        return self._values[self._answer(consumer, provider, when)]

    def ends(self, zone: str, family: Family, number: int) -> tuple[tuple[str, Group], ...]:
        """The workloads that have an address, each with its group; ("", …) where nobody has it."""
        names = self._lifter.holders(zone, family, number)
        if not names:
            return (("", self._nobodys(zone, family, ((number, number),))),)
        return tuple((name, self._home[name, family, number]) for name in names)

    def _answer(self, consumer: Group, provider: Group, when: When) -> int:
        egress = self._one(consumer, "egress", provider.number, when)
        ingress = self._one(provider, "ingress", consumer.number, when)
        return self._and(egress, ingress)

    def _one(self, group: Group, direction: Direction, peer: int, when: When) -> int:
        key = (id(group), direction, when)
        if key not in self._tables:
            side = self._side(group, direction)
            used = side.before if when == "before" else side.after
            self._tables[key] = tuple(self._starts[id(cells)] for cells in used)
            self._groups.append(group)
        result = self._nothing[group.family]
        for starts, answers in self._tables[key]:
            result = self._and(result, answers[bisect_right(starts, peer) - 1])
        return result

    def _at(self, cells: Cells, peer: int) -> int:
        starts, answers = self._starts[id(cells)]
        return answers[bisect_right(starts, peer) - 1]

    def _and(self, first: int, second: int) -> int:
        """Both ends must allow; what one end surely denies is denied whatever the other is."""
        if first == second:
            return first
        key = (first, second) if first < second else (second, first)
        if key not in self._both:
            (allowed, doubt), (other, other_doubt) = self._values[first], self._values[second]
            sure = intersection(allowed, other)
            possible = intersection(union(allowed, doubt), union(other, other_doubt))
            self._both[key] = self._intern(sure, subtraction(possible, sure))
        return self._both[key]

    def _intern(self, allowed: Intervals, unknown: Intervals) -> int:
        key = (allowed, unknown)
        if key not in self._answers:
            self._answers[key] = len(self._values)
            self._values.append(key)
        return self._answers[key]

    # -- groups -----------------------------------------------------------------------------------------------------

    def _grouped(self) -> tuple[Group, ...]:
        found: dict[tuple[str, Family, str, object, int], list[tuple[str, int]]] = {}
        addresses: dict[tuple[str, Family], set[int]] = {}
        for entry in self._workloads.values():
            for family, number in entry.addresses:
                addresses.setdefault((entry.zone, family), set()).add(number)
        marks = self._marks(addresses)
        for name in sorted(self._workloads):
            entry = self._workloads[name]
            for family, number in entry.addresses:
                sides = tuple(
                    tuple(id(cells) for cells in when)
                    for direction in ("egress", "ingress")
                    for side in (self._side_of(name, family, number, direction),)
                    for when in (side.before, side.after)
                )
                mark = marks.get((entry.zone, family), {}).get(number, 0)
                key = (entry.zone, family, self._class(name), sides, mark)
                found.setdefault(key, []).append((name, number))
        return tuple(
            Group(zone, family, labels, tuple(members))
            for (zone, family, labels, _sides, _mark), members in found.items()
        )

    def _marks(self, addresses: Mapping[tuple[str, Family], set[int]]) -> dict[tuple[str, Family], dict[int, int]]:
        """Per address a number that differs where any form involved tells two addresses apart."""
        used: dict[tuple[str, Family], dict[int, Cells]] = {}
        for name, points in self._points.items():
            zone = self._workloads[name].zone
            for point in points:
                for form in (point.before, point.after):
                    for (_direction, family), parts in form.slices.items():
                        for part in parts:
                            used.setdefault((zone, family), {})[id(part.cells)] = part.cells
                            self._prepare(part.cells)
        result: dict[tuple[str, Family], dict[int, int]] = {}
        for place, numbers in addresses.items():
            marks = dict.fromkeys(numbers, 0)
            ordered = sorted(numbers)
            for cells in used.get(place, {}).values():
                known: dict[tuple[int, int], int] = {}
                for number in ordered:
                    key = (marks[number], self._at(cells, number))
                    marks[number] = known.setdefault(key, len(known))
            result[place] = marks
        return result

    def _prepare(self, cells: Cells) -> None:
        if id(cells) in self._starts:
            return
        self._kept[id(cells)] = cells
        pieces = sorted((low, self._intern(cell.allowed, cell.unknown)) for cell in cells for low, _high in cell.peers)
        self._starts[id(cells)] = [low for low, _answer in pieces], [answer for _low, answer in pieces]

    def _side(self, group: Group, direction: Direction) -> _Side:
        if not group.members:
            return _Side((), ())
        name, number = group.members[0]
        return self._side_of(name, group.family, number, direction)

    def _side_of(self, name: str, family: Family, number: int, direction: Direction) -> _Side:
        key = (name, family, number, direction)
        if key not in self._sides:
            before, after = [], []
            for point in self._points.get(name, ()):
                before.append(_cells(point.before, direction, family, number))
                after.append(_cells(point.after, direction, family, number))
            self._sides[key] = _Side(tuple(c for c in before if c), tuple(c for c in after if c))
        return self._sides[key]

    def _outside(self, group: Group, direction: Direction) -> Iterator[Group]:
        """Addresses of nobody, split where this group's answer about them changes."""
        side = self._side(group, direction)
        used = (*side.before, *side.after)
        key = (group.zone, group.family, tuple(id(cells) for cells in used))
        if key not in self._beyond:
            parts = [subtraction(WHOLE_FAMILY[group.family], self._lifter.inhabited(group.zone, group.family))]
            for cells in used:
                nobody = self._uninhabited(group.zone, group.family, cells)
                parts = [inner for part in parts for peers in nobody if (inner := intersection(part, peers))]
            self._beyond[key] = tuple(self._nobodys(group.zone, group.family, part) for part in parts if part)
        yield from self._beyond[key]

    def _nobodys(self, zone: str, family: Family, addresses: Intervals) -> Group:
        key = (zone, family, addresses)
        if key not in self._outsiders:
            self._outsiders[key] = Group(zone, family, "", (), addresses)
        return self._outsiders[key]

    def _uninhabited(self, zone: str, family: Family, cells: Cells) -> tuple[Intervals, ...]:
        key = (zone, family, id(cells))
        if key not in self._nobody:
            inhabited = self._lifter.inhabited(zone, family)
            self._nobody[key] = tuple(rest for cell in cells if (rest := subtraction(cell.peers, inhabited)))
        return self._nobody[key]

    def _class(self, name: str) -> str:
        entry = self._workloads[name]
        return class_text(entry.labels, entry.zone)


def _cells(form: Form, direction: Direction, family: Family, number: int) -> Cells:
    for part in form.slices.get((direction, family), ()):
        if any(low <= number <= high for low, high in part.own):
            return part.cells
    return ()


def _compare(
    before: tuple[Intervals, Intervals], after: tuple[Intervals, Intervals]
) -> tuple[Intervals, Intervals, Intervals]:
    """(newly denied, newly allowed, unjudged): in doubt a service is in the third part only."""
    was, was_doubt = before
    now, now_doubt = after
    denied = subtraction(subtraction(was, now), now_doubt)
    allowed = subtraction(subtraction(now, was), was_doubt)
    return denied, allowed, union(was_doubt, now_doubt)
