# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Explain: why one connection is allowed or denied, side by side, in the words of the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from ..model import services as line
from ..model.addresses import FAMILY_NAMES, Address, Family, parse_address
from ..model.errors import MicrosegError, PolicyError
from ..model.estate import Direction, ServiceAddress, Workload
from ..model.intervals import Intervals, contains
from .decide import Decider, End, SideDecision, deciding

Verdict = Literal["allowed", "denied", "mixed", "unknown"]


@dataclass(frozen=True, slots=True)
class Target:
    """A named or written end: one or more addresses, or a service address in front of members."""

    text: str
    ends: tuple[End, ...]
    service_address: ServiceAddress | None = None


@dataclass(frozen=True, slots=True)
class PairExplanation:
    """One pair of addresses. `member` names the workload behind a service address."""

    consumer: End
    provider: End
    verdict: Verdict
    egress: SideDecision
    ingress: SideDecision
    one_sided: bool
    member: str = ""
    reason: str = ""

    @property
    def would(self) -> Literal["allowed", "denied"]:
        """What full mode on every managed side would say (an unmanaged side always allows)."""
        answers = [side.would or side.verdict for side in (self.egress, self.ingress)]
        return "denied" if "denied" in answers else "allowed"


@dataclass(frozen=True, slots=True)
class Explanation:
    consumer: str
    provider: str
    service: str
    verdict: Verdict
    pairs: tuple[PairExplanation, ...]

    @property
    def one_sided(self) -> bool:
        return any(pair.one_sided for pair in self.pairs)

    @property
    def would(self) -> str:
        answers = {pair.would for pair in self.pairs}
        return answers.pop() if len(answers) == 1 else "mixed"

    def to_dict(self) -> dict[str, Any]:
        first = next((pair for pair in self.pairs if pair.verdict == self.verdict), self.pairs[0])
        return {
            "from": self.consumer,
            "to": self.provider,
            "service": self.service,
            "verdict": self.verdict,
            "one_sided": self.one_sided,
            "would": self.would,
            "egress": side_to_dict(first.egress),
            "ingress": side_to_dict(first.ingress),
            "reason": first.reason,
            "pairs": [
                {
                    "from": str(pair.consumer.address),
                    "to": str(pair.provider.address),
                    "family": FAMILY_NAMES[pair.consumer.address.family],
                    "member": pair.member,
                    "verdict": pair.verdict,
                    "reason": pair.reason,
                    "egress": side_to_dict(pair.egress),
                    "ingress": side_to_dict(pair.ingress),
                }
                for pair in self.pairs
            ],
        }


def side_to_dict(side: SideDecision) -> dict[str, Any]:
    origin = side.copy.origin if side.copy is not None else None
    return {
        "verdict": side.verdict,
        "decided_by": side.decided_by,
        "mode": side.mode,
        "tier": side.copy.artifact.tier if side.copy is not None else None,
        "action": side.copy.artifact.action if side.copy is not None else None,
        "rule": origin.rule.id if origin else (side.copy.artifact.id if side.copy is not None else None),
        "ruleset": origin.ruleset if origin else None,
        "scope": origin.scope if origin else None,
        "file": origin.place.file if origin else None,
        "line": origin.place.line if origin else None,
        "would": side.would,
        "reason": side.reason,
    }


def find_targets(decider: Decider, consumer: str, provider: str, family: Family | None = None) -> tuple[Target, Target]:
    """Both ends of a question. A bare address is meant in the zone of the other end (DESIGN §3.10).

    Raises PolicyError (E-TARGET).
    """
    workloads = decider.compiled.estate.workloads
    zones = [workloads[text].zone if text in workloads else "" for text in (consumer, provider)]
    return find_target(decider, consumer, family, zones[1]), find_target(decider, provider, None, zones[0])


def find_target(decider: Decider, text: str, family: Family | None = None, zone: str = "") -> Target:
    """A workload, a service address, or an IP address in `zone`; in that order. Raises PolicyError (E-TARGET).

    Whoever shares an address of the workload is one of its ends: no packet tells them apart.
    """
    from difflib import get_close_matches

    estate = decider.compiled.estate
    if text in estate.workloads:
        workload = estate.workloads[text]
        ends = tuple(
            End(address, holder)
            for address in workload.addresses
            if family in (None, address.family)
            for holder in (workload, *(other for other in estate.holders(address) if other is not workload))
        )
        if not workload.addresses:
            raise PolicyError("E-TARGET", f"{text} has no address.", hint="Set microseg_addresses or run discover.")
        return Target(text, ends)
    for service in estate.service_addresses:
        if service.name == text or str(service.address) == text:
            return Target(text, (End(service.address),), service)
    try:
        address = parse_address(text, zone)
    except MicrosegError:
        names = [*estate.workloads, *(service.name for service in estate.service_addresses)]
        near = get_close_matches(text, names, n=1)
        raise PolicyError(
            "E-TARGET",
            f"{text!r} is neither a workload, a service address nor an IP address.",
            hint=f"Did you mean {near[0]}?" if near else "Name one of them; for a selector there is microseg reach.",
        ) from None
    holders = estate.holders(address)
    if not holders:
        elsewhere = [
            known for known in estate.by_address if (known.family, known.number) == (address.family, address.number)
        ]
        if len(elsewhere) == 1:  # written without a zone, known in exactly one
            return Target(text, tuple(End(elsewhere[0], holder) for holder in estate.holders(elsewhere[0])))
    return Target(text, tuple(End(address, holder) for holder in holders) or (End(address),))


