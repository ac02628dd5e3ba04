# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which rules two compiled policies do not share, by what they mean and not by what they are called.

Rules are compared over *atoms*: workloads of both estates that are in one class before and in one class after. What
the two policies share binds the same atoms in both; everything else is a change of the atoms it binds, and only there
can they answer differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from operator import or_

import numpy as np
import numpy.typing as npt

from ..model.addresses import Prefix
from ..model.artifact import ArtifactRule
from ..model.calendar import Validity
from ..model.estate import DIRECTIONS, Direction
from ..model.intervals import EMPTY, Intervals, intersection, union
from .classes import positions_of, to_bits
from .compile import Compiled, Copy
from .decide import Decider

_OTHER: dict[Direction, Direction] = {"ingress": "egress", "egress": "ingress"}


class Atoms:
    """`of`: the atom of every workload that both have. `pairs[atom]`: its class before and after."""

    def __init__(self, before: Compiled, after: Compiled) -> None:
        numbers: dict[tuple[int, int], int] = {}
        self.of: dict[str, int] = {}
        known = before.classes.of
        for name, new in after.classes.of.items():
            old = known.get(name)
            if old is not None:
                self.of[name] = numbers.setdefault((old, new), len(numbers))
        self.pairs = list(numbers)
        self.everything = (1 << len(self.pairs)) - 1
        self._inside: tuple[dict[int, list[int]], dict[int, list[int]]] = ({}, {})
        for atom, pair in enumerate(self.pairs):
            for side, position in enumerate(pair):
                self._inside[side].setdefault(position, []).append(atom)
        self._same = [
            len(self.pairs) == len(compiled.classes.items)
            and all(pair[side] == atom for atom, pair in enumerate(self.pairs))
            for side, compiled in enumerate((before, after))
        ]
        self._known: dict[tuple[int, int], int] = {}

    def bits(self, side: int, classes: int) -> int:
        """The atoms of a set of classes; `side` 0 is before, 1 after."""
        if self._same[side]:
            return classes
        key = side, classes
        if key not in self._known:
            inside = self._inside[side]
            atoms = sorted(chain.from_iterable(inside.get(position, ()) for position in positions_of(classes)))
            self._known[key] = to_bits(atoms)
        return self._known[key]


@dataclass(frozen=True, slots=True)
class Meaning:
    """Rules of one direction with equal meanings answer alike. `peers` are atoms; `own_prefixes` None: any address."""

    tier: str
    action: str
    services: Intervals
    anyone: bool
    peers: int
    peer_prefixes: frozenset[Prefix]
    own_prefixes: frozenset[Prefix] | None
    validity: Validity


@dataclass(frozen=True, slots=True)
class Changes:
    """One direction. `rules`: atoms by the rules that only one policy has for them; `modes`: names of workloads."""

    rules: dict[tuple[Meaning, ...], int]
    modes: frozenset[str]


