# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One rule less: which keys of the store get another verdict, without looking at the others.

Only keys can change whose own side the rule binds, whose peer it means and of whose service it speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..model.estate import DIRECTIONS, Direction
from ..model.keys import Keys
from .compile import Compiled
from .simulate import Simulation
from .simulate_kinds import NO_KIND
from .simulate_rows import Bytes, Question
from .simulate_tables import Table

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class KeyChange:
    """Keys whose verdict an edit changes, and the new ones."""

    keys: Places
    codes: Bytes


class KeyedVerdicts:
    """Verdicts of one policy about all keys, ready for edits."""

    def __init__(self, keys: Keys, compiled: Compiled, intent: bool = False) -> None:
        self.simulation = Simulation([Question(compiled, intent)], keys.edges)
        self.codes = self.simulation.codes(keys.itself)
        edges, simulation = keys.edges, self.simulation
        self._atom = simulation.atoms.of[edges.service]
        odd = simulation.kinds.of == NO_KIND
        #: Keys that an edit answers: the others are of a service address, a shared one, or a workload with itself.
        self._plain = ~(keys.itself | odd[edges.consumer] | odd[edges.provider])
        self.editable = len(simulation.contexts.moments) == 1 and bool(simulation.kinds.items)
        self._sides = {
            "ingress": _Side(
                simulation.table("ingress"), simulation, compiled, edges.provider, edges.consumer, self._atom
            ),
            "egress": _Side(
                simulation.table("egress"), simulation, compiled, edges.consumer, edges.provider, self._atom
            ),
        }
        self._copies: dict[str, dict[Direction, list[int]]] = {}
        for direction in DIRECTIONS:
            for number, copy in enumerate(compiled.copies[direction]):
                self._copies.setdefault(copy.artifact.id, {}).setdefault(direction, []).append(number)

    def without(self, rule: str) -> KeyChange | None:
        """The change if the rule (`RULE@SCOPE/RULESET`) were not there; None where rules have times: ask them all."""
        if not self.editable:
            return None
        sides: dict[Direction, tuple[Places, Bytes]] = {}
        for direction, numbers in self._copies.get(rule, {}).items():
            places, answers = self._sides[direction].without(numbers)
            plain = self._plain[places]
            sides[direction] = places[plain], answers[plain]
        touched = np.unique(np.concatenate([np.zeros(0, np.int64), *(places for places, _answers in sides.values())]))
        codes = np.full(len(touched), 0xFF, np.uint8)
        for direction in DIRECTIONS:
            here = self._sides[direction].answers[touched]
            if direction in sides:
                places, answers = sides[direction]
                here[np.searchsorted(touched, places)] = answers
            codes &= here
        changed = codes != self.codes[touched]
        return KeyChange(touched[changed], codes[changed])


class _Side:
    """Keys of one direction, found by their own kind."""

    def __init__(
        self,
        table: Table,
        simulation: Simulation,
        compiled: Compiled,
        own: npt.NDArray[np.int32],
        peer: npt.NDArray[np.int32],
        atom: Places,
    ) -> None:
        self.rows = table.rows
        self.at = simulation.contexts.moments[0]
        self.answers = table.lookup(own, peer, atom) if self.rows.kinds else np.zeros(len(own), np.uint8)
        kinds = np.maximum(simulation.kinds.of, 0)
        self._own, self._peer, self._atom = kinds[own], kinds[peer], atom
        combined = self._own * np.int64(len(self.rows.atoms)) + atom
        self._order = np.argsort(combined, kind="stable")
        self._combined = combined[self._order]
        self._binding: dict[int, list[int]] = {}
        for kind, item in enumerate(self.rows.kinds):
            workload = item.ends[0].workload
            if workload is not None:
                for number in compiled.of_class[self.rows.direction][compiled.classes.of[workload.name]]:
                    self._binding.setdefault(number, []).append(kind)

    def without(self, numbers: Sequence[int]) -> tuple[Places, Bytes]:
        """Keys that the copies speak about, and the answers of this side without them."""
        found = [self._spoken_about(number) for number in numbers]
        places = np.unique(np.concatenate([np.zeros(0, np.int64), *found]))
        answers = self.answers[places].copy()
        pair = self.rows.policy[self._own[places]] * len(self.rows.atoms) + self._atom[places]
        order = np.argsort(pair, kind="stable")
        cuts = np.flatnonzero(np.diff(pair[order])) + 1
        for group in np.split(order, cuts) if len(order) else ():
            policy, atom = divmod(int(pair[group[0]]), len(self.rows.atoms))
            answer = self.rows.answer_without(policy, atom, numbers, self.at)
            if answer is not None:
                answers[group] = answer[self._peer[places[group]]]
        return places, answers

    def _spoken_about(self, number: int) -> Places:
        """Keys lie in order of own kind and atom, so that those of a copy are a few stretches."""
        atoms, peers = self.rows.reach_of(number)
        kinds = np.array(self._binding.get(number, ()), np.int64)
        wanted = (kinds[:, None] * len(self.rows.atoms) + atoms).ravel()
        low = np.searchsorted(self._combined, wanted)
        length = np.searchsorted(self._combined, wanted, "right") - low
        before = np.cumsum(length) - length
        places = self._order[np.repeat(low - before, length) + np.arange(length.sum())]
        if peers is not None:
            places = places[peers[self._peer[places]]]
        return np.asarray(places, np.int64)


__all__ = ["KeyChange", "KeyedVerdicts"]
