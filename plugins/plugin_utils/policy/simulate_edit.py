# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One rule less, more or another: which keys of the store get another verdict, without looking at the others.

Only keys can change whose own side the rule binds, whose peer it means and of whose service it speaks; and of those
only the ones for which no earlier tier and no other rule says the same (their *fate*).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..model.artifact import ORDER
from ..model.estate import DIRECTIONS, Direction
from ..model.keys import Keys
from .compile import Builder, Compiled, Copy, named_workloads, policy_keys
from .resolve import ResolvedRule
from .simulate import Simulation
from .simulate_keys import split_keys
from .simulate_kinds import NO_KIND
from .simulate_questions import ALLOWED, Bytes, Question
from .simulate_sides import Index, KeySide, Places, runs_of, shared_ends, united
from .simulate_tiers import Leaf


@dataclass(frozen=True)
class KeyChange:
    """Keys whose verdict an edit changes, and the new ones. About `open` keys only their edges can be asked."""

    keys: Places
    codes: Bytes
    open: Places


@dataclass(frozen=True, slots=True)
class _Said:
    """What a rule says in one direction about which keys. `plain`: a fate tells what becomes of them."""

    tier: int
    action: str
    places: Places
    plain: bool


class KeyedVerdicts:
    """Verdicts of one policy about all keys, ready for edits."""

    def __init__(self, keys: Keys, compiled: Compiled, intent: bool = False) -> None:
        self.keys, self.compiled, self.intent = keys, compiled, intent
        self.simulation = simulation = Simulation([Question(compiled, intent)], keys.of_ends)
        self.codes = simulation.codes(keys.itself)
        self.split = split_keys(keys, simulation)
        edges, odd, shared = keys.of_ends, simulation.kinds.of == NO_KIND, shared_ends(simulation)
        lone = odd[edges.consumer] | odd[edges.provider]
        #: Keys that rules decide: not of a workload with itself, a service address or a shared one.
        self.plain = ~(keys.itself | lone)
        virtual = odd & ~shared
        of_shared = lone & ~virtual[edges.consumer] & ~virtual[edges.provider] & ~keys.itself
        #: Keys of addresses that several workloads have.
        self.shared = np.flatnonzero(of_shared)
        self.editable = len(simulation.contexts.moments) == 1 and bool(simulation.kinds.items) and not self.split.any()

    @cached_property
    def sides(self) -> dict[Direction, KeySide]:
        return {direction: KeySide(self.keys, self.simulation, direction) for direction in DIRECTIONS}

    @cached_property
    def _copies(self) -> dict[str, dict[Direction, list[int]]]:
        found: dict[str, dict[Direction, list[int]]] = {}
        for direction in DIRECTIONS:
            for number, copy in enumerate(self.compiled.copies[direction]):
                if copy.origin is not None:
                    found.setdefault(copy.artifact.id, {}).setdefault(direction, []).append(number)
        return found

    @cached_property
    def _binding(self) -> dict[Direction, dict[int, Places]]:
        """The classes that a copy binds."""
        found: dict[Direction, dict[int, list[int]]] = {direction: {} for direction in DIRECTIONS}
        for direction, known in found.items():
            for position, numbers in enumerate(self.compiled.of_class[direction]):
                for number in numbers:
                    known.setdefault(number, []).append(position)
        return {
            direction: {number: self.kinds_in(positions) for number, positions in known.items()}
            for direction, known in found.items()
        }

    @cached_property
    def _kinds_of_class(self) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in self.compiled.classes.items]
        for kind, item in enumerate(self.simulation.kinds.items):
            workload = item.ends[0].workload
            if workload is not None:
                found[self.compiled.classes.of[workload.name]].append(kind)
        return found

    def kinds_in(self, positions: Sequence[int]) -> Places:
        """The kinds in these classes."""
        return np.array([kind for position in positions for kind in self._kinds_of_class[position]], np.int64)

    @cached_property
    def _passing(self) -> dict[Direction, set[int]]:
        """Tiers in which rules pass."""
        return {
            direction: {ORDER.index(one.artifact.tier) for one in copies if one.artifact.action == "pass"}
            for direction, copies in self.compiled.copies.items()
        }

    @cached_property
    def _named(self) -> set[str]:
        return {peer.origin.id for peer in self.compiled.by_name}

    @cached_property
    def _builder(self) -> Builder:
        return Builder(self.compiled.estate, self.compiled.classes)

    def without(self, rule: str) -> KeyChange | None:
        """The change if the rule (`RULE@SCOPE/RULESET`) were not there."""
        return self.edited(rule, None)

    def edited(self, old: str, new: ResolvedRule | None) -> KeyChange | None:
        """The change if `old` (`RULE@SCOPE/RULESET`, "" for none) were not there and `new` were.

        None where the whole draft must be tried: rules with times or names (fqdn), a new rule with addresses or with
        labels that tell more workloads apart than the policy does.
        """
        if not self.editable or old in self._named:
            return None
        coming = self._expanded(new)
        if coming is None:
            return None
        sides: dict[Direction, tuple[Places, Bytes]] = {}
        unclear: list[Places] = [self.shared]
        for direction in DIRECTIONS:
            going = self._copies.get(old, {}).get(direction, [])
            if going or coming[direction]:
                places, answers, open_ = self._side(direction, going, coming[direction])
                sides[direction] = places, answers
                unclear.append(open_[self.plain[open_]])
        touched = united([places for places, _answers in sides.values()])
        touched = touched[self.plain[touched]]
        codes = np.full(len(touched), 0xFF, np.uint8)
        for direction in DIRECTIONS:
            here = self.sides[direction].answers[touched]
            if direction in sides:
                places, answers = sides[direction]
                at = np.searchsorted(touched, places)
                fits = touched[np.minimum(at, len(touched) - 1)] == places if len(touched) else np.zeros(0, np.bool_)
                here[at[fits]] = answers[fits] if len(touched) else answers[:0]
            codes &= here
        open_ = united(unclear)
        changed = codes != self.codes[touched]
        if len(open_):
            changed &= ~np.isin(touched, open_)
        return KeyChange(touched[changed], codes[changed], open_)

    def _expanded(self, new: ResolvedRule | None) -> dict[Direction, list[tuple[Copy, int]]] | None:
        """The copies of a rule with the classes they bind; None where the policy cannot say it in its classes."""
        if new is None:
            return {direction: [] for direction in DIRECTIONS}
        classes = self.compiled.classes
        alone = all(
            classes.items[classes.of[name]].workload == name for name in named_workloads([new]) if name in classes.of
        )
        if not alone or not policy_keys([new], ()) <= set(classes.wanted):
            return None
        builder = self._builder
        builder.sources, builder.by_name = {}, []
        builder.bound = {direction: [] for direction in DIRECTIONS}
        builder.add(new)
        found: dict[Direction, list[tuple[Copy, int]]] = {}
        for direction, bound in builder.bound.items():
            for copy, _bits in bound:
                if copy.peer_prefixes or copy.own_prefixes is not None or copy.artifact.timed:
                    return None
            found[direction] = list(bound)
        return None if builder.by_name else found

    def _side(
        self, direction: Direction, going: Sequence[int], coming: Sequence[tuple[Copy, int]]
    ) -> tuple[Places, Bytes, Places]:
        """Keys whose answer of this side may change, ascending; the new answers; keys that the edit cuts through."""
        side = self.sides[direction]
        gone = [self._going(side, number) for number in going]
        come = [self._coming(side, copy, bits) for copy, bits in coming]
        said = [*gone, *(one for one, _cut in come)]
        cut = united([cut for _one, cut in come])
        simple = len(gone) < 2 and len(come) < 2 and all(one.plain for one in said)
        turned: list[tuple[Places, Bytes]] = []
        if simple and len(said) == 2:
            common = np.isin(said[0].places, said[1].places, assume_unique=True)
            both = said[0].places[common]
            simple = said[0].tier == said[1].tier or not len(both)
            if simple:
                rest = said[1].places[~np.isin(said[1].places, both, assume_unique=True)]
                turned = [self._turned(side, both, said[0], said[1])]
                gone = [replace(said[0], places=said[0].places[~common])]
                come = [(replace(said[1], places=rest), cut)]
        if not simple:
            return (*self._row_by_row(side, going, coming, said), cut)
        less = [self._less(side, one) for one in gone]
        more = [self._more(side, one) for one, _cut in come]
        places = np.concatenate([np.zeros(0, np.int64), *(one for one, _codes in (*turned, *less, *more))])
        codes = np.concatenate([np.zeros(0, np.uint8), *(codes for _one, codes in (*turned, *less, *more))])
        order = np.argsort(places)
        return places[order], codes[order], cut

    def _going(self, side: KeySide, number: int) -> _Said:
        copy = self.compiled.copies[side.direction][number]
        rule = copy.artifact
        exact = not copy.peer_prefixes and copy.own_prefixes is None and not rule.timed
        peers = None
        if rule.peers is not None and not copy.peer_prefixes:
            peers = side.rows.kinds_in(copy.peer_bits).astype(np.bool_)
        own = self._binding[side.direction].get(number, np.zeros(0, np.int64))
        places = side.keys_of(own, runs_of(side.rows.atoms, rule.services), peers, self._by_peer(side))
        tier = ORDER.index(rule.tier)
        plain = exact and rule.action != "pass" and tier not in self._passing[side.direction]
        return _Said(tier, rule.action, places, plain)

    def _coming(self, side: KeySide, copy: Copy, bits: int) -> tuple[_Said, Places]:
        """Also the keys of whose services the rule speaks in part."""
        rule = copy.artifact
        peers = None if rule.peers is None else side.rows.kinds_in(copy.peer_bits).astype(np.bool_)
        own = np.flatnonzero(side.rows.kinds_in(bits))
        places = side.keys_of(own, runs_of(side.rows.atoms, rule.services), peers, self._by_peer(side))
        inside = cut = np.zeros(0, np.int64)
        if len(rule.services):
            low, high = self.keys.edges.service[places], self.keys.high[places]
            starts, ends = np.array(rule.services, np.int64).T
            at = np.maximum(np.searchsorted(starts, high, "right") - 1, 0)
            meets = (starts[at] <= high) & (ends[at] >= low)
            whole = meets & (starts[at] <= low) & (ends[at] >= high)
            inside, cut = places[whole], places[meets & ~whole]
        tier = ORDER.index(rule.tier)
        plain = rule.action != "pass" and tier not in self._passing[side.direction]
        return _Said(tier, rule.action, inside, plain), cut

    def _by_peer(self, side: KeySide) -> Index:
        return self.sides["egress" if side.direction == "ingress" else "ingress"].by_own

    @staticmethod
    def _less(side: KeySide, said: _Said) -> tuple[Places, Bytes]:
        """Only where this rule alone decides."""
        fates = side.fates[said.places]
        alone = said.tier | (8 if said.action == "allow" else 0) | 16
        hit = fates & np.uint8(0x3F) == alone
        return said.places[hit], fates[hit] >> np.uint8(6)

    @staticmethod
    def _turned(side: KeySide, both: Places, old: _Said, new: _Said) -> tuple[Places, Bytes]:
        """Keys of which two rules of one tier speak, and one takes the place of the other."""
        if old.action == new.action:
            return both[:0], np.zeros(0, np.uint8)
        fates = side.fates[both]
        if new.action == "deny":
            hit = fates & np.uint8(7) == new.tier
            return both[hit], np.zeros(int(hit.sum()), np.uint8)
        hit = fates & np.uint8(0x3F) == new.tier | 16  # no other rule denies
        return both[hit], np.full(int(hit.sum()), ALLOWED, np.uint8)

    @staticmethod
    def _more(side: KeySide, said: _Said) -> tuple[Places, Bytes]:
        """Only where a later tier decides; a deny also where its own tier allows."""
        fates = side.fates[said.places]
        tier = fates & np.uint8(7)
        hit = tier > said.tier
        if said.action == "deny":
            hit |= fates & np.uint8(15) == said.tier | 8
        places = said.places[hit]
        return places, np.full(len(places), ALLOWED if said.action == "allow" else 0, np.uint8)

    def _row_by_row(
        self, side: KeySide, going: Sequence[int], coming: Sequence[tuple[Copy, int]], said: Sequence[_Said]
    ) -> tuple[Places, Bytes]:
        """The rows of all touched keys that are decided in the tiers of the rule or later, worked out anew."""
        places = united([one.places for one in said])
        places = places[(side.fates[places] & np.uint8(7)) >= min(one.tier for one in said)]
        answers = side.answers[places].copy()
        spoken = np.zeros(len(places), np.int64)
        for number, one in enumerate(said[len(going) :]):
            spoken |= np.isin(places, one.places).astype(np.int64) << number
        leaves = [
            Leaf(
                ORDER.index(copy.artifact.tier),
                copy.artifact.action,
                side.rows.everyone_or(None if copy.artifact.peers is None else copy.peer_bits),
            )
            for copy, _bits in coming
        ]
        for combination in np.unique(spoken).tolist():
            added = [leaf for number, leaf in enumerate(leaves) if combination >> number & 1]
            for group in side.grouped(places[spoken == combination]):
                policy, atom = divmod(int(side.pair[group[0]]), len(side.rows.atoms))
                answer = side.rows.answer_with(policy, atom, side.at, going, added)
                if answer is not None:
                    answers[np.searchsorted(places, group)] = answer[side.peer[group]]
        return places, answers


__all__ = ["KeyChange", "KeyedVerdicts"]
