# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Interval sets behave as sets of integers."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import intervals as iv

PAIRS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)).map(lambda p: (p[0], p[0] + p[1])), max_size=8)
SETS = PAIRS.map(iv.normalised)


def members(intervals) -> set[int]:
    return {number for low, high in intervals for number in range(low, high + 1)}


@given(PAIRS)
def test_the_normal_form_is_disjoint_ascending_and_not_adjacent(pairs) -> None:
    normal = iv.normalised(pairs)
    assert members(normal) == members(pairs)
    assert all(left[1] + 1 < right[0] for left, right in itertools.pairwise(normal))


@given(SETS, SETS)
def test_operations_are_those_of_sets_and_stay_normal(left, right) -> None:
    for operation, expected in (
        (iv.union, members(left) | members(right)),
        (iv.intersection, members(left) & members(right)),
        (iv.subtraction, members(left) - members(right)),
    ):
        result = operation(left, right)
        assert members(result) == expected
        assert result == iv.normalised(result)
    assert iv.covers(left, right) == (members(right) <= members(left))
    assert iv.size(left) == len(members(left))


@given(SETS, st.integers(-1, 50))
def test_contains_is_membership(intervals, number) -> None:
    assert iv.contains(intervals, number) == (number in members(intervals))
