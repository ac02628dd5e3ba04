# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Facts of other systems put beside the labels of the workloads they are about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches

from ..model.addresses import Address, parse_address
from ..model.errors import Finding, MicrosegError, Place
from ..model.estate import Workload
from ..model.facts import Facts, Session, session_facts
from ..model.labels import Fact


def add_facts(
    workloads: dict[str, Workload], facts: Facts, findings: list[Finding]
) -> Mapping[str, tuple[Session, ...]]:
    """Labels and sessions into `workloads`; the sessions by workload.

    A label that the inventory has too is an error: nobody could say which of both counts.
    """
    unknown: dict[str, list[tuple[str, Place]]] = {}
    for name, labels in facts.labels.items():
        place = next(iter(labels.values())).place
        if name not in workloads:
            unknown.setdefault(place.file, []).append((name, place))
            continue
        workload = workloads[name]
        added: dict[str, Fact] = {}
        for key, label in labels.items():
            present = workload.labels.get(key)
            if present is not None:
                findings.append(
                    Finding(
                        "E-FACTS-CONFLICT",
                        "error",
                        f"{name} has {key}={label.fact.value} by {label.fact.source} here, and {key}={present.value} "
                        f"by {present.source}{f' ({workload.place})' if workload.place.file else ''}.",
                        label.place,
                        "Let one source say it.",
                    )
                )
                continue
            added[key] = label.fact
        workloads[name] = replace(workload, labels={**workload.labels, **added})
    by_workload = _located(workloads, facts.sessions, unknown, findings)
    for name, sessions in by_workload.items():
        live = session_facts(sessions, facts.groups)
        workloads[name] = replace(workloads[name], labels={**workloads[name].labels, **live})
    findings.extend(_unknown(nobody, workloads) for nobody in unknown.values())
    return by_workload


def _located(
    workloads: Mapping[str, Workload],
    sessions: Iterable[Session],
    unknown: dict[str, list[tuple[str, Place]]],
    findings: list[Finding],
) -> dict[str, tuple[Session, ...]]:
    holders: dict[Address, list[str]] = {}
    zones: dict[Address, set[str]] = {}
    for workload in workloads.values():
        for address in workload.addresses:
            holders.setdefault(address, []).append(workload.name)
            zones.setdefault(replace(address, zone=""), set()).add(address.zone)
    found: dict[str, list[Session]] = {}
    for session in sessions:
        names = [session.workload] if session.workload in workloads else []
        if session.address:
            try:
                address = parse_address(session.address, session.zone, session.place)
            except MicrosegError as error:
                findings.append(Finding(error.code, "error", error.message, error.where, error.hint))
                continue
            known = zones.get(replace(address, zone=""), set())
            if not session.zone and "" not in known and len(known) == 1:  # what exactly one zone knows is meant there
                address = replace(address, zone=next(iter(known)))
            names = holders.get(address, [])
        if not names:
            where = session.workload or session.address
            unknown.setdefault(session.place.file, []).append((where, session.place))
        for name in names:
            found.setdefault(name, []).append(session)
    return {name: tuple(here) for name, here in found.items()}


def _unknown(nobody: list[tuple[str, Place]], workloads: Mapping[str, Workload]) -> Finding:
    name, place = nobody[0]
    near = get_close_matches(name, workloads, n=1)
    count = len({name for name, _place in nobody})
    return Finding(
        "W-FACTS-UNKNOWN",
        "warning",
        f"{count} of the workloads this file speaks about {'is' if count == 1 else 'are'} not in the estate, "
        f"for example {name}.",
        place,
        f"Did you mean {near[0]}?" if near else "Names are inventory names or microseg_id.",
    )


__all__ = ["add_facts"]
