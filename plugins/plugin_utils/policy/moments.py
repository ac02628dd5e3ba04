# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The moments at which two policies are compared: one for every combination of rules that then count."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ..model.calendar import Moments, Validity, distinct_moments, stretches

#: More combinations of open windows than these are not compared, and the answer says so.
MOST_MOMENTS = 64


def moments_of(validities: Iterable[Validity], at: datetime) -> Moments:
    """Moments within a year of `at`, and of every later moment from which on something may be new."""
    timed = [validity for validity in dict.fromkeys(validities) if validity.timed]
    if not timed:
        return Moments((at,), True)
    found: dict[tuple[bool, ...], datetime] = {}
    complete = True
    for start, end in stretches(timed, at):
        part = distinct_moments(timed, start, end - start, MOST_MOMENTS)
        complete &= part.complete
        for moment in part.moments:
            valid = Validities(moment)
            found.setdefault(tuple(valid.holds(validity) for validity in timed), moment)
    moments = tuple(sorted(found.values()))
    return Moments(moments[:MOST_MOMENTS], complete and len(moments) <= MOST_MOMENTS)


class Validities:
    """Which of them hold at one moment, each worked out once."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._known: dict[Validity, bool] = {}

    def holds(self, validity: Validity) -> bool:
        if validity not in self._known:
            self._known[validity] = validity.holds(self._at)
        return self._known[validity]


__all__ = ["MOST_MOMENTS", "Validities", "moments_of"]