def explain(decider: Decider, consumer: Target, provider: Target, point: int, service: str) -> Explanation:
    """Raises PolicyError (E-TARGET) where the two ends have no address family in common for this service."""
    pairs: list[PairExplanation] = []
    for source, target in product(consumer.ends, provider.ends):
        if source.address.family != target.address.family:
            continue
        if not contains(line.UNIVERSE[source.address.family], point):
            continue
        if _shared(decider, source) and (source.workload is target.workload) != (consumer.text == provider.text):
            continue  # of those that share an address, one is asked about another one or about itself, not both
        if provider.service_address is not None:
            pairs.extend(_through(decider, source, provider.service_address, point))
        else:
            pairs.append(_pair(decider, source, target, point))
    if not pairs:
        raise PolicyError(
            "E-TARGET",
            f"{consumer.text} and {provider.text} have no address family in common in which {service} exists.",
        )
    pairs = _sharers_merged(pairs)
    verdicts = {pair.verdict for pair in pairs}
    verdict: Verdict = verdicts.pop() if len(verdicts) == 1 else "mixed"
    return Explanation(consumer.text, provider.text, service, verdict, tuple(pairs))


def _shared(decider: Decider, end: End) -> bool:
    return len(decider.compiled.estate.holders(end.address)) > 1


def _pair(decider: Decider, consumer: End, provider: End, point: int) -> PairExplanation:
    egress = decider.decide("egress", consumer, provider, point)
    ingress = decider.decide("ingress", provider, consumer, point)
    verdict: Verdict = "allowed" if egress.verdict == ingress.verdict == "allowed" else "denied"
    reason = ""
    if verdict == "denied" and provider.workload is None and ingress.verdict == "allowed":
        names = fqdn_allows(decider, consumer, point)
        if names and egress.decided_by == "mode":
            verdict = "unknown"
            reason = f"{provider.address} may be an address of {', '.join(names)}; names are compared, not resolved"
    return PairExplanation(
        consumer, provider, verdict, egress, ingress, decider.one_sided(consumer, provider), reason=reason
    )


def fqdn_allows(decider: Decider, consumer: End, point: int) -> list[str]:
    """Names that allow rules of the consumer open for this service (DESIGN §3.14)."""
    if consumer.workload is None:
        return []
    position = decider.compiled.classes.of[consumer.workload.name]
    return sorted(
        {
            name
            for peer in decider.compiled.by_name
            if peer.bits >> position & 1 and peer.valid(decider.at) and contains(peer.origin.rule.services, point)
            for name in peer.names
        }
    )


def _through(decider: Decider, consumer: End, service: ServiceAddress, point: int) -> list[PairExplanation]:
    """A connection to a service address: the consumer's egress once, every member's ingress on the member port."""
    target = End(service.address)
    egress = decider.decide("egress", consumer, target, point)
    member_point = dict(service.ports).get(point)
    compiled = decider.compiled
    members = [
        compiled.estate.workloads[name] for name in compiled.classes.names(compiled.classes.last_known(service.members))
    ]
    if member_point is None or not members:
        closed = SideDecision("denied", "mode", reason=f"{service.name} does not listen there")
        one_sided = decider.one_sided(consumer, target)
        return [PairExplanation(consumer, target, "denied", egress, closed, one_sided)]
    pairs = []
    for member in members:
        end = _member_end(member, service.address.family)
        if end is None:
            continue
        ingress = decider.decide("ingress", end, consumer, member_point)
        verdict: Verdict = "allowed" if egress.verdict == ingress.verdict == "allowed" else "denied"
        reason = ""
        if service.source == "rewritten" and egress.verdict == "allowed":
            seen = decider.decide("ingress", end, target, member_point)
            if seen.verdict != ingress.verdict:
                verdict, reason = "unknown", f"{service.name} rewrites the source; {member.name} sees {service.address}"
        pairs.append(
            PairExplanation(
                consumer, target, verdict, egress, ingress, decider.one_sided(consumer, end), member.name, reason
            )
        )
    return pairs


def _member_end(member: Workload, family: Family) -> End | None:
    addresses = member.of_family(family) or member.addresses
    return End(addresses[0], member) if addresses else None


def _sharers_merged(pairs: list[PairExplanation]) -> list[PairExplanation]:
    """Where workloads share an address and their verdicts differ, the answer for it is unknown (DESIGN §3.10)."""
    grouped: dict[tuple[Address, Address, str], list[PairExplanation]] = {}
    for pair in pairs:
        grouped.setdefault((pair.consumer.address, pair.provider.address, pair.member), []).append(pair)
    merged = []
    for group in grouped.values():
        first = group[0]
        if len({pair.verdict for pair in group}) > 1:
            first = PairExplanation(
                first.consumer,
                first.provider,
                "unknown",
                first.egress,
                first.ingress,
                first.one_sided,
                first.member,
                "workloads that share the address are answered differently",
            )
        merged.append(first)
    return merged


def matching_rules(decider: Decider, direction: Direction, own: End, peer: End, point: int) -> list[dict[str, Any]]:
    """Every rule that looks at the pair and speaks about the point, in blame order, with whether it decides."""
    copies = decider.compiled.copies[direction]
    matching = [copies[index] for index in decider.matching(direction, own, peer)]
    winner = deciding(matching, point)
    return [
        {
            "rule": copy.artifact.id,
            "tier": copy.artifact.tier,
            "action": copy.artifact.action,
            "place": str(copy.origin.place) if copy.origin else "",
            "decides": copy is winner,
        }
        for copy in matching
        if contains(copy.artifact.services, point)
    ]


def parse_point(text: str, named: Mapping[str, Intervals]) -> int:
    """One service point from `tcp/443`, `icmp/8` (code 0) or the name of a service; of several points the first."""
    return line.representative(named.get(text) or line.parse(text))
