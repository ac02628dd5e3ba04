# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""explain and reach out of a bundle in the store: what was compiled, without inventory and policy documents.

Every side is decided as its enforcement point does it: by address, from the slice of that point. Where rules stand in
the documents, named services, service addresses and rules to names (FQDN) are not in a bundle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from ..model import services as line
from ..model.addresses import FAMILIES, FAMILY_NAMES, Address, Family, parse_address
from ..model.artifact import FAILSAFE, Artifact, DirectionPolicy
from ..model.deciding import Decision, decide
from ..model.entries import WorkloadEntry
from ..model.errors import MicrosegError, PolicyError
from ..model.estate import Direction
from ..model.forms import evaluate
from ..model.intervals import EMPTY, Intervals, contains, intersection, normalised, union
from ..model.opened import OpenedBundle
from ..orchestration.bundles import open_bundle, whole_bundle_digest
from ..orchestration.planstore import PROVISIONED
from ..orchestration.store import Store

Verdict = Literal["allowed", "denied", "mixed", "unknown"]


@dataclass(frozen=True, slots=True)
class Side:
    """`decision` None: nothing is enforced on this side."""

    decision: Decision | None
    reason: str = ""

    @property
    def allowed(self) -> bool:
        return self.decision is None or self.decision.allowed

    def to_dict(self) -> dict[str, Any]:
        rule = self.decision.rule if self.decision else None
        name, _at, home = rule.id.partition("@") if rule else ("", "", "")
        scope, _slash, ruleset = home.partition("/")
        if self.decision is None:
            by = "failsafe" if self.reason else "unenforced"
        else:
            by = "mode" if rule is None else "failsafe" if rule.tier == FAILSAFE else "rule"
        return {
            "verdict": "allowed" if self.allowed else "denied",
            "decided_by": by,
            "mode": self.decision.mode if self.decision else None,
            "tier": rule.tier if rule else None,
            "action": rule.action if rule else None,
            "rule": name or None,
            "ruleset": ruleset or None,
            "scope": scope or None,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class BundlePair:
    source: Address
    target: Address
    egress: Side
    ingress: Side
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class BundleExplanation:
    """The sides are those of the first pair of addresses with the verdict."""

    bundle: str
    consumer: str
    provider: str
    service: str
    verdict: Verdict
    pairs: tuple[BundlePair, ...]

    def to_dict(self) -> dict[str, Any]:
        first = next((pair for pair in self.pairs if pair.verdict == self.verdict), self.pairs[0])
        return {
            "bundle": self.bundle,
            "from": self.consumer,
            "to": self.provider,
            "service": self.service,
            "verdict": self.verdict,
            "one_sided": any(side.decision is None for pair in self.pairs for side in (pair.egress, pair.ingress)),
            "egress": first.egress.to_dict(),
            "ingress": first.ingress.to_dict(),
            "reason": first.reason,
            "pairs": [
                {
                    "from": str(pair.source),
                    "to": str(pair.target),
                    "family": FAMILY_NAMES[pair.source.family],
                    "verdict": pair.verdict,
                    "reason": pair.reason,
                    "egress": pair.egress.to_dict(),
                    "ingress": pair.ingress.to_dict(),
                }
                for pair in self.pairs
            ],
        }


@dataclass(frozen=True)
class BundleReach:
    """Services per pair of workloads and family, over all pairs of their addresses."""

    bundle: str
    pairs: tuple[tuple[str, str, Family, Intervals], ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "bundle": self.bundle,
            "pairs": [
                {"from": source, "to": target, "family": FAMILY_NAMES[family], "allowed": line.show(allowed, family)}
                for source, target, family, allowed in self.pairs
            ],
        }


def explain_from_bundle(
    store: Path, bundle: str, consumer: str, provider: str, service: str, at: datetime
) -> BundleExplanation:
    """`bundle`: the beginning of a digest, or `provisioned`. `consumer`, `provider`: a workload or an IP address.

    Raises PolicyError (E-BUNDLE, E-TARGET, E-SERVICE), StoreError.
    """
    point = line.representative(line.parse(service))
    opened_store = Store.open(store)
    with open_bundle(opened_store, _digest(opened_store, bundle)) as opened:
        answers = _Answers(opened, at)
        pairs = tuple(answers.pairs(consumer, provider, point))
        if not pairs:
            raise PolicyError(
                "E-TARGET", f"{consumer} and {provider} have no address family in common in which {service} exists."
            )
        verdicts = {pair.verdict for pair in pairs}
        verdict: Verdict = verdicts.pop() if len(verdicts) == 1 else "mixed"
        return BundleExplanation(opened.digest, consumer, provider, service, verdict, pairs)


def reach_from_bundle(
    store: Path, bundle: str, consumer: str, provider: str | None, at: datetime, *, with_failsafe: bool = False
) -> BundleReach:
    """What a workload may use on another one, or on all others. Raises as `explain_from_bundle`.

    With two names it reads two slices; for all others the whole bundle.
    """
    opened_store = Store.open(store)
    with open_bundle(opened_store, _digest(opened_store, bundle)) as opened:
        answers = _Answers(opened, at, with_failsafe)
        source = answers.workload(consumer)
        targets = [(provider, answers.workload(provider))] if provider is not None else opened.workloads()
        found = [
            (consumer, name, family, allowed)
            for name, target in targets
            if name != consumer
            for family in FAMILIES
            if (allowed := answers.allowed(consumer, source, target, family)) is not None
        ]
        return BundleReach(opened.digest, tuple(sorted(found)))


def _digest(store: Store, text: str) -> str:
    ref = store.ref(PROVISIONED) if text == PROVISIONED else None
    digest = str(ref.value) if ref is not None else whole_bundle_digest(store, text)
    if not digest:
        raise PolicyError(
            "E-BUNDLE",
            f"{text!r} is no bundle of {store.path}.",
            hint="Name the beginning of a digest (six characters or more), or provisioned after a rollout.",
        )
    return digest


class _Answers:
    def __init__(self, opened: OpenedBundle, at: datetime, failsafe: bool = True) -> None:
        """`failsafe`: False leaves out what only the failsafe allows."""
        self.opened = opened
        self.failsafe = failsafe
        self.at = at
        self._artifacts: dict[str, Artifact] = {}
        self._known: dict[tuple[Direction, str, Address], Intervals] = {}
        self._policies: dict[tuple[Direction, str], DirectionPolicy] = {}
        self._peers: dict[tuple[str, Family], Intervals | None] = {}
        self._held: dict[tuple[str, Address], bool] = {}

    def workload(self, name: str) -> WorkloadEntry:
        """Raises PolicyError (E-TARGET)."""
        try:
            return self.opened.workload(name)
        except KeyError:
            raise PolicyError(
                "E-TARGET", f"{name!r} is no workload of bundle {self.opened.digest[:8]}.", hint="Name one it has."
            ) from None

    def _ends(self, text: str, zone: str) -> list[tuple[Address, str]]:
        """Addresses with the workload that has them, "" for nobody; whoever shares one comes after its namesake."""
        try:
            entry = self.opened.workload(text)
        except KeyError:
            try:
                address = parse_address(text, zone)
            except MicrosegError:
                raise PolicyError(
                    "E-TARGET",
                    f"{text!r} is neither a workload of bundle {self.opened.digest[:8]} nor an IP address.",
                    hint="Service addresses are not in a bundle: ask with policy and inventory for them.",
                ) from None
            return [(address, name) for name in self.opened.holders(address)] or [(address, "")]
        if not entry.addresses:
            raise PolicyError("E-TARGET", f"{text} has no address.", hint="Set microseg_addresses or run discover.")
        found = []
        for family, number in entry.addresses:
            address = Address(entry.zone, family, number)
            others = [name for name in self.opened.holders(address) if name != text]
            found += [(address, name) for name in (text, *others)]
        return found

    def _zone(self, text: str) -> str:
        try:
            return self.opened.workload(text).zone
        except KeyError:
            return ""

    def pairs(self, consumer: str, provider: str, point: int) -> Iterator[BundlePair]:
        found: dict[tuple[Address, Address], list[BundlePair]] = {}
        for source, sender in self._ends(consumer, self._zone(provider)):
            for target, receiver in self._ends(provider, self._zone(consumer)):
                if source.family == target.family and contains(line.UNIVERSE[source.family], point):
                    shared = len(self.opened.holders(source)) > 1
                    if shared and (sender == receiver) != (consumer == provider):
                        continue  # of those that share an address, one is asked about another one or itself, not both
                    pair = self._pair(source, sender, target, receiver, point)
                    found.setdefault((source, target), []).append(pair)
        for alike in found.values():
            first = alike[0]
            if len({pair.verdict for pair in alike}) > 1:
                why = "workloads that share the address are answered differently"
                first = BundlePair(first.source, first.target, first.egress, first.ingress, "unknown", why)
            yield first

    def _pair(self, source: Address, sender: str, target: Address, receiver: str, point: int) -> BundlePair:
        if sender and sender == receiver:
            egress = ingress = Side(None, "a workload to itself")
        else:
            egress = self._side("egress", sender, source, target, point)
            ingress = self._side("ingress", receiver, target, source, point)
        verdict: Verdict = "allowed" if egress.allowed and ingress.allowed else "denied"
        reason = ""
        if not receiver and not egress.allowed and egress.decision is not None and egress.decision.rule is None:
            reason = "rules to names are not in a bundle; one may allow this address"
        elif not receiver and verdict == "allowed":
            reason = "no workload has this address; if it is a service address, its members were not asked"
        return BundlePair(source, target, egress, ingress, verdict, reason)

    def _side(self, direction: Direction, name: str, own: Address, peer: Address, point: int) -> Side:
        artifact = self._enforcing(direction, name)
        if artifact is None:
            return Side(None)
        return Side(decide(artifact, direction, own.family, own.number, peer.number, point, self.at))

    def _enforcing(self, direction: Direction, name: str) -> Artifact | None:
        """The slice of the point that enforces a direction for a workload."""
        point = self._enforcing_point(direction, self.opened.workload(name)) if name else None
        if point is None:
            return None
        if point not in self._artifacts:
            self._artifacts[point] = self.opened.artifact(point)
        return self._artifacts[point]

    def _enforcing_point(self, direction: Direction, entry: WorkloadEntry) -> str | None:
        for point in entry.points:
            if self.opened.mode(point, direction) in ("selective", "full"):
                return point
        return None

    def allowed(self, consumer: str, source: WorkloadEntry, target: WorkloadEntry, family: Family) -> Intervals | None:
        """None where the two have no addresses of the family in common."""
        senders = [Address(source.zone, family, number) for kind, number in source.addresses if kind == family]
        receivers = [Address(target.zone, family, number) for kind, number in target.addresses if kind == family]
        result: Intervals | None = None
        for own in senders:
            named = self._named_peers(consumer, source, family)
            for peer in receivers:
                here = EMPTY
                if named is None or contains(named, peer.number):
                    here = self._services("egress", source, own, peer)
                if here:
                    here = intersection(here, self._services("ingress", target, peer, own))
                result = here if result is None else union(result, here)
        return result

    def _named_peers(self, consumer: str, source: WorkloadEntry, family: Family) -> Intervals | None:
        """All addresses that rules of the consumer name; no other one is open to it. None: others may be."""
        key = (consumer, family)
        if key not in self._peers:
            point = self._enforcing_point("egress", source)
            egress = self.opened.policies(self.opened.point(point).policy)[1] if point else DirectionPolicy("idle")
            counting = [rule for rule in egress.rules if self.failsafe or rule.tier != FAILSAFE]
            if egress.mode != "full" or any(rule.peers is None for rule in counting):
                self._peers[key] = None
            else:
                names = {name for rule in counting for name in rule.peers or ()}
                sets = (self.opened.peer_set(name).addresses.get(family, ()) for name in names)
                self._peers[key] = normalised(chain.from_iterable(sets))
        return self._peers[key]

    def _services(self, direction: Direction, entry: WorkloadEntry, own: Address, peer: Address) -> Intervals:
        """Points with one policy say the same to a peer, unless a rule looks at their own address."""
        point = self._enforcing_point(direction, entry)
        if point is None:
            return line.UNIVERSE[own.family]
        identity = self.opened.point(point).policy
        key = (direction, identity, peer)
        if key in self._known:
            return self._known[key]
        policy = self._policies.get((direction, identity))
        if policy is None:
            pair = self.opened.policies(identity)
            policy = self._policies[direction, identity] = pair[0] if direction == "ingress" else pair[1]
        rules = [
            rule
            for rule in policy.rules
            if (self.failsafe or rule.tier != FAILSAFE)
            and rule.valid(self.at)
            and self._named(rule.peers, peer)
            and self._named(rule.own, own)
        ]
        services = evaluate(rules, policy.mode, own.family)
        if all(rule.own is None for rule in policy.rules):
            self._known[key] = services
        return services

    def _named(self, sets: tuple[str, ...] | None, address: Address) -> bool:
        return sets is None or any(self._holds(name, address) for name in sets)

    def _holds(self, name: str, address: Address) -> bool:
        key = (name, address)
        known = self._held.get(key)
        if known is None:
            intervals = self.opened.peer_set(name).addresses.get(address.family, ())
            known = self._held[key] = contains(intervals, address.number)
        return known


__all__ = ["BundleExplanation", "BundleReach", "explain_from_bundle", "reach_from_bundle"]
