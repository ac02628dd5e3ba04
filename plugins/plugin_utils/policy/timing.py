# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the clock will do to one rule: when it closes, and when it opens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ..model.calendar import Validity
from ..model.schedule import later

_SEARCHED = timedelta(days=3 * 366)


def closes(validity: Validity, at: datetime) -> datetime | None:
    """When something that holds at `at` ends or closes; None where that is not to be seen for years."""
    end = validity.expires
    if validity.schedule is not None:
        limit = later(at, _SEARCHED)
        for low, high in validity.schedule.windows(at, limit):
            if low <= at and high < limit and (end is None or high < end):
                end = high
    return end


def opens(validity: Validity, at: datetime) -> datetime | None:
    """When something that does not hold at `at` does again; None where it never will, or not for years."""
    begin = at if validity.starts is None else max(at, validity.starts)
    if validity.schedule is not None:
        following = validity.schedule.windows(begin, later(begin, _SEARCHED))
        if not following:
            return None
        begin = max(begin, following[0][0])
    return begin if validity.expires is None or begin < validity.expires else None


def in_time(validity: Validity, at: datetime) -> str:
    """`closes 2026-11-25 17:00Z`, `closed until 2026-11-26 07:00Z`, `ended …`; empty where time changes nothing."""
    if validity.holds(at):
        end = closes(validity, at)
        return "" if end is None else f"closes {_shown(end)}"
    if validity.expires is not None and validity.expires <= at:
        return f"ended {_shown(validity.expires)}"
    begin = opens(validity, at)
    return "closed, and does not open again" if begin is None else f"closed until {_shown(begin)}"


def _shown(moment: datetime) -> str:
    at = moment.astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%MZ}" if not at.second else f"{at:%Y-%m-%d %H:%M:%SZ}"


__all__ = ["closes", "in_time", "opens"]
