# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What one side allows towards many peers: rules are looked up once per end, not once per pair.

Answers hold for some services only, those a caller wants to compare; rules about others are not looked at. An answer
is a number: equal numbers of one `Numbers` are equal sets of services.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..model import services as line
from ..model.addresses import Family
from ..model.artifact import FAILSAFE, ArtifactRule
from ..model.estate import Direction
from ..model.forms import evaluate
from ..model.intervals import Intervals, intersection
from .classes import positions_of
from .compile import Copy
from .decide import Decider, End
from .ends import Place

#: Positions of copies.
_Copies = tuple[int, ...]
#: Ends that answer alike: the copies that look at them, mode ("" where nothing is enforced), zone, family.
_Alike = tuple[_Copies, str, str, Family]


class Numbers:
    """Sets of services by number."""

    def __init__(self) -> None:
        self.sets: list[Intervals] = []
        self._known: dict[Intervals, int] = {}

    def of(self, services: Intervals) -> int:
        number = self._known.setdefault(services, len(self.sets))
        if number == len(self.sets):
            self.sets.append(services)
        return number


class Answers:
    """One policy at one moment, in one direction.

    `services` None: all of them. `concerns` says which rules are about them. `peers`: the classes asked about.
    """

    def __init__(
        self,
        decider: Decider,
        direction: Direction,
        services: Intervals | None,
        concerns: Callable[[ArtifactRule], bool],
        numbers: Numbers,
        peers: int,
    ) -> None:
        self._decider = decider
        self._direction = direction
        self._services = services
        self._concerns = concerns
        self._numbers = numbers
        self._peers = peers
        self._tables: dict[_Alike, Table] = {}
        self._members: dict[int, _Copies] = {}
        self._counts: dict[int, bool] = {}
        self._candidates: dict[int, list[tuple[int, Copy]]] = {}
        self._known: dict[tuple[frozenset[int], str, Family], int] = {}

    def towards(self, own: End) -> Table:
        """The answers of a workload's end, or of an address of nobody."""
        family = own.address.family
        mode = self._decider.mode(self._direction, own.workload)
        if mode is None or own.workload is None:
            key: _Alike = ((), "", "", family)
        else:
            zone = own.workload.zone
            looking = tuple(
                index
                for index, copy in self._bound(self._decider.compiled.classes.of[own.workload.name])
                if copy.own_prefixes is None or any(prefix.holds(own.address, zone) for prefix in copy.own_prefixes)
            )
            key = looking, mode, zone, family
        if key not in self._tables:
            self._tables[key] = self._table(*key)
        return self._tables[key]

    def _table(self, looking: _Copies, mode: str, zone: str, family: Family) -> Table:
        always = None if mode else self._numbers.of(self._wanted(line.UNIVERSE[family]))
        table = Table(self, mode, zone, family, always)
        for index in looking:
            copy = self._decider.compiled.copies[self._direction][index]
            table.add(index, copy, self._positions(index, copy))
        return table

    def _positions(self, index: int, copy: Copy) -> _Copies:
        """The classes of peers that are members of the rule."""
        if index not in self._members:
            self._members[index] = tuple(positions_of(copy.peer_bits & self._peers))
        return self._members[index]

    def _bound(self, own_class: int) -> list[tuple[int, Copy]]:
        if own_class not in self._candidates:
            copies = self._decider.compiled.copies[self._direction]
            of_class = self._decider.compiled.of_class[self._direction][own_class]
            self._candidates[own_class] = [(index, copies[index]) for index in of_class if self._count(index)]
        return self._candidates[own_class]

    def _count(self, index: int) -> bool:
        if index not in self._counts:
            rule = self._decider.compiled.copies[self._direction][index].artifact
            failsafe = rule.tier != FAILSAFE or self._decider.failsafe
            self._counts[index] = failsafe and rule.valid(self._decider.at) and self._concerns(rule)
        return self._counts[index]

    def evaluated(self, matching: Iterable[int], mode: str, family: Family) -> int:
        key = frozenset(matching), mode, family
        if key not in self._known:
            copies = self._decider.compiled.copies[self._direction]
            allowed = evaluate((copies[index].artifact for index in key[0]), mode, family)
            self._known[key] = self._numbers.of(self._wanted(allowed))
        return self._known[key]

    def _wanted(self, allowed: Intervals) -> Intervals:
        return allowed if self._services is None else intersection(allowed, self._services)


class Table:
    """Made by `Answers.towards`. `always`: the answer of a side that enforces nothing."""

    def __init__(self, answers: Answers, mode: str, zone: str, family: Family, always: int | None) -> None:
        self._answers = answers
        self._mode = mode
        self._zone = zone
        self._family = family
        self._always = always
        self._anyone: list[int] = []
        self._by_class: dict[int, list[int]] = {}
        self._prefixed: list[tuple[int, Copy]] = []
        self._by_place: dict[Place, _Copies] = {}
        self._known: dict[tuple[_Copies, _Copies], int] = {}

    def add(self, index: int, copy: Copy, members: _Copies) -> None:
        if copy.artifact.peers is None:
            self._anyone.append(index)
            return
        for position in members:
            self._by_class.setdefault(position, []).append(index)
        if copy.peer_prefixes:
            self._prefixed.append((index, copy))

    def answer(self, peer: End, peer_class: int, place: Place) -> int:
        """`peer_class` -1: nobody's address. `place` is that of the peer."""
        if self._always is not None:
            return self._always
        key = tuple(self._by_class.get(peer_class, ())), self._addressed(peer, place)
        if key not in self._known:
            matching = (*self._anyone, *key[0], *key[1])
            self._known[key] = self._answers.evaluated(matching, self._mode, self._family)
        return self._known[key]

    def _addressed(self, peer: End, place: Place) -> _Copies:
        if not self._prefixed:
            return ()
        if place not in self._by_place:
            self._by_place[place] = tuple(
                index
                for index, copy in self._prefixed
                for zone in [self._seen_from(copy, peer)]
                if any(prefix.holds(peer.address, zone) for prefix in copy.peer_prefixes)
            )
        return self._by_place[place]

    def _seen_from(self, copy: Copy, peer: End) -> str:
        """Controllers are recognised in every zone: nobody may be locked out."""
        return peer.address.zone if copy.artifact.tier == FAILSAFE else self._zone


__all__ = ["Answers", "Numbers", "Table"]
