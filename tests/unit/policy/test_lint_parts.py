# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parts of lint against plain definitions: covers, moments, near words."""

from __future__ import annotations

import datetime as dt
from itertools import product

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.calendar import Validity
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.schedule import Schedule
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.lint.cover import (
    COVERED,
    ESCAPES,
    escaping,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.lint.near import Near, one_slip
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.lint.times import Times

NOW = dt.datetime(2026, 11, 24, 12, 0, tzinfo=dt.UTC)
bits = st.integers(1, 7)
products = st.tuples(bits, bits, bits, st.integers(1, 3))


def points(whole):
    return set(product(*([n for n in range(3) if dimension >> n & 1] for dimension in whole)))


def different(own: int, far: int) -> bool:
    """Groups 0 are one workload: what it sends to itself is no packet."""
    return bool(own and far and not own == far == 1)


@st.composite
def programs(draw):
    """Steps that cover, let escape, or go on further down."""
    count = draw(st.integers(0, 6))
    targets = [
        draw(st.sampled_from([COVERED, COVERED, ESCAPES, *range(index + 1, count + 1)])) for index in range(count)
    ]
    return [(*draw(products), target, index) for index, target in enumerate(targets)]


def escapes(point, steps) -> bool:
    index = 0
    while index < len(steps):
        *sides, target, _whose = steps[index]
        index += 1
        if all(side >> n & 1 for side, n in zip(sides, point, strict=True)):
            if target in (COVERED, ESCAPES):
                return target == ESCAPES
            index = target
    return True


@given(products, programs())
def test_something_escapes_exactly_where_a_point_does(whole, steps) -> None:
    assume(different(whole[0], whole[1]))
    real = {point for point in points(whole) if not point[0] == point[1] == 0}
    found = escaping(whole, steps, different, {})
    expected = {point for point in real if escapes(point, steps)}

    if found is None:
        assert expected == set()
    else:
        assert {point for point in points(found) if not point[0] == point[1] == 0} & expected


@given(products, programs())
def test_who_covered_is_told_with_what_it_covered(whole, steps) -> None:
    used: dict[int, tuple[int, int, int, int]] = {}
    escaping(whole, steps, different, used)

    for whose, part in used.items():
        assert points(part) <= points(whole) & points(steps[whose][:4])


moments = st.none() | st.integers(-40, 900).map(lambda days: NOW + dt.timedelta(days=days))
schedules = st.builds(
    Schedule,
    start=st.integers(0, 23).map(lambda hour: dt.datetime(2026, 1, 5, hour)),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    rule=st.sampled_from(
        ["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,FR", "FREQ=MONTHLY;BYMONTHDAY=31", "FREQ=DAILY;COUNT=400", ""]
    ),
    days=st.integers(0, 1),
    seconds=st.sampled_from([3600, 12 * 3600]),
)
validities = st.builds(Validity, moments, moments, st.none() | schedules)


@settings(deadline=None, max_examples=40)
@given(st.lists(validities, max_size=4), st.lists(st.integers(0, 365 * 24 * 60), max_size=30))
def test_every_combination_of_the_coming_year_is_a_moment(them, minutes) -> None:
    times = Times(them, NOW)
    combinations = set()
    for minute in minutes:
        at = NOW + dt.timedelta(minutes=minute)
        combinations.add(tuple(one.holds(at) for one in them))
    known = {tuple(bool(times.bits(one) >> index & 1) for one in them) for index in range(times.always.bit_length())}

    assert combinations <= known


@settings(deadline=None, max_examples=40)
@given(st.lists(validities, min_size=1, max_size=4))
def test_a_moment_is_what_its_bit_says(them) -> None:
    times = Times(them, NOW)
    for index in range(times.always.bit_length()):
        at = times.moment(1 << index)
        assert at >= NOW
        assert [one.holds(at) for one in them] == [bool(times.bits(one) >> index & 1) for one in them]


def distance(left: str, right: str) -> int:
    """Optimal string alignment, as textbooks have it."""
    rows = [[max(i, j) if not i or not j else 0 for j in range(len(right) + 1)] for i in range(len(left) + 1)]
    for i, j in product(range(1, len(left) + 1), range(1, len(right) + 1)):
        same = left[i - 1] == right[j - 1]
        rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (not same))
        if i > 1 and j > 1 and left[i - 1] == right[j - 2] and left[i - 2] == right[j - 1]:
            rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


words = st.text("abc", min_size=3, max_size=6)


@given(words, words)
def test_one_slip_is_a_distance_of_one(left, right) -> None:
    assert one_slip(left, right) is (distance(left, right) == 1)


@given(st.lists(words, max_size=8), words)
def test_the_index_finds_what_comparing_with_each_finds(known, word) -> None:
    assert Near(known).of(word) == min((other for other in known if one_slip(word, other)), default="")
