# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From compiled policy to the bundle: one entry per enforcement point, policies and peer sets shared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from ..model.addresses import Family
from ..model.allocation import allocating
from ..model.artifact import DirectionPolicy, PeerSet
from ..model.bundle import Bundle, PointEntry, WorkloadEntry
from ..model.estate import DIRECTIONS, Direction, EnforcementPoint, Estate, Mode, Workload
from ..model.intervals import Intervals, normalised
from ..model.pieces import rule_content
from ..model.policy import Policy
from .compile import Compiled
from .estate_builder import last_known
from .weights import weight_of

S = TypeVar("S")
T = TypeVar("T")


def make_bundle(policy: Policy, compiled: Compiled) -> Bundle:
    """Equal input gives an equal bundle. Only managed workloads with an address have entries."""
    with allocating():
        return _bundle(policy, compiled)


def _bundle(policy: Policy, compiled: Compiled) -> Bundle:
    shared = _Policies(compiled)
    points: dict[str, _Carried] = {}
    identities: dict[tuple[int, tuple[Direction, ...]], str] = {}
    class_of = compiled.classes.of
    for name, workload in compiled.estate.workloads.items():
        if not workload.managed or not workload.addresses:
            continue
        for point in workload.enforcement:
            key = (class_of[name], point.directions)
            identity = identities.get(key)
            if identity is None:
                identity = identities[key] = shared.add(key[0], effective_modes(workload, point))
            points[point.id] = (workload, point, identity)
    return Bundle(
        policy_digest=policy.digest,
        points=View({name: points[name] for name in sorted(points)}, lambda carried: point_entry(*carried)),
        policies=View(shared.rules_of, shared.pair),
        sets=PeerSets(compiled),
        workloads=workload_entries(policy, compiled.estate),
    )


#: A point with its workload and the id of its policy.
_Carried = tuple[Workload, EnforcementPoint, str]


def effective_modes(workload: Workload, point: EnforcementPoint) -> dict[Direction, Mode]:
    """A point is idle in directions it cannot enforce."""
    return {
        direction: workload.modes.of(direction) if direction in point.directions else "idle" for direction in DIRECTIONS
    }


def point_entry(workload: Workload, point: EnforcementPoint, policy: str) -> PointEntry:
    return PointEntry(
        point=point.id,
        platform=point.platform,
        writer=point.writer,
        stack=point.stack,
        workload=workload.name,
        zone=workload.zone,
        own=_own(workload),
        policy=policy,
    )


def workload_entries(policy: Policy, estate: Estate) -> Mapping[str, WorkloadEntry]:
    """What reports need to speak about workloads in label words."""
    return View(estate.workloads, lambda workload: workload_entry(policy, workload))


def workload_entry(policy: Policy, workload: Workload) -> WorkloadEntry:
    return WorkloadEntry(
        labels=last_known(workload.labels),
        addresses=tuple([(address.family, address.number) for address in workload.addresses]),
        zone=workload.zone,
        managed=workload.managed,
        modes=workload.modes,
        weight=weight_of(policy, workload),
        points=tuple([point.id for point in workload.enforcement]) if workload.managed and workload.addresses else (),
    )


class View(Mapping[str, T], Generic[S, T]):
    """A mapping whose values are made from those of another one when somebody looks.

    A bundle of a large estate has hundreds of thousands of entries, and most of its readers look at few of them.
    """

    def __init__(self, source: Mapping[str, S], make: Callable[[S], T]) -> None:
        self._source = source
        self._make = make

    def __getitem__(self, name: str) -> T:
        return self._make(self._source[name])

    def __contains__(self, name: object) -> bool:
        return name in self._source

    def __iter__(self) -> Iterator[str]:
        return iter(self._source)

    def __len__(self) -> int:
        return len(self._source)


class PeerSets(Mapping[str, PeerSet]):
    """Peer sets by id; addresses are worked out when somebody looks."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled

    def __getitem__(self, name: str) -> PeerSet:
        return self._compiled.peer_set(name)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._compiled.sources))

    def __len__(self) -> int:
        return len(self._compiled.sources)


def _own(workload: Workload) -> Mapping[Family, Intervals]:
    four = [(address.number, address.number) for address in workload.addresses if address.family == 4]
    six = [(address.number, address.number) for address in workload.addresses if address.family == 6]
    return {4: normalised(four) if len(four) > 1 else tuple(four), 6: normalised(six) if len(six) > 1 else tuple(six)}


#: The rules of one direction: the mode, and ascending positions among its copies.
_Rules = tuple[Mode, tuple[int, ...]]


class _Policies:
    """Policies by content id. The rules of a class are looked at once, whatever the number of its workloads."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self.rules_of: dict[str, tuple[_Rules, _Rules]] = {}
        self._digests = {
            direction: [hashlib.sha256(rule_content(copy.artifact)).digest() for copy in compiled.copies[direction]]
            for direction in DIRECTIONS
        }

    def add(self, position: int, modes: Mapping[Direction, Mode]) -> str:
        parts: list[_Rules] = []
        said: list[tuple[Mode, list[bytes]]] = []
        for direction in DIRECTIONS:
            mode = modes[direction]
            rules = () if mode == "idle" else tuple(self.compiled.of_class[direction][position])
            parts.append((mode, rules))
            digests = self._digests[direction]
            said.append((mode, [digests[index] for index in rules]))
        identity = _identity(said)
        self.rules_of.setdefault(identity, (parts[0], parts[1]))
        return identity

    def pair(self, rules: tuple[_Rules, _Rules]) -> tuple[DirectionPolicy, DirectionPolicy]:
        copies = self.compiled.copies
        ingress, egress = (
            DirectionPolicy(mode, tuple([copies[direction][index].artifact for index in positions]))
            for direction, (mode, positions) in zip(DIRECTIONS, rules, strict=True)
        )
        return ingress, egress


def _identity(parts: Iterable[tuple[Mode, Iterable[bytes]]]) -> str:
    """The content id of a policy: modes, and the digests of the rules."""
    digest = hashlib.sha256()
    for mode, rules in parts:
        digest.update(mode.encode())
        digest.update(b"".join(rules))
    return digest.hexdigest()[:32]


def add_policy(
    policies: dict[str, tuple[DirectionPolicy, DirectionPolicy]], ingress: DirectionPolicy, egress: DirectionPolicy
) -> str:
    """Its id, after it was added under it."""
    identity = _identity(
        (part.mode, [hashlib.sha256(rule_content(rule)).digest() for rule in part.rules]) for part in (ingress, egress)
    )
    policies.setdefault(identity, (ingress, egress))
    return identity
