# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Schedules say, minute by minute, what the clock on the wall of their zone says."""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import schedule as model
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import Rejected
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.schedule import Schedule
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import loads

from ...semantics import brute_schedule as reference

#: Three rules of summer time: forward in March, in March two weeks before, and by half an hour on the other side.
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
MINUTE = dt.timedelta(minutes=1)
BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
MINUTES = 365 * 24 * 60
#: A window may have begun this long before the year.
BEFORE = 8 * 24 * 60
#: And end this long after it.
AFTER = 10 * 24 * 60
EXAMPLES = int(1000 * float(os.environ.get("MICROSEG_PROOF_FRACTION", "1")))


def written(text: str, duration: str, zone: str = "UTC") -> Schedule:
    """As the product reads it out of a rule."""
    when = f"{{schedule: {json.dumps(text)}, duration: {duration}}}"
    policy, _findings = loads(
        {
            "p.yml": f"settings: {{labels: {{a: {{}}}}, timezone: {zone}}}\n---\nscope: s\nestate: true\nmatch: {{}}\n"
            f"rulesets: [{{name: r, rules: [{{id: r, from: any, to: any, services: [any], when: {when}}}]}}]\n"
        }
    )
    found = policy.scopes[0].rulesets[0].rules[0].schedule
    assert found is not None
    return found


@functools.cache
def clock(zone: str) -> tuple[dt.datetime, ...]:
    """What the clock of the zone shows at every minute from BEFORE the year on."""
    where = ZoneInfo(zone)
    first = BEGIN - BEFORE * MINUTE
    return tuple(
        (first + number * MINUTE).astimezone(where).replace(tzinfo=None) for number in range(BEFORE + MINUTES + AFTER)
    )


@functools.cache
def first_shown(zone: str) -> dict[dt.datetime, int]:
    """Wall time -> the first minute that shows it. A time that is skipped comes as late as by the clock before."""
    shown: dict[dt.datetime, int] = {}
    wall = clock(zone)
    for number, time in enumerate(wall):
        if number and time - wall[number - 1] > MINUTE:
            skipped = wall[number - 1] + MINUTE
            late = number
            while skipped < time:
                shown[skipped] = late
                skipped += MINUTE
                late += 1
        shown.setdefault(time, number)
    return shown


def minutes_of(text: str, duration: str, zone: str) -> bytearray:
    """One byte a minute of the year: open or not."""
    told = reference.read(text, duration, zone)
    named = first_shown(told["zone"])
    is_open = bytearray(BEFORE + MINUTES + AFTER)
    for wall in reference.starts(told, dt.date(2027, 1, 1)):
        if wall not in named:
            continue
        end = named[wall + dt.timedelta(days=told["days"])] if told["days"] else named[wall]
        for number in range(named[wall], min(end + told["seconds"] // 60, len(is_open))):
            is_open[number] = 1
    return is_open[BEFORE : BEFORE + MINUTES]


def minutes_by(schedule: Schedule) -> bytearray:
    is_open = bytearray(MINUTES)
    for low, high in schedule.windows(BEGIN, BEGIN + MINUTES * MINUTE):
        first, last = (int((moment - BEGIN) / MINUTE) for moment in (low, high))
        for number in range(max(first, 0), min(last, MINUTES)):
            is_open[number] = 1
    return is_open


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    return st.lists(st.integers(low, high).filter(bool), min_size=1, max_size=3, unique=True).map(
        lambda chosen: ",".join(map(str, chosen))
    )


DAY_LISTS = st.lists(st.sampled_from(reference.DAYS), min_size=1, max_size=4, unique=True).map(",".join)
NUMBERED = st.tuples(st.integers(-5, 5).filter(bool), st.sampled_from(reference.DAYS)).map(lambda d: f"{d[0]}{d[1]}")


@st.composite
def rules(draw) -> str:
    frequency = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))
    parts = [f"FREQ={frequency}"]
    if draw(st.booleans()):
        parts.append(f"INTERVAL={draw(st.integers(1, 5))}")
    if draw(st.booleans()):
        parts.append(f"BYMONTH={draw(numbers(1, 12))}")
    days = frequency != "DAILY" and draw(st.booleans())
    if days:
        plain = frequency == "WEEKLY" or draw(st.booleans())
        parts.append(f"BYDAY={draw(DAY_LISTS if plain else NUMBERED)}")
    monthdays = frequency != "WEEKLY" and draw(st.integers(0, 3)) == 0
    if monthdays:
        parts.append(f"BYMONTHDAY={draw(numbers(-31, 31))}")
    if (days or monthdays) and frequency in ("MONTHLY", "YEARLY") and draw(st.integers(0, 2)) == 0:
        parts.append(f"BYSETPOS={draw(numbers(-3, 3))}")
    if draw(st.integers(0, 3)) == 0:
        parts.append(f"WKST={draw(st.sampled_from(reference.DAYS))}")
    ends = ["", f"COUNT={draw(st.integers(1, 200))}", f"UNTIL=2026{draw(st.integers(1, 12)):02}15"]
    ends.append(f"UNTIL=2026{draw(st.sampled_from(['0329', '0308', '0405', '1025', '1101', '1004']))}T013000Z")
    parts.append(draw(st.sampled_from(ends)))
    return ";".join(part for part in parts if part)


