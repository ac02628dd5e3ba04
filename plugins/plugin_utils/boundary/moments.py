# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Moments as people give them to a task or on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ..model.errors import PolicyError
from ..model.schedule import FIRST_YEAR, LAST_YEAR

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def moment(text: str | None) -> datetime | None:
    """ISO 8601 with a time zone; nothing means now, said as None. Raises PolicyError (E-TIME).

    >>> moment("2026-12-31T18:00:00Z")
    datetime.datetime(2026, 12, 31, 18, 0, tzinfo=datetime.timezone.utc)
    """
    if not text:
        return None
    hint = "Write for example 2026-12-31T18:00:00+01:00, or ...Z for UTC."
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise PolicyError("E-TIME", f"{text!r} is not a time.", hint=hint) from None
    if parsed.tzinfo is None:
        raise PolicyError("E-TIME", f"{text!r} has no time zone.", hint=hint)
    if not FIRST_YEAR < parsed.year < LAST_YEAR:
        raise PolicyError("E-TIME", f"{text!r} is out of reach.", hint=f"Years {FIRST_YEAR} to {LAST_YEAR} are.")
    return parsed


def bound(text: str, zone: Callable[[], ZoneInfo], *, end: bool) -> datetime | None:
    """A bound of a window: as `moment`, or a date, which is meant in `zone`, asked for it only.

    A date begins a window with its day, or ends it with it (`end`). Raises PolicyError (E-TIME) and what `zone` raises.
    """
    if not _DATE.fullmatch(text):
        return moment(text)
    moment(f"{text}T00:00:00Z")  # is it a day of the calendar?
    day = datetime.fromisoformat(text).date() + timedelta(days=end)
    return datetime.combine(day, time(), zone()).astimezone(UTC)


__all__ = ["bound", "moment"]
