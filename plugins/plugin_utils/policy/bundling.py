# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From compiled policy to the bundle: one entry per enforcement point, policies and peer sets shared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from ..model.addresses import Family
from ..model.allocation import allocating
from ..model.artifact import ArtifactRule, DirectionPolicy, PeerSet
from ..model.bundle import Bundle, PointEntry, WorkloadEntry
from ..model.estate import DIRECTIONS, Direction, EnforcementPoint, Estate, Mode, Workload
from ..model.intervals import Intervals, normalised
from ..model.policy import Policy
from .compile import Compiled
from .estate_builder import last_known
from .weights import weight_of


def make_bundle(policy: Policy, compiled: Compiled) -> Bundle:
    """Equal input gives an equal bundle. Only managed workloads with an address have entries."""
    with allocating():
        return _bundle(policy, compiled)


def _bundle(policy: Policy, compiled: Compiled) -> Bundle:
    shared = _Policies(compiled)
    points: dict[str, PointEntry] = {}
    for name, workload in compiled.estate.workloads.items():
        if not workload.managed or not workload.addresses:
            continue
        for point in workload.enforcement:
            points[point.id] = PointEntry(
                point=point.id,
                platform=point.platform,
                writer=point.writer,
                stack=point.stack,
                workload=name,
                zone=workload.zone,
                own=_own(workload),
                policy=shared.identity(workload, point),
            )
    return Bundle(
        policy_digest=policy.digest,
        points={name: points[name] for name in sorted(points)},
        policies=shared.policies,
        sets=PeerSets(compiled),
        workloads=workload_entries(policy, compiled.estate),
    )


def workload_entries(policy: Policy, estate: Estate) -> dict[str, WorkloadEntry]:
    """What reports need to speak about workloads in label words."""
    return {
        name: WorkloadEntry(
            labels=last_known(workload.labels),
            addresses=tuple((address.family, address.number) for address in workload.addresses),
            zone=workload.zone,
            managed=workload.managed,
            modes=workload.modes,
            weight=weight_of(policy, workload),
        )
        for name, workload in estate.workloads.items()
    }


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
    numbers: dict[Family, list[tuple[int, int]]] = {4: [], 6: []}
    for address in workload.addresses:
        numbers[address.family].append((address.number, address.number))
    return {family: normalised(own) if len(own) > 1 else tuple(own) for family, own in numbers.items()}


class _Policies:
    """Policies by content id. The rules of a class are looked at once, whatever the number of its workloads."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self.policies: dict[str, tuple[DirectionPolicy, DirectionPolicy]] = {}
        self._digests = {
            direction: [rule_digest(copy.artifact) for copy in compiled.copies[direction]] for direction in DIRECTIONS
        }
        self._known: dict[tuple[int, Mode, Mode], str] = {}

    def identity(self, workload: Workload, point: EnforcementPoint) -> str:
        position = self.compiled.classes.of[workload.name]
        key = (
            position,
            workload.modes.ingress if "ingress" in point.directions else "idle",
            workload.modes.egress if "egress" in point.directions else "idle",
        )
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._add(position, {"ingress": key[1], "egress": key[2]})
        return known

    def _add(self, position: int, modes: Mapping[Direction, Mode]) -> str:
        digest = hashlib.sha256()
        for direction in DIRECTIONS:
            digest.update(modes[direction].encode())
            if modes[direction] != "idle":
                for index in self.compiled.of_class[direction][position]:
                    digest.update(self._digests[direction][index])
        identity = digest.hexdigest()[:32]
        if identity not in self.policies:
            parts: list[DirectionPolicy] = []
            for direction in DIRECTIONS:
                mode = modes[direction]
                rules = () if mode == "idle" else self.compiled.of_class[direction][position]
                copies = self.compiled.copies[direction]
                parts.append(DirectionPolicy(mode, tuple(copies[index].artifact for index in rules)))
            self.policies[identity] = (parts[0], parts[1])
        return identity


def rule_digest(rule: ArtifactRule) -> bytes:
    return hashlib.sha256(repr(rule).encode()).digest()