@st.composite
def schedules(draw) -> tuple[str, str, str]:
    zone = draw(st.sampled_from(ZONES))
    start = dt.datetime(2021, 1, 1) + dt.timedelta(days=draw(st.integers(0, 6 * 365 - 1)))
    time = draw(st.sampled_from(["000000", "013000", "020000", "021500", "023000", "030000", "083000", "220000"]))
    text = f"DTSTART;TZID={zone}:{start:%Y%m%d}T{time}"
    if draw(st.integers(0, 9)):
        text += f"\nRRULE:{draw(rules())}"
    if draw(st.integers(0, 2)) == 0:
        off = [start + dt.timedelta(days=draw(st.integers(0, 60))) for _ in range(3)]
        text += f"\nEXDATE;TZID={zone}:" + ",".join(f"{day:%Y%m%d}T{time}" for day in off)
        text += "\nEXDATE:20260329T013000Z"
    duration = draw(st.sampled_from(["PT30M", "PT1H", "PT10H", "PT24H", "P1D", "P2D", "P1DT1H30M", "P1W", "PT26H"]))
    return text, duration, zone


def compare(case: tuple[str, str, str]) -> bool:
    """False where the rule never occurs, which is refused."""
    text, duration, zone = case
    told = reference.read(text, duration, zone)
    try:
        schedule = written(text, duration)
    except Rejected as refused:
        findings = refused.findings
    else:
        findings = ()
    if findings:  # refused by the calendar: the reference finds nothing at all, or fewer than COUNT
        assert findings[0].code == "E-SCHEDULE", findings
        assert "within 100 years" in findings[0].message, findings
        found = reference.starts({**told, "excluded": []}, dt.date(2031, 1, 1))
        assert len(found) < int(told["rule"].get("COUNT", 1)), case
        return False
    expected = minutes_of(text, duration, zone)
    assert minutes_by(schedule) == expected, case
    changes = [n for n in range(1, MINUTES) if expected[n] != expected[n - 1]]
    for number in {0, MINUTES - 1, *changes[:40], *(one - 1 for one in changes[:40])}:
        moment = BEGIN + number * MINUTE
        for second in (0, 59):
            assert schedule.open_at(moment + dt.timedelta(seconds=second)) == bool(expected[number]), (case, moment)
            assert reference.open_at(
                {"schedule": text, "duration": duration}, zone, moment + dt.timedelta(seconds=second)
            ) == bool(expected[number])
    following = next((n for n in changes if n > 200_000), None)
    if following is not None:
        assert schedule.next_change(BEGIN + 200_000 * MINUTE) == BEGIN + following * MINUTE, case
    return True


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(schedules())
def test_schedules_open_and_close_with_the_clock_on_the_wall(case) -> None:
    compare(case)


@pytest.mark.proof
def test_a_thousand_schedules_open_and_close_with_the_clock_on_the_wall() -> None:
    compared = []

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(schedules())
    def prove(case) -> None:
        compared.append(compare(case))

    prove()
    print(f"\n{sum(compared):,} schedules agree at every minute of 2026; {compared.count(False)} never occur")
    assert sum(compared) > len(compared) / 2


FAR = dt.datetime(9980, 6, 1, 12, tzinfo=dt.UTC)


def test_a_far_moment_costs_the_years_around_it(monkeypatch) -> None:
    """Recurrence is begun anew near the moment, on a day that has the same place in the rule."""
    begun = []
    given_rule = model.rrulestr
    monkeypatch.setattr(
        model, "rrulestr", lambda text, dtstart: begun.append(dtstart) or given_rule(text, dtstart=dtstart)
    )
    for rule in ("FREQ=DAILY", "FREQ=WEEKLY;INTERVAL=3", "FREQ=MONTHLY;INTERVAL=7", "FREQ=YEARLY;INTERVAL=2"):
        schedule = written(f"DTSTART:19700101T080000Z RRULE:{rule}", "PT8H")
        around = schedule.windows(FAR - dt.timedelta(days=800), FAR)
        assert around
        assert begun[-1].year >= 9970
        parts = dict(part.split("=") for part in rule.split(";"))
        assert all(reference.matches_day(parts, dt.date(1970, 1, 1), low.date()) for low, _high in around)


def test_every_day_for_a_day_is_always_open() -> None:
    schedule = written("DTSTART;TZID=Europe/Berlin:20260105T080000 RRULE:FREQ=DAILY", "P1D")
    began = dt.datetime(2026, 1, 5, 7, tzinfo=dt.UTC)
    assert not schedule.open_at(began - MINUTE)
    assert schedule.open_at(began)
    assert schedule.open_at(FAR)
    assert schedule.next_change(began) is None
    assert schedule.next_change(began - MINUTE) == began
    assert len(schedule.windows(began, began + dt.timedelta(days=900))) == 1


