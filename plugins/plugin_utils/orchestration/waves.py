# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Waves: a canary, then growing batches, in an order that never takes a whole class at once while others wait."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..model.errors import PlanError

#: One point, then a tenth of all, then the rest.
DEFAULT_BATCHES: tuple[str, ...] = ("1", "10%", "100%")


def waves(classes: Mapping[str, str], batches: Sequence[str] = DEFAULT_BATCHES) -> tuple[tuple[str, ...], ...]:
    """`classes` names the class of every point; a batch is a number or a share of all points, the last one repeats.

    The last member of every class comes after all members that are not the last of theirs, so the canary is alone of
    its class only where every class has one member. Raises PlanError (E-BATCH).

    >>> waves({"a": "x", "b": "x", "c": "y"}, ["1", "100%"])
    (('a',), ('b', 'c'))
    """
    sizes = [_size(batch, len(classes)) for batch in batches]
    if not sizes:
        raise PlanError("E-BATCH", "There is no batch.", hint="Write for example 1, 10%, 100%.")
    left = list(ordered(classes))
    result: list[tuple[str, ...]] = []
    while left:
        count = sizes[min(len(result), len(sizes) - 1)]
        result.append(tuple(left[:count]))
        left = left[count:]
    return tuple(result)


def ordered(classes: Mapping[str, str]) -> tuple[str, ...]:
    """Members of a class spread evenly over the order; the same on every machine."""
    members: dict[str, list[str]] = {}
    for point in sorted(classes):
        members.setdefault(classes[point], []).append(point)
    places = {
        point: ((index + 1) / len(names), -len(names), kind, point)
        for kind, names in members.items()
        for index, point in enumerate(names)
    }
    return tuple(sorted(places, key=places.__getitem__))


def _size(batch: str, total: int) -> int:
    text = str(batch).strip()
    number = text.removesuffix("%")
    if not number.isdecimal() or int(number) < 1 or (text.endswith("%") and int(number) > 100):
        raise PlanError(
            "E-BATCH", f"{batch!r} is not a batch.", hint="Write a number of points or a share, as 5 or 10%."
        )
    return max(1, math.ceil(total * int(number) / 100)) if text.endswith("%") else int(number)
