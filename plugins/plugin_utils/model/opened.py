# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A bundle of which only its digest is known, read piece by piece.

Trust goes down the tree: the digest of the bundle is that of the manifest, the manifest names the digests of the
sections, and these name rules and peer sets by their digests. `read` gives a piece whose content has been verified.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .addresses import Address
from .allocation import allocating
from .artifact import Artifact, ArtifactRule, DirectionPolicy, PeerSet
from .bundle import Bundle, put_together
from .entries import PointEntry, WorkloadEntry
from .estate import Direction, Mode
from .pieces import address_name, point_from, rule_from, set_from, workload_from
from .sections import FORMAT, names_of_sets, section

T = TypeVar("T")


class UnknownFormat(Exception):
    """The manifest is of another format; `found` is its number."""

    def __init__(self, found: int) -> None:
        super().__init__(found)
        self.found = found


class OpenedBundle:
    """Answers from slices; what was read once is kept. `read(digest)` may raise errors of its own."""

    def __init__(self, digest: str, read: Callable[[str], bytes]) -> None:
        """Raises UnknownFormat."""
        self._read = read
        manifest = json.loads(read(digest))
        if manifest["format"] != FORMAT:
            raise UnknownFormat(manifest["format"])
        self.digest = digest
        self.policy_digest: str = manifest["policy_digest"]
        self._listing: dict[str, str] = manifest["sections"]
        self._known: dict[str, Any] = {}
        self._rules: dict[str, ArtifactRule] = {}
        self._sets: dict[str, PeerSet] = {}

    def point(self, name: str) -> PointEntry:
        """Raises KeyError for a point the bundle does not have, as the others do for what they are asked for."""
        return point_from(name, self._section(section("points", name))[name])

    def policies(self, identity: str) -> tuple[DirectionPolicy, DirectionPolicy]:
        return self._policies(section("policies", identity), identity)

    def mode(self, point: str, direction: Direction) -> Mode:
        """In which mode a point is, without its rules."""
        identity = self.point(point).policy
        entry = self._section(section("policies", identity))["policies"][identity]
        mode: Mode = entry[0] if direction == "ingress" else entry[2]
        return mode

    def peer_set(self, identity: str) -> PeerSet:
        known = self._sets.get(identity)
        if known is None:
            digest = self._section(section("sets", identity))[identity]
            known = self._sets[identity] = set_from(json.loads(self._read(digest)))
        return known

    def artifact(self, point: str) -> Artifact:
        entry = self.point(point)
        pair = self.policies(entry.policy)
        sets = {name: self.peer_set(name) for name in names_of_sets((*pair[0].rules, *pair[1].rules))}
        return put_together(entry, pair, sets)

    def workload(self, name: str) -> WorkloadEntry:
        return workload_from(self._section(section("workloads", name))[name])

    def workloads(self) -> Iterator[tuple[str, WorkloadEntry]]:
        """All of them, section by section."""
        for name in self._sections("workloads"):
            for key, data in self._section(name).items():
                yield key, workload_from(data)

    def holders(self, address: Address) -> tuple[str, ...]:
        """The names of the workloads that have this address."""
        name = address_name(address.zone, address.family, address.number)
        where = section("addresses", name)
        return tuple(self._section(where).get(name, ())) if where in self._listing else ()

    def whole(self) -> Bundle:
        """Everything, verified."""
        with allocating():
            points = {
                key: point_from(key, data)
                for name in self._sections("points")
                for key, data in self._load(name).items()
            }
            policies = {
                key: self._policies(name, key) for name in self._sections("policies") for key in self._policy_ids(name)
            }
            sets = {
                key: set_from(json.loads(self._read(digest)))
                for name in self._sections("sets")
                for key, digest in self._load(name).items()
            }
            workloads = {
                key: workload_from(data)
                for name in self._sections("workloads")
                for key, data in self._load(name).items()
            }
            for name in self._sections("addresses"):  # derived from the workloads, but part of what must be in order
                self._read(self._listing[name])
            return Bundle(
                self.policy_digest, _in_order(points), _in_order(policies), _in_order(sets), _in_order(workloads)
            )

    def _sections(self, kind: str) -> Iterator[str]:
        return (name for name in self._listing if name.startswith(f"{kind}/"))

    def _section(self, name: str) -> Any:
        """Raises KeyError for a section that is not there."""
        if name not in self._known:
            self._known[name] = self._load(name)
        return self._known[name]

    def _load(self, name: str) -> Any:
        return json.loads(self._read(self._listing[name]))

    def _policy_ids(self, name: str) -> list[str]:
        return list(self._section(name)["policies"])

    def _policies(self, name: str, identity: str) -> tuple[DirectionPolicy, DirectionPolicy]:
        content = self._section(name)
        digests = content["rules"]
        first, ingress, second, egress = content["policies"][identity]
        return (
            DirectionPolicy(first, tuple([self._rule(digests[number]) for number in ingress])),
            DirectionPolicy(second, tuple([self._rule(digests[number]) for number in egress])),
        )

    def _rule(self, digest: str) -> ArtifactRule:
        known = self._rules.get(digest)
        if known is None:
            known = self._rules[digest] = rule_from(json.loads(self._read(digest)))
        return known


def _in_order(things: dict[str, T]) -> dict[str, T]:
    return {name: things[name] for name in sorted(things)}
