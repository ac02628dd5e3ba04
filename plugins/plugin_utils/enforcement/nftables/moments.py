# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a listing says about time: when its rules match, so that a form is read again at each moment it may change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from ...model.calendar import Spans
from ...model.intervals import Interval, Intervals, intersection, normalised
from .clock import CLOCK, stated
from .listing import LiveTable
from .values import Sets, Unmodelled, compared, elements, interval, intervals, moment, unwrapped

#: Domain of `meta time` in microseconds.
ALL_TIME: Interval = (0, 2**64)
_TRUSTED = {"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": f"@{CLOCK}"}}
_TIME = {"meta": {"key": "time"}}


def times(tables: Iterable[LiveTable]) -> tuple[Spans, ...]:
    """When each rule that looks at the time may match, as far as time decides. Equal ones once.

    Without those that cannot match because the host does not trust its clock.
    """
    found: dict[Intervals, None] = {}
    for table in tables:
        for chain in table.chains.values():
            for rule in chain.rules:
                if table.ours and withheld([table]) and _TRUSTED in rule.expressions:
                    continue
                for spans in _of_rule(rule.expressions, table.sets):
                    found[spans] = None
    return tuple(Spans(spans) for spans in found if spans != (ALL_TIME,))


def _of_rule(expressions: Iterable[Any], sets: Sets) -> Iterator[Intervals]:
    """The matches of one rule belong together: an end that does not count is in another set than its window."""
    together: Intervals = (ALL_TIME,)
    for expression in expressions:
        if not isinstance(expression, Mapping):
            continue
        match, by_key = expression.get("match"), expression.get("vmap")
        try:
            if isinstance(match, Mapping) and match.get("left") == _TIME:
                values = normalised(intervals(match["right"], sets, moment, ALL_TIME, 64))
                together = intersection(together, compared(str(match.get("op", "==")), values, ALL_TIME))
            elif isinstance(match, Mapping):
                yield from _parts(match.get("left"), match.get("right"), sets)
            elif isinstance(by_key, Mapping):
                yield from _parts(by_key.get("key"), by_key.get("data"), sets)
        except (Unmodelled, KeyError, TypeError, ValueError, IndexError, AttributeError):
            continue  # the reader does not understand it either: unknown at every moment
    yield together


def _parts(left: Any, right: Any, sets: Sets) -> Iterator[Intervals]:
    """Times among the elements of a map or a concatenation."""
    fields = left.get("concat", [left]) if isinstance(left, Mapping) else []
    if _TIME not in fields:
        return
    place = fields.index(_TIME)
    for element in elements(right, sets):
        value = unwrapped(element[0] if isinstance(element, (list, tuple)) else element)
        if isinstance(value, Mapping) and "concat" in value:
            value = value["concat"][place]
        yield (interval(value, moment, ALL_TIME, 64),)


def horizon_of(ours: Iterable[LiveTable]) -> datetime | None:
    """The end of the windows of our table, as its own comments state it; None without any."""
    found = [
        until
        for table in ours
        for chain in table.chains.values()
        if chain.hook
        for rule in chain.rules
        if (until := stated(rule.comment)) is not None
    ]
    return min(found, default=None)


def withheld(ours: Iterable[LiveTable]) -> bool:
    """Does the host withhold timed rules because it does not trust its clock?"""
    return any(CLOCK in table.sets and not table.sets[CLOCK].get("elem") for table in ours)


def trusted(table: LiveTable, trusting: bool = True) -> LiveTable:
    """Our table as it is once the host trusts its clock, or while it does not."""
    if CLOCK not in table.sets:
        return table
    filled = {**table.sets[CLOCK], "elem": ["ipv4", "ipv6"] if trusting else []}
    return LiveTable(table.family, table.name, table.flags, {**table.sets, CLOCK: filled}, table.chains)


def times_untrusted(ours: Iterable[LiveTable], others: Iterable[LiveTable]) -> tuple[Spans, ...] | None:
    """As `times`, of what can match while the host does not trust its clock. None without a set that says so."""
    tables = [trusted(table, False) for table in ours]
    return times([*tables, *others]) if withheld(tables) else None


__all__ = ["horizon_of", "times", "times_untrusted", "trusted", "withheld"]
