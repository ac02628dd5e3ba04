# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Boxes of a label space in the words of selectors, and one connection of each that a person can picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from ..model import services as line
from ..model.addresses import WHOLE_FAMILY, cidrs, show
from ..model.diagram import Box
from ..model.intervals import Intervals, contains, intersection, subtraction
from .difference import ChangedBox, PolicyDifference
from .label_difference import LabelBox
from .label_space import ABSENT, ANONYMOUS, Part, Space

#: Blocks of addresses that are listed before the rest is counted.
_SHOWN_BLOCKS = 8


def in_words(boxes: Iterable[LabelBox], complete: bool, at: datetime) -> PolicyDifference:
    """`at`: the moment asked about; what differs only later says since when."""
    changed = [(item.allowed, box) for item in boxes for box in _changed(item, at)]
    allowed, denied = (
        tuple(sorted((box for which, box in changed if which is wanted), key=_by_words)) for wanted in (True, False)
    )
    return PolicyDifference(allowed, denied, complete)


def _by_words(box: ChangedBox) -> tuple[object, ...]:
    return box.since.isoformat() if box.since else "", box.consumers, box.providers, box.family, box.services


def _changed(item: LabelBox, at: datetime) -> Iterator[ChangedBox]:
    for consumers, providers, services in _sayable(item.space, item.box):
        point = line.representative(services)
        ends = _two(consumers, providers)
        witness = (_somebody(item.space, *ends[0]), _somebody(item.space, *ends[1]), line.show(((point, point),))[0])
        yield ChangedBox(
            item.space.family,
            _side(item.space, consumers),
            _side(item.space, providers),
            services,
            1,
            witness,
            since=None if item.since == at else item.since,
        )


def _sayable(space: Space, box: Box) -> Iterator[tuple[Part, Part, Intervals]]:
    """Selectors cannot say "absent or one of these": where a box does, it is two."""
    consumers, providers, services = space.sides(box)
    for consumer in _split(space, consumers):
        for provider in _split(space, providers):
            yield consumer, provider, services


def _split(space: Space, part: Part) -> Iterator[Part]:
    for index, key in enumerate(space.keys):
        held = part.labels[index] or ()
        other = len(space.values[key]) + 1
        if contains(held, ABSENT) and not contains(held, other) and held != ((ABSENT, ABSENT),):
            for piece in (((ABSENT, ABSENT),), subtraction(held, ((ABSENT, ABSENT),))):
                labels = (*part.labels[:index], piece, *part.labels[index + 1 :])
                yield from _split(space, replace(part, labels=labels))
            return
    yield part


def _side(space: Space, part: Part) -> str:
    who, addresses = part.who or (), part.addresses or ()
    labels = _labels(space, part)
    workloads = intersection(who, space.somebody)
    outside = intersection(who, space.outside)
    everywhere = addresses == WHOLE_FAMILY[space.family]
    if workloads == space.somebody and outside == space.outside and not labels and everywhere:
        return "any"
    at = "" if not _restricted(space, addresses) else f" at {_blocks(space, addresses)}"
    texts = [f"{text}{at}" for text in _workloads(space, workloads, labels)]
    for low, _high in _numbers(outside):
        zone = space.zones[low - space.outside[0][0]]
        where = f" in zone {zone}" if zone else ""
        texts.append(f"{'any address' if everywhere else _blocks(space, addresses)}{where} outside the estate")
    for low, _high in _numbers(intersection(who, space.nameable)):
        texts.append(f"fqdn {space.names[low - space.nameable[0][0]]}")
    return " | ".join(texts)


def _workloads(space: Space, who: Intervals, labels: str) -> Iterator[str]:
    named = [space.workloads[low - 1] for low, _high in _numbers(intersection(who, space.named))]
    if contains(who, ANONYMOUS):
        rest = [name for name in space.workloads if name not in named]
        yield (labels or "all-workloads") + (f" but {', '.join(rest)}" if rest else "")
    else:
        yield from (f"{name} with {labels}" if labels else name for name in named)


def _restricted(space: Space, addresses: Intervals) -> bool:
    """Do they leave out an address at which a workload may stand?"""
    return bool(subtraction(subtraction(WHOLE_FAMILY[space.family], space.reserved), addresses))


def _blocks(space: Space, addresses: Intervals) -> str:
    blocks = cidrs(space.family, addresses)
    more = f" and {len(blocks) - _SHOWN_BLOCKS} more" if len(blocks) > _SHOWN_BLOCKS else ""
    return ",".join(blocks[:_SHOWN_BLOCKS]) + more


def _labels(space: Space, part: Part) -> str:
    terms = []
    for key, held in sorted(zip(space.keys, part.labels, strict=True)):
        values = space.values[key]
        other = len(values) + 1
        if held is None or held == ((ABSENT, other),):
            continue
        named = [value for number, value in enumerate(values, 1) if contains(held, number)]
        missing = [value for value in values if value not in named]
        if held == ((ABSENT, ABSENT),):
            terms.append(f"!{key}")
        elif not contains(held, other):
            terms.append(f"{key}={named[0]}" if len(named) == 1 else f"{key} in ({','.join(named)})")
        else:
            if not contains(held, ABSENT):
                terms.append(key)
            if missing:
                terms.append(f"{key}!={missing[0]}" if len(missing) == 1 else f"{key} notin ({','.join(missing)})")
    return ",".join(terms)


def _two(consumers: Part, providers: Part) -> tuple[tuple[Part, int], tuple[Part, int]]:
    """What the two ends are: not one named workload twice."""
    first, second = ([low for low, _high in _numbers(part.who or ())] for part in (consumers, providers))
    pairs = ((one, two) for one in first for two in second if one != two or one == ANONYMOUS)
    chosen = next(pairs)
    return (consumers, chosen[0]), (providers, chosen[1])


def _somebody(space: Space, part: Part, number: int) -> str:
    """A workload by labels where there is one: values that somebody wrote before those that nobody names."""
    addresses = part.addresses or ()
    if contains(space.nameable, number):
        return space.names[number - space.nameable[0][0]]
    low, high = addresses[0]
    if contains(space.outside, number):
        zone = space.zones[number - space.outside[0][0]]
        address = show(space.family, low + 1 if high > low else low)
        return f"{address} in zone {zone}" if zone else address
    at = f" at {show(space.family, low)}" if _restricted(space, addresses) else ""
    chosen = []
    for key, held in sorted(zip(space.keys, part.labels, strict=True)):
        values = space.values[key]
        if held is None or held == ((ABSENT, len(values) + 1),):
            continue
        written = intersection(held, ((1, len(values)),)) if values else ()
        if written:
            chosen.append(f"{key}={values[written[0][0] - 1]}")
        elif not contains(held, ABSENT):
            chosen.append(f"{key}={space.others[key]}")
    labels = ",".join(chosen)
    if number != ANONYMOUS:
        return space.workloads[number - 1] + (f" with {labels}" if labels else "") + at
    return (labels or "(no labels)") + at


def _numbers(intervals: Intervals) -> Iterator[tuple[int, int]]:
    for low, high in intervals:
        yield from ((number, number) for number in range(low, high + 1))


__all__ = ["in_words"]
