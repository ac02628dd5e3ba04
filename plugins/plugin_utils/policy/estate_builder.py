# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From inventory hosts and policy documents to the estate: labels, addresses, modes, enforcement points."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import jmespath
import jmespath.exceptions

from ..model.addresses import Address, parse_address
from ..model.errors import NOWHERE, EstateError, Finding, MicrosegError, Place, PolicyError, Rejected
from ..model.estate import (
    DIRECTIONS,
    EnforcementPoint,
    Estate,
    InventoryHost,
    Mode,
    Modes,
    Workload,
)
from ..model.facts import NO_FACTS, Facts
from ..model.labels import Fact, Truth
from ..model.policy import LabelRule, MatchTarget, ModeRule, Policy, WriterRule
from .estate_facts import add_facts

_NOBODY = "Correct it, or ignore this where such hosts are yet to come."


def build_estate(
    policy: Policy, hosts: Iterable[InventoryHost], at: datetime, facts: Facts = NO_FACTS
) -> tuple[Estate, tuple[Finding, ...]]:
    """Raises Rejected with every error found; warnings come back as findings. `at` only colours warnings."""
    findings: list[Finding] = []
    workloads: dict[str, Workload] = {}
    used: set[int] = set()
    rules = [(rule, jmespath.compile(rule.when) if rule.when else None) for rule in policy.label_rules]
    for host in hosts:
        try:
            workload = _from_host(host, rules, findings, used)
        except MicrosegError as error:
            findings.append(_finding(error))
            continue
        _add(workloads, workload, findings)
    for document in policy.workloads:
        _add(
            workloads,
            Workload(
                name=document.name,
                labels=dict(document.labels),
                addresses=tuple(replace(address, zone=document.zone) for address in document.addresses),
                zone=document.zone,
                managed=False,
                shared=document.shared,
                place=document.place,
            ),
            findings,
        )
    sessions = add_facts(workloads, facts, findings)
    for workload in workloads.values():
        findings.extend(_label_findings(policy, workload))
    finished = {
        name: _with_writers(policy.writers, _with_modes(policy.modes, workloads[name], at, findings, used))
        for name in sorted(workloads)
    }
    estate = Estate(
        workloads=finished,
        service_addresses=policy.service_addresses,
        controllers=policy.settings.controllers,
        management_ports=policy.settings.management_ports,
        sessions=sessions,
        user_groups=facts.groups,
    )
    findings.extend(_address_findings(estate))
    findings.extend(_nobody_findings(policy, used))
    if any(finding.severity == "error" for finding in findings):
        raise Rejected(tuple(findings))
    return estate, tuple(findings)


def _finding(error: MicrosegError) -> Finding:
    return Finding(error.code, "error", error.message, error.where, error.hint)


def _add(workloads: dict[str, Workload], workload: Workload, findings: list[Finding]) -> None:
    if workload.name in workloads:
        other = workloads[workload.name]
        findings.append(
            Finding(
                "E-WORKLOAD-TWICE",
                "error",
                f"workload {workload.name} is there twice, also at {other.place or 'the inventory'}.",
                workload.place,
                "Give one of them another name or microseg_id.",
            )
        )
        return
    workloads[workload.name] = workload


def _from_host(
    host: InventoryHost, rules: Sequence[tuple[LabelRule, Any]], findings: list[Finding], used: set[int]
) -> Workload:
    addresses: list[Address] = []
    for observed in host.addresses:
        address = parse_address(observed.text, host.zone, host.place)
        if address not in addresses:
            addresses.append(address)
    if not addresses:
        findings.append(
            Finding(
                "W-NO-ADDRESS",
                "warning",
                f"{host.name} has no address, so no rule can name it and nothing can be enforced for it.",
                host.place,
                "Set microseg_addresses, run discover, or give ansible_host an address.",
            )
        )
    labels = dict(host.labels)
    given = {key: ("microseg_labels", fact.value) for key, fact in host.labels.items()}
    for rule, expression in rules:
        if not _applies(rule, expression, host, addresses):
            continue
        used.add(id(rule))
        for key, value in rule.set.items():
            source, present = given.get(key, ("", value))
            if key in labels and source == "microseg_labels":
                continue  # what the host itself says is more specific than a rule
            if present != value:
                raise EstateError(
                    "E-LABEL-CONFLICT",
                    f"{host.name} gets {key}={present} from {source}, and {key}={value} here.",
                    rule.place,
                    "Make the rules exclusive, or set the label in microseg_labels of the host.",
                )
            given[key] = (str(rule.place) or rule.source, value)
            labels[key] = Fact(value, rule.source)
    return Workload(
        name=host.name,
        labels=labels,
        addresses=tuple(addresses),
        zone=host.zone,
        managed=True,
        shared=host.shared,
        enforcement=host.enforcement,
        place=host.place,
    )


def _applies(rule: LabelRule, expression: Any, host: InventoryHost, addresses: Sequence[Address]) -> bool:
    if rule.group and rule.group not in host.groups:
        return False
    if rule.name and not re.fullmatch(rule.name, host.name):
        return False
    if rule.subnet is not None and not any(rule.subnet.holds(address, host.zone) for address in addresses):
        return False
    if expression is not None:
        try:
            return bool(expression.search(dict(host.variables)))
        except jmespath.exceptions.JMESPathError as error:
            raise PolicyError(
                "E-LABEL-RULE",
                f"{rule.when!r} cannot be evaluated for {host.name}: {error}.",
                rule.place,
                "Test for null first: tags && tags.Environment == 'production'.",
            ) from None
    return True


