# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The difference of two compiled policies: which packets does one allow and the other not, in label words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ..model import services as line
from ..model.addresses import FAMILY_NAMES, Family
from ..model.intervals import Intervals, intersection, subtraction, union
from .changed_pairs import Cell, Pairs, paired_groups
from .decide import Decider, End
from .ends import Group, distinct_ends
from .meanings import Comparison
from .moments import moments_of

#: A group of ends that neither policy tells apart, as positions in the list of groups.
Side = tuple[int, ...]


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
    return _compared(Comparison(before, after), before, after, describe, name, imagined, moments)


def compare_over_time(
    before: Decider,
    after: Decider,
    describe: Callable[[list[Group]], str],
    name: Callable[[End], str],
    imagined: bool = False,
) -> PolicyDifference:
    """The same from the moment of `before` on: at every moment at which something may differ that did not before."""
    comparison = Comparison(before, after)
    moments = moments_of(comparison.validities(), before.at)
    found = _compared(comparison, before, after, describe, name, imagined, moments.moments)
    return replace(found, complete=moments.complete)


def _compared(
    comparison: Comparison,
    before: Decider,
    after: Decider,
    describe: Callable[[list[Group]], str],
    name: Callable[[End], str],
    imagined: bool,
    moments: Sequence[datetime],
) -> PolicyDifference:
    paired = paired_groups(before, after, comparison, imagined)
    groups = [one.group for one in paired]
    boxes: dict[bool, list[ChangedBox]] = {True: [], False: []}
    known: dict[bool, _Known] = {True: {}, False: {}}
    named: dict[bool, _KnownNames] = {True: {}, False: {}}
    for moment in moments or (None,):
        old, new = before.at_moment(moment), after.at_moment(moment)
        since = None if moment == before.at else moment
        found: dict[bool, _Found] = {True: {}, False: {}}
        for cell in Pairs(old, new, comparison, paired).changed():
            for allowed, services in ((True, cell.gained), (False, cell.lost)):
                fresh = _fresh(known[allowed], cell, services) if len(moments) > 1 else services
                if fresh:
                    targets = found[allowed].setdefault((groups[cell.source].family, fresh), {})
                    targets.setdefault(cell.source, []).append(cell.target)
        for allowed, (less, more) in ((True, (old, new)), (False, (new, old))):
            boxes[allowed] += _boxes(found[allowed], groups, describe, name, since)
            boxes[allowed] += _named(less, more, groups, describe, name, named[allowed], since)
    return PolicyDifference(tuple(boxes[True]), tuple(boxes[False]))


#: What is already said, by group of consumers and group of providers, or by consumers and name.
_Known = dict[tuple[int, int], Intervals]
_KnownNames = dict[tuple[int, str], Intervals]
#: Groups of providers by family and services, and group of consumers.
_Found = dict[tuple[Family, Intervals], dict[int, list[int]]]


def _fresh(known: _Known, cell: Cell, services: Intervals) -> Intervals:
    """What was not said at an earlier moment."""
    key = cell.source, cell.target
    fresh = subtraction(services, known.get(key, ()))
    if fresh:
        known[key] = union(known.get(key, ()), fresh)
    return fresh


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


def _boxes(
    found: _Found,
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
    """Pairs of workloads, group by group; an outside region counts as one, and no workload is paired with itself."""
    sources, targets = (
        [{end.name for end in group.ends if end.workload} for group in side] for side in (consumers, providers)
    )
    both = [Counter(name for names in side for name in names) for side in (sources, targets)]
    itself = sum(count * both[1][name] for name, count in both[0].items())
    return sum(max(1, len(names)) for names in sources) * sum(max(1, len(names)) for names in targets) - itself