class Comparison:
    """What differs between two policies at any moment, before any packet is asked about.

    `services` holds every service that may be answered differently, `touched` every atom that an answer about them
    concerns, and `outside` says whether addresses of nobody are concerned.
    """

    def __init__(self, before: Decider, after: Decider) -> None:
        self._deciders = (before, after)
        self.atoms = Atoms(before.compiled, after.compiled)
        self.changes = {direction: self._changes(direction) for direction in DIRECTIONS}
        self.meanings = {
            direction: tuple(dict.fromkeys(chain.from_iterable(changes.rules)))
            for direction, changes in self.changes.items()
        }
        everything = list(chain.from_iterable(self.meanings.values()))
        modes = any(changes.modes for changes in self.changes.values())
        self.services: Intervals | None = None if modes else _joined(meaning.services for meaning in everything)
        self.outside = modes or any(meaning.anyone or meaning.peer_prefixes for meaning in everything)
        self.named = self._named()
        self.touched = self.atoms.everything if modes else self.named
        for direction in DIRECTIONS:
            self.touched |= self._own(direction) | self._peers(direction)

    def _changes(self, direction: Direction) -> Changes:
        numbers: dict[Meaning, int] = {}
        columns = [
            np.fromiter(
                (
                    numbers.setdefault(self._meaning(side, copy), len(numbers))
                    for copy in decider.compiled.copies[direction]
                ),
                dtype=np.int64,
            )
            for side, decider in enumerate(self._deciders)
        ]
        bound = [self._bound(side, direction, column, len(numbers)) for side, column in enumerate(columns)]
        by_atom: dict[int, list[int]] = {}
        for key in np.setxor1d(bound[0], bound[1], assume_unique=True).tolist():
            atom, number = divmod(key, len(numbers))
            by_atom.setdefault(atom, []).append(number)
        grouped: dict[tuple[int, ...], list[int]] = {}
        for atom, chosen in by_atom.items():
            grouped.setdefault(tuple(chosen), []).append(atom)
        every = list(numbers)
        rules = {tuple(every[number] for number in chosen): to_bits(atoms) for chosen, atoms in grouped.items()}
        return Changes(rules, frozenset(self._moved(direction)))

    def _bound(
        self, side: int, direction: Direction, numbers: npt.NDArray[np.int64], count: int
    ) -> npt.NDArray[np.int64]:
        """One number for each pair of an atom and a rule that binds it, ascending."""
        of_class = self._deciders[side].compiled.of_class[direction]
        rows = [of_class[pair[side]] for pair in self.atoms.pairs]
        atoms = np.repeat(np.arange(len(rows), dtype=np.int64), np.fromiter(map(len, rows), np.int64, len(rows)))
        positions = np.fromiter(chain.from_iterable(rows), np.int64, len(atoms))
        keys = np.sort(atoms * count + numbers[positions])
        return keys[np.concatenate(([True], keys[1:] != keys[:-1]))[: len(keys)]]

    def _meaning(self, side: int, copy: Copy) -> Meaning:
        rule = copy.artifact
        return Meaning(
            rule.tier,
            rule.action,
            rule.services,
            rule.peers is None,
            self.atoms.bits(side, copy.peer_bits),
            frozenset(copy.peer_prefixes),
            None if copy.own_prefixes is None else frozenset(copy.own_prefixes),
            rule.validity,
        )

    def _moved(self, direction: Direction) -> Iterator[str]:
        """Workloads that enforce otherwise."""
        before, after = self._deciders
        old, new = before.compiled.estate.workloads, after.compiled.estate.workloads
        for name in self.atoms.of:
            if before.mode(direction, old[name]) != after.mode(direction, new[name]):
                yield name

    def _named(self) -> int:
        """Atoms for which only one policy opens a name (fqdn)."""
        found: list[dict[tuple[object, ...], int]] = [{}, {}]
        for side, decider in enumerate(self._deciders):
            for peer in decider.compiled.by_name:
                key = peer.names, peer.origin.rule.services, peer.validity
                found[side][key] = found[side].get(key, 0) | self.atoms.bits(side, peer.bits)
        keys = {**found[0], **found[1]}
        return reduce(or_, (found[0].get(key, 0) ^ found[1].get(key, 0) for key in keys), 0)

    def _own(self, direction: Direction) -> int:
        moved = to_bits(sorted({self.atoms.of[name] for name in self.changes[direction].modes}))
        return reduce(or_, self.changes[direction].rules.values(), moved)

    def _peers(self, direction: Direction) -> int:
        """Atoms that some changed rule of the direction may have as peers."""
        meanings = self.meanings[direction]
        if self.changes[direction].modes or any(meaning.anyone for meaning in meanings):
            return self.atoms.everything
        prefixes = set(chain.from_iterable(meaning.peer_prefixes for meaning in meanings))
        members = reduce(or_, (meaning.peers for meaning in meanings), 0)
        if not prefixes:
            return members
        if any(meaning.tier == "failsafe" and meaning.peer_prefixes for meaning in meanings):
            prefixes = {Prefix(None, one.family, one.low, one.high) for one in prefixes}  # they hold in every zone
        return members | self.atoms.bits(1, self._deciders[1].compiled.classes.holding(prefixes))

    # -- time -------------------------------------------------------------------------------------------------------

    def validities(self) -> set[Validity]:
        """When rules count that could make the two answers differ at one moment and not at another.

        Beside the changed rules those that bind the same ends, and those of the other ends: a change of one end is
        seen only while the other end lets it through.
        """
        found = {meaning.validity for meanings in self.meanings.values() for meaning in meanings}
        if self.named or self.changes["egress"].modes:
            found |= {peer.validity for decider in self._deciders for peer in decider.compiled.by_name}
        for direction in DIRECTIONS:
            own, peers = self._own(direction), self._peers(direction)
            if own:
                for side in range(2):
                    found |= set(self._timed(side, direction, own, peers))
                    found |= set(self._timed(side, _OTHER[direction], peers, own))
        return found

    def _timed(self, side: int, direction: Direction, own: int, peers: int) -> Iterator[Validity]:
        """Of timed rules that bind some of `own`, look at some of `peers`, and are about the changed services."""
        compiled = self._deciders[side].compiled
        wanted = {
            index
            for index, copy in enumerate(compiled.copies[direction])
            if copy.artifact.timed
            and self.concerns(copy.artifact)
            and (copy.artifact.peers is None or copy.peer_prefixes or self.atoms.bits(side, copy.peer_bits) & peers)
        }
        if wanted:
            classes = {self.atoms.pairs[atom][side] for atom in positions_of(own)}
            binding = chain.from_iterable(compiled.of_class[direction][one] for one in classes)
            for index in wanted.intersection(binding):
                yield compiled.copies[direction][index].artifact.validity

    def concerns(self, rule: ArtifactRule) -> bool:
        """Is the rule about a service that may be answered differently?"""
        return self.services is None or bool(intersection(rule.services, self.services))


def _joined(parts: Iterable[Intervals]) -> Intervals:
    found = EMPTY
    for part in set(parts):
        found = union(found, part)
    return found


__all__ = ["Atoms", "Changes", "Comparison", "Meaning"]
