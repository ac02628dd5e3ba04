# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A bundle as pieces that are named by their digest, so that the slice of one point can be read and verified alone.

The pieces form a tree. Its root, the manifest, lists the digests of the sections, and the digest of the manifest is
the digest of the bundle. Named things are spread over sections by the hash of their name, so that a section stays
small however large the estate is (docs/bundle-format.md).

=================  ====================================================================================
`points/HH`        points by name, each with the id of its policy
`policies/HH`      policies by id; rules by the digest of their piece, listed once per section
`sets/HH`          peer sets by id: the digest of their piece
`workloads/HH`     workloads by name, for reports
`addresses/HH`     names of the workloads that have an address
=================  ====================================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from .artifact import ArtifactRule, DirectionPolicy, PeerSet
from .entries import PointEntry, WorkloadEntry
from .pieces import (
    address_name,
    canonical,
    digest_of,
    point_data,
    rule_content,
    set_content,
    workload_data,
)

T = TypeVar("T")
FORMAT = 2
_HEX = tuple(f"{number:02x}" for number in range(256))


class Piece(NamedTuple):
    """`digest` is that of `content`."""

    digest: str
    content: bytes


def section(kind: str, name: str) -> str:
    """The section in which a named thing is: `points/3f`."""
    return f"{kind}/{_HEX[hashlib.sha256(name.encode()).digest()[0]]}"


def pieces_of(
    policy_digest: str,
    points: Mapping[str, PointEntry],
    policies: Mapping[str, tuple[DirectionPolicy, DirectionPolicy]],
    sets: Mapping[str, PeerSet],
    workloads: Mapping[str, WorkloadEntry],
) -> Iterator[Piece]:
    """Every piece of a bundle, each made when it is asked for. The manifest is the last one."""
    listing: dict[str, str] = {}
    for name, content in chain(
        _policy_pieces(policies),
        _set_pieces(sets),
        _sections("points", points, point_data),
        _workload_pieces(workloads),
    ):
        piece = Piece(digest_of(content), content)
        if name:
            listing[name] = piece.digest
        yield piece
    manifest = canonical({"format": FORMAT, "policy_digest": policy_digest, "sections": listing})
    yield Piece(digest_of(manifest), manifest)


#: The name of a section, or "" for a piece that a section names by its digest; and the content.
_Named = tuple[str, bytes]


def _policy_pieces(policies: Mapping[str, tuple[DirectionPolicy, DirectionPolicy]]) -> Iterator[_Named]:
    known: dict[int, tuple[ArtifactRule, str]] = {}  # the rule is kept so that nothing else gets its id
    written: set[str] = set()
    for name, names in _spread("policies", policies):
        here: dict[str, list[Any]] = {}
        numbers: dict[str, int] = {}
        for identity in names:
            entry: list[Any] = []
            for policy in policies[identity]:
                indices = []
                for rule in policy.rules:
                    found = known.get(id(rule))
                    if found is None:
                        content = rule_content(rule)
                        found = known[id(rule)] = rule, digest_of(content)
                        if found[1] not in written:
                            written.add(found[1])
                            yield "", content
                    indices.append(numbers.setdefault(found[1], len(numbers)))
                entry += policy.mode, indices
            here[identity] = entry
        yield name, canonical({"rules": list(numbers), "policies": here})


def _set_pieces(sets: Mapping[str, PeerSet]) -> Iterator[_Named]:
    for name, names in _spread("sets", sets):
        here: dict[str, str] = {}
        for identity in names:
            content = set_content(sets[identity])
            here[identity] = digest_of(content)
            yield "", content
        yield name, canonical(here)


def _sections(kind: str, things: Mapping[str, T], data: Callable[[T], Any]) -> Iterator[_Named]:
    for name, names in _spread(kind, things):
        yield name, canonical({key: data(things[key]) for key in names})


def _workload_pieces(workloads: Mapping[str, WorkloadEntry]) -> Iterator[_Named]:
    """The workloads, then who has which address."""
    holders: dict[str, list[str]] = {}
    for name, names in _spread("workloads", workloads):
        here = {}
        for key in names:
            entry = workloads[key]
            here[key] = workload_data(entry)
            for family, number in entry.addresses:
                holders.setdefault(address_name(entry.zone, family, number), []).append(key)
        yield name, canonical(here)
    yield from _sections("addresses", holders, sorted)


def _spread(kind: str, names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """The names of every section in order, sections in order."""
    found: list[list[str]] = [[] for _ in _HEX]
    for name in names:
        found[hashlib.sha256(name.encode()).digest()[0]].append(name)
    for number, here in enumerate(found):
        if here:
            yield f"{kind}/{_HEX[number]}", sorted(here)


def names_of_sets(rules: Iterable[ArtifactRule]) -> set[str]:
    """The peer sets that rules name, on either side."""
    return set(chain.from_iterable((*(rule.peers or ()), *(rule.own or ())) for rule in rules))
