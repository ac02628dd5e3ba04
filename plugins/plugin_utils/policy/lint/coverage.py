# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Findings about rules that decide nothing, or nothing of their own."""

from __future__ import annotations

from collections.abc import Iterator

from .context import Context
from .deciding import Covered
from .report import LintFinding, about, listed

#: Beside which rules one of each stage was judged.
_BESIDE = {"staged": " beside active and staged rules", "draft": " beside the rules of all stages"}


def covered_rules(context: Context) -> Iterator[LintFinding]:
    for covered in context.deciding.covered():
        yield _shadowed(covered) if covered.kind == "shadowed" else _redundant(covered)


def _evidence(covered: Covered) -> dict[str, object]:
    return {"by": list(covered.by), "packet": covered.sample.to_dict()}


def _shadowed(covered: Covered) -> LintFinding:
    item = covered.item
    beside = _BESIDE.get(item.stage, "")
    return about(
        item,
        "W-SHADOWED",
        "warning",
        f"never decides{beside}: all its packets are decided before it by {listed(covered.by)}, "
        f"for example {covered.sample}.",
        "Remove it, or narrow what stands before it.",
        _evidence(covered),
    )


def _redundant(covered: Covered) -> LintFinding:
    item = covered.item
    beside = _BESIDE.get(item.stage, "")
    nothing = item.rule.action == "pass" and not covered.by
    why = (
        "it lifts nothing"
        if nothing
        else f"{listed(covered.by)} {'decides' if len(covered.by) == 1 else 'decide'} the same"
    )
    return about(
        item,
        "W-REDUNDANT",
        "warning",
        f"can go without changing a verdict{beside}: {why}, for example {covered.sample}.",
        "Remove it; all rules that this run calls redundant can go together.",
        _evidence(covered),
    )


__all__ = ["covered_rules"]
