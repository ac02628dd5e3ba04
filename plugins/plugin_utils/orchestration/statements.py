# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a plan changes, as few sentences: `labels -> labels  services`, with the number of pairs and one witness.

Both directions and both families of one change are one statement: it says what can be connected, not which table
says so. Beside the statements stands the same relation by class alone (`class_changes`), which does not move when
workloads come and go; that is what an approval covers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..model import services as line
from ..model.addresses import FAMILY_NAMES, Family, ranges, show
from ..model.artifact import PeerSet
from ..model.bundle import WorkloadEntry
from ..model.intervals import EMPTY, Intervals, intersection, subtraction, union
from ..model.lifting import Lifter, say_services
from .pairs import VERDICTS, Change, Group, Verdict

#: Addresses beyond this many ranges are counted in documents, not listed.
MOST_RANGES = 64
#: The services of ends between which everything was open, and from now on rules decide.
NO_RULE = "what no rule allows"


@dataclass(frozen=True, slots=True)
class End:
    """One end of a statement: workloads in label words, or addresses of nobody."""

    words: str
    workloads: frozenset[str]
    outside: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"words": self.words, "workloads": len(self.workloads), "outside": list(self.outside[:MOST_RANGES])}


@dataclass(frozen=True, slots=True)
class Witness:
    """One packet of a statement; `consumer` and `provider` are "" where the address belongs to nobody."""

    consumer: str
    consumer_address: str
    provider: str
    provider_address: str
    service: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "consumer": self.consumer,
            "consumer_address": self.consumer_address,
            "provider": self.provider,
            "provider_address": self.provider_address,
            "service": self.service,
        }

    def __str__(self) -> str:
        consumer = f"{self.consumer} {self.consumer_address}".strip()
        provider = f"{self.provider} {self.provider_address}".strip()
        return f"{consumer} -> {provider} {self.service}"


@dataclass(frozen=True, slots=True)
class Statement:
    """`pairs` counts pairs of workloads, all addresses of nobody as one. `said` are the services in few words.

    `packet` is the witness as numbers.
    """

    verdict: Verdict
    consumers: End
    providers: End
    services: tuple[str, ...]
    said: str
    families: tuple[str, ...]
    pairs: int
    witness: Witness
    packet: tuple[str, Family, int, int, int]  # zone, family, consumer, provider, service point
    changes: tuple[Change, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, order=True)
class ClassChange:
    """The digested form of a change: classes named by all their labels, outside addresses by the lists they are in."""

    verdict: Verdict
    services: tuple[str, ...]
    consumers: tuple[str, ...]
    providers: tuple[str, ...]

    def to_dict(self, classes: Mapping[str, int]) -> dict[str, Any]:
        """Classes by their position in the envelope, which keeps plans of large estates small."""
        return {
            "verdict": self.verdict,
            "services": list(self.services),
            "from": [classes.get(name, name) for name in self.consumers],
            "to": [classes.get(name, name) for name in self.providers],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], classes: Sequence[str]) -> ClassChange:
        ends = (tuple(classes[e] if isinstance(e, int) else e for e in data[key]) for key in ("from", "to"))
        return cls(data["verdict"], tuple(data["services"]), *ends)


def statements(
    changes: Iterable[Change], workloads: Mapping[str, WorkloadEntry], lifter: Lifter
) -> tuple[Statement, ...]:
    """Denied first, then allowed, then unknown; within these by number of pairs, largest first.

    Where a default of denial begins, the services differ from pair to pair; these pairs are one statement about what
    no rule allows.
    """
    by_verdict: dict[tuple[Verdict, str, Family, Intervals | None], dict[Group, list[Change]]] = {}
    for change in changes:
        group = change.consumers
        key = (change.verdict, group.zone, group.family, None if change.was_open else change.services)
        by_verdict.setdefault(key, {}).setdefault(group, []).append(change)
    folded: dict[tuple[object, ...], list[Statement]] = {}
    for (verdict, zone, family, services), by_consumer in by_verdict.items():
        rectangles: dict[tuple[frozenset[Group], bool], list[Change]] = {}
        for consumer, found in by_consumer.items():
            for outside in (False, True):
                some = [change for change in found if (not change.providers.members) is outside]
                if some:
                    provider_set = frozenset(change.providers for change in some)
                    rectangles.setdefault((provider_set, not consumer.members), []).extend(some)
        for members in rectangles.values():
            if not any(change.services for change in members):
                continue
            statement = _statement(verdict, zone, family, services, members, workloads, lifter)
            consumers, providers = statement.consumers, statement.providers
            key_of = (
                verdict,
                zone,
                (consumers.words, bool(consumers.workloads)),
                (providers.words, bool(providers.workloads)),
                statement.said,
            )
            folded.setdefault(key_of, []).append(statement)
    return tuple(sorted((_folded(same) for same in folded.values() if same[0].pairs), key=_rank))


def _rank(one: Statement) -> tuple[Any, ...]:
    return VERDICTS.index(one.verdict), -one.pairs, one.consumers.words, one.providers.words, one.services


