# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Schedules: windows of time that recur, as RFC 5545 says them (DTSTART, RRULE, EXDATE and a duration).

Recurrence is worked out on the wall clock of the schedule's zone. A start that the clock skips in spring happens at the
moment the clock would have shown it without the change; a start that the clock shows twice in autumn happens the first
time. Days of a duration are days of the calendar, hours and minutes elapsed time. Results are in UTC, half open.

An answer costs the years around the question, not those since DTSTART; only COUNT has to be counted from there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

#: A window that is open from its first moment to just before its last.
TimeWindow = tuple[datetime, datetime]
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
#: Years in which windows may begin: every zone can be asked about them.
FIRST_YEAR, LAST_YEAR = 1900, 9990
#: A rule has to occur within this many years of its DTSTART, and all its COUNT.
SEARCHED_YEARS = 100
_YEAR = timedelta(days=366)
#: Years after which weekdays, dates and leap days are the same again.
_CYCLE = 28
#: From so many openings a year on there are some in every year.
_SELDOM = 4
#: Years in which the next opening is looked for, one after the other: most schedules have one within a year.
_FAR = (1, 8, SEARCHED_YEARS)


@dataclass(frozen=True, slots=True)
class Schedule:
    """`start` is where recurrence begins, on the wall clock of `zone` (an IANA name). `rule` is the value of RRULE, its
    UNTIL a moment in UTC; empty for a single window. As in the usual readers of RFC 5545, `start` itself is an
    occurrence only if the rule says so. A window lasts `days` days of the calendar and `seconds` of elapsed time.
    Occurrences that begin at one of the moments `excluded` (UTC) do not happen.
    """

    start: datetime
    zone: str
    rule: str
    days: int
    seconds: int
    excluded: tuple[datetime, ...] = ()

    def open_at(self, at: datetime) -> bool:
        return any(low <= at < high for low, high in self._around(at, at))

    def windows(self, start: datetime, end: datetime) -> tuple[TimeWindow, ...]:
        """Windows that overlap [start, end), ascending and disjoint; windows that touch are one.

        They are whole, unless touching windows go on for more than a year before `start` or after `end`: those begin
        and end somewhere beyond that year.
        """
        if end <= start:
            return ()
        return tuple((low, high) for low, high in self._around(start, end) if low < end)

    def _around(self, start: datetime, end: datetime) -> tuple[TimeWindow, ...]:
        """Known windows from the first that ends after `start`, some of them after `end`."""
        first, last = start.astimezone(UTC).year - 2, end.astimezone(UTC).year + 2
        known = _windows(self, max(first, FIRST_YEAR), min(last, LAST_YEAR))
        return known[bisect_right(known, start, key=lambda window: window[1]) :]

    def next_change(self, at: datetime, within: timedelta = 3 * _YEAR) -> datetime | None:
        """The next moment after `at` at which the schedule opens or closes; None if there is none within the time."""
        end = later(at, within)
        for low, high in self.windows(at, end):
            for moment in (low, high):
                if at < moment < end:
                    return moment
            if low <= at:  # open, and for longer than was asked
                return None
        return None

    def turns(self, at: datetime) -> set[datetime]:
        """Moments after `at` at which a new time begins: what it does in a year from `at` on says nothing about those.

        The end of its last window, occurrences that do not happen, and openings that less than every year has.
        """
        found = set(self.excluded)
        last = self._last()
        if last is not None:
            around = self.windows(last - 2 * _YEAR, later(last, _YEAR))
            found.add(around[-1][1] if around else last)
        begin = max(at, moment_of(self.start, self.zone))
        opening = next((low for years in _FAR for low, _high in self.windows(begin, later(begin, years * _YEAR))), None)
        if opening is not None:
            if opening > later(at, _YEAR):
                found.add(opening)
            if len(self.windows(opening, later(opening, _YEAR))) <= _SELDOM:
                following = self.windows(opening, later(opening, _CYCLE * _YEAR))
                found.update(low for low, _high in following if len(following) < _CYCLE)
        return {moment.astimezone(UTC) for moment in found if moment > at}

    def _last(self) -> datetime | None:
        """About when it occurs for the last time; None if it goes on for ever."""
        if not self.rule:
            return moment_of(self.start, self.zone)
        if "COUNT=" in self.rule:
            return moment_of(_counted(self)[-1], self.zone)
        until = next((part[6:] for part in self.rule.split(";") if part.startswith("UNTIL=")), "")
        return datetime.strptime(until, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) if until else None

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


