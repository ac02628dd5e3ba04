# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Guardrails: statements that must hold for every policy version. They judge intent, not today's modes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ..model import services as line
from ..model.addresses import Prefix
from ..model.intervals import Intervals, contains, intersection, normalised, subtraction, union
from ..model.labels import Truth
from ..model.policy import AddressPeer, Guardrail, Peer, Policy, Scope
from ..model.selectors import Selector
from .decide import Decider, End
from .ends import Ends, Group, distinct_ends
from .resolve import Element, resolve_peer

_EVERYWHERE = Scope("", Selector(), estate=True)


@dataclass(frozen=True, slots=True)
class GuardrailResult:
    """`witness` is a packet that breaks the guardrail: names or addresses, and a service.

    `at`: from when on it is violated; None where that is the moment asked about.
    """

    guardrail: Guardrail
    outcome: Literal["holds", "violated"]
    witness: tuple[str, str, str] | None = None
    services: Intervals = ()
    pairs: int = 0
    at: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.guardrail.id,
            "outcome": self.outcome,
            "severity": self.guardrail.severity,
            "reason": self.guardrail.reason,
            "pairs": self.pairs,
            "services": line.show(self.services),
            "witness": dict(zip(("from", "to", "service"), self.witness, strict=True)) if self.witness else None,
            "at": self.at.isoformat() if self.at else None,
            "file": self.guardrail.place.file,
            "line": self.guardrail.place.line,
        }


def judge_guardrails(policy: Policy, decider: Decider) -> list[GuardrailResult]:
    """`decider` must judge intent and leave the failsafe out: what only the failsafe allows violates nothing."""
    if not policy.guardrails:
        return []
    prefixes = [
        prefix
        for guardrail in policy.guardrails
        for peer in (
            *guardrail.consumers,
            *guardrail.providers,
            *guardrail.except_consumers,
            *guardrail.except_providers,
        )
        for prefix in _prefixes(peer)
    ]
    ends = Ends(decider.compiled, prefixes)
    externals = list(ends.all_externals())
    known: dict[tuple[End, End], Intervals] = {}
    return [_judge(guardrail, decider, ends, externals, known) for guardrail in policy.guardrails]


def _prefixes(peer: Peer) -> tuple[Prefix, ...]:
    return peer.prefixes if isinstance(peer, AddressPeer) else ()


def _judge(
    guardrail: Guardrail,
    decider: Decider,
    ends: Ends,
    externals: list[Group],
    known: dict[tuple[End, End], Intervals],
) -> GuardrailResult:
    workloads = decider.compiled.estate.workloads

    def elements(peers: Iterable[Peer]) -> list[Element]:
        return [resolve_peer(peer, _EVERYWHERE, workloads) for peer in peers]

    groups = [*ends.groups, *externals]
    consumers = _chosen(groups, elements(guardrail.consumers), elements(guardrail.except_consumers), decider)
    providers = _chosen(groups, elements(guardrail.providers), elements(guardrail.except_providers), decider)
    services = subtraction(guardrail.services, guardrail.except_services)
    found: Intervals = ()
    witness: tuple[str, str, str] | None = None
    pairs = 0
    for source in consumers:
        for target in providers:
            first = _distinct(source, target)
            if first is None:
                continue
            key = (source.representative, target.representative)
            if key not in known:
                known[key] = _perhaps_allowed(decider, *first)
            broken = intersection(known[key], services)
            if not broken:
                continue
            pairs += max(1, len(source.ends)) * max(1, len(target.ends))
            found = union(found, broken)
            if witness is None:
                point = line.representative(broken)
                witness = (_name(first[0]), _name(first[1]), line.show(((point, point),))[0])
    return GuardrailResult(guardrail, "violated" if witness else "holds", witness, found, pairs)


def _perhaps_allowed(decider: Decider, consumer: End, provider: End) -> Intervals:
    """What is allowed, and what is unknown: by a name, or because another workload shares the address."""
    holders = decider.compiled.estate.holders
    found = union(decider.by_name(consumer, provider), _through_service_addresses(decider, consumer, provider))
    for source in holders(consumer.address) or (None,):
        for target in holders(provider.address) or (None,):
            if source is not target or source is None:
                answer = decider.allowed(End(consumer.address, source), End(provider.address, target))
                found = union(found, answer)
    return found


def _through_service_addresses(decider: Decider, consumer: End, provider: End) -> Intervals:
    """Services of a member that the consumer reaches (or perhaps does) by way of a virtual address (DESIGN §3.12)."""
    if provider.workload is None:
        return ()
    classes = decider.compiled.classes
    found: list[tuple[int, int]] = []
    for service in decider.compiled.estate.service_addresses:
        front = End(service.address)
        if service.address.family != consumer.address.family:
            continue
        if not classes.last_known(service.members) >> classes.of[provider.workload.name] & 1:
            continue
        opened = decider.side_allowed("egress", consumer, front)
        accepted = decider.side_allowed("ingress", provider, consumer)
        if service.source == "rewritten":
            accepted = union(accepted, decider.side_allowed("ingress", provider, front))
        found += [(to, to) for at, to in service.ports if contains(opened, at) and contains(accepted, to)]
    return normalised(found)


def _distinct(source: Group, target: Group) -> tuple[End, End] | None:
    """Two ends of the groups that are not one workload; None where there are none, or nothing of ours between them."""
    if source.family != target.family:
        return None
    if not source.ends and not target.ends:
        return None
    return distinct_ends(source, target)


def _chosen(groups: Iterable[Group], elements: list[Element], excluded: list[Element], decider: Decider) -> list[Group]:
    """Groups that match at least perhaps, and are not surely excepted."""
    return [
        group
        for group in groups
        if any(_matches(element, group, decider) > Truth.NO for element in elements)
        and not any(_matches(element, group, decider) is Truth.YES for element in excluded)
    ]


def _matches(element: Element, group: Group, decider: Decider) -> Truth:
    workload, address = group.representative.workload, group.representative.address
    if element.kind == "any":
        return Truth.YES
    if element.kind == "addresses":
        holds = any(prefix.holds(address, address.zone) for prefix in element.prefixes)
        return Truth.YES if holds else Truth.NO
    if workload is None or element.kind == "fqdn":
        return Truth.NO
    if element.kind in ("labels", "users"):
        return element.selector.matches(workload.labels, decider.at)
    if element.kind == "workload":
        return Truth.YES if element.name == workload.name else Truth.NO
    return Truth.YES


def _name(end: End) -> str:
    return end.workload.name if end.workload is not None else str(end.address)
