# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The nouns of a bundle as JSON and back: one text for equal content on any machine.

Entries are lists in a fixed order, since a bundle has hundreds of thousands of them (docs/bundle-format.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from .addresses import Family
from .artifact import ArtifactRule, PeerSet, moment_text
from .entries import PointEntry, WorkloadEntry
from .estate import Modes
from .intervals import Intervals
from .schedule import Schedule

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical(data: Any) -> bytes:
    """One text for equal data on any machine."""
    return _ENCODER.encode(data).encode()


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def rule_content(rule: ArtifactRule) -> bytes:
    return canonical(
        (
            rule.id,
            rule.tier,
            rule.action,
            rule.services,
            rule.peers,
            rule.own,
            rule.reject,
            rule.reset_established,
            rule.log,
            moment_text(rule.starts),
            moment_text(rule.expires),
            rule.schedule.to_dict() if rule.schedule else None,
        )
    )


def rule_from(data: Sequence[Any]) -> ArtifactRule:
    identity, tier, action, services, peers, own, reject, reset, log, starts, expires, schedule = data
    return ArtifactRule(
        id=identity,
        tier=tier,
        action=action,
        services=tuple([(low, high) for low, high in services]),
        peers=None if peers is None else tuple(peers),
        own=None if own is None else tuple(own),
        reject=reject,
        reset_established=reset,
        log=log,
        starts=datetime.fromisoformat(starts) if starts else None,
        expires=datetime.fromisoformat(expires) if expires else None,
        schedule=Schedule.from_dict(schedule) if schedule else None,
    )


def set_content(peer_set: PeerSet) -> bytes:
    addresses = peer_set.addresses
    return canonical(
        (peer_set.id, peer_set.kind, peer_set.meaning, _flat(addresses.get(4, ())), _flat(addresses.get(6, ())))
    )


def set_from(data: Sequence[Any]) -> PeerSet:
    identity, kind, meaning, four, six = data
    return PeerSet(identity, kind, meaning, {4: _pairs(four), 6: _pairs(six)})


def point_data(entry: PointEntry) -> tuple[Any, ...]:
    return (
        entry.platform,
        entry.writer,
        entry.stack,
        entry.workload,
        entry.zone,
        _flat(entry.own.get(4, ())),
        _flat(entry.own.get(6, ())),
        entry.policy,
    )


def point_from(point: str, data: Sequence[Any]) -> PointEntry:
    platform, writer, stack, workload, zone, four, six, policy = data
    return PointEntry(point, platform, writer, stack, workload, zone, {4: _pairs(four), 6: _pairs(six)}, policy)


def workload_data(entry: WorkloadEntry) -> tuple[Any, ...]:
    return (
        entry.labels,
        entry.addresses,
        entry.zone,
        entry.managed,
        entry.modes.ingress,
        entry.modes.egress,
        entry.weight,
        entry.points,
    )


def workload_from(data: Sequence[Any]) -> WorkloadEntry:
    labels, addresses, zone, managed, ingress, egress, weight, points = data
    modes = Modes(ingress, egress)
    pairs: tuple[tuple[Family, int], ...] = tuple([(family, number) for family, number in addresses])
    return WorkloadEntry(labels, pairs, zone, managed, modes, weight, tuple(points))


def address_name(zone: str, family: Family, number: int) -> str:
    """What an address is looked up by."""
    return f"{family}/{number}/{zone}"


def _flat(intervals: Intervals) -> list[int]:
    return list(chain.from_iterable(intervals))


def _pairs(numbers: Sequence[int]) -> Intervals:
    ends = iter(numbers)
    return tuple(zip(ends, ends, strict=True))
