# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Selectors that match nobody, and labels that look mistyped: in selectors, in label rules and in the inventory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ...model.errors import Place
from ...model.policy import LabelPeer, Peer
from ...model.selectors import Selector
from ..resolve import ResolvedRule
from .context import Context
from .near import Near
from .report import LintFinding, about, listed

#: A value of the inventory is taken for a slip when the near one is this many times as frequent.
TIMES = 10


class _Written(NamedTuple):
    selector: Selector
    what: str
    where: Place
    item: ResolvedRule | None = None


def dead_selectors(context: Context) -> Iterator[LintFinding]:
    """Elements that match no class, in no interval of facts, beside others that do. A whole side of them is no pair,
    which check says."""
    for item in context.items:
        if item.rule.allow_empty:
            continue
        deny = item.rule.action == "deny"
        for word, side in (("from", item.consumers), ("to", item.providers)):
            dead = [
                element
                for element in side
                if element.kind == "labels" and not context.classes_of_element(element, deny)
            ]
            if len(dead) < len(side):
                for element in dead:
                    yield about(
                        item,
                        "W-DEAD-SELECTOR",
                        "warning",
                        f"has {word}: {element}, which matches no workload.",
                        "Correct the selector, or say allow_empty: true if the workloads are yet to come.",
                        {"side": word, "selector": str(element)},
                    )


def mistyped_labels(context: Context) -> Iterator[LintFinding]:
    used: dict[str, Counter[str]] = {}
    for workload in context.estate.workloads.values():
        for key, fact in workload.labels.items():
            used.setdefault(key, Counter())[fact.value] += 1
    keys = Near(used)
    values = {key: Near(counted) for key, counted in used.items()}
    named: dict[str, set[str]] = {}
    said: set[tuple[Place, str, str]] = set()
    for written in _written(context):
        for requirement in written.selector.requirements:
            named.setdefault(requirement.key, set()).update(requirement.values)
            if requirement.key not in used:
                near = keys.of(requirement.key)
                if near and (written.where, requirement.key, "") not in said:
                    said.add((written.where, requirement.key, ""))
                    yield _slip(written, "key", requirement.key, near, f"{requirement.key} -> {near}")
                continue
            for value in requirement.values:
                near = "" if value in used[requirement.key] else values[requirement.key].of(value)
                if near and (written.where, requirement.key, value) not in said:
                    said.add((written.where, requirement.key, value))
                    change = f"{requirement.key}={value} -> {requirement.key}={near}"
                    yield _slip(written, f"value of {requirement.key}", value, near, change)
    yield from _in_label_rules(context, used, values, keys)
    yield from _in_inventory(context, used, named)


def _written(context: Context) -> Iterator[_Written]:
    for item in context.items:
        for peer in (*item.rule.consumers, *item.rule.providers):
            if isinstance(peer, LabelPeer):
                yield _Written(peer.selector, f"rule {item.rule.id}", item.place, item)
    policy = context.policy
    for scope in policy.scopes:
        yield _Written(scope.match, f"scope {scope.name}", scope.place)
    for service in policy.service_addresses:
        yield _Written(service.members, f"service address {service.name}", service.place)
    for mode in policy.modes:
        if mode.match.selector is not None:
            yield _Written(mode.match.selector, "an entry of modes", mode.place)
    for guardrail in policy.guardrails:
        peers: tuple[Peer, ...] = (
            *guardrail.consumers,
            *guardrail.providers,
            *guardrail.except_consumers,
            *guardrail.except_providers,
        )
        for peer in peers:
            if isinstance(peer, LabelPeer):
                yield _Written(peer.selector, f"guardrail {guardrail.id}", guardrail.place)


def _slip(written: _Written, kind: str, word: str, near: str, change: str) -> LintFinding:
    message = f"says {kind} {word}, which no workload has; many have {near}."
    evidence = {"written": word, "near": near, "change": change}
    fix = f"Write {near}, if that was meant: {change}"
    if written.item is not None:
        return about(written.item, "W-LABEL-TYPO", "warning", message, fix, evidence)
    return LintFinding("W-LABEL-TYPO", "warning", f"{written.what} {message}", written.where, fix, evidence=evidence)


def _in_label_rules(
    context: Context, used: Mapping[str, Counter[str]], values: Mapping[str, Near], keys: Near
) -> Iterator[LintFinding]:
    """Values only this label rule gives, beside a near one that others give far more often or that is in use at all."""
    for rule in context.policy.label_rules:
        for key, value in rule.set.items():
            counted = used.get(key)
            written = _Written(Selector(), "a label rule", rule.place)
            if counted is None:
                near = keys.of(key)
                if near:
                    yield _slip(written, "key", key, near, f"{key} -> {near}")
                continue
            near = values[key].of(value)
            if near and counted[near] >= max(1, TIMES * counted[value]):
                evidence = {
                    "written": value,
                    "near": near,
                    "workloads": counted[value],
                    "near_workloads": counted[near],
                }
                yield LintFinding(
                    "W-LABEL-TYPO",
                    "warning",
                    f"a label rule sets {key}={value}, which {_so_many(counted[value])}; "
                    f"{counted[near]:,} have {near}.",
                    rule.place,
                    f"Write {near}, if that was meant: {key}={value} -> {key}={near}",
                    evidence=evidence,
                )


def _so_many(count: int) -> str:
    return "no workload has" if not count else f"only {count:,} have"


def _in_inventory(
    context: Context, used: Mapping[str, Counter[str]], named: Mapping[str, set[str]]
) -> Iterator[LintFinding]:
    """Rare values that no selector names, beside a near one that is frequent."""
    set_by_rules = {(key, value) for rule in context.policy.label_rules for key, value in rule.set.items()}
    rare: dict[tuple[str, str], str] = {}
    for key, counted in used.items():
        known = (
            named.get(key, set()) | set(context.policy.settings.labels[key].values)
            if (key in context.policy.settings.labels)
            else named.get(key, set())
        )
        frequent = Near(value for value, count in counted.items() if count >= TIMES)
        for value, count in counted.items():
            if value in known or (key, value) in set_by_rules:
                continue
            near = frequent.of(value)
            if near and counted[near] >= TIMES * count:
                rare[key, value] = near
    if not rare:
        return
    holders: dict[tuple[str, str], list[str]] = {}
    for workload in context.estate.workloads.values():
        for key, fact in workload.labels.items():
            if (key, fact.value) in rare:
                holders.setdefault((key, fact.value), []).append(workload.name)
    for (key, value), near in sorted(rare.items()):
        names = holders[key, value]
        first = context.estate.workloads[names[0]]
        yield LintFinding(
            "W-LABEL-TYPO",
            "warning",
            f"{listed(names)} have {key}={value}, which no selector names; {used[key][near]:,} have {near}.",
            first.place,
            f"Correct the label at its source ({first.labels[key].source}), if {near} was meant.",
            evidence={"written": value, "near": near, "workloads": names, "near_workloads": used[key][near]},
        )


__all__ = ["TIMES", "dead_selectors", "mistyped_labels"]