def _statement(
    verdict: Verdict,
    zone: str,
    family: Family,
    services: Intervals | None,
    changes: list[Change],
    workloads: Mapping[str, WorkloadEntry],
    lifter: Lifter,
) -> Statement:
    consumers = tuple(dict.fromkeys(change.consumers for change in changes))
    providers = tuple(dict.fromkeys(change.providers for change in changes))
    said = NO_RULE
    if services is not None:
        said = say_services(services, family)
    else:
        services = EMPTY
        for change in changes:
            services = union(services, change.services)
    first = min(changes, key=lambda change: _plain(change, workloads))
    consumer, provider = _distinct(first)
    point = line.representative(first.services)
    shown = line.show(((point, point),))[0]
    names, peers = _names(consumers), _names(providers)
    pairs = (len(names) or 1) * (len(peers) or 1) - len(names & peers)
    return Statement(
        verdict,
        _end(consumers, zone, family, lifter),
        _end(providers, zone, family, lifter),
        tuple(line.show(services, family)),
        said,
        (FAMILY_NAMES[family],),
        pairs,
        Witness(consumer[0], show(family, consumer[1]), provider[0], show(family, provider[1]), shown),
        (zone, family, consumer[1], provider[1], point),
        tuple(changes),
    )


def _plain(change: Change, workloads: Mapping[str, WorkloadEntry]) -> tuple[Any, ...]:
    """Witnesses are easier to believe, and to try, between two managed workloads."""
    ends = change.consumers, change.providers
    names = [group.members[0][0] if group.members else "" for group in ends]
    managed = [bool(name) and workloads[name].managed for name in names]
    alone = change.consumers is change.providers and len(change.consumers.workloads) == 1
    return not change.services, alone, not all(names), not managed[0], not managed[1], *names


def _distinct(change: Change) -> tuple[tuple[str, int], tuple[str, int]]:
    """A consumer and a provider that are not the same workload."""
    consumers = change.consumers.members or (("", change.consumers.number),)
    providers = change.providers.members or (("", change.providers.number),)
    for provider in providers:
        if provider[0] != consumers[0][0] or not provider[0]:
            return consumers[0], provider
    return consumers[-1], providers[0]


def _names(groups: Iterable[Group]) -> frozenset[str]:
    return frozenset(name for group in groups for name, _number in group.members)


def _end(groups: tuple[Group, ...], zone: str, family: Family, lifter: Lifter) -> End:
    outside: Intervals = EMPTY
    numbers: list[tuple[int, int]] = []
    for group in groups:
        outside = union(outside, group.outside)
        numbers.extend((number, number) for _name, number in group.members)
    place = f" in zone {zone}" if zone else ""
    if outside:
        return End(lifter.outside(zone, family, outside) + place, frozenset(), tuple(ranges(family, outside)))
    found = lifter.parts(zone, family, tuple(sorted(set(numbers))))
    wanted = _names(groups)
    whole = found.whole & wanted
    words = [lifter.words(whole, zone, family)] if whole else []
    words += [f"{name} at {show(family, number)}" for name, number in found.single if name in wanted]
    return End(" | ".join(words) + place, wanted, ())


def _folded(same: list[Statement]) -> Statement:
    """The same statement in IPv4 and IPv6 is one."""
    first = same[0]
    if len(same) == 1:
        return first
    services: Intervals = EMPTY
    for one in same:
        services = union(services, line.parse_all(one.services))
    consumers, providers = _joined([one.consumers for one in same]), _joined([one.providers for one in same])
    return replace(
        first,
        services=tuple(line.show(services)),
        families=tuple(sorted({family for one in same for family in one.families})),
        consumers=consumers,
        providers=providers,
        pairs=max(one.pairs for one in same),
        changes=tuple(change for one in same for change in one.changes),
    )


def _joined(ends: list[End]) -> End:
    workloads = frozenset(name for end in ends for name in end.workloads)
    return End(ends[0].words, workloads, tuple(text for end in ends for text in end.outside))


def class_changes(changes: Iterable[Change], sets: Iterable[PeerSet]) -> tuple[ClassChange, ...]:
    """The relation between classes, in one normal form; `sets` name addresses outside the estate."""
    static = sorted((one for one in sets if one.kind == "static"), key=lambda one: one.meaning)
    names: dict[tuple[Family, Intervals], tuple[str, ...]] = {}

    def said(group: Group) -> tuple[str, ...]:
        if group.members:
            return (group.labels,)
        key = (group.family, group.outside)
        if key not in names:
            names[key] = _lists(group, static)
        return names[key]

    pairs: dict[tuple[Verdict, tuple[str, str]], Intervals] = {}
    for change in changes:
        for consumer in said(change.consumers):
            for provider in said(change.providers):
                key = (change.verdict, (consumer, provider))
                pairs[key] = union(pairs.get(key, EMPTY), change.services)
    by_services: dict[tuple[Verdict, Intervals, str], set[str]] = {}
    for (verdict, (consumer, provider)), services in pairs.items():
        by_services.setdefault((verdict, services, consumer), set()).add(provider)
    merged: dict[tuple[Verdict, Intervals, tuple[str, ...]], list[str]] = {}
    for (verdict, services, consumer), providers in by_services.items():
        merged.setdefault((verdict, services, tuple(sorted(providers))), []).append(consumer)
    return tuple(
        sorted(
            ClassChange(verdict, tuple(line.show(services)), tuple(sorted(consumers)), providers)
            for (verdict, services, providers), consumers in merged.items()
        )
    )


def _lists(group: Group, static: list[PeerSet]) -> tuple[str, ...]:
    found: list[str] = []
    rest = group.outside
    for one in static:
        held = one.addresses.get(group.family, EMPTY)
        if intersection(group.outside, held):
            found.append(one.meaning)
            rest = subtraction(rest, held)
    place = f" in zone {group.zone}" if group.zone else ""
    return tuple(f"outside: {name}{place}" for name in (*found, *(("elsewhere",) if rest else ())))
