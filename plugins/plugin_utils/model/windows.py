# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Windows of time written out one by one, beside schedules, which say how they recur; and both in words."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from .schedule import Schedule, TimeWindow


@dataclass(frozen=True, slots=True)
class Windows:
    """Ascending, disjoint, in UTC. Not open at any other time.

    States between two policies use them: when both are open follows no rule of a calendar.
    """

    spans: tuple[TimeWindow, ...]

    def open_at(self, at: datetime) -> bool:
        return bool(self.windows(at, at + timedelta(microseconds=1)))

    def windows(self, start: datetime, end: datetime) -> tuple[TimeWindow, ...]:
        """As `Schedule.windows`."""
        if end <= start:
            return ()
        first = bisect_left(self.spans, start, key=lambda window: window[1])
        return tuple(span for span in self.spans[first:] if span[1] > start and span[0] < end)

    def turns(self, at: datetime) -> set[datetime]:
        """As `Schedule.turns`."""
        return {moment for span in self.spans for moment in span if moment > at}

    def to_dict(self) -> dict[str, Any]:
        return {"windows": [[moment.astimezone(UTC).isoformat() for moment in span] for span in self.spans]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Windows:
        return cls(tuple((datetime.fromisoformat(low), datetime.fromisoformat(high)) for low, high in data["windows"]))

    def __str__(self) -> str:
        """
        >>> str(Windows(((datetime(2026, 1, 5, 8, tzinfo=UTC), datetime(2026, 1, 5, 18, tzinfo=UTC)),)))
        '1 window from 2026-01-05 08:00Z to 2026-01-05 18:00Z'
        """
        if not self.spans:
            return "never"
        noun = "window" if len(self.spans) == 1 else "windows"
        first, last = self.spans[0][0], self.spans[-1][1]
        return f"{len(self.spans)} {noun} from {first:%Y-%m-%d %H:%MZ} to {last:%Y-%m-%d %H:%MZ}"


#: When a rule is open again and again.
Recurring = Schedule | Windows
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def recurring(data: Mapping[str, Any]) -> Recurring:
    """Either kind, from its `to_dict`."""
    return Windows.from_dict(data) if "windows" in data else Schedule.from_dict(data)


def in_words(schedule: Recurring) -> str:
    """For people: `Mon-Fri 08:00-18:00 Europe/Berlin` where the rule is as plain as that, else as `str` says it.

    >>> week = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"
    >>> in_words(Schedule(datetime(2026, 1, 5, 8), "Europe/Berlin", week, 0, 36000))
    'Mon-Fri 08:00-18:00 Europe/Berlin'
    >>> in_words(Schedule(datetime(2026, 1, 5, 22), "UTC", "FREQ=DAILY", 0, 28800))
    'daily 22:00-06:00 UTC'
    """
    if not isinstance(schedule, Schedule) or schedule.days or schedule.excluded or not 0 < schedule.seconds <= 86400:
        return str(schedule)
    parts = dict(part.split("=", 1) for part in schedule.rule.split(";") if "=" in part)
    days = parts.pop("BYDAY", "")
    if parts == {"FREQ": "DAILY"} and not days:
        when = "daily"
    elif parts == {"FREQ": "WEEKLY"} and days and set(days.split(",")) <= set(_DAYS):
        when = _named_days(sorted(_DAYS.index(day) for day in set(days.split(","))))
    else:
        return str(schedule)
    end = schedule.start + timedelta(seconds=schedule.seconds)
    return f"{when} {schedule.start:%H:%M}-{end:%H:%M} {schedule.zone}"


def _named_days(days: list[int]) -> str:
    """Runs of three and more as `Mon-Fri`."""
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][-1] + 1 == day:
            runs[-1].append(day)
        else:
            runs.append([day])
    names = [
        f"{_DAY_NAMES[run[0]]}-{_DAY_NAMES[run[-1]]}" if len(run) > 2 else ",".join(_DAY_NAMES[day] for day in run)
        for run in runs
    ]
    return ",".join(names)


__all__ = ["Recurring", "Windows", "in_words", "recurring"]
