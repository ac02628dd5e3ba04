# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Schedules as they are written: iCalendar lines and an ISO 8601 duration."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from ...model.errors import PolicyError
from ...model.schedule import FIRST_YEAR, LAST_YEAR, SEARCHED_YEARS, WEEKDAYS, Schedule, moment_of, occurrences
from .nodes import Spot
from .problems import nearest

_LINE = re.compile(r"^(?P<name>DTSTART|EXDATE|RRULE)(?P<parameters>(?:;[A-Z-]+=[^:;]+)*):(?P<value>\S+)$")
_WALL = re.compile(r"^(\d{8})T(\d{6})(Z?)$", re.ASCII)
_DURATION = re.compile(
    r"^P(?:(\d{1,9})W)?(?:(\d{1,9})D)?(?:T(?=\d)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?$", re.ASCII
)
#: What recurs more often than daily has no one meaning on the days on which clocks change.
FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
#: Parts of an RRULE and how each looks; the time of day is that of DTSTART.
_PARTS = {
    "INTERVAL": re.compile(r"[1-9]\d{0,3}", re.ASCII),
    "COUNT": re.compile(r"[1-9]\d{0,4}", re.ASCII),
    "BYMONTH": re.compile(r"(?:[1-9]|1[0-2])(?:,(?:[1-9]|1[0-2]))*", re.ASCII),
    "BYMONTHDAY": re.compile(r"-?(?:[1-9]|[12]\d|3[01])(?:,-?(?:[1-9]|[12]\d|3[01]))*", re.ASCII),
    "BYDAY": re.compile(r"(?:[+-]?[1-9]\d?)?(?:DAY)(?:,(?:[+-]?[1-9]\d?)?(?:DAY))*".replace("DAY", "|".join(WEEKDAYS))),
    "BYSETPOS": re.compile(r"-?[1-9]\d{0,2}(?:,-?[1-9]\d{0,2})*", re.ASCII),
    "WKST": re.compile("|".join(WEEKDAYS)),
}
_HOW = 'Write "DTSTART;TZID=Europe/Berlin:20260105T080000\nRRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR".'
LONGEST = 366 * 86400
#: Characters of a schedule: some hundred exceptions.
LONGEST_TEXT = 20_000


def read_schedule(text: str, duration: str, zone: ZoneInfo, spot: Spot) -> Schedule:
    """Raises PolicyError (E-SCHEDULE). `zone` is that of times without one."""
    days, seconds = read_duration(duration, spot["duration"])
    here = spot["schedule"]
    if len(text) > LONGEST_TEXT:
        raise _bad(f"it has {len(text):,} characters", here, f"At most {LONGEST_TEXT:,} are read.")
    start: datetime | None = None
    rule, name, excluded = "", zone.key, []
    for part in text.split():
        found = _LINE.match(part)
        if not found:
            raise _bad(
                f"{part[:80]!r} is not a line of a schedule", here, "DTSTART, RRULE and EXDATE are known. " + _HOW
            )
        parameters = dict(item.split("=", 1) for item in found["parameters"].split(";") if item)
        if "TZID" in parameters and found["value"].endswith("Z"):
            raise _bad(f"{part!r} has a TZID and a Z for UTC", here, "Keep one of them.")
        unknown = [key for key in parameters if key != "TZID"]
        if unknown or (found["name"] == "RRULE" and parameters):
            raise _bad(f"{found['name']} has no parameter {', '.join(parameters)}", here, _HOW)
        if found["name"] == "DTSTART":
            if start is not None:
                raise _bad("DTSTART stands twice", here, "One rule has one schedule; write two rules for two.")
            start, name = _read_wall(found["value"], parameters.get("TZID", name), here)
        elif found["name"] == "RRULE":
            if rule:
                raise _bad("RRULE stands twice", here, "One rule has one schedule; write two rules for two.")
            rule = found["value"].upper()
        else:
            excluded.append((found["value"], parameters.get("TZID", "")))
    if start is None:
        raise _bad("it has no DTSTART", here, _HOW)
    if rule:
        rule = _checked_rule(rule, start, name, here)
    exceptions = {
        moment_of(*_read_wall(value, given or name, here)) for values, given in excluded for value in values.split(",")
    }
    return Schedule(start, name, rule, days, seconds, tuple(sorted(exceptions)))


def _read_wall(text: str, zone: str, spot: Spot) -> tuple[datetime, str]:
    """A time on the wall clock and the zone it is meant in; a Z means UTC whatever the zone is."""
    found = _WALL.match(text)
    try:
        if not found:
            raise ValueError
        wall = datetime.strptime(found[1] + found[2], "%Y%m%d%H%M%S")
        if not FIRST_YEAR <= wall.year <= LAST_YEAR:
            raise ValueError
    except ValueError:
        hint = f"Write 20260105T080000, with a Z for UTC; years {FIRST_YEAR} to {LAST_YEAR}."
        raise _bad(f"{text[:40]!r} is not a time", spot, hint) from None
    if found[3]:
        return wall, "UTC"
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = nearest(zone, available_timezones()) or "Write an IANA name such as Europe/Berlin."
        raise _bad(f"{zone!r} is not a time zone", spot, hint) from None
    return wall, zone


