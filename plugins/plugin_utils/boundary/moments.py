# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Moments as people give them to a task or on the command line."""

from __future__ import annotations

from datetime import datetime

from ..model.errors import PolicyError
from ..model.schedule import FIRST_YEAR, LAST_YEAR


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
