# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Compare two forms: which packets does one allow and the other not, as disjoint boxes with a witness each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from . import services as line
from .addresses import FAMILIES, FAMILY_NAMES, Family, ranges, show
from .estate import DIRECTIONS, Direction
from .forms import Cell, Form, Slice
from .intervals import EMPTY, Intervals, intersection, normalised, subtraction, union

State = Literal["equal", "wider", "narrower", "mixed", "unknown"]


@dataclass(frozen=True, slots=True)
class Box:
    """A product of local addresses, peer addresses and services, in one direction and family."""

    direction: Direction
    family: Family
    own: Intervals
    peers: Intervals
    services: Intervals

    def witness(self) -> tuple[int, int, int]:
        """(local address, peer address, service point) of a packet in the box."""
        return self.own[0][0], self.peers[0][0], line.representative(self.services)

    def to_dict(self) -> dict[str, Any]:
        own, peer, point = self.witness()
        return {
            "direction": self.direction,
            "family": FAMILY_NAMES[self.family],
            "own": ranges(self.family, self.own),
            "peers": ranges(self.family, self.peers),
            "services": line.show(self.services, self.family),
            "witness": {
                "own": show(self.family, own),
                "peer": show(self.family, peer),
                "service": line.show(((point, point),))[0],
            },
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """`wider`: the second form allows it and the first denies it. `narrower`: the other way round.

    `unknown`: at least one side could not be judged there.
    """

    wider: tuple[Box, ...]
    narrower: tuple[Box, ...]
    unknown: tuple[Box, ...]

    @property
    def state(self) -> State:
        if self.wider:
            return "mixed" if self.narrower else "wider"
        if self.narrower:
            return "narrower"
        return "unknown" if self.unknown else "equal"


def difference(first: Form, second: Form) -> Difference:
    """Exact. Both forms must cover the same local addresses; what only one covers is `unknown`."""
    if first == second and not any(cell.unknown for cell in _cells(first)):
        return Difference((), (), ())
    wider: list[Box] = []
    narrower: list[Box] = []
    unknown: list[Box] = []
    for direction in DIRECTIONS:
        for family in FAMILIES:
            for own, left, right, peers in _overlay(first, second, direction, family):
                if left == (right.allowed, right.unknown) and not right.unknown:
                    continue
                allowed, doubt = left
                unsure = union(doubt, right.unknown)
                for found, more, less in ((wider, right.allowed, allowed), (narrower, allowed, right.allowed)):
                    services = subtraction(subtraction(more, less), unsure)
                    if services:
                        found.append(Box(direction, family, own, peers, services))
                if unsure:
                    unknown.append(Box(direction, family, own, peers, unsure))
    return Difference(_merged(wider), _merged(narrower), _merged(unknown))


def combine(first: Form, second: Form, operation: Callable[[Intervals, Intervals], Intervals]) -> Form:
    """Cell by cell, e.g. with `intersection` for old ∩ new. What is unknown on either side counts as denied."""
    slices: dict[tuple[Direction, Family], tuple[Slice, ...]] = {}
    for direction in DIRECTIONS:
        for family in FAMILIES:
            by_own: dict[Intervals, dict[Intervals, Intervals]] = {}
            for own, (allowed, _doubt), right, peers in _overlay(first, second, direction, family):
                result = operation(allowed, right.allowed)
                cells = by_own.setdefault(own, {})
                cells[result] = union(cells.get(result, EMPTY), peers)
            merged: dict[tuple[Cell, ...], Intervals] = {}
            for own, cells in by_own.items():
                key = tuple(
                    sorted((Cell(peers, allowed) for allowed, peers in cells.items()), key=lambda cell: cell.peers)
                )
                merged[key] = union(merged.get(key, EMPTY), own)
            slices[direction, family] = tuple(
                sorted((Slice(own, key) for key, own in merged.items()), key=lambda part: part.own)
            )
    return Form(slices)


def intersect(first: Form, second: Form) -> Form:
    """What both allow: the safe state between two policies (DESIGN §8.2)."""
    return combine(first, second, intersection)


def without(form: Form, boxes: tuple[Box, ...]) -> Form:
    """The form minus some boxes: used to hold back what a missing neighbour must not get yet."""
    result = form
    for box in boxes:
        result = combine(result, _only(result, box), subtraction)
    return result


def _only(form: Form, box: Box) -> Form:
    """A form over the same local addresses that allows exactly the box."""
    slices: dict[tuple[Direction, Family], tuple[Slice, ...]] = {}
    for key, parts in form.slices.items():
        whole = normalised(pair for part in parts[:1] for cell in part.cells for pair in cell.peers)
        result: list[Slice] = []
        for part in parts:
            inside = intersection(part.own, box.own) if key == (box.direction, box.family) else EMPTY
            outside = subtraction(part.own, inside)
            if inside:
                rest = subtraction(whole, box.peers)
                cells = [Cell(intersection(whole, box.peers), box.services)] + ([Cell(rest, EMPTY)] if rest else [])
                result.append(Slice(inside, tuple(sorted(cells, key=lambda cell: cell.peers))))
            if outside:
                result.append(Slice(outside, (Cell(whole, EMPTY),)))
        slices[key] = tuple(result)
    return Form(slices)


def _cells(form: Form) -> Iterator[Cell]:
    for parts in form.slices.values():
        for part in parts:
            yield from part.cells


def _overlay(
    first: Form, second: Form, direction: Direction, family: Family
) -> Iterator[tuple[Intervals, tuple[Intervals, Intervals], Cell, Intervals]]:
    """Every pair of overlapping cells: (own, (allowed, unknown) of the first, cell of the second, peers)."""
    left_parts = first.slices.get((direction, family), ())
    right_parts = second.slices.get((direction, family), ())
    for left in left_parts:
        for right in right_parts:
            own = intersection(left.own, right.own)
            if not own:
                continue
            if left.cells == right.cells:
                for cell in left.cells:
                    yield own, (cell.allowed, cell.unknown), cell, cell.peers
                continue
            for a in left.cells:
                for b in right.cells:
                    peers = intersection(a.peers, b.peers)
                    if peers:
                        yield own, (a.allowed, a.unknown), b, peers
    everything = line.UNIVERSE[family]
    left_own = normalised(pair for part in left_parts for pair in part.own)
    right_own = normalised(pair for part in right_parts for pair in part.own)
    whole = normalised(pair for part in (*left_parts, *right_parts)[:1] for cell in part.cells for pair in cell.peers)
    for own in (subtraction(left_own, right_own), subtraction(right_own, left_own)):
        if own:
            yield own, (EMPTY, everything), Cell(whole, EMPTY, everything), whole


def _merged(boxes: list[Box]) -> tuple[Box, ...]:
    """Join boxes that differ in one dimension only; the result is disjoint and sorted."""
    by_peers: dict[tuple[Direction, Family, Intervals, Intervals], Intervals] = {}
    for box in boxes:
        key = (box.direction, box.family, box.own, box.services)
        by_peers[key] = union(by_peers.get(key, EMPTY), box.peers)
    by_own: dict[tuple[Direction, Family, Intervals, Intervals], Intervals] = {}
    for (direction, family, own, services), peers in by_peers.items():
        key = (direction, family, peers, services)
        by_own[key] = union(by_own.get(key, EMPTY), own)
    return tuple(
        sorted(
            (
                Box(direction, family, own, peers, services)
                for (direction, family, peers, services), own in by_own.items()
            ),
            key=lambda box: (box.direction, box.family, box.peers, box.services),
        )
    )


__all__ = ["Box", "Difference", "State", "combine", "difference", "intersect", "without"]
