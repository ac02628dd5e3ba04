# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Maturity of a proposed rule: what its evidence says, never a clock alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from .observed import Talk

Maturity = Literal["learning", "stabilizing", "stable", "stale"]
#: Pairs that were first seen in this last part of the window are new.
LATE = 0.25
#: Share of new pairs from which a rule is still being learned.
MANY_NEW = 0.2
#: Share of pairs that came back on another day, below which nobody knows yet whether the rest will.
RECURRING = 0.5
#: A rule is stale when it has been silent so many times as long as it ever was between two sightings.
SILENT = 3


def maturity_of(talks: Sequence[Talk], start: int, end: int) -> Maturity:
    """`start`, `end`: of the observation, seconds since 1970.

    stale: it came back until it fell silent, for much longer than it ever was before, and for a good part of the
    window. learning: too few pairs came back on another day, or many are new. stabilizing: some are new. stable: none.
    """
    moments = sorted({moment for talk in talks for moment in talk.moments})
    gap = max((later - earlier for earlier, later in pairwise(moments)), default=0)
    silence = end - max(talk.last for talk in talks)
    recurring = sum(len(talk.days) > 1 for talk in talks) / len(talks)
    if recurring and silence > SILENT * gap and silence > LATE * (end - start):
        return "stale"
    late = end - LATE * (end - start)
    new = sum(talk.first >= late for talk in talks) / len(talks)
    if recurring < RECURRING or new > MANY_NEW:
        return "learning"
    return "stabilizing" if new else "stable"


__all__ = ["LATE", "MANY_NEW", "RECURRING", "SILENT", "Maturity", "maturity_of"]
