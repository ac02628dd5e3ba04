# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""When answers change by the clock alone: moments that stand for every combination of open conditions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .schedule import Schedule

#: A year of schedules, leap day included: what happens once a year is in it.
HORIZON = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Validity:
    """When something counts: in [starts, expires), and where there is a schedule, in its windows. None is unbounded."""

    starts: datetime | None = None
    expires: datetime | None = None
    schedule: Schedule | None = None

    @property
    def timed(self) -> bool:
        return self.starts is not None or self.expires is not None or self.schedule is not None

    def holds(self, at: datetime) -> bool:
        return (
            (self.starts is None or self.starts <= at)
            and (self.expires is None or at < self.expires)
            and (self.schedule is None or self.schedule.open_at(at))
        )

    def changes(self, start: datetime, end: datetime) -> set[datetime]:
        """Moments in (start, end) at which `holds` may change."""
        found = {moment for moment in (self.starts, self.expires) if moment is not None}
        if self.schedule is not None:
            low = start if self.starts is None else max(start, self.starts)
            high = end if self.expires is None else min(end, self.expires)
            found.update(moment for window in self.schedule.windows(low, high) for moment in window)
        return {moment.astimezone(UTC) for moment in found if start < moment < end}


@dataclass(frozen=True, slots=True)
class Moments:
    """`moments`: the first of each combination, ascending; the first of all is the moment asked about.

    `complete` is False where there were more combinations than wanted.
    """

    moments: tuple[datetime, ...]
    complete: bool


def distinct_moments(
    validities: Iterable[Validity], at: datetime, horizon: timedelta = HORIZON, most: int = 64
) -> Moments:
    """The first moment in [at, at + horizon) of every combination of validities that then hold."""
    timed = [validity for validity in dict.fromkeys(validities) if validity.timed]
    changes = sorted(set().union(*(validity.changes(at, at + horizon) for validity in timed)))
    known: dict[tuple[bool, ...], datetime] = {}
    for moment in (at, *changes):
        combination = tuple(validity.holds(moment) for validity in timed)
        if combination in known:
            continue
        if len(known) == most:
            return Moments(tuple(known.values()), False)
        known[combination] = moment
    return Moments(tuple(known.values()), True)


__all__ = ["HORIZON", "Moments", "Validity", "distinct_moments"]
