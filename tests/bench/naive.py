# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The obvious way to compile: for every workload look at every rule, and for every match at every workload again.

It is here to be compared with: in answers (it is short enough to be believed) and in cost. It reads the rules of
`estates.parsed`: one estate scope, peers that are label selectors or address blocks.
"""

from __future__ import annotations

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import Artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import Estate, Workload
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.policy import AddressPeer, LabelPeer, Peer, Policy

#: Per direction and rule id: who may be on the other side, as (family, first, last).
Lists = dict[tuple[str, str], frozenset[tuple[int, int, int]]]


def lists_of_everybody(policy: Policy, estate: Estate) -> dict[str, Lists]:
    """Address lists of every workload, one rule at a time."""
    return {workload.name: lists_of(policy, estate, workload) for workload in estate.workloads.values()}


def lists_of(policy: Policy, estate: Estate, workload: Workload) -> Lists:
    result: Lists = {}
    for ruleset in policy.scopes[0].rulesets:
        for rule in ruleset.rules:
            sides = (("ingress", rule.providers, rule.consumers), ("egress", rule.consumers, rule.providers))
            for direction, own, far in sides:
                if any(_matches(peer, workload) for peer in own):
                    addresses = {item for peer in far for item in _addresses(peer, estate)}
                    if addresses:
                        result[direction, rule.id] = frozenset(addresses)
    return result


def _matches(peer: Peer, workload: Workload) -> bool:
    if not isinstance(peer, LabelPeer):
        return False
    for requirement in peer.selector.requirements:
        fact = workload.labels.get(requirement.key)
        if fact is None or fact.value not in requirement.values:
            return False
    return True


def _addresses(peer: Peer, estate: Estate) -> list[tuple[int, int, int]]:
    if isinstance(peer, AddressPeer):
        return [(prefix.family, prefix.low, prefix.high) for prefix in peer.prefixes]
    return [
        (address.family, address.number, address.number)
        for workload in estate.workloads.values()
        if _matches(peer, workload)
        for address in workload.addresses
    ]


def lists_in(artifact: Artifact) -> Lists:
    """The same lists, as the product's artifact has them; address ranges are taken apart. The failsafe is not in it."""
    result: dict[tuple[str, str], set[tuple[int, int, int]]] = {}
    for direction in ("ingress", "egress"):
        for rule in artifact.of(direction).rules:
            if rule.tier == "failsafe":
                continue
            found = result.setdefault((direction, rule.id.partition("@")[0]), set())
            for name in rule.peers or ():
                one = artifact.sets[name]
                for family, intervals in one.addresses.items():
                    for low, high in intervals:
                        if one.kind == "static":
                            found.add((family, low, high))
                        else:
                            found.update((family, number, number) for number in range(low, high + 1))
    return {key: frozenset(found) for key, found in result.items() if found}
