# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Bundle: everything one compile produced, addressed by content.

Enforcement points with equal rules share one policy, and peer sets are shared by all, so a bundle of a large estate
stays small; the artifact of one point is put together on demand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .addresses import Family
from .artifact import Artifact, DirectionPolicy, PeerSet
from .estate import Modes
from .intervals import Intervals
from .sections import digest_of, manifest, sections

FORMAT = 1


@dataclass(frozen=True, slots=True)
class PointEntry:
    """One enforcement point: whose it is, and which of the bundle's policies it carries."""

    point: str
    platform: str
    writer: str
    stack: str
    workload: str
    zone: str
    own: Mapping[Family, Intervals]
    policy: str


@dataclass(frozen=True, slots=True)
class WorkloadEntry:
    """What reports need to speak about a workload in label words."""

    labels: Mapping[str, str]
    addresses: tuple[tuple[Family, int], ...]
    zone: str
    managed: bool
    modes: Modes
    weight: float = 1.0


@dataclass(frozen=True)
class Bundle:
    """`policies` maps a content id to (ingress, egress). `policy_digest` is that of the policy documents."""

    policy_digest: str
    points: Mapping[str, PointEntry]
    policies: Mapping[str, tuple[DirectionPolicy, DirectionPolicy]]
    sets: Mapping[str, PeerSet]
    workloads: Mapping[str, WorkloadEntry]

    def artifact(self, point: str) -> Artifact:
        """Raises KeyError for a point the bundle does not have."""
        entry = self.points[point]
        ingress, egress = self.policies[entry.policy]
        names = {
            name
            for policy in (ingress, egress)
            for rule in policy.rules
            for name in (*(rule.peers or ()), *(rule.own or ()))
        }
        return Artifact(
            point=point,
            workload=entry.workload,
            zone=entry.zone,
            own=entry.own,
            ingress=ingress,
            egress=egress,
            sets={name: self.sets[name] for name in names},
        )

    def artifacts(self) -> Iterator[Artifact]:
        for point in self.points:
            yield self.artifact(point)

    @cached_property
    def digest(self) -> str:
        """Digest of the manifest over the whole content; equal input gives an equal digest on any machine."""
        data = self.to_dict()
        return digest_of(manifest(data, sections(data)))

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "policy_digest": self.policy_digest,
            "points": {
                name: {
                    "platform": entry.platform,
                    "writer": entry.writer,
                    "stack": entry.stack,
                    "workload": entry.workload,
                    "zone": entry.zone,
                    "own": {str(family): [list(pair) for pair in entry.own.get(family, ())] for family in (4, 6)},
                    "policy": entry.policy,
                }
                for name, entry in self.points.items()
            },
            "policies": {
                name: {"ingress": ingress.to_dict(), "egress": egress.to_dict()}
                for name, (ingress, egress) in self.policies.items()
            },
            "sets": {name: peer_set.to_dict() for name, peer_set in self.sets.items()},
            "workloads": {
                name: {
                    "labels": dict(entry.labels),
                    "addresses": [[family, number] for family, number in entry.addresses],
                    "zone": entry.zone,
                    "managed": entry.managed,
                    "modes": {"ingress": entry.modes.ingress, "egress": entry.modes.egress},
                    "weight": entry.weight,
                }
                for name, entry in self.workloads.items()
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Bundle:
        return cls(
            policy_digest=data["policy_digest"],
            points={
                name: PointEntry(
                    point=name,
                    platform=entry["platform"],
                    writer=entry["writer"],
                    stack=entry["stack"],
                    workload=entry["workload"],
                    zone=entry["zone"],
                    own={
                        4: tuple((low, high) for low, high in entry["own"]["4"]),
                        6: tuple((low, high) for low, high in entry["own"]["6"]),
                    },
                    policy=entry["policy"],
                )
                for name, entry in data["points"].items()
            },
            policies={
                name: (DirectionPolicy.from_dict(pair["ingress"]), DirectionPolicy.from_dict(pair["egress"]))
                for name, pair in data["policies"].items()
            },
            sets={name: PeerSet.from_dict(peer_set) for name, peer_set in data["sets"].items()},
            workloads={
                name: WorkloadEntry(
                    labels=entry["labels"],
                    addresses=tuple((family, number) for family, number in entry["addresses"]),
                    zone=entry["zone"],
                    managed=entry["managed"],
                    modes=Modes(entry["modes"]["ingress"], entry["modes"]["egress"]),
                    weight=entry["weight"],
                )
                for name, entry in data["workloads"].items()
            },
        )
