# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The difference of two compiled policies: which packets does one allow and the other not, in label words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..model import services as line
from ..model.addresses import FAMILY_NAMES, Family
from ..model.intervals import Intervals, subtraction
from .decide import Decider, End
from .ends import Ends, Group

#: A group of ends that neither policy tells apart, as positions in the list of groups.
Side = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ChangedBox:
    """A product of consumers, providers and services. `pairs` counts workload pairs (an outside region counts one).

    The ends are those of workloads; a workload's own pair with itself is never meant.
    """

    family: Family
    consumers: str
    providers: str
    services: Intervals
    pairs: int
    witness: tuple[str, str, str]
    consumer_ends: tuple[End, ...] = ()
    provider_ends: tuple[End, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "from": self.consumers,
            "to": self.providers,
            "family": FAMILY_NAMES[self.family],
            "services": line.show(self.services, self.family),
            "pairs": self.pairs,
            "witness": dict(zip(("from", "to", "service"), self.witness, strict=True)),
        }


@dataclass(frozen=True, slots=True)
class PolicyDifference:
    newly_allowed: tuple[ChangedBox, ...]
    newly_denied: tuple[ChangedBox, ...]

    @property
    def empty(self) -> bool:
        return not self.newly_allowed and not self.newly_denied

    def to_dict(self) -> dict[str, Any]:
        return {
            "newly_allowed": [box.to_dict() for box in self.newly_allowed],
            "newly_denied": [box.to_dict() for box in self.newly_denied],
        }


def compare_policies(
    before: Decider, after: Decider, describe: Callable[[list[Group]], str], name: Callable[[End], str]
) -> PolicyDifference:
    """Exact over all ends both estates have, and over every region of outside addresses the policies tell apart.

    `describe` says a list of groups in words, `name` one end.
    """
    groups, paired = _common_groups(before, after)
    allowed: dict[tuple[Family, Intervals], dict[int, list[int]]] = {}
    denied: dict[tuple[Family, Intervals], dict[int, list[int]]] = {}
    for source, (old_source, new_source) in enumerate(paired):
        for target, (old_target, new_target) in enumerate(paired):
            if groups[source].family != groups[target].family or not (groups[source].ends or groups[target].ends):
                continue
            ends = _distinct(groups[source], groups[target])
            if ends is None:
                continue
            old = before.allowed(_in(old_source, ends[0]), _in(old_target, ends[1]))
            new = after.allowed(_in(new_source, ends[0]), _in(new_target, ends[1]))
            if old == new:
                continue
            family = groups[source].family
            for found, more, less in ((allowed, new, old), (denied, old, new)):
                services = subtraction(more, less)
                if services:
                    found.setdefault((family, services), {}).setdefault(source, []).append(target)
    return PolicyDifference(
        _boxes(allowed, groups, describe, name),
        _boxes(denied, groups, describe, name),
    )


def _in(estate_end: dict[str, End], end: End) -> End:
    """The end of the same name and address in the other estate."""
    return estate_end.get(_key(end), end)


def _key(end: End) -> str:
    return f"{end.workload.name if end.workload else ''}|{end.address.zone}|{end.address}"


def _common_groups(before: Decider, after: Decider) -> tuple[list[Group], list[tuple[dict[str, End], dict[str, End]]]]:
    """The common refinement of both partitions of ends."""
    prefixes = [
        prefix
        for decider in (before, after)
        for source in decider.compiled.sources.values()
        for prefix in source.prefixes or ()
    ]
    old, new = Ends(before.compiled, prefixes), Ends(after.compiled, prefixes)
    olds = {_key(end): (end, index) for index, group in enumerate(old.groups) for end in group.ends}
    collected: dict[tuple[int, int], list[End]] = {}
    other: dict[str, End] = {}
    for index, group in enumerate(new.groups):
        for end in group.ends:
            if _key(end) in olds:
                collected.setdefault((olds[_key(end)][1], index), []).append(end)
                other[_key(end)] = olds[_key(end)][0]
    groups: list[Group] = []
    paired: list[tuple[dict[str, End], dict[str, End]]] = []
    for ends in collected.values():
        groups.append(Group(ends[0].address.family, ends[0], tuple(ends)))
        few = ends[:2]
        paired.append(({_key(end): other[_key(end)] for end in few}, {_key(end): end for end in few}))
    for group in new.all_externals():
        groups.append(group)
        paired.append(({}, {}))
    return groups, paired


def _distinct(source: Group, target: Group) -> tuple[End, End] | None:
    for consumer in source.ends[:2] or (source.representative,):
        for provider in target.ends[:2] or (target.representative,):
            if consumer.workload is None or consumer.workload is not provider.workload:
                return consumer, provider
    return None


def _boxes(
    found: dict[tuple[Family, Intervals], dict[int, list[int]]],
    groups: list[Group],
    describe: Callable[[list[Group]], str],
    name: Callable[[End], str],
) -> tuple[ChangedBox, ...]:
    """Consumers with equal providers and services become one box, so boxes are disjoint."""
    boxes: list[ChangedBox] = []
    for (family, services), by_source in found.items():
        merged: dict[Side, list[int]] = {}
        for source, targets in by_source.items():
            merged.setdefault(tuple(targets), []).append(source)
        for chosen, sources in merged.items():
            consumers = [groups[index] for index in sources]
            providers = [groups[index] for index in chosen]
            ends = next(
                pair for source in consumers for target in providers if (pair := _distinct(source, target)) is not None
            )
            point = line.representative(services)
            boxes.append(
                ChangedBox(
                    family,
                    describe(consumers),
                    describe(providers),
                    services,
                    _pairs(consumers, providers),
                    (name(ends[0]), name(ends[1]), line.show(((point, point),))[0]),
                    tuple(end for group in consumers for end in group.ends),
                    tuple(end for group in providers for end in group.ends),
                )
            )
    return tuple(sorted(boxes, key=lambda box: (box.consumers, box.providers, box.family, box.services)))


def _pairs(consumers: list[Group], providers: list[Group]) -> int:
    sources = [{end.workload.name for end in group.ends if end.workload} for group in consumers]
    targets = [{end.workload.name for end in group.ends if end.workload} for group in providers]
    return sum(
        max(1, len(source)) * max(1, len(target)) - len(source & target) for source in sources for target in targets
    )
