# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The difference of two compiled policies: which packets does one allow and the other not, in label words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ..model import services as line
from ..model.addresses import FAMILY_NAMES, Family
from ..model.calendar import Validity
from ..model.estate import DIRECTIONS, Direction
from ..model.intervals import Intervals, intersection, subtraction, union
from .decide import Decider, End
from .ends import Ends, Group, distinct_ends
from .moments import moments_of

#: A group of ends that neither policy tells apart, as positions in the list of groups.
Side = tuple[int, ...]
#: Per group the same ends in both estates, by key.
Paired = list[tuple[dict[str, End], dict[str, End]]]


@dataclass(frozen=True, slots=True)
class ChangedBox:
    """A product of consumers, providers and services. `pairs` counts workload pairs (an outside region counts one).

    The ends are those of workloads; a workload's own pair with itself is never meant. `since`: the first moment at
    which this is so; None where it is at the moment asked about.
    """

    family: Family
    consumers: str
    providers: str
    services: Intervals
    pairs: int
    witness: tuple[str, str, str]
    consumer_ends: tuple[End, ...] = ()
    provider_ends: tuple[End, ...] = ()
    since: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "from": self.consumers,
            "to": self.providers,
            "family": FAMILY_NAMES[self.family],
            "services": line.show(self.services, self.family),
            "pairs": self.pairs,
            "witness": dict(zip(("from", "to", "service"), self.witness, strict=True)),
            "since": None if self.since is None else self.since.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class PolicyDifference:
    """`complete` False: more combinations of open schedules than were compared, so an empty one proves nothing."""

    newly_allowed: tuple[ChangedBox, ...]
    newly_denied: tuple[ChangedBox, ...]
    complete: bool = True

    @property
    def empty(self) -> bool:
        """Is there no packet that they treat differently, at any moment?"""
        return self.complete and not self.newly_allowed and not self.newly_denied

    def to_dict(self) -> dict[str, Any]:
        return {
            "newly_allowed": [box.to_dict() for box in self.newly_allowed],
            "newly_denied": [box.to_dict() for box in self.newly_denied],
            "complete": self.complete,
        }


def compare_policies(
    before: Decider,
    after: Decider,
    describe: Callable[[list[Group]], str],
    name: Callable[[End], str],
    imagined: bool = False,
    moments: Sequence[datetime] = (),
) -> PolicyDifference:
    """Exact over all ends both estates have, and over every region of outside addresses the policies tell apart.

    `describe` says a list of groups in words, `name` one end. `imagined`: the workloads are those of
    `synthetic_estate`. `moments`, ascending: the answer is for all of them instead of the one of the deciders; what
    differs at several is said once, with the first.
    """
    groups, paired = _common_groups(before, after, imagined)
    boxes: dict[bool, list[ChangedBox]] = {True: [], False: []}
    known: dict[bool, _Known] = {True: {}, False: {}}
    named: dict[bool, _KnownNames] = {True: {}, False: {}}
    for moment in moments or (None,):
        old, new = before.at_moment(moment), after.at_moment(moment)
        since = None if moment == before.at else moment
        cells = _cells(old, new, groups, paired)
        for allowed, (less, more) in ((True, (old, new)), (False, (new, old))):
            found: dict[tuple[Family, Intervals], dict[int, list[int]]] = {}
            for source, target, first, second in cells:
                gained = subtraction(second, first) if allowed else subtraction(first, second)
                fresh = subtraction(gained, known[allowed].get((source, target), ()))
                if fresh:
                    known[allowed][source, target] = union(known[allowed].get((source, target), ()), fresh)
                    found.setdefault((groups[source].family, fresh), {}).setdefault(source, []).append(target)
            boxes[allowed] += _boxes(found, groups, describe, name, since)
            boxes[allowed] += _named(less, more, groups, describe, name, named[allowed], since)
    return PolicyDifference(tuple(boxes[True]), tuple(boxes[False]))


#: What is already said, by group of consumers and group of providers, or by consumers and name.
_Known = dict[tuple[int, int], Intervals]
_KnownNames = dict[tuple[int, str], Intervals]


