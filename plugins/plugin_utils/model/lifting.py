# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Lifting: say a set of addresses in label words.

Addresses become workloads; the workloads become the smallest conjunction of labels that covers exactly them, else a
conjunction with few exceptions, else few conjunctions, else names. What belongs to no workload is said as blocks.
Words never cover more or less than the addresses they stand for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from . import services as line
from .addresses import WHOLE_FAMILY, Family, cidrs, ranges, show
from .bundle import WorkloadEntry
from .intervals import Intervals, normalised, size, subtraction, union

EVERYBODY = "all-workloads"
OUTSIDE = "outside the estate"
ANY = "any"
#: Longer unions and lists of exceptions are harder to read than names.
MOST_TERMS = 4
MOST_EXCEPTIONS = 3
MOST_NAMES = 12


@dataclass(frozen=True, slots=True)
class Parts:
    """`whole`: workloads all of whose addresses (of zone and family) are there; `single`: (name, address) of others."""

    whole: frozenset[str]
    single: tuple[tuple[str, int], ...]
    outside: Intervals


class Lifter:
    """Speaks about the workloads of one bundle."""

    def __init__(self, workloads: Mapping[str, WorkloadEntry]) -> None:
        self._names = sorted(workloads)
        self._position = {name: index for index, name in enumerate(self._names)}
        self._labels = {name: dict(workloads[name].labels) for name in self._names}
        having: dict[tuple[str, str], list[int]] = {}
        for index, labels in enumerate(self._labels.values()):
            for pair in labels.items():
                having.setdefault(pair, []).append(index)
        self._having = {pair: _bits(positions) for pair, positions in having.items()}
        self._values: dict[str, set[str]] = {}
        for label, value in self._having:
            self._values.setdefault(label, set()).add(value)
        held: dict[tuple[str, int], dict[int, list[str]]] = {}
        self._count: dict[tuple[str, int, str], int] = {}
        for name in self._names:
            entry = workloads[name]
            for family, number in entry.addresses:
                held.setdefault((entry.zone, family), {}).setdefault(number, []).append(name)
                key = (entry.zone, family, name)
                self._count[key] = self._count.get(key, 0) + 1
        self._held = held
        self._sorted = {key: sorted(numbers) for key, numbers in held.items()}
        self._inhabited: dict[tuple[str, int], Intervals] = {}
        self._present = {
            place: _bits(self._position[name] for names in numbers.values() for name in names)
            for place, numbers in held.items()
        }
        self._words: dict[tuple[frozenset[str], int], str] = {}

    def inhabited(self, zone: str, family: Family) -> Intervals:
        """All addresses of workloads."""
        key = (zone, family)
        if key not in self._inhabited:
            self._inhabited[key] = normalised((number, number) for number in self._sorted.get(key, ()))
        return self._inhabited[key]

    def holders(self, zone: str, family: Family, number: int) -> tuple[str, ...]:
        return tuple(self._held.get((zone, family), {}).get(number, ()))

    def parts(self, zone: str, family: Family, addresses: Intervals) -> Parts:
        numbers = self._sorted.get((zone, family), [])
        held = self._held.get((zone, family), {})
        found: dict[str, list[int]] = {}
        for low, high in addresses:
            for number in numbers[bisect_left(numbers, low) : bisect_left(numbers, high + 1)]:
                for name in held[number]:
                    found.setdefault(name, []).append(number)
        whole = frozenset(name for name, got in found.items() if len(got) == self._count[zone, family, name])
        single = tuple(sorted((name, number) for name, got in found.items() if name not in whole for number in got))
        return Parts(whole, single, subtraction(addresses, self.inhabited(zone, family)))

    def say(self, zone: str, family: Family, addresses: Intervals) -> str:
        """Everything about a set of addresses in one text."""
        if addresses == WHOLE_FAMILY[family]:
            return ANY
        parts = self.parts(zone, family, addresses)
        terms = [self.words(parts.whole, zone, family)] if parts.whole else []
        terms += [f"{name} at {show(family, number)}" for name, number in parts.single]
        if parts.outside:
            terms.append(self.outside(zone, family, parts.outside))
        return " | ".join(terms)

    def outside(self, zone: str, family: Family, addresses: Intervals) -> str:
        """Addresses of no workload; a block may be named although workloads live inside, hence the last words."""
        inhabited = self.inhabited(zone, family)
        filled = union(addresses, inhabited)
        if filled == WHOLE_FAMILY[family]:
            return OUTSIDE
        lacking = cidrs(family, subtraction(WHOLE_FAMILY[family], filled))
        if len(lacking) <= MOST_EXCEPTIONS and size(addresses) > size(WHOLE_FAMILY[family]) // 2:
            return f"{OUTSIDE} except {','.join(lacking)}"
        blocks = [pair for pair in filled if subtraction((pair,), inhabited)]
        if len(blocks) >= len(addresses):
            blocks = list(addresses)
        texts = cidrs(family, tuple(blocks))
        if len(texts) > MOST_NAMES:
            texts = ranges(family, tuple(blocks))
        more = f" and {len(texts) - MOST_NAMES} more" if len(texts) > MOST_NAMES else ""
        note = f" {OUTSIDE}" if tuple(blocks) != addresses else ""
        return ",".join(texts[:MOST_NAMES]) + more + note

    def words(self, names: frozenset[str], zone: str, family: Family) -> str:
        """The labels that choose exactly these among the workloads with an address of the zone and family."""
        among = self._present.get((zone, family), 0)
        key = (names, among)
        if key not in self._words:
            self._words[key] = self._find(names, among)
        return self._words[key]

    def _find(self, names: frozenset[str], among: int) -> str:
        target = _bits(self._position[name] for name in names)
        if len(names) == 1:
            return self._conjunction(target, names, among, 0) or next(iter(names))
        if target == among:
            return EVERYBODY
        return (
            self._conjunction(target, names, among, 0)
            or self._union(target, names, among)
            or self._conjunction(target, names, among, min(MOST_EXCEPTIONS, len(names) // 2))
            or _listed(sorted(names))
        )

    def _conjunction(self, target: int, names: Iterable[str], among: int, exceptions: int) -> str:
        """Greedy: always the requirement that excludes most of the others; "" where none fits."""
        values: dict[str, set[str]] = {}
        shared: set[str] | None = None
        for name in names:
            labels = self._labels[name]
            shared = set(labels) if shared is None else shared & set(labels)
            for key, value in labels.items():
                values.setdefault(key, set()).add(value)
        choices = []
        for key in sorted(shared or ()):
            mask = 0
            for value in values[key]:
                mask |= self._having[key, value] & among
            choices.append((len(values[key]), _requirement(key, values[key]), mask))
            others = self._values[key] - values[key]
            if 0 < len(others) < len(values[key]):
                without = among
                for value in others:
                    without &= ~self._having[key, value]
                choices.append((len(others), _requirement(key, others, excluded=True), without))
        chosen: list[tuple[int, str, int]] = []
        cover = among
        while cover != target and choices:
            best = min(choices, key=lambda choice: ((cover & choice[2]).bit_count(), choice[0], choice[1]))
            if cover & best[2] == cover:
                break
            choices.remove(best)
            chosen.append(best)
            cover &= best[2]
        extra = cover & ~target
        if extra.bit_count() > exceptions or not chosen:
            return ""
        for choice in list(chosen):  # an early choice may have become needless
            rest = among
            for other in chosen:
                if other is not choice:
                    rest &= other[2]
            if rest == cover and len(chosen) > 1:
                chosen.remove(choice)
        text = ",".join(sorted(text for _count, text, _mask in chosen))
        left_out = [name for index, name in enumerate(self._names) if extra >> index & 1] if extra else []
        return f"{text} except {','.join(left_out)}" if left_out else text

    def _union(self, target: int, names: Iterable[str], among: int) -> str:
        """Few conjunctions that together cover exactly the target; "" where that takes too many."""
        kinds = sorted({tuple(sorted(self._labels[name].items())) for name in names})
        candidates: dict[tuple[tuple[str, str], ...], int] = {}
        for kind in kinds[:256]:
            for length in (1, 2, 3):
                for pairs in combinations(kind, length):
                    if pairs not in candidates:
                        mask = among
                        for pair in pairs:
                            mask &= self._having[pair]
                        candidates[pairs] = mask
        inside = {pairs: mask for pairs, mask in candidates.items() if mask & ~target == 0}
        terms: list[str] = []
        left = target
        while left and len(terms) < MOST_TERMS and inside:
            best = min(inside, key=lambda pairs: (-(inside[pairs] & left).bit_count(), len(pairs), pairs))
            if not inside[best] & left:
                break
            terms.append(",".join(f"{key}={value}" for key, value in best))
            left &= ~inside[best]
        return "" if left else " | ".join(sorted(terms))


def _bits(positions: Iterable[int]) -> int:
    """A bitset; linear in its length, whatever the order of the positions."""
    found = sorted(positions)
    data = bytearray(found[-1] // 8 + 1 if found else 0)
    for position in found:
        data[position >> 3] |= 1 << (position & 7)
    return int.from_bytes(data, "little")


def _requirement(key: str, values: set[str], excluded: bool = False) -> str:
    if len(values) == 1:
        return f"{key}{'!=' if excluded else '='}{next(iter(values))}"
    return f"{key} {'notin' if excluded else 'in'} ({_listed(sorted(values))})"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ",".join(names[:MOST_NAMES]) + more


def say_services(services: Intervals, family: Family) -> str:
    """The shorter of what is there and what is not.

    >>> say_services(((0, 21), (23, 0x4FFFF), *line.WHOLE["proto"]), 4)
    'any except tcp/22'
    """
    said = line.show(services, family)
    lacking = line.show(subtraction(line.UNIVERSE[family], services), family)
    if 0 < len(lacking) < len(said):
        return f"any except {','.join(lacking)}"
    return ",".join(said)


def class_text(labels: Mapping[str, str], zone: str = "") -> str:
    """All labels of a workload: the name of its class."""
    text = ",".join(f"{key}={labels[key]}" for key in sorted(labels)) or "(no labels)"
    return f"{text} in zone {zone}" if zone else text


__all__ = ["ANY", "EVERYBODY", "OUTSIDE", "Lifter", "Parts", "class_text", "say_services"]