def test_the_end_of_the_calendar_is_no_accident() -> None:
    schedule = written("DTSTART:19700101T080000Z RRULE:FREQ=DAILY", "PT8H")
    last = dt.datetime.max.replace(tzinfo=dt.UTC)
    assert schedule.next_change(last) is None
    assert not schedule.open_at(dt.datetime(1, 1, 1, tzinfo=dt.UTC))
    assert model.later(last, dt.timedelta(days=1)) <= last


@pytest.mark.parametrize(
    ("text", "duration", "said"),
    [
        ("DTSTART:20260105T080000Z RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "PT1H", "never occurs"),
        ("DTSTART:20260105T080000Z RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=3", "PT1H", "is not reached"),
        ("DTSTART:20260105T080000Z RRULE:FREQ=DAILY;UNTIL=20250101", "PT1H", "never occurs"),
        ("DTSTART:20260105T080000Z RRULE:FREQ=DAILY;COUNT=1000000000", "PT1H", "COUNT=1000000000 cannot be read"),
        ("DTSTART:20260105T080000Z RRULE:FREQ=YEARLY;COUNT=500", "PT1H", "COUNT=500 is not reached within 100 years"),
        ("DTSTART:20260105T080000Z RRULE:FREQ=DAILY;COUNT=0", "PT1H", "COUNT=0 cannot be read"),
        ("DTSTART:20260105T080000Z RRULE:FREQ=DAILY;INTERVAL=99999999999999999999", "PT1H", "cannot be read"),
        ("DTSTART:20260105T080000Z RRULE:FREQ=HOURLY", "PT1H", "FREQ is HOURLY"),
        ("DTSTART:20260105T080000Z RRULE:FREQ=DAILY;BYSECOND=0,1,2", "PT1H", "BYSECOND is not understood"),
        ("DTSTART:20260105T080000Z RRULE:FREQ=WEEKLY;BYDAY=1MO", "PT1H", "1MO is no day of a WEEKLY rule"),
        ("DTSTART:20260105T080000Z RRULE:FREQ=MONTHLY;BYDAY=MO,1TU", "PT1H", "BYDAY mixes"),
        ("DTSTART:20260105T080000Z RRULE:FREQ=WEEKLY;BYMONTHDAY=1", "PT1H", "BYMONTHDAY does not go"),
        ("DTSTART:20260105T080000Z RRULE:FREQ=MONTHLY;BYSETPOS=1", "PT1H", "BYSETPOS has nothing"),
        ("DTSTART:20260105T080000Z RRULE:FREQ=DAILY;COUNT=1;UNTIL=20270101", "PT1H", "exclude each other"),
        ("DTSTART:99990105T080000Z RRULE:FREQ=DAILY", "PT1H", "'99990105T080000Z' is not a time"),
        ("DTSTART:00010105T080000Z RRULE:FREQ=DAILY", "PT1H", "'00010105T080000Z' is not a time"),
        ("DTSTART;TZID=Europe/Berlin:20260105T080000Z", "PT1H", "has a TZID and a Z"),
        ("DTSTART;TZID=../../etc/passwd:20260105T080000", "PT1H", "is not a time zone"),
        ("DTSTART;TZID=Europe/Berln:20260105T080000", "PT1H", "is not a time zone"),
        ("DTSTART:20260230T080000Z", "PT1H", "is not a time"),
        ("RRULE:FREQ=DAILY", "PT1H", "it has no DTSTART"),
        ("DTSTART:20260105T080000Z EXDATE:" + ",".join(["20260105T080000Z"] * 2000), "PT1H", "characters"),
        ("DTSTART:20260105T080000Z", "P" + "9" * 5000 + "D", "is not a duration"),
        ("DTSTART:20260105T080000Z", "PT", "is not a duration"),
        ("DTSTART:20260105T080000Z", "P1DT", "is not a duration"),
        ("DTSTART:20260105T080000Z", "PT0S", "is not a duration"),
        ("DTSTART:20260105T080000Z", "P400D", "is not a duration"),
    ],
)
def test_hostile_and_unclear_schedules_are_refused_with_one_message(text: str, duration: str, said: str) -> None:
    with pytest.raises(Rejected) as caught:
        written(text, duration)
    errors = [finding for finding in caught.value.findings if finding.severity == "error"]
    assert [finding.code for finding in errors] == ["E-SCHEDULE"]
    assert said in errors[0].message
    assert len(errors[0].message) < 200
    assert errors[0].hint


def test_a_schedule_survives_its_dictionary() -> None:
    schedule = written(
        "DTSTART;TZID=Europe/Berlin:20260105T080000 RRULE:FREQ=DAILY;UNTIL=20270101 EXDATE:20260106T070000Z", "P1DT2H"
    )
    assert "UNTIL=20270101T225959Z" in schedule.rule
    assert Schedule.from_dict(schedule.to_dict()) == schedule
