# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small estates for tests: hosts and short rules in, a bundle and live states out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import forms, selectors
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import parse_address, parse_prefix
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import (
    ArtifactRule,
    DirectionPolicy,
    PeerSet,
    set_id,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.bundle import Bundle, PointEntry, WorkloadEntry
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import Modes
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import normalised
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.labels import Fact, Truth
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.live import ControlPath, PointState

AT = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
CONTROLLER = "10.255.0.5"


@dataclass(frozen=True)
class Host:
    """`labels` in string form (`app=shop,role=web`); `modes` is one word or `ingress/egress`; no point: unmanaged."""

    name: str
    labels: str
    addresses: tuple[str, ...]
    modes: str = "full"
    managed: bool = True
    weight: float = 1.0
    zone: str = ""
    writer: str = "driver"
    stack: str = ""

    @property
    def facts(self) -> dict[str, str]:
        return dict(pair.split("=") for pair in self.labels.split(",")) if self.labels else {}

    @property
    def directions(self) -> Modes:
        ingress, _slash, egress = self.modes.partition("/")
        return Modes(ingress, egress or ingress)


def host(name: str, labels: str, *addresses: str, **more) -> Host:
    return Host(name, labels, addresses, **more)


def bundle(hosts: list[Host], rules: list[str], policy: str = "policy-1", controllers: str = CONTROLLER) -> Bundle:
    """Rules: `ID: ACTION FROM -> TO : SERVICE,SERVICE [tier=TIER] [expires=ISO]`; ends are `any`, a selector,
    `cidr BLOCK` or `workload NAME`."""
    sets: dict[str, PeerSet] = {}
    policies = {}
    points = {}
    for one in hosts:
        if not one.managed:
            continue
        pair = (
            _direction(one, hosts, rules, sets, "ingress", controllers),
            _direction(one, hosts, rules, sets, "egress", controllers),
        )
        key = hashlib.sha256(repr(pair).encode()).hexdigest()[:16]
        policies[key] = pair
        own = {
            family: normalised(
                (address.number, address.number)
                for address in (parse_address(text, one.zone) for text in one.addresses)
                if address.family == family
            )
            for family in (4, 6)
        }
        points[one.name] = PointEntry(one.name, "nftables", one.writer, one.stack, one.name, one.zone, own, key)
    workloads = {
        one.name: WorkloadEntry(
            one.facts,
            tuple((address.family, address.number) for address in (parse_address(text) for text in one.addresses)),
            one.zone,
            one.managed,
            one.directions if one.managed else Modes(),
            one.weight,
        )
        for one in hosts
    }
    return Bundle(hashlib.sha256(policy.encode()).hexdigest(), points, policies, sets, workloads)


def _direction(one, hosts, rules, sets, direction, controllers) -> DirectionPolicy:
    mode = one.directions.of(direction)
    if mode == "idle":
        return DirectionPolicy(mode)
    found = []
    if direction == "ingress" and controllers:
        found.append(
            ArtifactRule(
                "failsafe-management",
                "failsafe",
                "allow",
                line.parse("tcp/22"),
                (_set(f"cidr {controllers}", one, hosts, sets),),
            )
        )
    for text in rules:
        name, _colon, rest = text.partition(": ")
        ends, _colon, tail = rest.partition(" : ")
        action, _space, ends = ends.partition(" ")
        consumers, _arrow, providers = ends.partition(" -> ")
        words = tail.split()
        options = dict(word.split("=", 1) for word in words[1:])
        mine, peer = (providers, consumers) if direction == "ingress" else (consumers, providers)
        if not _holds(mine, one):
            continue
        found.append(
            ArtifactRule(
                name,
                options.get("tier", "application"),
                action,
                line.parse_all(words[0].split(",")),
                None if peer == "any" else (_set(peer, one, hosts, sets),),
                expires=datetime.fromisoformat(options["expires"]) if "expires" in options else None,
            )
        )
    return DirectionPolicy(mode, tuple(sorted(found, key=lambda rule: rule.order)))


def _holds(end: str, one: Host) -> bool:
    if end == "any":
        return True
    if end.startswith("workload "):
        return end.split()[1] == one.name
    if end.startswith("cidr "):
        return False
    return selectors.parse(end).matches({key: Fact(value) for key, value in one.facts.items()}, AT) is Truth.YES


def _set(end: str, one: Host, hosts, sets) -> str:
    if end.startswith("cidr "):
        prefix = parse_prefix(end.split()[1])
        peer_set = PeerSet(
            set_id("static", end), "static", end, {4: (), 6: ()} | {prefix.family: ((prefix.low, prefix.high),)}
        )
    else:
        members = [
            parse_address(text)
            for other in hosts
            if _holds(end, other) and other.zone == one.zone
            for text in other.addresses
        ]
        meaning = f"{end} in zone {one.zone}" if one.zone else end
        peer_set = PeerSet(
            set_id("members", meaning),
            "members",
            meaning,
            {
                family: normalised((address.number, address.number) for address in members if address.family == family)
                for family in (4, 6)
            },
        )
    sets[peer_set.id] = peer_set
    return peer_set.id


def states(bundle: Bundle | None, names=None, at: datetime = AT, **overrides: PointState) -> dict[str, PointState]:
    """Live states that equal the bundle; with no bundle, `names` carry nothing of ours."""
    result = {}
    for name in names or (bundle.points if bundle else ()):
        path = ControlPath(CONTROLLER, 22)
        if bundle is None or name not in bundle.points or bundle.artifact(name).idle:
            result[name] = PointState(True, control_path=path)
            continue
        artifact = bundle.artifact(name)
        form = forms.of_artifact(artifact, at)
        record = {
            "policy_digest": artifact.policy_digest(),
            "artifact_digest": artifact.digest(),
            "plan": "",
            "step": 2,
            "epoch": 1,
            "pending": False,
        }
        result[name] = PointState(True, "hash-" + artifact.policy_digest()[:12], form, form, record, control_path=path)
    result.update(overrides)
    return result


UNREACHABLE = PointState(False, error="no route to host")
