# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Schedules as they are written: iCalendar lines and an ISO 8601 duration."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from ...model.errors import PolicyError
from ...model.schedule import Schedule, recurrence
from .nodes import Spot
from .problems import nearest

_LINE = re.compile(r"^(?P<name>DTSTART|EXDATE|RRULE)(?P<parameters>(?:;[A-Z-]+=[^:;]+)*):(?P<value>\S+)$")
_WALL = re.compile(r"^(\d{8})T(\d{6})(Z?)$")
_DURATION = re.compile(r"^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$")
#: What recurs more often than daily has no one meaning on the days on which clocks change.
FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_HOW = 'Write "DTSTART;TZID=Europe/Berlin:20260105T080000\\nRRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR".'
LONGEST = 366 * 86400


def read_schedule(text: str, duration: str, zone: ZoneInfo, spot: Spot) -> Schedule:
    """Raises PolicyError (E-SCHEDULE). `zone` is that of times without one."""
    days, seconds = _read_duration(duration, spot["duration"])
    here = spot["schedule"]
    start: datetime | None = None
    rule, name, excluded = "", zone.key, []
    for part in text.split():
        found = _LINE.match(part)
        if not found:
            raise _bad(f"{part!r} is not a line of a schedule", here, "DTSTART, RRULE and EXDATE are known. " + _HOW)
        parameters = dict(item.split("=", 1) for item in found["parameters"].split(";") if item)
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
        _in_zone(*_read_wall(value, given or name, here), name)
        for values, given in excluded
        for value in values.split(",")
    }
    return Schedule(start, name, rule, days, seconds, tuple(sorted(exceptions)))


def _read_wall(text: str, zone: str, spot: Spot) -> tuple[datetime, str]:
    """A time on the wall clock and the zone it is meant in; a Z means UTC whatever the zone is."""
    found = _WALL.match(text)
    try:
        if not found:
            raise ValueError
        wall = datetime.strptime(found[1] + found[2], "%Y%m%d%H%M%S")
    except ValueError:
        raise _bad(f"{text!r} is not a time", spot, "Write 20260105T080000, with a Z for UTC.") from None
    if found[3]:
        return wall, "UTC"
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = nearest(zone, available_timezones()) or "Write an IANA name such as Europe/Berlin."
        raise _bad(f"{zone!r} is not a time zone", spot, hint) from None
    return wall, zone


def _in_zone(wall: datetime, given: str, zone: str) -> datetime:
    if given == zone:
        return wall
    return wall.replace(tzinfo=ZoneInfo(given)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def _checked_rule(rule: str, start: datetime, zone: str, spot: Spot) -> str:
    """Parts in alphabetical order after FREQ, so that equal rules are equal text."""
    parts = {}
    for part in rule.split(";"):
        key, _equals, value = part.partition("=")
        if not value or key in parts:
            raise _bad(f"{part!r} of the RRULE {'stands twice' if key in parts else 'has no value'}", spot, _HOW)
        parts[key] = value
    if parts.get("FREQ") not in FREQUENCIES:
        raise _bad(f"FREQ is {parts.get('FREQ', 'missing')}", spot, f"Valid: {', '.join(FREQUENCIES)}.")
    if "COUNT" in parts and "UNTIL" in parts:
        raise _bad("COUNT and UNTIL exclude each other", spot, "Keep one of them.")
    if "UNTIL" in parts:
        until = parts["UNTIL"]
        if re.fullmatch(r"\d{8}", until):
            until += "T235959"
        wall, given = _read_wall(until, zone, spot)
        parts["UNTIL"] = f"{_in_zone(wall, given, zone):%Y%m%dT%H%M%S}"
    frequency = parts.pop("FREQ")
    text = ";".join([f"FREQ={frequency}", *(f"{key}={parts[key]}" for key in sorted(parts))])
    try:
        recurrence(text, start)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise _bad(f"RRULE {rule} cannot be read: {error}", spot, _HOW) from None
    return text


def _read_duration(text: str, spot: Spot) -> tuple[int, int]:
    """Days of the calendar and seconds of elapsed time."""
    found = _DURATION.match(text)
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0, 0, 0)
    elapsed = hours * 3600 + minutes * 60 + seconds
    whole = weeks * 7 + days
    if not found or not 0 < whole * 86400 + elapsed <= LONGEST:
        raise _bad(
            f"{text!r} is not a duration", spot, "Write PT10H, PT1H30M or P1D; more than nothing, at most a year."
        )
    return whole, elapsed


def _bad(why: str, spot: Spot, hint: str) -> PolicyError:
    return PolicyError("E-SCHEDULE", f"the schedule cannot be used: {why}.", spot.place, hint)


__all__ = ["read_schedule"]
