# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Check rules against the estate: rules that match no pair, and pass rules on facts that can expire."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from ..model.errors import Finding
from ..model.estate import Estate, Workload
from ..model.facts import SESSION_PREFIX
from ..model.labels import Fact, Truth
from ..model.policy import Policy
from .classes import Classes
from .resolve import Element, ResolvedRule, resolve
from .users import shared_by_users


def check_rules(policy: Policy, estate: Estate, at: datetime) -> list[Finding]:
    """Rules of every stage, drafts included. `at` only tells which facts have expired by now."""
    rules, scope_findings = resolve(policy, estate.workloads)
    elements = [element for item in rules for element in (*item.consumers, *item.providers)]
    keys = {key for element in elements for key in element.selector.keys}
    named = [element.name for element in elements if element.kind == "workload"]
    classes = Classes(estate, keys, named, ())
    expiring = {
        key
        for workload in estate.workloads.values()
        for key, fact in workload.labels.items()
        if fact.expires is not None
    }
    expiring |= {key for key in keys if key.startswith(SESSION_PREFIX)}
    findings = list(scope_findings)
    for item in rules:
        findings.extend(_pass_on_expiring(item, expiring))
        if not item.rule.allow_empty and not _has_pair(item, classes):
            findings.append(_no_pair(item, classes))
        findings.extend(_ended(item, at))
        findings.extend(shared_by_users(item, estate, at))
    findings.extend(_no_controllers(policy, estate))
    findings.extend(_kept_by_expired_facts(policy, estate, at))
    return findings


def _pass_on_expiring(item: ResolvedRule, expiring: set[str]) -> Iterable[Finding]:
    if item.rule.action != "pass":
        return
    used = {key for element in (*item.consumers, *item.providers) for key in element.selector.keys}
    for key in sorted(used & expiring):
        yield Finding(
            "E-PASS-EXPIRING",
            "error",
            f"rule {item.rule.id}: facts of {key.removeprefix(SESSION_PREFIX)} can expire, "
            "so it cannot decide whether a tier abstains.",
            item.place,
            "Use a key whose facts do not expire, or write an allow rule in this tier.",
        )


def _ended(item: ResolvedRule, at: datetime) -> Iterable[Finding]:
    expires = item.rule.expires
    if item.stage != "draft" and expires is not None and expires <= at:
        yield Finding(
            "W-RULE-EXPIRED",
            "warning",
            f"rule {item.rule.id} ended {expires.isoformat(timespec='minutes')} and decides nothing any more.",
            item.place,
            "Remove it, or give it a new end.",
        )


def _no_controllers(policy: Policy, estate: Estate) -> Iterable[Finding]:
    enforced = next((one for one in estate.workloads.values() if one.enforces("ingress")), None)
    if enforced is not None and not policy.settings.controllers:
        yield Finding(
            "W-NO-CONTROLLERS",
            "warning",
            f"{enforced.name} is to be enforced, and settings.controllers names nobody whom no policy can lock out.",
            policy.settings.place,
            "Name the addresses Ansible comes from; a plan that would close their way is refused.",
        )


def _has_pair(item: ResolvedRule, classes: Classes) -> bool:
    """Over all intervals of facts. Addresses, names and `any` count as pairs with anybody (DESIGN §3.20)."""
    consumers = _everyone(item, item.consumers, classes)
    providers = _everyone(item, item.providers, classes)
    if consumers is None or providers is None:
        return bool(providers if consumers is None else consumers) or (consumers is None and providers is None)
    if not consumers or not providers:
        return False
    union = consumers | providers
    if union & (union - 1):
        return True
    return len(classes.items[union.bit_length() - 1].members) > 1


def _everyone(item: ResolvedRule, side: Sequence[Element], classes: Classes) -> int | None:
    """The classes a side ever matches; None where it also speaks about addresses outside the estate."""
    bits = 0
    for element in side:
        if element.by_address or element.kind in ("fqdn", "users"):
            return None
        if element.kind == "labels":
            for _window, part in classes.matching(element.selector, item.rule.action == "deny"):
                bits |= part
        elif element.kind == "scope":
            bits |= classes.last_known(element.selector)
        elif element.kind == "all":
            bits |= classes.everything
        elif element.name in classes.of:
            bits |= 1 << classes.of[element.name]
    return bits


def _no_pair(item: ResolvedRule, classes: Classes) -> Finding:
    counts = item.stage in ("active", "retiring")
    empty = [
        f"{word} ({'; '.join(str(element) for element in side)})"
        for word, side in (("from", item.consumers), ("to", item.providers))
        if _everyone(item, side, classes) == 0
    ]
    why = f"nothing matches {' and '.join(empty)}" if empty else "both sides are the same single workload"
    return Finding(
        "E-NO-PAIR" if counts else "W-NO-PAIR",
        "error" if counts else "warning",
        f"rule {item.rule.id} matches no pair of workloads: {why}.",
        item.place,
        "Correct the selector, or say allow_empty: true if the workloads are yet to come.",
    )


def _kept_by_expired_facts(policy: Policy, estate: Estate, at: datetime) -> Iterable[Finding]:
    """Workloads that stay in a scope, or behind a service address, by a fact that has ended."""
    expired: dict[str, list[tuple[Workload, Fact]]] = {}
    for workload in estate.workloads.values():
        for key, fact in workload.labels.items():
            if not fact.known(at):
                expired.setdefault(key, []).append((workload, fact))
    keepers = [(f"scope {scope.name}", scope.match, scope.place) for scope in policy.scopes]
    keepers += [(f"service address {item.name}", item.members, item.place) for item in policy.service_addresses]
    for name, match, place in keepers:
        for key in sorted(match.keys & expired.keys()):
            for workload, fact in expired[key]:
                if match.matches(workload.labels, None) is Truth.YES:
                    yield Finding(
                        "W-FACT-EXPIRED",
                        "warning",
                        f"{workload.name}: {key}={fact.value} ended {fact.expires}; {name} keeps it.",
                        place,
                        "Refresh the fact at its source.",
                    )