def _checked_rule(rule: str, start: datetime, zone: str, spot: Spot) -> str:
    """Parts in alphabetical order after FREQ and UNTIL in UTC, so that equal rules are equal text."""
    parts: dict[str, str] = {}
    for part in rule.split(";"):
        key, _equals, value = part.partition("=")
        if not value or key in parts:
            raise _bad(f"{part!r} of the RRULE {'stands twice' if key in parts else 'has no value'}", spot, _HOW)
        parts[key] = value
    frequency = parts.pop("FREQ", "missing")
    if frequency not in FREQUENCIES:
        raise _bad(f"FREQ is {frequency}", spot, f"Valid: {', '.join(FREQUENCIES)}.")
    for key, value in parts.items():
        if key != "UNTIL" and key not in _PARTS:
            hint = nearest(key, _PARTS) or "The time of day is that of DTSTART."
            raise _bad(f"{key} is not understood in an RRULE", spot, f"{hint} Valid: {', '.join(_PARTS)}, UNTIL.")
        if key != "UNTIL" and not _PARTS[key].fullmatch(value):
            raise _bad(f"{key}={value[:40]} cannot be read", spot, _HOW)
    _refuse_unclear(frequency, parts, spot)
    if "UNTIL" in parts:
        until = parts["UNTIL"]
        if re.fullmatch(r"\d{8}", until, re.ASCII):
            until += "T235959"
        parts["UNTIL"] = f"{moment_of(*_read_wall(until, zone, spot)).astimezone(UTC):%Y%m%dT%H%M%SZ}"
    text = ";".join([f"FREQ={frequency}", *(f"{key}={parts[key]}" for key in sorted(parts))])
    number = sum(1 for _wall in occurrences(start, zone, text)) if "COUNT" in parts else None
    if number is not None and number < int(parts["COUNT"]):
        raise _bad(
            f"COUNT={parts['COUNT']} is not reached within {SEARCHED_YEARS} years of DTSTART ({number} occurrences)",
            spot,
            "Write UNTIL, or leave the end out.",
        )
    if next(occurrences(start, zone, text), None) is None:
        raise _bad(
            f"the RRULE {text} never occurs within {SEARCHED_YEARS} years of DTSTART",
            spot,
            "Correct its days, or its UNTIL.",
        )
    return text


def _refuse_unclear(frequency: str, parts: dict[str, str], spot: Spot) -> None:
    """What RFC 5545 forbids, and what its readers understand in different ways."""
    days = parts.get("BYDAY", "").split(",")
    numbered = [day for day in days if len(day) > 2]
    if "COUNT" in parts and "UNTIL" in parts:
        raise _bad("COUNT and UNTIL exclude each other", spot, "Keep one of them.")
    if numbered and frequency in ("DAILY", "WEEKLY"):
        raise _bad(f"{numbered[0]} is no day of a {frequency} rule", spot, "Numbers need FREQ=MONTHLY or YEARLY.")
    if numbered and len(numbered) < len(days):
        raise _bad("BYDAY mixes days with and without a number", spot, "Write two rules, or number all of them.")
    if "BYMONTHDAY" in parts and frequency == "WEEKLY":
        raise _bad("BYMONTHDAY does not go with FREQ=WEEKLY", spot, "Write FREQ=MONTHLY.")
    if "BYSETPOS" in parts and (frequency in ("DAILY", "WEEKLY") or not {"BYDAY", "BYMONTHDAY"} & parts.keys()):
        raise _bad("BYSETPOS has nothing to choose from", spot, "It needs FREQ=MONTHLY or YEARLY, and BYDAY.")


def read_duration(text: str, spot: Spot, code: str = "E-SCHEDULE") -> tuple[int, int]:
    """Days of the calendar and seconds of elapsed time. Raises PolicyError (`code`)."""
    found = _DURATION.match(text)
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0, 0, 0)
    elapsed = hours * 3600 + minutes * 60 + seconds
    whole = weeks * 7 + days
    if not found or not 0 < whole * 86400 + elapsed <= LONGEST:
        raise PolicyError(
            code,
            f"{text[:40]!r} is not a duration.",
            spot.place,
            "Write PT10H, PT1H30M or P1D; more than nothing, at most a year.",
        )
    return whole, elapsed


def _bad(why: str, spot: Spot, hint: str) -> PolicyError:
    return PolicyError("E-SCHEDULE", f"the schedule cannot be used: {why}.", spot.place, hint)


__all__ = ["read_duration", "read_schedule"]
