# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One finding of lint: what, how bad, where, on which evidence, and what would mend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...model.errors import NOWHERE, Finding, Place, Severity
from ...model.policy import Waiver
from ..resolve import ResolvedRule


@dataclass(frozen=True)
class LintFinding:
    """`rule` is `RULE@SCOPE/RULESET`, empty where it is about no rule. `evidence` is plain data."""

    code: str
    severity: Severity
    message: str
    where: Place = NOWHERE
    fix: str = ""
    rule: str = ""
    stage: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    waiver: Waiver | None = None

    @property
    def finding(self) -> Finding:
        return Finding(self.code, self.severity, self.message, self.where, self.fix)

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.finding.to_dict(),
            "rule": self.rule,
            "stage": self.stage,
            "evidence": dict(self.evidence),
            "waived_until": self.waiver.until.isoformat() if self.waiver else None,
            "waived_because": self.waiver.reason if self.waiver else "",
        }


def about(
    item: ResolvedRule,
    code: str,
    severity: Severity,
    message: str,
    fix: str = "",
    evidence: Mapping[str, Any] | None = None,
    where: Place | None = None,
) -> LintFinding:
    """A finding about one rule. Rules that are not in force are said to be what they are."""
    note = "" if item.stage in ("active", "retiring") else f" ({item.stage})"
    return LintFinding(
        code,
        severity,
        f"rule {item.rule.id}{note} {message}",
        where or item.place,
        fix,
        item.id,
        item.stage,
        evidence or {},
    )


def listed(names: tuple[str, ...] | list[str], most: int = 3) -> str:
    """`a, b, c and 4 more`; ids without their home."""
    short = [name.partition("@")[0] for name in names]
    more = f" and {len(short) - most} more" if len(short) > most else ""
    return ", ".join(short[:most]) + more


__all__ = ["LintFinding", "about", "listed"]
