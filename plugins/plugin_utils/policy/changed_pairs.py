# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The pairs of ends whose answer a change of policy can concern, and what becomes of each.

Only a rule that one policy has and the other has not, or another mode, can make an answer differ. So an end is asked
about the peers of its changed rules, and about the changed services; all else is equal by construction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..model.artifact import FAILSAFE
from ..model.estate import DIRECTIONS, Direction
from ..model.intervals import Intervals, intersection, subtraction
from .answers import Answers, Numbers
from .classes import positions_of, to_bits
from .decide import Decider, End
from .ends import Ends, Group, Place
from .meanings import Comparison, Meaning

#: Pairs whose rules are kept in memory at once.
_BLOCK = 1_000_000


@dataclass(frozen=True, slots=True)
class PairedGroup:
    """Ends that neither policy tells apart. `ends` and `classes`: one of them before and after, and its class.

    `atom` and the classes are -1 for addresses of nobody. `alone`: the workload where the ends are all of one.
    """

    group: Group
    ends: tuple[End, End]
    classes: tuple[int, int]
    atom: int
    place: Place
    alone: str


@dataclass(frozen=True, slots=True)
class Cell:
    """Two groups, by position, and the services that become allowed and denied between them."""

    source: int
    target: int
    gained: Intervals
    lost: Intervals


def paired_groups(before: Decider, after: Decider, comparison: Comparison, imagined: bool) -> list[PairedGroup]:
    """The common refinement of both partitions of ends, as far as `comparison` is concerned with them."""
    prefixes = [
        prefix
        for decider in (before, after)
        for source in decider.compiled.sources.values()
        for prefix in source.prefixes or ()
    ]
    touched = set(positions_of(comparison.touched))
    names = [name for name, atom in comparison.atoms.of.items() if atom in touched]
    old, new = (
        Ends(decider.compiled, prefixes, [decider.compiled.estate.workloads[name] for name in names])
        for decider in (before, after)
    )
    olds = {end: (end, index) for index, group in enumerate(old.groups) for end in group.ends}
    collected: dict[tuple[int, int], list[End]] = {}
    for index, group in enumerate(new.groups):
        for end in group.ends:
            if end in olds:
                collected.setdefault((olds[end][1], index), []).append(end)
    paired = []
    for ends in collected.values():
        first = ends[0]
        atom = comparison.atoms.of[first.name]
        alone = first.name if all(end.name == first.name for end in ends) else ""
        group = Group(first.address.family, first, tuple(ends))
        both = olds[first][0], first
        paired.append(PairedGroup(group, both, comparison.atoms.pairs[atom], atom, new.place(first.address), alone))
    if comparison.outside:
        for group in new.all_externals(imagined):
            end = group.representative
            paired.append(PairedGroup(group, (end, end), (-1, -1), -1, new.place(end.address), ""))
    return paired


