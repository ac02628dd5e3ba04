# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a plan changes at other moments than the one it is made at.

A rule that is closed now and opens in the morning is part of what is approved. So old and new are compared at one
moment of every combination of conditions on time within a year, and what differs stands in the plan: in its body by
the conditions that hold then, which do not move with the clock of planning, and beside it with the first moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from ..model.calendar import Moments, Timed, Validity, distinct_moments
from .planfile import Later, Sentence, TimedChanges
from .statements import ClassChange

#: Moments a plan is compared at. Each costs as much as the plan itself.
MOST_MOMENTS = 16


def moments(conditions: Iterable[Timed], at: datetime) -> Moments:
    return distinct_moments(conditions, at, most=MOST_MOMENTS)


def split(
    changes: Mapping[datetime, tuple[ClassChange, ...]], validities: Sequence[Validity]
) -> tuple[tuple[ClassChange, ...], tuple[TimedChanges, ...]]:
    """The changes of every moment, and those of some moments by the conditions that hold then.

    `changes` by moment; `validities` are the conditions of the old and the new policy.
    """
    always = set.intersection(*(set(found) for found in changes.values()))
    timed: dict[tuple[str, ...], set[ClassChange]] = {}
    for moment, found in changes.items():
        rest = set(found) - always
        if rest:
            timed.setdefault(holding(validities, moment), set()).update(rest)
    first = next(iter(changes.values()))
    return (
        tuple(change for change in first if change in always),
        tuple(TimedChanges(when, tuple(sorted(timed[when]))) for when in sorted(timed)),
    )


def holding(validities: Sequence[Validity], moment: datetime) -> tuple[str, ...]:
    return tuple(sorted({str(one) for one in validities if one.holds(moment)}))


def later(
    sentences: Mapping[datetime, Callable[[], tuple[Sentence, ...]]],
    now: Sequence[Sentence],
    validities: Sequence[Validity],
    at: datetime,
) -> tuple[Later, ...]:
    """What each later moment adds to what is said about now; moments that add nothing are left out."""
    known = {_said(one) for one in now}
    result = []
    for moment, said in sentences.items():
        new = tuple(one for one in said() if _said(one) not in known)
        if new:
            stamp = moment.astimezone(UTC).isoformat(timespec="seconds")
            result.append(Later(stamp, _when(validities, at, moment), new))
    return tuple(sorted(result, key=lambda one: one.moment))


def _said(one: Sentence) -> tuple[object, ...]:
    return one.verdict, one.consumers["words"], one.providers["words"], one.said, one.families


def _when(validities: Sequence[Validity], at: datetime, moment: datetime) -> str:
    """What holds then and not now, and the other way round."""
    before, after = set(holding(validities, at)), set(holding(validities, moment))
    words = [*sorted(after - before), *(f"not {text}" for text in sorted(before - after))]
    return "; ".join(words) or "conditions found on the points"


__all__ = ["MOST_MOMENTS", "holding", "later", "moments", "split"]