def _cells(
    before: Decider, after: Decider, groups: list[Group], paired: Paired
) -> list[tuple[int, int, Intervals, Intervals]]:
    """Pairs of groups with two answers: consumers, providers, the services of the first policy and of the second."""
    changed = {direction: _changed(before, after, direction, paired) for direction in DIRECTIONS}
    receiving = [index for index, differs in enumerate(changed["ingress"]) if differs]
    found = []
    for source, (old_source, new_source) in enumerate(paired):
        for target in range(len(paired)) if changed["egress"][source] else receiving:
            old_target, new_target = paired[target]
            if groups[source].family != groups[target].family or not (groups[source].ends or groups[target].ends):
                continue
            ends = distinct_ends(groups[source], groups[target])
            if ends is None:
                continue
            old = before.allowed(_in(old_source, ends[0]), _in(old_target, ends[1]))
            new = after.allowed(_in(new_source, ends[0]), _in(new_target, ends[1]))
            if old != new:
                found.append((source, target, old, new))
    return found


def compare_over_time(
    before: Decider,
    after: Decider,
    describe: Callable[[list[Group]], str],
    name: Callable[[End], str],
    imagined: bool = False,
) -> PolicyDifference:
    """The same from the moment of `before` on: at every moment at which something may differ that did not before."""
    moments = moments_of(_timed_rules(before, after), before.at)
    found = compare_policies(before, after, describe, name, imagined, moments.moments)
    return replace(found, complete=moments.complete)


def _timed_rules(before: Decider, after: Decider) -> set[Validity]:
    """When rules count that could make the two answers differ at one moment and not at another."""
    names = {peer.validity for decider in (before, after) for peer in decider.compiled.by_name}
    if not any(
        copy.artifact.timed
        for decider in (before, after)
        for direction in DIRECTIONS
        for copy in decider.compiled.copies[direction]
    ):
        return names
    found = set(names)
    _groups, paired = _common_groups(before, after, True)
    for direction in DIRECTIONS:
        numbers: dict[tuple[object, ...], int] = {}
        sides = [_Side(decider, direction, numbers, timeless=False) for decider in (before, after)]
        for ends in paired:
            one, two = (next(iter(side.values()), None) for side in ends)
            if sides[0].meaning(one) != sides[1].meaning(two):
                found |= sides[0].validities(one) | sides[1].validities(two)
    return found


def _changed(before: Decider, after: Decider, direction: Direction, paired: Paired) -> list[bool]:
    """Per group: could this side answer differently? Where its rules and mode are the same, it cannot."""
    numbers: dict[tuple[object, ...], int] = {}
    sides = [_Side(before, direction, numbers), _Side(after, direction, numbers)]
    return [
        sides[0].meaning(next(iter(old.values()), None)) != sides[1].meaning(next(iter(new.values()), None))
        for old, new in paired
    ]


class _Side:
    """The rules of one direction by what they mean, so that those of two compiled policies can be compared.

    `timeless`: at the moment of the decider; otherwise rules with their validity.
    """

    def __init__(
        self,
        decider: Decider,
        direction: Direction,
        numbers: dict[tuple[object, ...], int],
        timeless: bool = True,
    ) -> None:
        self._decider = decider
        self._direction = direction
        self._numbers = numbers
        self._timeless = timeless
        self._of_copy: dict[int, int | None] = {}
        self._of_class: dict[int, frozenset[int]] = {}
        self._members: dict[int, frozenset[str]] = {}

    def meaning(self, end: End | None) -> tuple[object, ...]:
        if end is None or end.workload is None:
            return ()
        compiled = self._decider.compiled
        position = compiled.classes.of[end.workload.name]
        if position not in self._of_class:
            rules = (self._number(index) for index in compiled.of_class[self._direction][position])
            self._of_class[position] = frozenset(number for number in rules if number is not None)
        return self._decider.mode(self._direction, end.workload), self._of_class[position]

    def validities(self, end: End | None) -> set[Validity]:
        """Those of the timed rules that bind the end."""
        if end is None or end.workload is None:
            return set()
        compiled = self._decider.compiled
        copies = compiled.copies[self._direction]
        mine = compiled.of_class[self._direction][compiled.classes.of[end.workload.name]]
        return {copies[index].artifact.validity for index in mine if copies[index].artifact.timed}

    def _number(self, index: int) -> int | None:
        """Equal numbers mean rules that answer alike; None is a rule that does not count now."""
        if index not in self._of_copy:
            copy = self._decider.compiled.copies[self._direction][index]
            rule = copy.artifact
            key = (
                rule.tier,
                rule.action,
                rule.services,
                rule.peers is None,
                self._names(copy.peer_bits),
                frozenset(copy.peer_prefixes),
                None if copy.own_prefixes is None else frozenset(copy.own_prefixes),
                None if self._timeless else rule.validity,
            )
            counts = not self._timeless or rule.valid(self._decider.at)
            self._of_copy[index] = self._numbers.setdefault(key, len(self._numbers)) if counts else None
        return self._of_copy[index]

    def _names(self, bits: int) -> frozenset[str]:
        if bits not in self._members:
            self._members[bits] = frozenset(self._decider.compiled.classes.names(bits))
        return self._members[bits]