class Pairs:
    """At the moment of the deciders."""

    def __init__(self, before: Decider, after: Decider, comparison: Comparison, groups: Sequence[PairedGroup]) -> None:
        self._deciders = (before, after)
        self._comparison = comparison
        self._groups = groups
        self._of_atom: dict[int, list[int]] = {}
        self._of_place: dict[Place, list[int]] = {}
        for index, one in enumerate(groups):
            self._of_place.setdefault(one.place, []).append(index)
            if one.atom >= 0:
                self._of_atom.setdefault(one.atom, []).append(index)
        self._reached: dict[tuple[Meaning, str], list[int]] = {}
        self._numbers = Numbers()
        self._differences: dict[tuple[int, int, int, int], tuple[Intervals, Intervals]] = {}

    def changed(self) -> Iterator[Cell]:
        """Every pair of groups with two answers, consumers ascending and then providers."""
        candidates = self._candidates()
        block: list[tuple[int, list[int]]] = []
        size = 0
        for source in sorted(candidates):
            targets = sorted({target for part in candidates[source] for target in part if self._meet(source, target)})
            block.append((source, targets))
            size += len(targets)
            if size >= _BLOCK:
                yield from self._cells(block)
                block, size = [], 0
        yield from self._cells(block)

    def _meet(self, source: int, target: int) -> bool:
        """Do these groups have a pair of workloads, or of a workload and an address of nobody, in one family?"""
        one, other = self._groups[source], self._groups[target]
        return (
            one.group.family == other.group.family
            and (one.atom >= 0 or other.atom >= 0)
            and not (one.alone and one.alone == other.alone)
        )

    # -- which pairs ------------------------------------------------------------------------------------------------

    def _candidates(self) -> dict[int, list[list[int]]]:
        """Groups of consumers, each with lists of groups of providers; lists are shared."""
        found: dict[int, list[list[int]]] = {}
        for direction in DIRECTIONS:
            for owners, peers in self._concerned(direction):
                consumers, providers = (owners, peers) if direction == "egress" else (peers, owners)
                for consumer in consumers:
                    found.setdefault(consumer, []).append(providers)
        return found

    def _concerned(self, direction: Direction) -> Iterator[tuple[list[int], list[int]]]:
        """Groups that may answer otherwise, and about which groups."""
        changes = self._comparison.changes[direction]
        if changes.modes:
            atoms = {self._comparison.atoms.of[name] for name in changes.modes}
            moved = [index for atom in sorted(atoms) for index in self._of_atom.get(atom, ())]
            moved = [index for index in moved if self._mode_differs(direction, self._groups[index])]
            yield moved, list(range(len(self._groups)))
        at = self._deciders[0].at
        for meanings, atoms_bound in changes.rules.items():
            counting = [meaning for meaning in meanings if meaning.validity.holds(at)]
            by_zone: dict[str, list[int]] = {}
            for atom in positions_of(atoms_bound) if counting else ():
                for index in self._of_atom.get(atom, ()):
                    by_zone.setdefault(self._groups[index].place[0], []).append(index)
            for zone, owners in by_zone.items():
                peers: set[int] = set()
                for meaning in counting:
                    peers.update(self._reach(meaning, zone))
                yield owners, sorted(peers)

    def _mode_differs(self, direction: Direction, one: PairedGroup) -> bool:
        before, after = (
            decider.mode(direction, end.workload) for decider, end in zip(self._deciders, one.ends, strict=True)
        )
        return before != after

    def _reach(self, meaning: Meaning, zone: str) -> Iterable[int]:
        """The groups a rule has as peers, seen from a zone."""
        if meaning.anyone:
            return range(len(self._groups))
        key = meaning, zone
        if key not in self._reached:
            found = [index for atom in positions_of(meaning.peers) for index in self._of_atom.get(atom, ())]
            for place, inside in self._of_place.items() if meaning.peer_prefixes else ():
                address = self._groups[inside[0]].ends[1].address
                evaluating = place[0] if meaning.tier == FAILSAFE else zone
                if any(prefix.holds(address, evaluating) for prefix in meaning.peer_prefixes):
                    found.extend(inside)
            self._reached[key] = found
        return self._reached[key]

    # -- their answers ----------------------------------------------------------------------------------------------

    def _cells(self, block: Sequence[tuple[int, list[int]]]) -> Iterator[Cell]:
        groups = self._groups
        asked = sorted({target for _source, targets in block for target in targets})
        sources = [source for source, _targets in block]
        egress = [self._answers(side, "egress", asked) for side in range(2)]
        ingress = [self._answers(side, "ingress", sources) for side in range(2)]
        receiving = [
            {target: ingress[side].towards(groups[target].ends[side]) for target in asked} for side in range(2)
        ]
        for source, targets in block:
            one = groups[source]
            sending = [egress[side].towards(one.ends[side]) for side in range(2)]
            for target in targets:
                other = groups[target]
                old, new = (
                    (
                        sending[side].answer(other.ends[side], other.classes[side], other.place),
                        receiving[side][target].answer(one.ends[side], one.classes[side], one.place),
                    )
                    for side in range(2)
                )
                if old != new:
                    gained, lost = self._difference(*old, *new)
                    if gained or lost:
                        yield Cell(source, target, gained, lost)

    def _answers(self, side: int, direction: Direction, peers: Iterable[int]) -> Answers:
        comparison = self._comparison
        classes = to_bits(sorted({self._groups[index].classes[side] for index in peers} - {-1}))
        return Answers(
            self._deciders[side], direction, comparison.services, comparison.concerns, self._numbers, classes
        )

    def _difference(self, *answers: int) -> tuple[Intervals, Intervals]:
        """Of egress and ingress before, egress and ingress after: what both allow after only, and before only."""
        key = answers[0], answers[1], answers[2], answers[3]
        if key not in self._differences:
            sets = self._numbers.sets
            before, after = intersection(sets[key[0]], sets[key[1]]), intersection(sets[key[2]], sets[key[3]])
            self._differences[key] = subtraction(after, before), subtraction(before, after)
        return self._differences[key]


__all__ = ["Cell", "PairedGroup", "Pairs", "paired_groups"]
