# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""At which times drift looks at a point: none at which it may differ is left out, or the answer says so."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from ..model.artifact import Artifact
from ..model.calendar import Moments, Timed, Validity, distinct_moments, stretches
from ..model.live import PointState
from ..model.schedule import TimeWindow

#: Combinations of conditions on time that are looked at per point; with more of them a point is unknown.
MOST_MOMENTS = 512
#: The end of time as far as rules of single moments are concerned.
_END = datetime(2261, 1, 1, tzinfo=UTC)
#: Without a trusted clock, it may be any time.
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Then(NamedTuple):
    """A moment, and whether the clock is trusted then: None is as it is now."""

    moment: datetime
    trusting: bool | None = None


class Times:
    """`policy` names a class of points with the same rules: these share their moments."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._moments: dict[tuple[object, ...], Moments] = {}

    def later(self, policy: str, artifact: Artifact, state: PointState) -> Moments:
        """A moment for every combination of conditions on time, intended and live, however far ahead.

        Behind the end of the windows schedules say nothing more, but all that is written in the listing does.
        """
        now = (self._at,) if state.withheld else ()
        if not artifact.validities and not state.times:
            return Moments(now, True)
        key = (policy, state.times, state.windows_until)
        if key not in self._moments:
            every: tuple[Timed, ...] = (*artifact.validities, *state.times)
            bounds: tuple[Timed, ...] = (
                *(Validity(one.starts, one.expires) for one in artifact.validities),
                *state.times,
            )
            until = state.windows_until
            if until is not None:
                parts = [(every, (self._at, until)), (bounds, (max(self._at, until), _END))]
            elif any(one.schedule is not None for one in artifact.validities):
                parts = [(every, part) for part in stretches(every, self._at)]
            else:
                parts = [(every, (self._at, _END))]
            self._moments[key] = _moments(parts)
        found = self._moments[key]
        return Moments((*now, *(moment for moment in found.moments if moment != self._at)), found.complete)

    def untrusted(self, state: PointState) -> Moments:
        """A moment for every combination of conditions that may hold while the clock is not trusted."""
        conditions = state.times if state.times_untrusted is None else state.times_untrusted
        key = (conditions,)
        if key not in self._moments:
            self._moments[key] = _moments([(conditions, (_BEGINNING, _END))])
        return self._moments[key]


def _moments(parts: Iterable[tuple[tuple[Timed, ...], TimeWindow]]) -> Moments:
    """The first moment of every combination of conditions, in each of some times by itself."""
    moments: list[datetime] = []
    complete = True
    for conditions, (start, end) in parts:
        reach = min(end, _END)
        if start >= reach:
            continue
        found = distinct_moments(conditions, start, reach - start, MOST_MOMENTS)
        moments.extend(found.moments)
        complete &= found.complete
    return Moments(tuple(moments), complete)
