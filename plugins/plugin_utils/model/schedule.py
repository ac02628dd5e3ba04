# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Schedules: windows of time that recur, as RFC 5545 says them (DTSTART, RRULE, EXDATE and a duration).

Recurrence is worked out on the wall clock of the schedule's zone. A start that the clock skips in spring happens at the
moment the clock would have shown it without the change; a start that the clock shows twice in autumn happens the first
time. Days of a duration are days of the calendar, hours and minutes elapsed time. Results are in UTC, half open.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

#: A window that is open from its first moment to just before its last.
TimeWindow = tuple[datetime, datetime]
_YEAR = timedelta(days=366)
_LATEST = datetime(9998, 1, 1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """`start` is the first occurrence on the wall clock of `zone` (an IANA name); `rule` the value of RRULE, empty for
    a single window. A window lasts `days` days of the calendar and `seconds` of elapsed time. Occurrences that begin at
    one of `excluded` (wall clock) do not happen.
    """

    start: datetime
    zone: str
    rule: str
    days: int
    seconds: int
    excluded: tuple[datetime, ...] = ()

    def open_at(self, at: datetime) -> bool:
        return any(low <= at < high for low, high in self.windows(at, at + timedelta(seconds=1)))

    def windows(self, start: datetime, end: datetime) -> tuple[TimeWindow, ...]:
        """Windows that overlap [start, end), whole, ascending and disjoint; windows that touch are one."""
        if end <= start:
            return ()
        known = _windows(self, _horizon(end))
        first = bisect_left(known, start, key=lambda window: window[1])
        found = []
        for low, high in known[first:]:
            if low >= end:
                break
            if high > start:
                found.append((low, high))
        return tuple(found)

    def next_change(self, at: datetime, within: timedelta = 3 * _YEAR) -> datetime | None:
        """The next moment after `at` at which the schedule opens or closes; None if there is none within the time."""
        for low, high in self.windows(at, at + within):
            if low > at:
                return low
            if high > at:
                return high
        return None

    def to_dict(self) -> dict[str, Any]:
        return {
            "start": self.start.isoformat(),
            "zone": self.zone,
            "rule": self.rule,
            "days": self.days,
            "seconds": self.seconds,
            "excluded": [moment.isoformat() for moment in self.excluded],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Schedule:
        return cls(
            start=datetime.fromisoformat(data["start"]),
            zone=data["zone"],
            rule=data["rule"],
            days=data["days"],
            seconds=data["seconds"],
            excluded=tuple(datetime.fromisoformat(text) for text in data["excluded"]),
        )

    def __str__(self) -> str:
        """In one line for people: `FREQ=WEEKLY;BYDAY=MO from 2026-01-05 08:00 Europe/Berlin for 10 h`."""
        repeated = f"{self.rule} from " if self.rule else ""
        hours, rest = divmod(self.seconds, 3600)
        minutes, seconds = divmod(rest, 60)
        parts = ((self.days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
        lasting = " ".join(f"{number} {unit}" for number, unit in parts if number)
        return f"{repeated}{self.start:%Y-%m-%d %H:%M} {self.zone} for {lasting}"


def recurrence(rule: str, start: datetime) -> rrule:
    """The occurrences of an RRULE on the wall clock. Raises ValueError for a rule that cannot be read."""
    found = rrulestr(f"RRULE:{rule}", dtstart=start)
    if not isinstance(found, rrule):
        raise ValueError("one RRULE is expected")
    return found


def _horizon(end: datetime) -> int:
    """Windows are worked out for whole years, so that questions about near moments share the work."""
    return (end.astimezone(UTC) + timedelta(days=2)).year + 1


@lru_cache(maxsize=4096)
def _windows(schedule: Schedule, year: int) -> tuple[TimeWindow, ...]:
    """All windows that begin before the year, merged."""
    zone = ZoneInfo(schedule.zone)
    excluded = set(schedule.excluded)
    merged: list[TimeWindow] = []
    for wall in _occurrences(schedule, min(datetime(year, 1, 1), _LATEST)):
        if wall in excluded:
            continue
        low = wall.replace(tzinfo=zone).astimezone(UTC)
        high = (wall + timedelta(days=schedule.days)).replace(tzinfo=zone).astimezone(UTC)
        high += timedelta(seconds=schedule.seconds)
        if high <= low:
            continue
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def _occurrences(schedule: Schedule, before: datetime) -> list[datetime]:
    if not schedule.rule:
        return [schedule.start] if schedule.start < before else []
    text = schedule.rule
    if "UNTIL=" not in text:
        # A rule that never occurs would be searched for until the end of the calendar; with an end it stops there.
        rule = recurrence(text, schedule.start).replace(until=before)
    else:
        rule = recurrence(text, schedule.start)
    return list(takewhile(before.__gt__, rule))


__all__ = ["Schedule", "TimeWindow", "recurrence"]
