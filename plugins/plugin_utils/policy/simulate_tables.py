# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tables over rows: what one side answers about many flows, in a few lookups each.

Rows are worked out when a flow first asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from ..model.allocation import allocating
from .simulate_questions import Bytes
from .simulate_rows import Rows

Positions = npt.NDArray[np.signedinteger[Any]]
MISSING = -1


class Table:
    """One direction at all moments. Ends are given as positions in the list whose kinds are `kinds`."""

    def __init__(self, rows: Rows, kinds: npt.NDArray[np.int32], moments: Sequence[datetime]) -> None:
        self.rows = rows
        self.moments = tuple(moments)
        self._width = len(rows.kinds)
        self._kind = kinds.astype(np.int64)
        pairs = rows.policies * len(rows.atoms)
        self._first_pair = rows.policy[self._kind] * len(rows.atoms) if self._width else self._kind
        #: Per context, where the row of a (policy, atom) pair begins in the matrix.
        self._begins = [np.full(pairs, MISSING, np.int64) for _ in self.moments]
        self._timed = np.full(pairs if len(self.moments) > 1 else 0, MISSING, np.int8)

    def lookup(self, own: Positions, peer: Positions, atom: npt.NDArray[np.int64], context: int = 0) -> Bytes:
        """A byte per flow: the answers of the own side."""
        pair = self._first_pair.take(own, mode="clip")
        pair += atom
        begins = self._begins[context].take(pair, mode="clip")
        if len(begins) and begins.min() == MISSING:
            self._work_out(np.unique(pair[begins == MISSING]), context)
            begins = self._begins[context].take(pair, mode="clip")
        begins += self._kind.take(peer, mode="clip")
        return self.rows.matrix.take(begins, mode="clip")

    def timed(self, own: Positions, atom: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Do rules that count only at times speak about the flow?"""
        pair = self._first_pair[own] + atom
        found = self._timed[pair]
        if len(found) and found.min() == MISSING:
            for one in np.unique(pair[found == MISSING]).tolist():
                policy, number = divmod(one, len(self.rows.atoms))
                self._timed[one] = self.rows.timed(policy, number)
            found = self._timed[pair]
        return np.asarray(found == 1, np.bool_)

    def pairs(self, context: int = 0) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The (policy, atom) pairs that were asked for, as policy * atoms + atom, and where their rows begin."""
        known = np.flatnonzero(self._begins[context] != MISSING)
        return known, self._begins[context][known]

    def _work_out(self, pairs: npt.NDArray[np.int64], context: int) -> None:
        by_policy: dict[int, list[int]] = {}
        for pair in pairs.tolist():
            policy, atom = divmod(pair, len(self.rows.atoms))
            by_policy.setdefault(policy, []).append(atom)
        with allocating():
            self._add_rows(by_policy, context)

    def _add_rows(self, by_policy: Mapping[int, Sequence[int]], context: int) -> None:
        for policy, atoms in by_policy.items():
            found = self.rows.rows(policy, atoms, self.moments[context])
            base = policy * len(self.rows.atoms)
            for atom, row in zip(atoms, found, strict=True):
                self._begins[context][base + atom] = row * self._width


__all__ = ["Table"]
