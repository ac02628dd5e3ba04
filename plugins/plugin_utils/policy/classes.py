# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Classes: workloads with equal policy-relevant labels, the unit in which policy is computed.

A set of classes is one Python integer used as a bitset. Selectors are resolved once against an index of
key -> value -> classes. Classes with facts that expire on a key the selector uses are answered one by one, with the
intervals in which they match; there are few of them.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

from ..model.addresses import Family, Prefix
from ..model.estate import Estate, Modes, Workload
from ..model.labels import Fact, Truth
from ..model.selectors import Requirement, Selector

#: A half-open interval of time; None is unbounded.
Window = tuple[datetime | None, datetime | None]
ALWAYS: Window = (None, None)
_SET_BYTE = re.compile(rb"[^\x00]", re.DOTALL)
_BITS_OF = tuple(tuple(offset for offset in range(8) if byte >> offset & 1) for byte in range(256))


@dataclass(frozen=True, slots=True)
class WorkloadClass:
    """`labels` holds only keys that some selector mentions."""

    labels: Mapping[str, Fact]
    managed: bool
    modes: Modes
    members: tuple[str, ...]
    workload: str = ""  # set when a rule names the workload, which then has a class of its own


class Classes:
    def __init__(self, estate: Estate, keys: Iterable[str], named: Iterable[str], controllers: Iterable[str]) -> None:
        """`named` workloads and `controllers` (they get an extra failsafe) have classes of their own."""
        self.wanted = tuple(sorted(set(keys)))
        alone = set(named) | set(controllers)
        grouped: dict[tuple[object, ...], list[Workload]] = {}
        workloads = estate.workloads.values()
        for key, workload in zip(class_keys(workloads, self.wanted, alone), workloads, strict=True):
            members = grouped.get(key)
            if members is None:
                grouped[key] = [workload]
            else:
                members.append(workload)
        self.items: list[WorkloadClass] = []
        self.of: dict[str, int] = {}
        for index, members in enumerate(grouped.values()):
            names = tuple([member.name for member in members])
            self.items.append(class_of(members[0], self.wanted, names, names[0] in alone))
            self.of.update(dict.fromkeys(names, index))
        self.everything = (1 << len(self.items)) - 1
        self._index()
        self._estate = estate
        self._addresses: dict[Family, tuple[list[int], list[tuple[str, int]]]] = {}
        self._known: dict[Selector, int] = {}
        self._resolved: dict[tuple[Selector, bool], tuple[tuple[Window, int], ...]] = {}

    def _index(self) -> None:
        positions: dict[str, dict[str, list[int]]] = {}
        self._expiring: dict[str, list[int]] = {}
        for index, item in enumerate(self.items):
            for key, fact in item.labels.items():
                positions.setdefault(key, {}).setdefault(fact.value, []).append(index)
                if fact.expires is not None:
                    self._expiring.setdefault(key, []).append(index)
        self._values = {
            key: {value: to_bits(indices) for value, indices in values.items()} for key, values in positions.items()
        }
        self._present: dict[str, int] = {}
        for key, values in self._values.items():
            bits = 0
            for part in values.values():
                bits |= part
            self._present[key] = bits

    def _by_address(self, family: Family) -> tuple[list[int], list[tuple[str, int]]]:
        """Ascending address numbers, and beside each its zone and class."""
        if family not in self._addresses:
            owners = [
                (address.number, (address.zone, self.of[workload.name]))
                for workload in self._estate.workloads.values()
                for address in workload.addresses
                if address.family == family
            ]
            owners.sort(key=itemgetter(0))
            self._addresses[family] = [number for number, _owner in owners], [owner for _number, owner in owners]
        return self._addresses[family]

    def last_known(self, selector: Selector) -> int:
        """Classes that match on last known values, as the match of scopes, modes and members does."""
        if selector not in self._known:
            bits = self.everything
            for requirement in selector.requirements:
                bits &= self._requirement(requirement)
                if not bits:
                    break
            self._known[selector] = bits
        return self._known[selector]

    def _requirement(self, requirement: Requirement) -> int:
        if requirement.operator in ("exists", "absent"):
            present = self._present.get(requirement.key, 0)
            return present if requirement.operator == "exists" else self.everything & ~present
        values = self._values.get(requirement.key, {})
        bits = 0
        for value in requirement.values:
            bits |= values.get(value, 0)
        return bits if requirement.operator == "in" else self.everything & ~bits

    def matching(self, selector: Selector, unknown_counts: bool) -> tuple[tuple[Window, int], ...]:
        """Classes by the time in which they match, most often just one entry for always.

        `unknown_counts`: for deny rules an expired fact matches, for allow rules it does not (DESIGN §3.16).
        """
        if (selector, unknown_counts) not in self._resolved:
            self._resolved[selector, unknown_counts] = tuple(self._windows(selector, unknown_counts))
        return self._resolved[selector, unknown_counts]

    def _windows(self, selector: Selector, unknown_counts: bool) -> Iterator[tuple[Window, int]]:
        if not self._expiring:
            known = self.last_known(selector)
            if known:
                yield ALWAYS, known
            return
        expiring = {index for key in selector.keys for index in self._expiring.get(key, ())}
        always = self.last_known(selector)
        timed: dict[Window, int] = {}
        for index in sorted(expiring):
            always &= ~(1 << index)
            for window in match_windows(selector, self.items[index].labels, unknown_counts):
                timed[window] = timed.get(window, 0) | (1 << index)
        always |= timed.pop(ALWAYS, 0)
        if always:
            yield ALWAYS, always
        yield from sorted(timed.items(), key=lambda pair: str(pair[0]))

    def holding(self, prefixes: Iterable[Prefix]) -> int:
        """Classes with a member that has an address in one of the prefixes; no zone means the member's own."""
        found: set[int] = set()
        for prefix in prefixes:
            numbers, owners = self._by_address(prefix.family)
            for index in range(bisect_left(numbers, prefix.low), bisect_right(numbers, prefix.high)):
                zone, position = owners[index]
                if prefix.zone is None or prefix.zone == zone:
                    found.add(position)
        return to_bits(sorted(found))

    def names(self, bits: int) -> Iterator[str]:
        for index in positions_of(bits):
            yield from self.items[index].members