def later(moment: datetime, time: timedelta) -> datetime:
    """`moment + time`, or the end of the calendar where that would lie beyond it."""
    last = datetime.max.replace(tzinfo=UTC) - timedelta(days=2)
    return last if time >= last - moment else moment + time


def moment_of(wall: datetime, zone: str) -> datetime:
    """The moment at which the clock of the zone shows this: of two the first, of none the one by the clock before."""
    return wall.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)


def occurrences(start: datetime, zone: str, rule: str) -> Iterator[datetime]:
    """The occurrences of a rule within SEARCHED_YEARS of its start, on the wall clock, ascending.

    Raises ValueError for a rule that cannot be read.
    """
    end = datetime(min(start.year + SEARCHED_YEARS, LAST_YEAR), 1, 1)
    return _between(start, zone, rule, start, end)


@lru_cache(maxsize=4096)
def _windows(schedule: Schedule, first: int, last: int) -> tuple[TimeWindow, ...]:
    """The windows that begin in these years, the last not counted, merged."""
    if last <= first:
        return ()
    excluded = set(schedule.excluded)
    found = []
    for wall in _starts(schedule, datetime(first, 1, 1), datetime(last, 1, 1)):
        low = moment_of(wall, schedule.zone)
        if low not in excluded:
            high = moment_of(wall + timedelta(days=schedule.days), schedule.zone) if schedule.days else low
            found.append((low, high + timedelta(seconds=schedule.seconds)))
    merged: list[TimeWindow] = []
    for low, high in sorted(found):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        elif high > low:
            merged.append((low, high))
    return tuple(merged)


def _starts(schedule: Schedule, low: datetime, high: datetime) -> list[datetime]:
    """Starts in [low, high) on the wall clock."""
    if not schedule.rule:
        return [schedule.start] if low <= schedule.start < high else []
    if "COUNT=" in schedule.rule:
        known = _counted(schedule)
        return list(known[bisect_left(known, low) : bisect_left(known, high)])
    return list(_between(schedule.start, schedule.zone, schedule.rule, low, high))


@lru_cache(maxsize=1024)
def _counted(schedule: Schedule) -> tuple[datetime, ...]:
    return tuple(occurrences(schedule.start, schedule.zone, schedule.rule))


def _between(start: datetime, zone: str, rule: str, low: datetime, high: datetime) -> Iterator[datetime]:
    """Occurrences in [low, high). Without COUNT the periods before `low` are jumped over, not gone through."""
    parts = dict(part.split("=", 1) for part in rule.split(";"))
    until, count = parts.pop("UNTIL", ""), parts.pop("COUNT", "")
    begin = start if count else _jump(parts, start, low)
    text = ";".join(f"{key}={value}" for key, value in parts.items())
    # A rule that never occurs would be searched for until the end of the calendar; with an end it stops there.
    found = rrulestr(f"RRULE:{text};UNTIL={high:%Y%m%dT%H%M%S}", dtstart=begin)
    last = datetime.strptime(until, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) if until else None
    for wall in islice((wall for wall in found if wall >= start), int(count) if count else None):
        if wall >= high or (last is not None and moment_of(wall, zone) > last):
            return
        if wall >= low:
            yield wall


def _jump(parts: dict[str, str], start: datetime, low: datetime) -> datetime:
    """A start of recurrence near `low` that gives the same occurrences from there on.

    What the rule takes from DTSTART is written into `parts`, because the new start lies on another day.
    """
    frequency, interval = parts["FREQ"], int(parts.get("INTERVAL", 1))
    if low <= start:
        return start
    if frequency in ("DAILY", "WEEKLY"):
        period = timedelta(days=interval * (7 if frequency == "WEEKLY" else 1))
        return start + max(0, (low - start) // period - 1) * period
    if frequency == "MONTHLY" and "BYDAY" not in parts:
        parts.setdefault("BYMONTHDAY", str(start.day))
    if frequency == "YEARLY" and "BYDAY" not in parts and "BYMONTHDAY" not in parts:
        parts.setdefault("BYMONTH", str(start.month))
        parts["BYMONTHDAY"] = str(start.day)
    if frequency == "YEARLY":
        years = max(0, (low.year - start.year) // interval - 1) * interval
        return start.replace(year=start.year + years, month=1, day=1)
    months = max(0, ((low.year - start.year) * 12 + low.month - start.month) // interval - 1) * interval
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return start.replace(year=year, month=month + 1, day=1)


__all__ = [
    "FIRST_YEAR",
    "LAST_YEAR",
    "SEARCHED_YEARS",
    "WEEKDAYS",
    "Schedule",
    "TimeWindow",
    "later",
    "moment_of",
    "occurrences",
]
