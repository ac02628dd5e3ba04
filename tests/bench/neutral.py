# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A policy that belongs to no tool: groups of addresses, named services, terms. Deterministic.

All denies stand before all accepts. So "the first match decides" (ordered lists) and "a deny beats an allow" (tiers)
mean the same, and tools of both kinds can be compared. IPv4 only, because not every tool takes both.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from typing import Any

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import (
    Address,
    parse_address,
    parse_prefix,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import (
    EnforcementPoint,
    Estate,
    Modes,
    Workload,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.labels import Fact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.policy import (
    AddressPeer,
    LabelDeclaration,
    LabelPeer,
    Peer,
    Policy,
    Rule,
    Ruleset,
    Scope,
    Settings,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.selectors import Requirement, Selector

Neutral = dict[str, Any]
SERVICES: dict[str, tuple[str, int, int]] = {
    "SSH": ("tcp", 22, 22),
    "HTTP": ("tcp", 80, 80),
    "HTTPS": ("tcp", 443, 443),
    "ALT": ("tcp", 8080, 8080),
    "PG": ("tcp", 5432, 5432),
    "MYSQL": ("tcp", 3306, 3306),
    "REDIS": ("tcp", 6379, 6379),
    "KAFKA": ("tcp", 9092, 9094),
    "SEARCH": ("tcp", 9200, 9300),
    "HIGH": ("tcp", 49152, 65535),
    "DNS": ("udp", 53, 53),
    "NTP": ("udp", 123, 123),
    "SNMP": ("udp", 161, 162),
    "SYSLOG": ("udp", 514, 514),
}
DENIES = 0.04
#: One host of the policy, in a group of its own, and how many of the terms are about it.
DEVICE = "11.0.0.1"
ABOUT_DEVICE = 0.03


def neutral(terms: int, seed: int = 5) -> Neutral:
    """`groups`: name -> addresses; `services`: name -> (protocol, low, high); `terms` in their order."""
    chooser = random.Random(seed)
    groups: dict[str, list[str]] = {}
    number = int(ipaddress.ip_address("10.0.0.16"))
    for index in range(max(20, terms + terms // 2)):
        size = min(64, int(chooser.paretovariate(0.9)))
        scattered = chooser.random() < 0.3
        addresses = []
        for _ in range(size):
            number += chooser.randint(2, 9) if scattered else 1
            addresses.append(str(ipaddress.ip_address(number)))
        number += 8
        groups[f"G{index:05d}"] = addresses
    names = list(groups)
    groups["DEVICE"] = [DEVICE]
    made = []
    for _ in range(terms):
        first = chooser.choice(list(SERVICES))
        protocol = SERVICES[first][0]
        alike = [name for name, service in SERVICES.items() if service[0] == protocol and name != first]
        destinations = chooser.sample(names, chooser.choice([1, 1, 1, 2]))
        if chooser.random() < ABOUT_DEVICE:
            destinations[0] = "DEVICE"
        made.append(
            {
                "action": "deny" if chooser.random() < DENIES else "accept",
                "sources": chooser.sample(names, chooser.choice([1, 1, 2, 3])),
                "destinations": destinations,
                "protocol": protocol,
                "services": [first, *chooser.sample(alike, chooser.choice([0, 0, 1]))],
            }
        )
    made.sort(key=lambda term: term["action"] == "accept")
    for index, term in enumerate(made):
        term["name"] = f"t{index:05d}"
    return {"groups": groups, "services": {key: list(value) for key, value in SERVICES.items()}, "terms": made}


def as_list(policy: Neutral) -> tuple[Policy, Estate]:
    """Our documents in the shape of the other tools: one host with every destination address, lists of addresses."""
    lists = {name: tuple(parse_prefix(text) for text in addresses) for name, addresses in policy["groups"].items()}
    local = {text for term in policy["terms"] for name in term["destinations"] for text in policy["groups"][name]}
    addresses = tuple(sorted(parse_address(text) for text in local))
    return _policy(policy, lambda name: AddressPeer(lists[name], name)), Estate(
        {"all": _workload("all", "", addresses)}
    )


def as_estate(policy: Neutral) -> tuple[Policy, Estate]:
    """Our documents in our own shape: a workload per address, labelled with its group."""
    workloads = {
        text: _workload(text, group, (parse_address(text),))
        for group, addresses in policy["groups"].items()
        for text in addresses
    }
    made = _policy(policy, lambda name: LabelPeer(Selector((Requirement("group", "in", (name,)),))))
    return made, Estate({name: workloads[name] for name in sorted(workloads)})


def allows(policy: Neutral, source: str, destination: str, protocol: str, port: int) -> bool:
    """The first term that matches decides; no term, no connection."""
    for term in policy["terms"]:
        if term["protocol"] != protocol:
            continue
        if any(low <= port <= high for _protocol, low, high in (policy["services"][name] for name in term["services"])):
            ends = ((source, term["sources"]), (destination, term["destinations"]))
            if all(any(address in policy["groups"][name] for name in names) for address, names in ends):
                return bool(term["action"] == "accept")
    return False


def _workload(name: str, group: str, addresses: tuple[Address, ...]) -> Workload:
    point = EnforcementPoint(name, "nftables")
    return Workload(name, {"group": Fact(group)}, addresses, modes=Modes("full", "idle"), enforcement=(point,))


def _policy(policy: Neutral, peer: Callable[[str], Peer]) -> Policy:
    rules = tuple(
        Rule(
            term["name"],
            tuple(peer(name) for name in term["sources"]),
            tuple(peer(name) for name in term["destinations"]),
            line.parse_all(_service(*policy["services"][name]) for name in term["services"]),
            action="deny" if term["action"] == "deny" else "allow",
        )
        for term in policy["terms"]
    )
    scope = Scope(
        "estate", Selector(), ("ops",), estate=True, rulesets=(Ruleset("terms", rules, "application", "active"),)
    )
    settings = Settings(labels={"group": LabelDeclaration()})
    return Policy(settings=settings, scopes=(scope,), digest="neutral")


def _service(protocol: str, low: int, high: int) -> str:
    return f"{protocol}/{low}" if low == high else f"{protocol}/{low}-{high}"
