# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Groups of workloads in the words of a scope: as few selectors as mean exactly these workloads."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import combinations, product
from typing import Any

from ...model import selectors
from ...model.estate import Estate
from ...model.selectors import Requirement, Selector
from .groups import ALONE, Cell, Levels, in_order
from .homes import Homes
from .written import readable, sayable, written_selector

#: key -> values; None among them means without the key, and then stands alone.
Box = dict[str, frozenset[str | None]]


class PeerWriter:
    def __init__(self, estate: Estate, homes: Homes, levels: Levels, at: datetime) -> None:
        self.estate = estate
        self.homes = homes
        self.members = levels.everyone
        self._exact: dict[tuple[str, Cell, bool], bool] = {}
        self._holders: dict[str, dict[str, set[str]]] = {}
        self._having: dict[str, set[str]] = {}
        for workload in estate.workloads.values():
            for key, fact in workload.labels.items():
                self._having.setdefault(key, set()).add(workload.name)
                if fact.known(at):
                    self._holders.setdefault(key, {}).setdefault(fact.value, set()).add(workload.name)

    def exact(self, home: str, cell: Cell, owned: bool) -> bool:
        """Does the cell, written in the scope, mean its members (`owned`: those the scope owns) and nobody else?"""
        key = (home, cell, owned)
        if key not in self._exact:
            wanted = set(self.members[cell])
            if owned:
                wanted = {name for name in wanted if self.homes.of_workload.get(name) == home}
            peers = self.write(home, [cell], owned)
            self._exact[key] = (
                self._sayable(cell)
                and all(map(readable, peers))
                and wanted == {name for peer in peers for name in self.meant(home, peer)}
            )
        return self._exact[key]

    @staticmethod
    def _sayable(cell: Cell) -> bool:
        return cell[0][0] == ALONE or sayable(_requirement(key, values) for key, values in _box(cell).items())

    def write(self, home: str, cells: Iterable[Cell], owned: bool) -> list[Any]:
        """Peers as a rule of the scope has them."""
        cells = in_order(cells)
        alone = [{"workload": value} for cell in cells for key, value in cell if key == ALONE]
        boxes = [_box(cell) for cell in cells if cell[0][0] != ALONE]
        return [peer for box in joined(boxes) for peer in self._peers(home, box, owned)] + alone

    def meant(self, home: str, peer: Any) -> set[str]:
        """Workloads that a written peer matches in a rule of the scope."""
        match = self.homes.scopes[home].match
        if isinstance(peer, dict) and "workload" in peer:
            return {peer["workload"]}
        return self._matching(match if peer == "scope" else selectors.parse(peer).inheriting(match))

    def _matching(self, selector: Selector) -> set[str]:
        """Names of the workloads that surely match, as `Selector.matches` says of each."""
        found: set[str] | None = None
        for one in selector.requirements:
            holders = self._holders.get(one.key, {})
            if one.operator == "absent":
                names = self.estate.workloads.keys() - self._having.get(one.key, set())
            else:
                wanted = set(one.values) if one.operator == "in" else holders.keys() - set(one.values)
                names = set().union(*(holders.get(value, set()) for value in wanted))
                if one.operator == "notin":
                    names |= self.estate.workloads.keys() - self._having.get(one.key, set())
            found = set(names) if found is None else found & names
        return set(self.estate.workloads) if found is None else found

    def _peers(self, home: str, box: Box, owned: bool) -> list[Any]:
        match = self.homes.scopes[home].match
        inherited = {requirement.key: requirement for requirement in match.requirements}
        wanted = [_requirement(key, values) for key, values in sorted(box.items())]
        own = tuple(one for one in wanted if inherited.get(one.key) != one)
        silent = sorted(inherited.keys() - box.keys())
        if owned or not silent or not self._narrowed(box, match, silent):
            return [_written(own)]
        peers = []
        for operators in product(("exists", "absent"), repeat=len(silent)):
            extra = [Requirement(key, operator) for key, operator in zip(silent, operators, strict=True)]  # type: ignore[arg-type]
            selector = Selector(tuple(sorted((*wanted, *extra))))
            if self._matching(selector):
                peers.append(_written(tuple(sorted((*own, *extra)))))
        return peers

    def _narrowed(self, box: Box, match: Selector, silent: list[str]) -> bool:
        """Would inheriting these keys lose workloads of the box?"""
        plain = Selector(tuple(sorted(_requirement(key, values) for key, values in box.items())))
        narrow = Selector(
            tuple(sorted((*plain.requirements, *(one for one in match.requirements if one.key in silent))))
        )
        return bool(self._matching(plain) - self._matching(narrow))


def _box(cell: Cell) -> Box:
    return {key: frozenset([value]) for key, value in cell}


def _requirement(key: str, values: frozenset[str | None]) -> Requirement:
    present = tuple(sorted(value for value in values if value is not None))
    return Requirement(key, "in", present) if present else Requirement(key, "absent")


def joined(boxes: Iterable[Box]) -> list[Box]:
    """Boxes that differ in the values of one key become one, again and again."""
    found = list(boxes)
    while True:
        pairs = (
            (one, other, _differing(found[one], found[other])) for one, other in combinations(range(len(found)), 2)
        )
        pair = next((pair for pair in pairs if pair[2] is not None), None)
        if pair is None:
            return found
        position, other, key = pair
        assert key is not None
        right = found.pop(other)
        found[position] = {**found[position], key: found[position][key] | right[key]}


def _differing(left: Box, right: Box) -> str | None:
    if left.keys() != right.keys():
        return None
    keys = [key for key in left if left[key] != right[key]]
    return keys[0] if len(keys) == 1 and None not in left[keys[0]] | right[keys[0]] else None


def _written(requirements: tuple[Requirement, ...]) -> Any:
    return written_selector(requirements) if requirements else "scope"


__all__ = ["PeerWriter", "joined"]
