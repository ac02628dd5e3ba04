# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rows: what one side of some policies answers about one service, for every kind of peer at once.

A row is a byte per kind of peer, two bits for each question: 0 denied, 2 unknown, 3 allowed. The answer end to end is
the bitwise *and* of both sides' bytes. Rows are shared by whoever looks at the same rules; sets of kinds are Python
integers while they are worked out.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_

import numpy as np

from ..model.addresses import FAMILIES, Family, Prefix
from ..model.artifact import FAILSAFE, ORDER
from ..model.estate import Direction, Mode
from .classes import positions_of, to_bits
from .compile import Copy
from .simulate_kinds import Kind
from .simulate_questions import ALLOWED, UNKNOWN, Atoms, Bytes, Question, validity_of
from .simulate_tiers import Leaf, evaluate, fate, unpacked

#: Instead of the number of a part: the side enforces nothing.
UNENFORCED = -1


class Rows:
    """Answers of one direction to all questions at one moment.

    `policy[k]` is the policy that kind `k` has as the own side; rows exist for (policy, atom) pairs once asked for.
    """

    def __init__(
        self,
        direction: Direction,
        questions: Sequence[Question],
        kinds: Sequence[Kind],
        homes: Sequence[int],
        atoms: Atoms,
    ) -> None:
        """`homes[q]`: which of a kind's ends belongs to question `q`."""
        self.direction = direction
        self.questions = tuple(questions)
        self.kinds = tuple(kinds)
        self.atoms = atoms
        self._policy_of_question = tuple(homes)
        self._compiled = {home: one.compiled for home, one in zip(homes, questions, strict=True)}
        self._everyone = (1 << len(kinds)) - 1
        self._loopback = to_bits([position for position, kind in enumerate(kinds) if kind.loopback])
        self._classes = {home: self._kinds_of_classes(home) for home in self._compiled}
        self._nobody = {
            home: to_bits([position for position, kind in enumerate(kinds) if kind.ends[home].workload is None])
            for home in self._compiled
        }
        self._by_address = _by_address(kinds)
        self._peers: dict[tuple[object, ...], int] = {}
        self._speeches: dict[tuple[int, datetime], _Speech] = {}
        self._leaf_of: dict[tuple[int, str], dict[int, tuple[tuple[int, ...], int, bool]]] = {}
        self._leaves: dict[Leaf, int] = {}
        self._leaf_list: list[Leaf] = []
        self._fates: dict[tuple[object, ...], Bytes] = {}
        self._answers: dict[tuple[object, ...], int] = {}
        self._answer_of: dict[tuple[int, int], int] = {(self._everyone, 0): 0}
        self._bytes: list[Bytes] = [np.full(len(kinds), ALLOWED, np.uint8)]
        self._known: dict[tuple[int, ...], int] = {}
        self._count = 0
        self.matrix: Bytes = np.zeros(64 * len(kinds), np.uint8)  # row r, kind k at r * len(kinds) + k
        self._parts: dict[_Part, int] = {}
        self._policies: dict[tuple[int, ...], int] = {}
        self.policy = np.array([self._policy(kind) for kind in kinds], np.int64)
        self._part_list = list(self._parts)
        self._parts_of = list(self._policies)

    def _kinds_of_classes(self, home: int) -> dict[int, int]:
        found: dict[int, list[int]] = {}
        classes = self._compiled[home].classes
        for position, kind in enumerate(self.kinds):
            workload = kind.ends[home].workload
            if workload is not None:
                found.setdefault(classes.of[workload.name], []).append(position)
        return {key: to_bits(positions) for key, positions in found.items()}

    # -- own sides -----------------------------------------------------------------------------------------------------

    def _policy(self, kind: Kind) -> int:
        """Kinds whose parts in all questions are the same have one policy."""
        parts = tuple(
            self._part(home, question, kind)
            for home, question in zip(self._policy_of_question, self.questions, strict=True)
        )
        return self._policies.setdefault(parts, len(self._policies))

    def _part(self, home: int, question: Question, kind: Kind) -> int:
        end = kind.ends[home]
        mode = question.mode(self.direction, end)
        if mode is None or end.workload is None:
            return UNENFORCED
        compiled = question.compiled
        position = compiled.classes.of[end.workload.name]
        copies = compiled.copies[self.direction]
        zone = end.workload.zone
        own = tuple(
            number
            for number in compiled.of_class[self.direction][position]
            if copies[number].own_prefixes is None
            or any(prefix.holds(end.address, zone) for prefix in copies[number].own_prefixes or ())
        )
        named: tuple[int, ...] = ()
        if self.direction == "egress" and mode == "full":
            named = tuple(number for number, peer in enumerate(compiled.by_name) if peer.bits >> position & 1)
        return self._parts.setdefault(_Part(home, mode, zone, own, named), len(self._parts))

    @property
    def policies(self) -> int:
        return len(self._parts_of)

    def timed(self, policy: int, atom: int) -> bool:
        """Does a rule that speaks about the atom count only at times?"""
        bit = 1 << atom
        for place in self._parts_of[policy]:
            if place == UNENFORCED:
                continue
            part = self._part_list[place]
            compiled = self._compiled[part.home]
            rules = [compiled.copies[self.direction][number].artifact for number in part.copies]
            names = [compiled.by_name[number] for number in part.named]
            if any(rule.timed and self.atoms.mask(rule.services) & bit for rule in rules):
                return True
            if any(validity_of(peer).timed and self.atoms.mask(peer.origin.rule.services) & bit for peer in names):
                return True
        return False

    # -- rows ----------------------------------------------------------------------------------------------------------

    def rows(self, policy: int, atoms: Sequence[int], at: datetime) -> list[int]:
        """Positions of the rows in `matrix`, one for each atom."""
        parts = self._parts_of[policy]
        answers = {place: self._answers_of(place, atoms, at) for place in set(parts)}
        return [self._row(tuple([answers[place][index] for place in parts])) for index in range(len(atoms))]

    def _answers_of(self, place: int, atoms: Sequence[int], at: datetime) -> list[int]:
        if place == UNENFORCED:
            return [0] * len(atoms)
        part = self._part_list[place]
        if (place, at) not in self._speeches:
            self._speeches[place, at] = self._speak(part, at)
        said = self._speeches[place, at]
        return [self._answer(part, tuple(said.leaves.get(atom, ())), bool(said.named >> atom & 1)) for atom in atoms]

    def answer_with(
        self, policy: int, atom: int, at: datetime, removed: Sequence[int] = (), added: Sequence[Leaf] = ()
    ) -> Bytes | None:
        """A byte per kind of peer: the answer of the only question without some copies and with some leaves.

        None: nothing is enforced.
        """
        [place] = self._parts_of[policy]
        if place == UNENFORCED:
            return None
        part, leaves, named = self._said(place, atom, at)
        known = self._leaf_of[part.home, part.zone]
        copies = self._compiled[part.home].copies[self.direction]
        for number in removed:
            if number in part.copies and atom in known[number][0] and copies[number].artifact.valid(at):
                leaves.remove(known[number][1])
        leaves += [self._number_of(leaf) for leaf in added]
        return self._bytes[self._answer(part, tuple(leaves), named)]

    def fate_of(self, policy: int, atom: int, at: datetime) -> Bytes:
        """What one rule more or less means for every kind of peer (`simulate_tiers.fate`), of the only question."""
        [place] = self._parts_of[policy]
        if place == UNENFORCED:
            return np.zeros(len(self.kinds), np.uint8)
        part, leaves, named = self._said(place, atom, at)
        key = (part.mode, part.home if named else None, tuple(leaves))
        if key not in self._fates:
            everyone = self._everyone & ~self._loopback
            otherwise = (everyone, 0) if part.mode == "selective" else (0, self._nobody[part.home] if named else 0)
            self._fates[key] = fate([self._leaf_list[leaf] for leaf in leaves], everyone, otherwise, len(self.kinds))
        return self._fates[key]

    def _said(self, place: int, atom: int, at: datetime) -> tuple[_Part, list[int], bool]:
        part = self._part_list[place]
        self._answers_of(place, [], at)
        said = self._speeches[place, at]
        return part, list(said.leaves.get(atom, ())), bool(said.named >> atom & 1)

    def kinds_in(self, classes: int) -> Bytes:
        """A byte per kind: 1 for those in some of the classes of the only policy."""
        return unpacked(self.everyone_or(classes), len(self.kinds))

    def everyone_or(self, classes: int | None) -> int:
        """The kinds in some classes as a bitset, None for everyone."""
        if classes is None:
            return self._everyone
        [home] = self._compiled
        return reduce(or_, (self._classes[home].get(position, 0) for position in positions_of(classes)), 0)

    def _speak(self, part: _Part, at: datetime) -> _Speech:
        compiled = self._compiled[part.home]
        copies = compiled.copies[self.direction]
        known = self._leaf_of.setdefault((part.home, part.zone), {})
        leaves: dict[int, list[int]] = {}
        for number in part.copies:
            if number not in known:
                copy = copies[number]
                spoken = tuple(positions_of(self.atoms.mask(copy.artifact.services)))
                known[number] = spoken, self._leaf(part, copy), copy.artifact.timed
            spoken, leaf, timed = known[number]
            if not timed or copies[number].artifact.valid(at):
                for atom in spoken:
                    leaves.setdefault(atom, []).append(leaf)
        named = 0
        for number in part.named:
            peer = compiled.by_name[number]
            if peer.valid(at):
                named |= self.atoms.mask(peer.origin.rule.services)
        return _Speech(leaves, named)

    def _leaf(self, part: _Part, copy: Copy) -> int:
        rule = copy.artifact
        return self._number_of(Leaf(ORDER.index(rule.tier), rule.action, self._peers_of(part, copy)))

    def _number_of(self, leaf: Leaf) -> int:
        number = self._leaves.setdefault(leaf, len(self._leaf_list))
        if number == len(self._leaf_list):
            self._leaf_list.append(leaf)
        return number

    def _peers_of(self, part: _Part, copy: Copy) -> int:
        if copy.artifact.peers is None:
            return self._everyone
        everywhere = copy.artifact.tier == FAILSAFE
        key = (part.home, "" if everywhere else part.zone, everywhere, copy.peer_bits, copy.peer_prefixes)
        if key not in self._peers:
            bits = 0
            of_class = self._classes[part.home]
            for position in positions_of(copy.peer_bits):
                bits |= of_class.get(position, 0)
            for prefix in copy.peer_prefixes:
                bits |= self._holding(prefix, None if everywhere else part.zone)
            self._peers[key] = bits
        return self._peers[key]

    def _holding(self, prefix: Prefix, zone: str | None) -> int:
        """Kinds in the block, as a side in this zone sees it; None: any zone. No block cuts through a kind."""
        numbers, places = self._by_address[prefix.family]
        found = []
        for index in range(bisect_left(numbers, prefix.low), bisect_right(numbers, prefix.high)):
            address = self.kinds[places[index]].ends[0].address
            if prefix.holds(address, address.zone if zone is None else zone):
                found.append(places[index])
        return to_bits(sorted(found))

    def _answer(self, part: _Part, leaves: tuple[int, ...], named: bool) -> int:
        """The number of an answer: kinds of peers that are allowed, and those about which nothing can be said."""
        key = (part.mode, part.home if named else None, leaves)
        if key not in self._answers:
            allowed, undecided = evaluate([self._leaf_list[leaf] for leaf in leaves], self._everyone & ~self._loopback)
            if part.mode == "selective":
                allowed, undecided = allowed | undecided, 0
            unknown = undecided & self._nobody[part.home] if named else 0
            answer, count = (allowed | self._loopback, unknown), len(self.kinds)
            number = self._answer_of.setdefault(answer, len(self._bytes))
            if number == len(self._bytes):
                self._bytes.append(
                    unpacked(answer[0], count) * np.uint8(ALLOWED) | unpacked(unknown, count) * np.uint8(UNKNOWN)
                )
            self._answers[key] = number
        return self._answers[key]

    def _row(self, answers: tuple[int, ...]) -> int:
        """The position of a row in `matrix`, which grows by doubling."""
        row = self._known.setdefault(answers, self._count)
        if row < self._count:
            return row
        count = len(self.kinds)
        if (row + 1) * count > len(self.matrix):
            self.matrix = np.concatenate([self.matrix, np.zeros_like(self.matrix)])
        code = self.matrix[row * count : (row + 1) * count]
        for index, answer in enumerate(answers):
            code |= self._bytes[answer] << np.uint8(2 * index)
        self._count += 1
        return row


@dataclass(frozen=True, slots=True)
class _Part:
    """What decides on the own side of one question: positions of copies and of peers by name in policy `home`."""

    home: int
    mode: Mode
    zone: str
    copies: tuple[int, ...]
    named: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Speech:
    """What counts at one moment: by atom the leaves of its copies; the atoms of rules to names."""

    leaves: dict[int, list[int]]
    named: int


def _by_address(kinds: Sequence[Kind]) -> dict[Family, tuple[list[int], list[int]]]:
    """Ascending address numbers, and beside each its kind."""
    found: dict[Family, tuple[list[int], list[int]]] = {}
    for family in FAMILIES:
        entries = sorted(
            (kind.ends[0].address.number, place)
            for place, kind in enumerate(kinds)
            if kind.ends[0].address.family == family
        )
        found[family] = [number for number, _place in entries], [place for _number, place in entries]
    return found


__all__ = ["Rows"]
