# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""lint: what is questionable about a policy that check finds in order, with waivers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..model.edges import Edges
from ..model.errors import Finding, Place, Severity
from ..policy.lint.checks import lint_findings
from ..policy.lint.context import Context
from ..policy.lint.report import LintFinding
from ..policy.lint.usage import too_thin
from ..policy.lint.waivers import waived
from ..policy.resolve import ResolvedRule
from .check import guardrail_findings
from .inputs import Inputs

#: From bad to harmless.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
SOON = timedelta(days=30)


@dataclass(frozen=True)
class LintReport:
    """`findings` and `waived`, each from bad to harmless. `use` says whether flows were good enough to judge use."""

    findings: tuple[LintFinding, ...]
    waived: tuple[LintFinding, ...]
    use: str
    use_judged: bool
    fail_on: Severity
    rules: int
    workloads: int
    at: datetime

    @property
    def ok(self) -> bool:
        return not any(map(self.counts, self.findings))

    def to_dict(self) -> dict[str, Any]:
        return {
            "outcome": "ok" if self.ok else "findings",
            "at": self.at.isoformat(),
            "fail_on": self.fail_on,
            "rules": self.rules,
            "workloads": self.workloads,
            "use": {"judged": self.use_judged, "reason": self.use},
            "findings": [finding.to_dict() for finding in self.findings],
            "waived": [finding.to_dict() for finding in self.waived],
        }

    def counts(self, finding: LintFinding) -> bool:
        """Is it as severe as `fail_on`, or more?"""
        return SEVERITIES.index(finding.severity) <= SEVERITIES.index(self.fail_on)

    def report(self, failures: bool = False) -> dict[str, Any]:
        """The form the report writers take. `failures`: whatever counts is an error, as JUnit knows no less."""
        return {
            "kind": "lint",
            "outcome": "ok" if self.ok else "findings",
            "at": self.at.isoformat(),
            "checked": [],
            "findings": [
                _reported(replace(finding, severity="error") if failures and self.counts(finding) else finding)
                for finding in self.findings
            ],
        }


def lint(
    inputs: Inputs,
    edges: Edges | None = None,
    soon: timedelta = SOON,
    fail_on: Severity = "warning",
    flow_findings: Iterable[Finding] = (),
) -> LintReport:
    """What `check` found is in it too, so that waivers cover it. `edges`: observed flows, for what is said about use.

    Drafts and staged rulesets are judged as if they were added. `fail_on`: the most harmless severity that counts.
    """
    context = Context(inputs.policy, inputs.estate, inputs.at, soon, edges)
    by_place = {item.place: item for item in context.items}
    found = [
        *_from_check((*inputs.findings, *guardrail_findings(inputs), *flow_findings), by_place),
        *lint_findings(context, inputs.active),
    ]
    use = "no flows were given" if edges is None else too_thin(edges.coverage)
    judged = edges is not None and not use
    order = {severity: position for position, severity in enumerate(SEVERITIES)}
    everything = sorted(
        waived(found, context.items, inputs.at, judged), key=lambda finding: (order[finding.severity], finding.code)
    )
    return LintReport(
        findings=tuple(finding for finding in everything if finding.waiver is None),
        waived=tuple(finding for finding in everything if finding.waiver is not None),
        use=use,
        use_judged=judged,
        fail_on=fail_on,
        rules=len(context.items),
        workloads=len(inputs.estate.workloads),
        at=inputs.at,
    )


def lint_with_flows(
    inputs: Inputs, flows: Path | None, soon: timedelta = SOON, fail_on: Severity = "warning"
) -> LintReport:
    """`flows`: a file or directory of edges. Raises FlowsError."""
    if flows is None:
        return lint(inputs, None, soon, fail_on)
    from ..visibility.edges_file import read_edges

    findings: list[Finding] = []
    edges = read_edges(flows, findings=findings)
    return lint(inputs, edges, soon, fail_on, findings)


def _from_check(findings: Iterable[Finding], by_place: dict[Place, ResolvedRule]) -> Iterator[LintFinding]:
    for finding in findings:
        item = by_place.get(finding.where) if finding.where.line else None
        yield LintFinding(
            finding.code,
            finding.severity,
            finding.message,
            finding.where,
            finding.hint,
            rule=item.id if item else "",
            stage=item.stage if item else "",
        )


def _reported(finding: LintFinding) -> dict[str, Any]:
    facts = [{"name": "fix", "text": finding.fix}] if finding.fix else []
    return {
        "about": finding.rule or str(finding.where) or "policy",
        "facts": facts,
        **finding.finding.to_dict(),
    }


__all__ = ["SEVERITIES", "SOON", "LintReport", "lint", "lint_with_flows"]