def _label_findings(policy: Policy, workload: Workload) -> Iterable[Finding]:
    for key, declaration in policy.settings.labels.items():
        fact = workload.labels.get(key)
        if fact is None:
            if declaration.required:
                yield Finding(
                    "W-LABEL-MISSING",
                    "warning",
                    f"{workload.name} lacks the required label {key}.",
                    workload.place,
                    "Add it to microseg_labels, or write a label rule.",
                )
        elif declaration.values and fact.value not in declaration.values:
            yield Finding(
                "W-LABEL-VALUE",
                "warning",
                f"{workload.name} has {key}={fact.value}, which is not one of {', '.join(declaration.values)}.",
                workload.place,
            )


def _targets(match: MatchTarget, workload: Workload) -> bool:
    """Modes and writers keep the last known value of a fact that has expired (DESIGN §3.16)."""
    if match.workload:
        return match.workload == workload.name
    return match.selector is not None and match.selector.matches(workload.labels, None) is Truth.YES


def _nobody_findings(policy: Policy, used: set[int]) -> Iterable[Finding]:
    """A mistyped group or label in these would otherwise leave hosts unlabelled, or not enforced, without a word."""
    for rule in policy.label_rules:
        if id(rule) not in used:
            what = f"no host is in group {rule.group}" if rule.group else "no host meets its conditions"
            yield Finding("W-NOBODY", "warning", f"this label rule labels nobody: {what}.", rule.place, _NOBODY)
    for mode in policy.modes:
        if id(mode) not in used:
            yield Finding(
                "W-NOBODY", "warning", "this mode holds for nobody: no managed host matches.", mode.place, _NOBODY
            )


def _with_modes(
    rules: Sequence[ModeRule], workload: Workload, at: datetime, findings: list[Finding], used: set[int]
) -> Workload:
    if not workload.managed:
        return workload
    chosen: dict[str, tuple[Mode, Place]] = {}
    for rule in rules:
        if not _targets(rule.match, workload):
            continue
        used.add(id(rule))
        if rule.match.selector is not None:
            findings.extend(_expired(workload, rule.match.selector.keys, at, rule.place, "mode"))
        for direction in DIRECTIONS:
            mode = rule.ingress if direction == "ingress" else rule.egress
            if mode is None:
                continue
            present = chosen.get(direction)
            if present is not None and present[0] != mode:
                findings.append(
                    Finding(
                        "E-MODE-CONFLICT",
                        "error",
                        f"{direction} of {workload.name} would be {present[0]} ({present[1]}) and {mode} here.",
                        rule.place,
                        "Make the matches exclusive.",
                    )
                )
            elif present is None:
                chosen[direction] = (mode, rule.place)
    if not chosen:
        return workload
    modes = Modes(
        ingress=chosen.get("ingress", ("idle", NOWHERE))[0], egress=chosen.get("egress", ("idle", NOWHERE))[0]
    )
    return replace(workload, modes=modes, modes_place=next(iter(chosen.values()))[1])


def _expired(workload: Workload, keys: Iterable[str], at: datetime, place: Place, what: str) -> Iterable[Finding]:
    for key in sorted(keys):
        fact = workload.labels.get(key)
        if fact is not None and not fact.known(at):
            yield Finding(
                "W-FACT-EXPIRED",
                "warning",
                f"{workload.name}: {key}={fact.value} ended {fact.expires}; its {what} keeps this last known value.",
                place,
                "Refresh the fact at its source.",
            )


def _with_writers(rules: Sequence[WriterRule], workload: Workload) -> Workload:
    if not rules or not workload.enforcement:
        return workload
    points: list[EnforcementPoint] = []
    for point in workload.enforcement:
        parameters = {"platform": point.platform, "id": point.id, **dict(point.parameters)}
        for rule in rules:
            if all(parameters.get(key) == value for key, value in rule.match):
                points.append(replace(point, writer=rule.writer, stack=rule.stack))
                break
        else:
            points.append(point)
    return replace(workload, enforcement=tuple(points))


def _address_findings(estate: Estate) -> Iterable[Finding]:
    for address, holders in estate.by_address.items():
        if len(holders) > 1 and not all(holder.shared for holder in holders):
            names = " and ".join(holder.name for holder in holders)
            zone = f" in zone {address.zone}" if address.zone else ""
            yield Finding(
                "E-ADDRESS-TWICE",
                "error",
                f"{names} both have {address}{zone}.",
                holders[-1].place,
                "Correct one, put them in different zones, or say shared: true on both.",
            )
    points: dict[str, str] = {}
    for workload in estate.workloads.values():
        for point in workload.enforcement:
            if points.setdefault(point.id, workload.name) != workload.name:
                yield Finding(
                    "E-POINT-TWICE",
                    "error",
                    f"{points[point.id]} and {workload.name} both name the enforcement point {point.id}.",
                    workload.place,
                )
    for service in estate.service_addresses:
        for holder in estate.holders(service.address):
            yield Finding(
                "E-ADDRESS-TWICE",
                "error",
                f"service address {service.name} and {holder.name} both have {service.address}.",
                service.place,
                "A virtual address belongs to no workload.",
            )


def last_known(labels: Mapping[str, Fact]) -> dict[str, str]:
    """Labels as plain text for reports."""
    return {key: fact.value for key, fact in sorted(labels.items())}
