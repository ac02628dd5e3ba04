# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A plan in the size of a task result, and whether it is the one somebody approved."""

from __future__ import annotations

from itertools import islice
from typing import Any

from ..model.errors import PlanError
from ..monitoring.plan_report import of_plan
from ..monitoring.reports import Report, write_reports
from ..monitoring.screens import plan_screen
from ..orchestration.planfile import Sentence
from ..orchestration.planstore import SHORTEST
from .plan import PlanResult

__all__ = ["approved", "plan_screen", "prepared", "report_of", "summary", "write_reports"]

#: Statements, scheduled changes and points left out, each.
MOST = 50


def summary(result: PlanResult) -> dict[str, Any]:
    """JSON types; everything beyond the first 50 of a list is in the store."""
    plan, evidence = result.plan, result.plan.evidence
    sentences = sorted(evidence.statements, key=_weight)
    return {
        "digest": result.digest,
        "kind": plan.body.kind,
        "empty": plan.empty,
        "bundle": evidence.bundle,
        "workloads": evidence.workloads,
        "counts": {platform: dict(numbers) for platform, numbers in evidence.counts.items()},
        "newly_allowed": sum(sentence.verdict == "allowed" for sentence in sentences),
        "newly_denied": sum(sentence.verdict == "denied" for sentence in sentences),
        "cuts": sum(sentence.cut for sentence in sentences),
        "statements": [sentence.to_dict() for sentence in sentences[:MOST]],
        "security": evidence.security.to_dict(),
        "availability": evidence.availability.to_dict(),
        "later": [one.to_dict() for one in evidence.later[:MOST]],
        "all_times": plan.body.all_times,
        "extended": dict(islice(evidence.extended.items(), MOST)),
        "scheduled": [change.to_dict() for change in evidence.scheduled[:MOST]],
        "left_out": dict(islice(evidence.left_out.items(), MOST)),
        "left_out_count": len(evidence.left_out),
        "waves": [len(wave) for wave in evidence.waves],
        "screen": plan_screen(plan, _enforce(result.digest)).splitlines(),
    }


def report_of(result: PlanResult) -> Report:
    """For people who review it, with the command that makes it live."""
    return of_plan(result.plan, () if result.plan.empty else (_enforce(result.digest),))


def _enforce(digest: str) -> str:
    return f"ansible-playbook bulkhead.microseg.enforce -e microseg_plan={digest[:8]}"


def _weight(sentence: Sentence) -> tuple[bool, bool, int, int]:
    """What breaks conversations first, then denials, then what opens; the greater before the smaller."""
    return not sentence.cut, sentence.verdict == "allowed", -sentence.flows, -sentence.pairs


def approved(result: PlanResult, digest: str) -> None:
    """Raises PlanError (E-PLAN-MOVED) unless the plan has this digest, or one that begins so."""
    if len(digest) >= SHORTEST and result.digest.startswith(digest):
        return
    raise PlanError(
        "E-PLAN-MOVED",
        f"what was approved is {digest[:8]}, but the plan is now {result.digest[:8]}. Nothing was sent.",
        hint="Look at the new plan and have that approved.",
    )


def prepared(result: PlanResult) -> str:
    """The statements as lines of a diff: + is newly allowed, - is no longer allowed."""
    sentences = sorted(result.plan.evidence.statements, key=_weight)
    lines = [f"{'+' if one.verdict == 'allowed' else '-'} {_line(one)}" for one in sentences[:MOST]]
    if len(sentences) > MOST:
        lines.append(f"... and {len(sentences) - MOST} more in plan {result.digest[:8]}")
    return "\n".join([*lines, ""])


def _line(sentence: Sentence) -> str:
    witness = sentence.witness
    ends = f"{witness.consumer} -> {witness.provider} {witness.service}"
    return f"{' '.join(sentence.services)}  {sentence.pairs} pairs, for example {ends}: {sentence.why}"