def _named(
    less: Decider,
    more: Decider,
    groups: list[Group],
    describe: Callable[[list[Group]], str],
    name: Callable[[End], str],
    known: _KnownNames,
    since: datetime | None,
) -> list[ChangedBox]:
    """What only `more` opens to a name: compared by name, whatever it resolves to (DESIGN §3.14)."""
    found: dict[tuple[Family, str, Intervals], list[Group]] = {}
    for index, group in enumerate(groups):
        if group.ends:
            others = _opened_names(less, group.representative)
            for text, services in _opened_names(more, group.representative).items():
                said = known.get((index, text), ())
                rest = subtraction(subtraction(services, others.get(text, ())), said)
                if rest:
                    known[index, text] = union(said, rest)
                    found.setdefault((group.family, text, rest), []).append(group)
    boxes = []
    for (family, text, services), sources in found.items():
        point = line.representative(services)
        witness = (name(sources[0].representative), text, line.show(((point, point),))[0])
        pairs = len({end.name for group in sources for end in group.ends})
        words = describe(sources), f"fqdn {text}"
        boxes.append(ChangedBox(family, *words, services, pairs, witness, since=since))
    return sorted(boxes, key=lambda box: (box.consumers, box.providers, box.family, box.services))


def _opened_names(decider: Decider, end: End) -> dict[str, Intervals]:
    if end.workload is None or end.name not in decider.compiled.classes.of:
        return {}
    workload = decider.compiled.estate.workloads[end.name]
    if decider.mode("egress", workload) != "full":
        return {}
    found: dict[str, Intervals] = {}
    for peer in decider.compiled.by_name:
        if peer.bits >> decider.compiled.classes.of[end.name] & 1 and peer.valid(decider.at):
            for text in peer.names:
                services = intersection(peer.origin.rule.services, line.UNIVERSE[end.address.family])
                found[text] = union(found.get(text, ()), services)
    return found


def _in(estate_end: dict[str, End], end: End) -> End:
    """The end of the same name and address in the other estate."""
    return estate_end.get(_key(end), end)


def _key(end: End) -> str:
    return f"{end.workload.name if end.workload else ''}|{end.address.zone}|{end.address}"


def _common_groups(before: Decider, after: Decider, imagined: bool) -> tuple[list[Group], Paired]:
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
    paired: Paired = []
    for ends in collected.values():
        groups.append(Group(ends[0].address.family, ends[0], tuple(ends)))
        few = ends[:2]
        paired.append(({_key(end): other[_key(end)] for end in few}, {_key(end): end for end in few}))
    for group in new.all_externals(imagined):
        groups.append(group)
        paired.append(({}, {}))
    return groups, paired


def _boxes(
    found: dict[tuple[Family, Intervals], dict[int, list[int]]],
    groups: list[Group],
    describe: Callable[[list[Group]], str],
    name: Callable[[End], str],
    since: datetime | None,
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
                pair
                for source in consumers
                for target in providers
                if (pair := distinct_ends(source, target)) is not None
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
                    since,
                )
            )
    return tuple(sorted(boxes, key=lambda box: (box.consumers, box.providers, box.family, box.services)))


def _pairs(consumers: list[Group], providers: list[Group]) -> int:
    sources = [{end.workload.name for end in group.ends if end.workload} for group in consumers]
    targets = [{end.workload.name for end in group.ends if end.workload} for group in providers]
    return sum(
        max(1, len(source)) * max(1, len(target)) - len(source & target) for source in sources for target in targets
    )
