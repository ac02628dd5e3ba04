# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""When answers change by the clock alone: moments that stand for every combination of open conditions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Protocol

from .intervals import Intervals
from .schedule import TimeWindow, later
from .windows import Recurring, in_words

#: A year of schedules, leap day included: what happens once a year is in it.
HORIZON = timedelta(days=366)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST = datetime.max.replace(tzinfo=UTC)


class Timed(Protocol):
    """Something that holds at some moments and not at others."""

    @property
    def timed(self) -> bool: ...

    def holds(self, at: datetime) -> bool: ...

    def changes(self, start: datetime, end: datetime) -> set[datetime]: ...

    def turns(self, at: datetime) -> set[datetime]: ...


@dataclass(frozen=True, slots=True)
class Validity:
    """When something counts: in [starts, expires), and where there is a schedule, in its windows. None is unbounded."""

    starts: datetime | None = None
    expires: datetime | None = None
    schedule: Recurring | None = None

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

    def turns(self, at: datetime) -> set[datetime]:
        """Moments after `at` from which on a year has to be looked at: ends, and what `Schedule.turns` says."""
        found = {moment.astimezone(UTC) for moment in (self.starts, self.expires) if moment is not None}
        if self.schedule is not None:
            since = at if self.starts is None else max(at, self.starts)
            found |= self.schedule.turns(since)
        return {moment for moment in found if at < moment and (self.expires is None or moment <= self.expires)}

    def __str__(self) -> str:
        """
        >>> str(Validity(expires=datetime(2026, 7, 1, tzinfo=UTC)))
        'until 2026-07-01 00:00:00Z'
        """
        parts = [in_words(self.schedule)] if self.schedule else []
        parts += [f"{word} {moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" for word, moment in self._bounds() if moment]
        return ", ".join(parts) or "always"

    def _bounds(self) -> tuple[tuple[str, datetime | None], ...]:
        return ("from", self.starts), ("until", self.expires)


@dataclass(frozen=True, slots=True)
class Spans:
    """When a condition read from a platform holds: intervals of microseconds since 1970, both ends included."""

    intervals: Intervals

    @property
    def timed(self) -> bool:
        return bool(self.intervals)

    def holds(self, at: datetime) -> bool:
        number = (at - _EPOCH) // _MICROSECOND
        place = bisect_right(self.intervals, number, key=lambda pair: pair[0])
        return place > 0 and number <= self.intervals[place - 1][1]

    def changes(self, start: datetime, end: datetime) -> set[datetime]:
        """As `Validity.changes`."""
        low, high = (start - _EPOCH) // _MICROSECOND, (end - _EPOCH) // _MICROSECOND
        edges = {edge for first, last in self.intervals for edge in (first, last + 1) if low < edge < high}
        return {_EPOCH + edge * _MICROSECOND for edge in edges}

    def turns(self, at: datetime) -> set[datetime]:
        """As `Validity.turns`."""
        return self.changes(at, _LAST)


@dataclass(frozen=True, slots=True)
class Combination:
    """Times at which the same conditions hold. `first` is the first moment, `windows` all of them."""

    first: datetime
    windows: tuple[TimeWindow, ...]


def combinations(
    conditions: Iterable[Timed], start: datetime, end: datetime, most: int = 64
) -> tuple[tuple[Combination, ...], datetime]:
    """Every combination of conditions in [start, end) with its times, and the end of what was looked at.

    That is `end`, or earlier the moment at which there would be more than `most`.
    """
    steps = [*_timeline(conditions, start, end), (end, 0)]
    found: dict[int, list[TimeWindow]] = {}
    for (low, key), (high, _next) in pairwise(steps):
        if key not in found and len(found) == most:
            end = low
            break
        windows = found.setdefault(key, [])
        if windows and windows[-1][1] == low:
            windows[-1] = (windows[-1][0], high)
        else:
            windows.append((low, high))
    return tuple(Combination(windows[0][0], tuple(windows)) for windows in found.values()), end


def _timeline(conditions: Iterable[Timed], start: datetime, end: datetime) -> Iterator[tuple[datetime, int]]:
    """From each moment on, which conditions hold, as bits; the first moment is `start`.

    Each condition is asked at its own changes only: with many schedules there are far more changes of others.
    """
    turns: dict[datetime, list[tuple[int, bool]]] = {start: []}
    for number, one in enumerate(one for one in dict.fromkeys(conditions) if one.timed):
        for moment in (start, *one.changes(start, end)):
            turns.setdefault(moment, []).append((1 << number, one.holds(moment)))
    held = 0
    for moment in sorted(turns):
        for bit, holds in turns[moment]:
            held = held | bit if holds else held & ~bit
        yield moment, held


@dataclass(frozen=True, slots=True)
class Moments:
    """`moments`: the first of each combination, ascending; the first of all is the moment asked about.

    `complete` is False where there were more combinations than wanted.
    """

    moments: tuple[datetime, ...]
    complete: bool


def stretches(conditions: Iterable[Timed], at: datetime) -> tuple[TimeWindow, ...]:
    """The times in which every combination of conditions occurs: a year from `at` on, and from each of their turns."""
    found: list[TimeWindow] = []
    for start in (at, *sorted({moment for one in conditions for moment in one.turns(at)})):
        begin = found.pop()[0] if found and start <= found[-1][1] else start
        found.append((begin, later(start, HORIZON)))
    return tuple(found)


def distinct_moments(
    validities: Iterable[Timed], at: datetime, horizon: timedelta = HORIZON, most: int = 64
) -> Moments:
    """The first moment in [at, at + horizon) of every combination of validities that then hold."""
    known: dict[int, datetime] = {}
    for moment, combination in _timeline(validities, at, at + horizon):
        if combination in known:
            continue
        if len(known) == most:
            return Moments(tuple(known.values()), False)
        known[combination] = moment
    return Moments(tuple(known.values()), True)


__all__ = [
    "HORIZON",
    "Combination",
    "Moments",
    "Spans",
    "Timed",
    "Validity",
    "combinations",
    "distinct_moments",
    "stretches",
]
