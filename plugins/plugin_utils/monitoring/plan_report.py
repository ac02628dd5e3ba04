# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A plan as a report, for those who review it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..orchestration.planfile import Plan, Sentence
from .reports import Report, ReportFinding, Severity


def of_plan(plan: Plan, following: tuple[str, ...] = ()) -> Report:
    """A plan for people who review it: its statements as findings, cuts first among equals."""
    evidence = plan.evidence
    totals: dict[str, float] = {"points to change": len(plan.body.points)}
    for verdict in ("denied", "allowed", "unknown"):
        totals[f"newly {verdict} pairs"] = sum(one.pairs for one in evidence.statements if one.verdict == verdict)
    totals["cut conversations"] = sum(one.flows for one in evidence.statements)
    totals["points left out"] = len(evidence.left_out)
    subject = {
        "plan": plan.digest[:8],
        "kind": plan.body.kind,
        "policy": plan.body.policy[:8],
        "security risk": str(evidence.security),
        "availability risk": str(evidence.availability),
        "flows": covered(evidence.observed),
    }
    findings = [_sentence_finding(statement) for statement in evidence.statements]
    findings += [
        ReportFinding("W-PLAN-LEFT-OUT", "warning", name, f"{name} is left out: {why}.")
        for name, why in evidence.left_out.items()
    ]
    for then in evidence.later:
        when = f"from {then.moment}, {then.when}"
        findings += [_sentence_finding(statement, when) for statement in then.statements]
    if not plan.body.all_times:
        text = "There are more combinations of times than are compared; what the others open is not in this plan."
        findings.append(ReportFinding("W-PLAN-TIMES", "warning", plan.digest[:8], text))
    findings += [
        ReportFinding("W-PLAN-SCHEDULED", "info", name, f"Windows of {name} are extended to {day}.")
        for name, day in evidence.extended.items()
    ]
    for one in evidence.scheduled:
        recurs = f", {one.recurs}" if one.recurs else ""
        text = f"{one.action} {one.rule} {one.event} at {one.moment} ({one.points} points){recurs}."
        findings.append(ReportFinding("W-PLAN-SCHEDULED", "info", one.rule, text))
    return Report(
        "plan", f"Plan {plan.digest[:8]}", "ok" if plan.empty else "findings", evidence.at, subject, totals,
        tuple(plan.body.points), tuple(findings), following,
    )  # fmt: skip


def covered(observed: Mapping[str, Any] | None) -> str:
    """What flows a statement rests on: no data is not no traffic."""
    if observed is None:
        return "none recorded"
    return f"{observed['window']}, coverage {observed['coverage']:.0%}, loss {observed['loss']:.1%}"


def _sentence_finding(one: Sentence, when: str = "") -> ReportFinding:
    codes: dict[str, tuple[str, Severity]] = {
        "allowed": ("W-PLAN-ALLOWED", "warning"),
        "denied": ("W-PLAN-DENIED", "info"),
        "unknown": ("W-PLAN-UNKNOWN", "warning"),
    }
    codes["cut"] = ("W-PLAN-CUT", "error")
    code, severity = codes["cut" if one.cut else one.verdict]
    pairs = "1 pair" if one.pairs == 1 else f"{one.pairs:,} pairs"
    ends = f"{one.consumers['words']} -> {one.providers['words']}"
    return ReportFinding(
        code,
        severity,
        ends,
        f"Newly {one.verdict}{f' {when}' if when else ''}: {ends} {one.traffic} ({pairs}).",
        one.place,
        facts=(
            ("witness", str(one.witness)),
            ("why", one.why),
            ("observed", f"{one.flows} connections, last {one.last_seen}" if one.flows else ""),
        ),
    )