def class_keys(
    workloads: Collection[Workload], wanted: Sequence[str], alone: Container[str]
) -> Iterator[tuple[object, ...]]:
    """For every workload what its class is known by: workloads with equal keys are in one class."""
    columns: list[Iterable[object]] = [
        [
            None if fact is None else fact.value if fact.expires is None else (fact.value, fact.expires)
            for fact in [workload.labels.get(name) for workload in workloads]
        ]
        for name in wanted
    ]
    columns.append([workload.managed for workload in workloads])
    columns.append([workload.modes.ingress for workload in workloads])
    columns.append([workload.modes.egress for workload in workloads])
    columns.append([workload.name if workload.name in alone else "" for workload in workloads])
    return zip(*columns, strict=True)


def class_of(first: Workload, wanted: Iterable[str], names: tuple[str, ...], alone: bool) -> WorkloadClass:
    """The class of workloads with one key, of which `first` is any."""
    return WorkloadClass(
        labels={name: first.labels[name] for name in wanted if name in first.labels},
        managed=first.managed,
        modes=first.modes,
        members=names,
        workload=first.name if alone else "",
    )


def match_windows(selector: Selector, labels: Mapping[str, Fact], unknown_counts: bool) -> list[Window]:
    """The maximal intervals in which a selector matches one set of labels."""
    facts = [labels[key] for key in selector.keys if key in labels]
    ends = sorted({fact.expires for fact in facts if fact.expires is not None})
    bounds: list[datetime | None] = [None, *ends, None]
    least = Truth.UNKNOWN if unknown_counts else Truth.YES
    windows: list[Window] = []
    for index in range(len(bounds) - 1):
        start, end = bounds[index], bounds[index + 1]
        if selector.matches(labels, start) < least:  # before the first end (None) every fact is known
            continue
        if windows and windows[-1][1] == start and start is not None:
            windows[-1] = (windows[-1][0], end)
        else:
            windows.append((start, end))
    return windows


def overlap(left: Window, right: Window) -> Window | None:
    if left == ALWAYS or right == ALWAYS:
        return right if left == ALWAYS else left
    starts = [moment for moment in (left[0], right[0]) if moment is not None]
    ends = [moment for moment in (left[1], right[1]) if moment is not None]
    start, end = max(starts, default=None), min(ends, default=None)
    return None if start is not None and end is not None and start >= end else (start, end)


def to_bits(indices: Sequence[int]) -> int:
    """A bitset from ascending positions, built bytewise: linear in its length."""
    if not indices:
        return 0
    data = bytearray(indices[-1] // 8 + 1)
    for index in indices:
        data[index >> 3] |= 1 << (index & 7)
    return int.from_bytes(data, "little")


def positions_of(bits: int) -> Iterator[int]:
    """Ascending positions of the set bits; stretches of empty bytes cost next to nothing."""
    data = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
    for found in _SET_BYTE.finditer(data):
        base = found.start() << 3
        for offset in _BITS_OF[data[base >> 3]]:
            yield base + offset
