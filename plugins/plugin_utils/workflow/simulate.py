# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""simulate: what a draft would have done to observed flows, and what one version says about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..model.edges import Coverage
from ..model.errors import Finding
from ..model.flows import Observations
from ..policy.compile import Compiled
from ..policy.simulate_changes import CHANGES, CLASSES, change_of, class_of
from ..policy.simulate_groups import deciding, groups
from ..policy.simulate_questions import Question
from .flows_asked import FlowsAsked, Judged, judged
from .inputs import Hosts, Inputs, load
from .revisions import AtRevision

#: Lines of one kind in a report; the totals count everything.
MOST_LINES = 10_000


@dataclass(frozen=True)
class SimulationReport:
    """`totals`: conversations of each kind. `lines`: of each kind, what a person reads, in that order."""

    basis: str
    totals: Mapping[str, int]
    lines: Mapping[str, tuple[dict[str, Any], ...]]
    left_out: Mapping[str, int]
    coverage: Coverage
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Nothing is newly blocked; of one version: nothing was observed that it does not intend."""
        return not any(self.totals.get(kind) for kind in ("newly_blocked", "escaped", "misdropped"))

    def to_dict(self) -> dict[str, Any]:
        return {
            "outcome": "ok" if self.ok else "findings",
            "basis": self.basis,
            "coverage": coverage_to_dict(self.coverage),
            "flows": dict(self.totals),
            **{kind: list(lines) for kind, lines in self.lines.items()},
            "lines_left_out": dict(self.left_out),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def coverage_to_dict(coverage: Coverage) -> dict[str, Any]:
    empty = Observations((), coverage.start, coverage.end, (), (), 0.0, "")
    return {
        "start": coverage.start.isoformat(),
        "end": coverage.end.isoformat(),
        "window": empty.window,
        "reported": len(set(coverage.reported) & set(coverage.expected)),
        "expected": len(coverage.expected),
        "share": coverage.share,
        "loss": coverage.loss,
        "source": coverage.source,
    }


def simulate_draft(
    draft: Path,
    inputs: Inputs,
    hosts: Hosts,
    flows: FlowsAsked,
    *,
    intent: bool = False,
    facts: Sequence[Path] = (),
) -> SimulationReport:
    """The active rulesets of a draft directory against the active ones of the policy, both for today's inventory.

    `facts`: the files of facts that `inputs` were read with.

    Raises Rejected for a policy in error, FlowsError for flows that cannot be read.
    """
    after = load(draft, hosts, inputs.at, facts).usable()
    return _changes(inputs.usable().active, after.active, flows, intent, "active against the draft")


def simulate_staged(inputs: Inputs, flows: FlowsAsked, *, intent: bool = False) -> SimulationReport:
    """Active and staged rulesets against the active ones alone."""
    inputs.usable()
    return _changes(inputs.active, inputs.staged, flows, intent, "active against active and staged")


def simulate_revision(
    revision: str,
    directory: Path,
    hosts: Hosts,
    flows: FlowsAsked,
    *,
    at: datetime | None = None,
    intent: bool = False,
    facts: Sequence[Path] = (),
) -> SimulationReport:
    """What the policy of a git revision says about flows, with the inventory of today.

    Raises Rejected for a policy in error, PolicyError for a revision that is none.
    """
    inputs = load(AtRevision(revision, directory), hosts, at, facts).usable()
    found = judged(flows, inputs.active, [Question(inputs.active, intent)], CLASSES, class_of, "permitted")
    simulation = found.simulation

    def decided(kind: str, row: int) -> dict[str, Any]:
        if kind == "unknown":
            return {"reason": simulation.reason(0, row)}
        return deciding(simulation, 0, row)

    basis = f"revision {revision}{', by intent' if intent else ''}"
    return _report(found, CLASSES, "permitted", decided, inputs.active, basis)


def _changes(before: Compiled, after: Compiled, flows: FlowsAsked, intent: bool, basis: str) -> SimulationReport:
    questions = [Question(before, intent), Question(after, intent)]
    if not intent:
        questions += [Question(before, True), Question(after, True)]
    found = judged(flows, before, questions, CHANGES, change_of, "unchanged")
    simulation = found.simulation

    def decided(kind: str, row: int) -> dict[str, Any]:
        if kind == "unknown":
            return {"reason": simulation.reason(1, row)}
        if kind == "newly_allowed":
            return deciding(simulation, 1, row, opened_over=0)
        return deciding(simulation, 3 if kind == "would_block" else 1, row)

    basis = f"{basis}, {'by intent' if intent else 'by the modes of today'}"
    return _report(found, CHANGES, "unchanged", decided, after, basis)


def _report(
    judged: Judged,
    names: tuple[str, ...],
    quiet: str,
    decided: Callable[[str, int], dict[str, Any]],
    compiled: Compiled,
    basis: str,
) -> SimulationReport:
    """`quiet` is the kind that has a total and no lines."""
    edges, kinds = judged.simulation.edges, judged.kinds
    totals = {name: int(edges.count[kinds == place].sum()) for place, name in enumerate(names)}
    totals[quiet] += judged.more
    lines: dict[str, tuple[dict[str, Any], ...]] = {}
    left_out: dict[str, int] = {}
    for place, name in enumerate(names):
        if name == quiet:
            continue
        found = groups(edges, np.flatnonzero(kinds == place), compiled)
        left_out[name] = max(0, len(found) - MOST_LINES)
        lines[name] = tuple({**one.to_dict(edges), "decided": decided(name, one.row)} for one in found[:MOST_LINES])
    return SimulationReport(basis, totals, lines, left_out, edges.coverage, judged.findings)


__all__ = [
    "FlowsAsked",
    "SimulationReport",
    "coverage_to_dict",
    "simulate_draft",
    "simulate_revision",
    "simulate_staged",
]
