# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Questions of a simulation, and the stretches of the service line that they tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..model.calendar import Validity
from ..model.estate import Direction, Mode
from ..model.intervals import Intervals
from .classes import to_bits
from .compile import Compiled, NamedPeer
from .decide import End

DENIED, UNKNOWN, ALLOWED = 0, 2, 3
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Question:
    """One policy, by today's modes or by intent: as if every managed side were in full."""

    compiled: Compiled
    intent: bool = False

    def mode(self, direction: Direction, end: End) -> Mode | None:
        workload = end.workload
        if workload is None or not workload.managed:
            return None
        if self.intent:
            return "full"
        return workload.modes.of(direction) if workload.enforces(direction) else None


class Atoms:
    """Stretches of the service line that no rule of the questions divides. `of[point]` is the atom of a point."""

    def __init__(self, questions: Sequence[Question]) -> None:
        found: set[int] = {0}
        spoken: set[Intervals] = set()
        for compiled in {id(one.compiled): one.compiled for one in questions}.values():
            for copies in compiled.copies.values():
                spoken.update(copy.artifact.services for copy in copies)
            spoken.update(peer.origin.rule.services for peer in compiled.by_name)
        for services in spoken:
            found.update(cut for low, high in services for cut in (low, high + 1))
        self.starts = sorted(found)
        points = np.arange(0x60000)
        self.of = (np.searchsorted(np.array(self.starts), points, "right") - 1).astype(np.int64)
        self._masks: dict[Intervals, int] = {}

    def __len__(self) -> int:
        return len(self.starts)

    def mask(self, services: Intervals) -> int:
        """The atoms of a set of services as a bitset."""
        if services not in self._masks:
            positions = [
                int(atom)
                for low, high in services
                for atom in range(int(self.of[low]), int(self.of[min(high, 0x5FFFF)]) + 1)
            ]
            self._masks[services] = to_bits(positions)
        return self._masks[services]


def validity_of(peer: NamedPeer) -> Validity:
    return Validity(*peer.window, peer.origin.rule.schedule)


__all__ = ["ALLOWED", "DENIED", "UNKNOWN", "Atoms", "Bytes", "Question", "validity_of"]
