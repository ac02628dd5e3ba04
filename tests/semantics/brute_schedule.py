# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Schedules for the reference evaluator, with plain arithmetic on dates: every day is asked whether the rule names it.

Shares no code with the product and uses no library for recurrence.
"""

from __future__ import annotations

import calendar
import datetime as dt
import functools
import re
from zoneinfo import ZoneInfo

DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@functools.cache
def read(text, duration, timezone):
    """{start, zone, rule (a mapping or None), excluded (moments), days, seconds}"""
    schedule = {"rule": None, "excluded": []}
    zone = timezone
    lines = [re.fullmatch(r"(\w+)(?:;TZID=([^:]+))?:(.*)", line).groups() for line in text.split()]
    for name, written_zone, value in lines:
        if name == "DTSTART":
            zone = "UTC" if value.endswith("Z") else written_zone or timezone
            schedule["start"] = dt.datetime.strptime(value.rstrip("Z"), "%Y%m%dT%H%M%S")
    for name, written_zone, value in lines:
        if name == "RRULE":
            schedule["rule"] = dict(part.split("=") for part in value.split(";"))
        if name == "EXDATE":
            schedule["excluded"] += [written_moment(item, written_zone or zone) for item in value.split(",")]
    weeks, days, hours, minutes, seconds = (
        int(number or 0)
        for number in re.fullmatch(r"P(?:(\d+)W)?(?:(\d+)D)?T?(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?", duration).groups()
    )
    schedule["zone"] = zone
    schedule["days"] = weeks * 7 + days
    schedule["seconds"] = (hours * 60 + minutes) * 60 + seconds
    return schedule


def written_moment(value, zone):
    if value.endswith("Z"):
        return dt.datetime.strptime(value, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    if "T" not in value:
        value += "T235959"
    return to_utc(dt.datetime.strptime(value, "%Y%m%dT%H%M%S"), zone)


def to_utc(wall, zone):
    """The first moment whose clock shows `wall`; if none does, `wall` by the offset before the clock was changed."""
    where = ZoneInfo(zone)
    near = [wall.replace(tzinfo=dt.UTC) + dt.timedelta(days=days) for days in (-2, 2)]
    offsets = [moment.astimezone(where).utcoffset() for moment in near]
    moments = [wall.replace(tzinfo=dt.UTC) - offset for offset in offsets]
    shown = [moment for moment in moments if moment.astimezone(where).replace(tzinfo=None) == wall]
    return min(shown) if shown else moments[0]


def matches_day(rule, start, day):
    """Does the rule name this day, without COUNT, UNTIL and BYSETPOS?"""
    frequency, interval = rule["FREQ"], int(rule.get("INTERVAL", 1))
    by_day, by_monthday = rule.get("BYDAY"), rule.get("BYMONTHDAY")
    by_month = rule.get("BYMONTH")
    if frequency == "DAILY":
        apart = (day - start).days
    elif frequency == "WEEKLY":
        first = DAYS.index(rule.get("WKST", "MO"))
        begins = [one - dt.timedelta(days=(one.weekday() - first) % 7) for one in (start, day)]
        apart = (begins[1] - begins[0]).days // 7
    elif frequency == "MONTHLY":
        apart = (day.year - start.year) * 12 + day.month - start.month
    else:
        apart = day.year - start.year
    if apart % interval:
        return False
    if by_day is None and by_monthday is None:
        if frequency == "WEEKLY":
            by_day = DAYS[start.weekday()]
        elif frequency in ("MONTHLY", "YEARLY"):
            by_monthday = str(start.day)
            if frequency == "YEARLY" and by_month is None:
                by_month = str(start.month)
    if by_month is not None and str(day.month) not in by_month.split(","):
        return False
    length = calendar.monthrange(day.year, day.month)[1]
    if by_monthday is not None and not {day.day, day.day - length - 1} & {int(one) for one in by_monthday.split(",")}:
        return False
    if by_day is None:
        return True
    in_month = frequency == "MONTHLY" or by_month is not None
    before = day.day - 1 if in_month else day.timetuple().tm_yday - 1
    whole = length if in_month else 365 + calendar.isleap(day.year)
    ordinals = {0, before // 7 + 1, -((whole - before - 1) // 7 + 1)}
    return any(DAYS.index(one[-2:]) == day.weekday() and int(one[:-2] or 0) in ordinals for one in by_day.split(","))


def picked(rule, start, day):
    """Does BYSETPOS, if there is one, choose this day out of those of its month or year?"""
    if "BYSETPOS" not in rule:
        return True
    if rule["FREQ"] == "MONTHLY":
        first, length = day.replace(day=1), calendar.monthrange(day.year, day.month)[1]
    else:
        first, length = day.replace(month=1, day=1), 365 + calendar.isleap(day.year)
    period = [first + dt.timedelta(days=number) for number in range(length)]
    period = [one for one in period if matches_day(rule, start, one)]
    position = period.index(day)
    return bool({position + 1, position - len(period)} & {int(one) for one in rule["BYSETPOS"].split(",")})


def starts(schedule, last):
    """Every start of a window on the wall clock until the end of the day `last`, exclusions left out."""
    first, rule, zone = schedule["start"], schedule["rule"], schedule["zone"]
    if rule is None:
        return [] if to_utc(first, zone) in schedule["excluded"] else [first]
    found, count = [], 0
    until = written_moment(rule["UNTIL"], zone) if "UNTIL" in rule else None
    day = first.date()
    while day <= last:
        if matches_day(rule, first.date(), day) and picked(rule, first.date(), day):
            wall = dt.datetime.combine(day, first.time())
            count += 1
            if count > int(rule.get("COUNT", count)) or (until is not None and to_utc(wall, zone) > until):
                break
            if to_utc(wall, zone) not in schedule["excluded"]:
                found.append(wall)
        day += dt.timedelta(days=1)
    return found


@functools.cache
def windows(text, duration, timezone, last):
    schedule = read(text, duration, timezone)
    result = []
    for wall in starts(schedule, last):
        begins = ends = to_utc(wall, schedule["zone"])
        if schedule["days"]:
            ends = to_utc(wall + dt.timedelta(days=schedule["days"]), schedule["zone"])
        result.append((begins, ends + dt.timedelta(seconds=schedule["seconds"])))
    return result


def open_at(when, timezone, at):
    """`when` as it stands in a rule."""
    last = dt.date(at.year + 1, 1, 2)
    return any(begins <= at < ends for begins, ends in windows(when["schedule"], when["duration"], timezone, last))
