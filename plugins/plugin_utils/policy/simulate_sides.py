# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Verdicts of the key store, side by side: what each side answers about every key, and by how little.

Keys are found by their own kind and by their peer's, so that whoever looks for those of a rule visits no others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..model.estate import Direction
from ..model.intervals import Intervals
from ..model.keys import Keys
from .simulate import Simulation
from .simulate_kinds import NO_KIND
from .simulate_questions import Atoms, Bytes

Places = npt.NDArray[np.int64]
Runs = list[tuple[int, int]]


def runs_of(atoms: Atoms, services: Intervals) -> Runs:
    """First and last atom of every stretch of services, ascending and apart."""
    found: Runs = []
    for low, high in services:
        first, last = int(atoms.of[low]), int(atoms.of[min(high, len(atoms.of) - 1)])
        if found and found[-1][1] >= first - 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return found


class Index:
    """Keys in the order of one end's kind and the atom; `first[kind * atoms + atom]` is where those of a pair begin."""

    def __init__(self, kind: npt.NDArray[np.int32], atom: Places, kinds: int, atoms: int) -> None:
        pair = kind * np.int64(atoms) + atom
        self.order = np.argsort(pair, kind="stable")
        self.first = np.zeros(kinds * atoms + 1, np.int64)
        np.cumsum(np.bincount(pair, minlength=kinds * atoms), out=self.first[1:])
        self._atoms = atoms

    def stretches(self, kinds: Places, runs: Runs) -> tuple[Places, Places]:
        """Where the keys of these kinds and atoms begin in the order, and how many they are."""
        base = kinds * self._atoms
        low = np.concatenate([np.zeros(0, np.int64), *(self.first[base + first] for first, _last in runs)])
        high = np.concatenate([np.zeros(0, np.int64), *(self.first[base + last + 1] for _first, last in runs)])
        return low, high - low

    def places(self, low: Places, length: Places) -> Places:
        before = np.cumsum(length) - length
        return np.asarray(self.order[np.repeat(low - before, length) + np.arange(int(length.sum()))], np.int64)


class KeySide:
    """One direction of a simulation of one question at one moment. Of kinds and atoms, one number per key."""

    def __init__(self, keys: Keys, simulation: Simulation, direction: Direction) -> None:
        edges = keys.of_ends
        table = simulation.table(direction)
        self.direction: Direction = direction
        self.rows = table.rows
        self.at = simulation.contexts.moments[0]
        own, peer = (edges.provider, edges.consumer) if direction == "ingress" else (edges.consumer, edges.provider)
        kinds = np.maximum(simulation.kinds.of, 0)
        self.own, self.peer = kinds[own], kinds[peer]
        self.atom = simulation.atoms.of[edges.service]
        #: The rows' policy and atom of every key.
        self.pair = self.rows.policy[self.own] * len(self.rows.atoms) + self.atom
        self.answers = table.lookup(own, peer, self.atom)
        self.fates = self._fates()
        self.by_own = Index(self.own, self.atom, len(self.rows.kinds), len(self.rows.atoms))

    def _fates(self) -> Bytes:
        asked, inverse = np.unique(self.pair, return_inverse=True)
        known: dict[int, int] = {}
        rows: list[Bytes] = []
        begin = np.zeros(len(asked), np.int64)
        for place, pair in enumerate(asked.tolist()):
            policy, atom = divmod(pair, len(self.rows.atoms))
            row = self.rows.fate_of(policy, atom, self.at)
            number = known.setdefault(id(row), len(rows))
            if number == len(rows):
                rows.append(row)
            begin[place] = number * len(row)
        if not rows:
            return np.zeros(0, np.uint8)
        return np.asarray(np.concatenate(rows)[begin[inverse] + self.peer], np.uint8)

    def keys_of(self, kinds: Places, runs: Runs, peers: npt.NDArray[np.bool_] | None, other: Index) -> Places:
        """Keys whose own end is of these kinds, in these atoms, with a peer of `peers` (a flag per kind).

        `other`: the index by peers, which is used where it leads to fewer keys.
        """
        low, length = self.by_own.stretches(kinds, runs)
        if peers is None:
            return self.by_own.places(low, length)
        far, width = other.stretches(np.flatnonzero(peers), runs)
        if width.sum() < length.sum():
            places = other.places(far, width)
            mine = np.zeros(len(self.rows.kinds), np.bool_)
            mine[kinds] = True
            return places[mine[self.own[places]]]
        places = self.by_own.places(low, length)
        return places[peers[self.peer[places]]]

    def grouped(self, places: Places) -> list[Places]:
        """The places that look at the same row."""
        pair = self.pair[places]
        order = np.argsort(pair, kind="stable")
        cuts = np.flatnonzero(np.diff(pair[order])) + 1
        return [places[group] for group in np.split(order, cuts)] if len(order) else []


def shared_ends(simulation: Simulation) -> npt.NDArray[np.bool_]:
    """Ends that several workloads have, and that are no service addresses: a flag per end."""
    virtual: set[object] = set()
    for one in simulation.questions:
        virtual.update(service.address for service in one.compiled.estate.service_addresses)
    ends = simulation.edges.ends
    return np.array(
        [kind == NO_KIND and end not in virtual for kind, end in zip(simulation.kinds.of.tolist(), ends, strict=True)],
        np.bool_,
    )


def united(parts: Sequence[Places]) -> Places:
    """Ascending, each once."""
    parts = [part for part in parts if len(part)]
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)


__all__ = ["Index", "KeySide", "Places", "Runs", "runs_of", "shared_ends", "united"]
