# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who may say what: scopes give rules their inherited keys, their binding and their limits (DESIGN §3.8, §3.9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..model.addresses import Prefix
from ..model.errors import Finding, Place
from ..model.estate import Workload
from ..model.facts import session_key
from ..model.labels import Truth
from ..model.policy import (
    AddressPeer,
    AllWorkloadsPeer,
    AnyPeer,
    FqdnPeer,
    LabelPeer,
    Peer,
    Policy,
    Rule,
    Ruleset,
    Scope,
    ScopePeer,
    Stage,
    Tier,
    TierGrant,
    UsersPeer,
    WorkloadPeer,
)
from ..model.selectors import Requirement, Selector

_EVERYTHING = Selector()
Kind = Literal["labels", "scope", "workload", "all", "addresses", "any", "fqdn", "users"]


@dataclass(frozen=True, slots=True)
class Element:
    """One alternative of one side of a rule, after inheritance.

    `inside`: it can only mean workloads of the scope. Elements of kind `addresses` and `any` bind only workloads
    inside the scope, all others bind whatever they match.
    """

    kind: Kind
    inside: bool
    selector: Selector = _EVERYTHING
    name: str = ""
    prefixes: tuple[Prefix, ...] = ()
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.kind, self.inside, self.selector, self.name, self.prefixes)))

    def __hash__(self) -> int:
        """Worked out once: elements are looked up again and again, and a selector is deep."""
        return self._hash

    @property
    def by_address(self) -> bool:
        return self.kind in ("addresses", "any")

    def __str__(self) -> str:
        if self.kind == "labels":
            return str(self.selector)
        if self.kind == "scope":
            return f"scope {self.name}"
        if self.kind == "addresses":
            return self.name or ",".join(str(prefix) for prefix in self.prefixes)
        return {
            "workload": self.name,
            "all": "all-workloads",
            "any": "any",
            "fqdn": self.name,
            "users": f"users {self.name}",
        }[self.kind]


@dataclass(frozen=True, slots=True)
class ResolvedRule:
    """A rule with its home. `binds_everyone`: it stands in an estate scope, so `any` binds outside workloads too."""

    rule: Rule
    scope: str
    ruleset: str
    tier: Tier
    stage: Stage
    match: Selector
    binds_everyone: bool
    consumers: tuple[Element, ...]
    providers: tuple[Element, ...]

    @property
    def id(self) -> str:
        return f"{self.rule.id}@{self.scope}/{self.ruleset}"

    @property
    def place(self) -> Place:
        return self.rule.place


def resolve_peer(peer: Peer, scope: Scope, workloads: Mapping[str, Workload]) -> Element:
    match peer:
        case LabelPeer(selector):
            inherited = selector.inheriting(scope.match)
            return Element("labels", inherited.implies(scope.match), inherited)
        case WorkloadPeer(name):
            workload = workloads.get(name)
            inside = workload is not None and scope.match.matches(workload.labels, None) is Truth.YES
            return Element("workload", inside, name=name)
        case AddressPeer(prefixes, name):
            return Element("addresses", scope.estate, name=name, prefixes=prefixes)
        case FqdnPeer(name):
            return Element("fqdn", scope.estate, name=name)
        case UsersPeer(group):
            somebody = Selector((Requirement(session_key(group), "exists"),))
            return Element("users", scope.estate, somebody, group)
        case ScopePeer():
            return Element("scope", True, scope.match, scope.name)
        case AllWorkloadsPeer():
            return Element("all", scope.estate)
        case AnyPeer():
            return Element("any", scope.estate)


def resolve(policy: Policy, workloads: Mapping[str, Workload]) -> tuple[tuple[ResolvedRule, ...], tuple[Finding, ...]]:
    """Every rule of every stage, in document order, and what its scope does not let it say."""
    resolved: list[ResolvedRule] = []
    findings: list[Finding] = []
    grants = {grant.scope: grant for grant in policy.settings.grants}
    for scope in policy.scopes:
        for ruleset in scope.rulesets:
            for rule in ruleset.rules:
                item = resolve_rule(rule, scope, ruleset, workloads)
                findings.extend(rule_findings(item, scope, grants.get(scope.name), workloads))
                resolved.append(item)
    return tuple(resolved), tuple(findings)


def resolve_rule(rule: Rule, scope: Scope, ruleset: Ruleset, workloads: Mapping[str, Workload]) -> ResolvedRule:
    return ResolvedRule(
        rule=rule,
        scope=scope.name,
        ruleset=ruleset.name,
        tier=ruleset.tier,
        stage=ruleset.stage,
        match=scope.match,
        binds_everyone=scope.estate,
        consumers=tuple([resolve_peer(peer, scope, workloads) for peer in rule.consumers]),
        providers=tuple([resolve_peer(peer, scope, workloads) for peer in rule.providers]),
    )


def rule_findings(
    item: ResolvedRule, scope: Scope, grant: TierGrant | None, workloads: Mapping[str, Workload]
) -> list[Finding]:
    """What names nobody, and what the scope does not let the rule say."""
    return [*_unknown_workloads(item, workloads), *_limits(item, scope, grant)]


def _unknown_workloads(item: ResolvedRule, workloads: Mapping[str, Workload]) -> Iterable[Finding]:
    from difflib import get_close_matches

    for element in (*item.consumers, *item.providers):
        if element.kind == "workload" and element.name not in workloads:
            near = get_close_matches(element.name, workloads, n=1)
            yield Finding(
                "E-WORKLOAD",
                "error",
                f"rule {item.rule.id} names the workload {element.name}, which the estate does not have.",
                item.place,
                f"Did you mean {near[0]}?" if near else "Names are inventory names or microseg_id.",
            )


def _limits(item: ResolvedRule, scope: Scope, grant: TierGrant | None) -> Iterable[Finding]:
    if scope.estate:
        return
    rule = item.rule
    consumers_inside = all(element.inside for element in item.consumers)
    providers_inside = all(element.inside for element in item.providers)
    if not consumers_inside and not providers_inside:
        yield Finding(
            "E-SCOPE-OUTSIDE",
            "error",
            f"rule {rule.id}: neither side lies inside scope {scope.name} ({scope.match}).",
            rule.place,
            "Name workloads of the scope on one side (every element of a list counts), or move the rule.",
        )
    else:
        outside = [
            str(element)
            for element in (*item.consumers, *item.providers)
            if not element.inside and element.kind in ("labels", "workload", "all", "users")
        ]
        if outside:
            yield Finding(
                "W-EXTRA-SCOPE",
                "warning",
                f"rule {rule.id} also speaks about workloads outside scope {scope.name}: {'; '.join(outside)}.",
                rule.place,
                "Ask the owners of those scopes; microseg review names them.",
            )
    wanted = []
    if item.tier != "application" and (grant is None or item.tier not in grant.tiers):
        wanted.append(f"tier {item.tier}")
    if rule.action == "pass" and (grant is None or "pass" not in grant.actions):
        wanted.append("action pass")
    if any(element.kind == "all" for element in (*item.consumers, *item.providers)) and (
        grant is None or "all-workloads" not in grant.peers
    ):
        wanted.append("peer all-workloads")
    for what in wanted:
        yield Finding(
            "E-SCOPE-GRANT",
            "error",
            f"rule {rule.id}: {what} needs an estate scope or a grant for scope {scope.name}.",
            rule.place,
            "Move the rule to a scope marked estate: true, or add the grant to settings.grants.",
        )
