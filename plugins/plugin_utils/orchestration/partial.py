# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Bundles of states that are not the policy itself: the interim states of a plan, what is held back, removal.

They are saved and read like any bundle, so one enforcement point's target is one small read in every phase.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..model.artifact import Artifact, ArtifactRule, DirectionPolicy, PeerSet
from ..model.bundle import Bundle, PointEntry
from ..model.pieces import canonical, digest_of


class PartialBundle:
    """Collects artifacts of points of a bundle. Sets of equal id and different members are kept apart."""

    def __init__(self, whole: Bundle) -> None:
        self._whole = whole
        self._points: dict[str, PointEntry] = {}
        self._policies: dict[str, tuple[DirectionPolicy, DirectionPolicy]] = {}
        self._sets: dict[str, PeerSet] = {}

    def add(self, artifact: Artifact) -> str:
        """Returns the id of its policy, for points that differ in nothing else."""
        names = {name: self._name(peer_set) for name, peer_set in artifact.sets.items()}
        for name, kept in names.items():
            self._sets[kept] = replace(artifact.sets[name], id=kept)
        pair = (_renamed(artifact.ingress, names), _renamed(artifact.egress, names))
        policy = digest_of(canonical([part.to_dict() for part in pair]))[:32]
        self._policies[policy] = pair
        self.add_alike(artifact.point, policy)
        return policy

    def add_alike(self, point: str, policy: str) -> None:
        self._points[point] = replace(self._whole.points[point], policy=policy)

    def _name(self, peer_set: PeerSet) -> str:
        known = self._sets.get(peer_set.id)
        if known is None or known == peer_set:
            return peer_set.id
        return digest_of(canonical(peer_set.to_dict()))[:12]

    def bundle(self) -> Bundle:
        return Bundle(
            policy_digest=self._whole.policy_digest,
            points={name: self._points[name] for name in sorted(self._points)},
            policies=self._policies,
            sets=self._sets,
            workloads=self._whole.workloads,
        )


def idle_bundle(whole: Bundle) -> Bundle:
    """The same points with nothing of ours on them."""
    nothing = (DirectionPolicy("idle"), DirectionPolicy("idle"))
    points = {name: replace(entry, policy="idle") for name, entry in whole.points.items()}
    return Bundle(whole.policy_digest, points, {"idle": nothing}, {}, whole.workloads)


def _renamed(policy: DirectionPolicy, names: Mapping[str, str]) -> DirectionPolicy:
    if all(name == kept for name, kept in names.items()):
        return policy
    return replace(policy, rules=tuple(_renamed_rule(rule, names) for rule in policy.rules))


def _renamed_rule(rule: ArtifactRule, names: Mapping[str, str]) -> ArtifactRule:
    return replace(
        rule,
        peers=None if rule.peers is None else tuple(names[name] for name in rule.peers),
        own=None if rule.own is None else tuple(names[name] for name in rule.own),
    )
