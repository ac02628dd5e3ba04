# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Sets of integers as closed intervals in one normal form.

Every set of numbers in the engine (ports, ICMP types, addresses) is a tuple of disjoint, non-adjacent, ascending
closed intervals. Equal sets are therefore equal tuples, and a digest of the tuple is a digest of its meaning.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

Interval = tuple[int, int]
Intervals = tuple[Interval, ...]

EMPTY: Intervals = ()


def normalised(intervals: Iterable[Interval]) -> Intervals:
    """Merge overlapping and adjacent intervals.

    >>> normalised([(80, 80), (443, 443), (81, 90)])
    ((80, 90), (443, 443))
    """
    merged: list[Interval] = []
    for low, high in sorted(intervals):
        if merged and low <= merged[-1][1] + 1:
            if high > merged[-1][1]:
                merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return tuple(merged)


def union(left: Intervals, right: Intervals) -> Intervals:
    if not left:
        return right
    if not right or left == right:
        return left
    return normalised((*left, *right))


def intersection(left: Intervals, right: Intervals) -> Intervals:
    """
    >>> intersection(((0, 10), (20, 30)), ((5, 25),))
    ((5, 10), (20, 25))
    """
    if left == right:
        return left
    result: list[Interval] = []
    i = j = 0
    while i < len(left) and j < len(right):
        low = max(left[i][0], right[j][0])
        high = min(left[i][1], right[j][1])
        if low <= high:
            result.append((low, high))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(result)


def subtraction(left: Intervals, right: Intervals) -> Intervals:
    """
    >>> subtraction(((0, 10),), ((3, 4), (9, 20)))
    ((0, 2), (5, 8))
    """
    if not right or not left:
        return left
    result: list[Interval] = []
    j = 0
    for low, high in left:
        while j < len(right) and right[j][1] < low:
            j += 1
        k = j
        start = low
        while k < len(right) and right[k][0] <= high:
            if right[k][0] > start:
                result.append((start, right[k][0] - 1))
            start = max(start, right[k][1] + 1)
            k += 1
        if start <= high:
            result.append((start, high))
    return tuple(result)


def contains(intervals: Intervals, value: int) -> bool:
    index = bisect_right(intervals, (value, float("inf"))) - 1
    return index >= 0 and intervals[index][0] <= value <= intervals[index][1]


def covers(outer: Intervals, inner: Intervals) -> bool:
    """Is every member of `inner` in `outer`?"""
    return not subtraction(inner, outer)


def size(intervals: Intervals) -> int:
    return sum(high - low + 1 for low, high in intervals)
