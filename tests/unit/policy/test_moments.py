# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What begins only in some years, or after a year, is looked at too: nothing that differs then is called equal."""

from __future__ import annotations

import datetime as dt

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.calendar import Validity
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.schedule import Schedule
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.lint.times import Times
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.moments import moments_of

AT = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)


def yearly(rule: str, start: str = "2024-01-05T08:00:00") -> Schedule:
    return Schedule(dt.datetime.fromisoformat(start), "Europe/Berlin", rule, 0, 3600)


def ends(text: str) -> Validity:
    return Validity(expires=dt.datetime.fromisoformat(text))


PAIRS = {
    "first in three years": ("FREQ=DAILY", "2029-06-01T08:00:00"),
    "once, in three years": ("", "2029-06-01T08:00:00"),
    "leap days": ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "2024-02-29T08:00:00"),
    "every fourth year": ("FREQ=YEARLY;INTERVAL=4", "2024-01-05T08:00:00"),
    "at the end of the calendar": ("FREQ=YEARLY", "9980-01-05T08:00:00"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_an_opening_far_away_is_a_moment(name: str) -> None:
    far = Validity(schedule=yearly(*PAIRS[name]))
    assert {far.holds(at) for at in moments_of([far], AT).moments} == {True, False}
    assert Times([far], AT).bits(far)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (yearly("FREQ=DAILY;COUNT=2000"), yearly("FREQ=DAILY;COUNT=2001")),
        (yearly("FREQ=DAILY;UNTIL=20300101T080000Z"), yearly("FREQ=DAILY;UNTIL=20300102T080000Z")),
        (yearly("FREQ=DAILY"), yearly("FREQ=DAILY;UNTIL=20300101T080000Z")),
        (yearly("FREQ=YEARLY;INTERVAL=2"), yearly("FREQ=YEARLY;INTERVAL=4")),
        (
            yearly("FREQ=DAILY"),
            Schedule(
                dt.datetime(2024, 1, 5, 8), "Europe/Berlin", "FREQ=DAILY", 0, 3600,
                (dt.datetime(2029, 3, 1, 7, tzinfo=dt.UTC),),
            ),
        ),
    ],
)  # fmt: skip
def test_schedules_that_part_in_some_years_part_at_a_moment(left: Schedule, right: Schedule) -> None:
    one, other = Validity(schedule=left), Validity(schedule=right)
    assert any(one.holds(at) != other.holds(at) for at in moments_of([one, other], AT).moments)
    times = Times([one, other], AT)
    assert times.bits(one) != times.bits(other)


def test_a_year_is_looked_at_after_an_end_within_the_year() -> None:
    """On the 1st of December 2027, and then only, the schedule is open and the end is over."""
    late, ended = Validity(schedule=yearly("FREQ=YEARLY", "2024-12-01T08:00:00")), ends("2027-10-01T00:00:00+00:00")
    assert any(late.holds(at) and not ended.holds(at) for at in moments_of([late, ended], AT).moments)


def test_what_has_ended_brings_no_moment() -> None:
    over = Validity(
        expires=dt.datetime(2027, 1, 1, tzinfo=dt.UTC), schedule=yearly("FREQ=DAILY", "2029-06-01T08:00:00")
    )
    assert not any(over.holds(at) for at in moments_of([over], AT).moments)


def test_every_combination_of_an_hour_in_thirty_years_has_a_moment() -> None:
    conditions = [
        Validity(schedule=yearly("FREQ=YEARLY;INTERVAL=3", "2025-02-28T08:00:00")),
        Validity(schedule=yearly("FREQ=MONTHLY;BYMONTHDAY=29;BYMONTH=2", "2024-02-29T08:00:00")),
        Validity(schedule=yearly("FREQ=DAILY;UNTIL=20310301T080000Z")),
        ends("2032-01-01T00:00:00+00:00"),
    ]
    hours = (AT + dt.timedelta(hours=number) for number in range(30 * 366 * 24))
    around = [at for at in hours if at.month in (1, 2, 3, 11) and at.hour in (7, 12)]
    there = {tuple(one.holds(at) for one in conditions) for at in around}
    found = {tuple(one.holds(at) for one in conditions) for at in moments_of(conditions, AT).moments}
    assert there <= found
