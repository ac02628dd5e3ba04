# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Waivers: findings about a rule that somebody accepted for a while."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from ...model.policy import Waiver
from ..resolve import ResolvedRule
from .near import one_slip
from .report import LintFinding, about

#: What may be said about a rule; a waiver for anything else is somebody else's to judge.
ABOUT_RULES = frozenset(
    {
        "E-NO-PAIR",
        "W-ANY-ANY",
        "W-ANY-SERVICE",
        "W-CONFLICT",
        "W-DEAD-SELECTOR",
        "W-DEPENDENCY-CUT",
        "W-EXTRA-SCOPE",
        "W-LABEL-TYPO",
        "W-NEVER-OPENS",
        "W-NO-OWNER",
        "W-NO-PACKET",
        "W-NO-PAIR",
        "W-NO-REASON",
        "W-ONE-FAMILY",
        "W-OTHER-SCOPE",
        "W-REDUNDANT",
        "W-RULE-ENDS",
        "W-RULE-EXPIRED",
        "W-SHADOWED",
    }
)
#: Those that are only looked for when flows are given.
ABOUT_USE = frozenset({"W-OVER-BROAD", "W-STALE"})
#: Errors make a policy unusable whatever a waiver says.
_NEVER_WAIVED = frozenset({"E-NO-PAIR"})


def waived(
    findings: Iterable[LintFinding], items: Sequence[ResolvedRule], at: datetime, use_judged: bool
) -> list[LintFinding]:
    """The same findings, those that are waived with their waiver, and what is to be said about waivers themselves."""
    by_rule = {item.id: item for item in items if item.rule.waivers}
    effective: set[tuple[str, str]] = set()
    result = []
    for finding in findings:
        item = by_rule.get(finding.rule)
        waiver = _waiver_for(item, finding.code, at) if item and finding.code not in _NEVER_WAIVED else None
        if item is not None:
            effective.add((finding.rule, finding.code))
        result.append(finding if waiver is None else replace(finding, waiver=waiver))
    judged = ABOUT_RULES | ABOUT_USE if use_judged else ABOUT_RULES
    for item in by_rule.values():
        for waiver in item.rule.waivers:
            if waiver.until <= at:
                result.append(_expired(item, waiver, (item.id, waiver.code) in effective))
            elif (item.id, waiver.code) not in effective or waiver.code in _NEVER_WAIVED:
                result.extend(_unused(item, waiver, judged))
    return result


def _waiver_for(item: ResolvedRule, code: str, at: datetime) -> Waiver | None:
    """The one that lasts longest."""
    found = [waiver for waiver in item.rule.waivers if waiver.code == code and at < waiver.until]
    return max(found, key=lambda waiver: waiver.until, default=None)


def _expired(item: ResolvedRule, waiver: Waiver, still_needed: bool) -> LintFinding:
    state = "and the finding is back" if still_needed else "and nothing is left to waive"
    return about(
        item,
        "W-WAIVER-EXPIRED",
        "warning",
        f"has a waiver for {waiver.code} that ended {waiver.until.isoformat(timespec='minutes')}, {state}.",
        "Mend the finding and remove the waiver, or give it a new end." if still_needed else "Remove the waiver.",
        _evidence(waiver),
    )


def _unused(item: ResolvedRule, waiver: Waiver, judged: frozenset[str]) -> Iterable[LintFinding]:
    known = waiver.code in ABOUT_RULES | ABOUT_USE
    if known and waiver.code not in judged:
        return
    near = next((code for code in sorted(ABOUT_RULES | ABOUT_USE) if one_slip(waiver.code, code)), "")
    yield about(
        item,
        "W-WAIVER-UNUSED",
        "warning",
        f"has a waiver for {waiver.code}, which waives nothing"
        f"{'' if known else ': neither lint nor check says that about a rule'}.",
        f"Write {near}, if that was meant." if near and not known else "Remove the waiver.",
        _evidence(waiver),
    )


def _evidence(waiver: Waiver) -> dict[str, str]:
    return {"code": waiver.code, "reason": waiver.reason, "until": waiver.until.isoformat()}


__all__ = ["ABOUT_RULES", "ABOUT_USE", "waived"]
