# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Bundle: everything one compile produced, addressed by content.

Enforcement points with equal rules share one policy, and peer sets are shared by all, so a bundle of a large estate
stays small; the artifact of one point is put together on demand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from .artifact import Artifact, DirectionPolicy, PeerSet
from .entries import PointEntry, WorkloadEntry
from .sections import Piece, names_of_sets, pieces_of


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
        return put_together(entry, self.policies[entry.policy], self.sets)

    def artifacts(self) -> Iterator[Artifact]:
        for point in self.points:
            yield self.artifact(point)

    def pieces(self) -> Iterator[Piece]:
        """The content as pieces that are named by their digest; the last one is the manifest.

        Whoever takes them all has the digest of the bundle, which is then not worked out again.
        """
        piece = None
        for piece in pieces_of(self.policy_digest, self.points, self.policies, self.sets, self.workloads):
            yield piece
        if piece is not None:
            self.__dict__["digest"] = piece.digest

    @cached_property
    def digest(self) -> str:
        """Digest of the manifest over the whole content; equal input gives an equal digest on any machine."""
        return deque(self.pieces(), maxlen=1)[0].digest


def put_together(
    entry: PointEntry, policies: tuple[DirectionPolicy, DirectionPolicy], sets: Mapping[str, PeerSet]
) -> Artifact:
    ingress, egress = policies
    return Artifact(
        point=entry.point,
        workload=entry.workload,
        zone=entry.zone,
        own=entry.own,
        ingress=ingress,
        egress=egress,
        sets={name: sets[name] for name in names_of_sets((*ingress.rules, *egress.rules))},
    )


__all__ = ["Bundle", "PointEntry", "WorkloadEntry", "put_together"]
