# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Kinds of ends: addresses that no rule of the compiled policies can tell apart, for tables over millions of flows.

Two ends are of one kind when they are in one class and zone of every policy, enforce the same directions, and no
written prefix separates their addresses. Addresses of nobody form kinds too. Service addresses and shared addresses
are of no kind: they are judged one by one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..model.addresses import FAMILIES, Address, Family
from ..model.estate import Workload
from .compile import Compiled
from .decide import End

#: Both ends of these are on one machine, wherever a sensor saw them.
LOOPBACK: dict[Family, tuple[int, int]] = {4: (127 << 24, (128 << 24) - 1), 6: (1, 1)}
NO_KIND = -1


@dataclass(frozen=True, slots=True)
class Kind:
    """`ends[i]` stands for the kind in policy `i`; its workload is None where nobody has the address."""

    ends: tuple[End, ...]
    loopback: bool


@dataclass(frozen=True)
class Kinds:
    """`of[e]`: the kind of end `e`, NO_KIND for a service address or a shared one.

    `homes[i][e]`: the first end of the same workload in policy `i`; the end itself where nobody has it.
    """

    items: tuple[Kind, ...]
    of: npt.NDArray[np.int32]
    homes: tuple[npt.NDArray[np.int32], ...]


def kinds_of(policies: Sequence[Compiled], ends: Sequence[Address]) -> Kinds:
    """One look at every distinct end."""
    regions = _regions(policies, ends)
    virtual = [{service.address for service in policy.estate.service_addresses} for policy in policies]
    held = [policy.estate.by_address for policy in policies]
    standing: list[dict[str, tuple[object, ...]]] = [{} for _ in policies]
    known: dict[tuple[object, ...], int] = {}
    items: list[Kind] = []
    of = np.empty(len(ends), np.int32)
    homes = [np.arange(len(ends), dtype=np.int32) for _ in policies]
    first_end: list[dict[str, int]] = [{} for _ in policies]
    for position, address in enumerate(ends):
        key: list[object] = [address.family, address.zone, regions[position]]
        holders: list[Workload | None] = []
        for index, policy in enumerate(policies):
            found = held[index].get(address, ())
            if len(found) > 1 or address in virtual[index]:
                key = []
                break
            holder = found[0] if found else None
            holders.append(holder)
            if holder is None:
                key.append(None)
                continue
            homes[index][position] = first_end[index].setdefault(holder.name, position)
            if holder.name not in standing[index]:
                standing[index][holder.name] = (
                    policy.classes.of[holder.name],
                    holder.zone,
                    holder.enforces("ingress"),
                    holder.enforces("egress"),
                )
            key.append(standing[index][holder.name])
        if not key:
            of[position] = NO_KIND
            continue
        kind = known.setdefault(tuple(key), len(items))
        if kind == len(items):
            low, high = LOOPBACK[address.family]
            items.append(Kind(tuple(End(address, holder) for holder in holders), low <= address.number <= high))
        of[position] = kind
    return Kinds(tuple(items), of, tuple(homes))


def cuts(policies: Sequence[Compiled]) -> dict[Family, list[int]]:
    """Ascending numbers at which a written prefix begins or is over."""
    found: dict[Family, set[int]] = {family: {low, high + 1} for family, (low, high) in LOOPBACK.items()}
    for policy in policies:
        for source in policy.sources.values():
            for prefix in source.prefixes or ():
                found[prefix.family].update((prefix.low, prefix.high + 1))
    return {family: sorted(numbers) for family, numbers in found.items()}


def _regions(policies: Sequence[Compiled], ends: Sequence[Address]) -> list[int]:
    found = cuts(policies)
    regions = [0] * len(ends)
    for family in FAMILIES:
        positions = [position for position, end in enumerate(ends) if end.family == family]
        if family == 4:
            numbers = np.array([ends[position].number for position in positions], np.int64)
            places = np.searchsorted(np.array(found[family], np.int64), numbers, "right").tolist()
        else:
            places = [bisect_right(found[family], ends[position].number) for position in positions]
        for position, place in zip(positions, places, strict=True):
            regions[position] = place
    return regions


__all__ = ["NO_KIND", "Kind", "Kinds", "cuts", "kinds_of"]
