# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Moments: when something ends, and in which zone that is meant (DESIGN §3.15)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from ...model.errors import PolicyError
from .nodes import Spot
from .problems import Problems, nearest

_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_MOMENT = re.compile(r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?\s?([Zz]|[+-]\d{2}(:?\d{2})?)?$")


def read_zone(name: str, spot: Spot, problems: Problems) -> ZoneInfo:
    """An IANA time zone; UTC after an error was reported."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        problems.error(
            "E-TIMEZONE",
            f"{name!r} is not a time zone.",
            spot.place,
            nearest(name, available_timezones()) or "Write an IANA name such as Europe/Berlin.",
        )
        return ZoneInfo("UTC")


def read_moment(text: str, zone: ZoneInfo, spot: Spot) -> datetime:
    """When something was so, in UTC; a date alone does not say. Raises PolicyError (E-DATE)."""
    try:
        if not _MOMENT.match(text):
            raise ValueError
        return _moment(text, zone)
    except (ValueError, OverflowError):
        hint = "Write 2027-06-30T18:00:00 or 2027-06-30T18:00:00+02:00."
        raise PolicyError("E-DATE", f"{text[:40]!r} is not a moment.", spot.place, hint) from None


def _moment(text: str, zone: ZoneInfo) -> datetime:
    found = datetime.fromisoformat(text.upper().replace("T", " ").replace(" Z", "Z"))
    return (found if found.tzinfo is not None else found.replace(tzinfo=zone)).astimezone(UTC)


def read_end(text: str, zone: ZoneInfo, spot: Spot) -> datetime:
    """The first moment that no longer counts, in UTC. A date ends with its day. Raises PolicyError (E-DATE)."""
    try:
        if _DATE.match(text):
            return (datetime.fromisoformat(text) + timedelta(days=1)).replace(tzinfo=zone).astimezone(UTC)
        if not _MOMENT.match(text):
            raise ValueError
        return _moment(text, zone)
    except (ValueError, OverflowError):
        raise PolicyError(
            "E-DATE",
            f"{text!r} is not a date.",
            spot.place,
            "Write 2027-06-30, 2027-06-30T18:00:00 or 2027-06-30T18:00:00+02:00.",
        ) from None
