# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Denies that overrule allows of somebody else in the same tier: two owners want two things."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.artifact import ORDER
from ..classes import positions_of
from ..resolve import ResolvedRule
from .context import Context
from .cover import escaping
from .deciding import Deciding
from .report import LintFinding, about, listed
from .space import Sample, overlap
from .table import Table


def conflicting_owners(context: Context) -> Iterator[LintFinding]:
    """One finding for each deny, about all the allows it overrules where both would decide."""
    deciding = context.deciding
    found: dict[int, dict[int, Sample]] = {}
    for table in deciding.tables:
        for tier in range(1, len(ORDER)):
            denies = table.kind(tier, "deny")
            if denies and table.kind(tier, "allow"):
                for position in positions_of(denies):
                    overruled = found.setdefault(table.rows[position].rule, {})
                    _overruled(deciding, table, position, overruled)
    for deny in sorted(found):
        if found[deny]:
            yield _finding(deciding.items[deny], [deciding.items[allow] for allow in found[deny]], found[deny])


def _overruled(deciding: Deciding, table: Table, position: int, known: dict[int, Sample]) -> None:
    row = table.rows[position]
    mine = deciding.items[row.rule]
    others = deciding.others(table, position, level=max(deciding.levels))
    above: dict[int, list[int]] = {}
    for other in others:
        there = table.rows[other]
        if there.tier != row.tier or there.action != "allow" or there.rule in known:
            continue
        theirs = deciding.items[there.rule]
        if owner_of(theirs) == owner_of(mine):
            continue
        common = overlap(row.product, there.product)
        if common is None or not table.space.exists(common[0], common[1]):
            continue
        level = max(deciding.levels[row.rule], deciding.levels[there.rule])
        if level not in above:
            above[level] = [
                one for one in deciding.others(table, position, level=level) if _before(table, one, row.tier)
            ]
        steps = deciding.steps_above(table, row, above[level], own_passes=True) if above[level] else []
        reached = escaping(common, steps, table.space.exists, {}) if steps else common
        if reached is not None:
            known[there.rule] = table.space.sample(reached, table.direction)


def _before(table: Table, position: int, tier: int) -> bool:
    row = table.rows[position]
    return row.tier < tier or (row.tier == tier and row.action == "pass")


def owner_of(item: ResolvedRule) -> str:
    """Who answers for a rule: its owner, or its scope where it names none."""
    return item.rule.owner or f"scope {item.scope}"


def _finding(deny: ResolvedRule, allows: list[ResolvedRule], samples: dict[int, Sample]) -> LintFinding:
    sample = next(iter(samples.values()))
    first = allows[0]
    return about(
        deny,
        "W-CONFLICT",
        "warning",
        f"of {owner_of(deny)} overrules {listed([item.id for item in allows])} of "
        f"{listed(sorted({owner_of(item) for item in allows}))} in tier {deny.tier}, for example {sample}.",
        f"Agree with the owners, then narrow one of them or move one to another tier (see {first.place or first.id}).",
        {
            "overruled": [
                {"rule": item.id, "owner": owner_of(item), "packet": one.to_dict()}
                for item, one in zip(allows, samples.values(), strict=True)
            ]
        },
    )


__all__ = ["conflicting_owners", "owner_of"]
