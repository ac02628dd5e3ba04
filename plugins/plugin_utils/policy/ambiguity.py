# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Addresses that more than one workload has, where an enforcement point would have to tell these workloads apart.

On the wire there are no zones: a host that may talk to one holder of an address lets the other one in as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from ..model import services as line
from ..model.addresses import Family
from ..model.errors import Finding
from ..model.estate import DIRECTIONS, Direction, Workload
from ..model.intervals import subtraction, union
from .decide import Decider, End
from .ends import Ends, ends_of


def ambiguous_addresses(decider: Decider) -> Iterator[Finding]:
    """E-AMBIGUOUS-ADDRESS across zones, where a point would open wider than asked; W-SHARED-ADDRESS inside one.

    One finding for each pair of holders, with the first enforcement point and service that shows it.
    """
    held: dict[tuple[Family, int], list[Workload]] = {}
    for address, holders in decider.compiled.estate.by_address.items():
        held.setdefault((address.family, address.number), []).extend(holders)
    several = {key: holders for key, holders in held.items() if len(holders) > 1}
    if not several:
        return
    groups = [group for group in Ends(decider.compiled).groups if group.representative.workload is not None]
    for (family, number), sharers in several.items():
        for first, second in combinations(sharers, 2):
            ends = [_end(holder, family, number) for holder in (first, second)]
            witness = next(
                (
                    found
                    for group in groups
                    if group.family == family
                    for own in group.ends[:3]
                    if own.workload not in (first, second)
                    for direction in DIRECTIONS
                    if (found := _differs(decider, direction, own, ends)) is not None
                ),
                None,
            )
            if witness is not None:
                yield _finding(first, second, ends[0], *witness)


def _end(holder: Workload, family: Family, number: int) -> End:
    return next(end for end in ends_of(holder) if (end.address.family, end.address.number) == (family, number))


def _differs(decider: Decider, direction: Direction, own: End, ends: list[End]) -> tuple[Direction, End, str] | None:
    if decider.mode(direction, own.workload) is None:
        return None
    answers = [decider.side_allowed(direction, own, end) for end in ends]
    if answers[0] == answers[1]:
        return None
    point = line.representative(union(subtraction(answers[0], answers[1]), subtraction(answers[1], answers[0])))
    return direction, own, line.show(((point, point),))[0]


def _finding(first: Workload, second: Workload, end: End, direction: Direction, own: End, service: str) -> Finding:
    across = first.zone != second.zone
    zones = f" (zones {first.zone or 'default'} and {second.zone or 'default'})" if across else ""
    return Finding(
        "E-AMBIGUOUS-ADDRESS" if across else "W-SHARED-ADDRESS",
        "error" if across else "warning",
        f"{first.name} and {second.name}{zones} both have {end.address}; {own.name} would have to tell them apart "
        f"for {service} ({direction}), which no packet filter can.",
        second.place,
        "Give the rule a peer that means both or neither, or readdress one.",
    )
