# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who answers for a rule, why it is there, and whether those it concerns have agreed to it."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.policy import Scope
from ..resolve import ResolvedRule
from .context import Context
from .report import LintFinding, about, listed


def owners_and_reasons(context: Context) -> Iterator[LintFinding]:
    """Drafts may lack both: they are nobody's yet."""
    owned = {scope.name: bool(scope.owners) for scope in context.policy.scopes}
    for item in context.items:
        if item.stage == "draft":
            continue
        if not item.rule.owner and not owned[item.scope]:
            yield about(
                item,
                "W-NO-OWNER",
                "warning" if item.stage == "active" else "info",
                f"has no owner, and scope {item.scope} has none either.",
                "Add owner: TEAM to the rule, or owners: [TEAM] to the scope.",
            )
        if not item.rule.reason:
            yield about(item, "W-NO-REASON", "info", "does not say why it is there.", "Add reason: TEXT to the rule.")


def others_scopes(context: Context) -> Iterator[LintFinding]:
    """Rules about workloads of another scope whose owner may not speak for that scope."""
    scopes = [scope for scope in context.policy.scopes if not scope.estate]
    classes = context.compiled.classes
    held = {scope.name: classes.last_known(scope.match) for scope in scopes}
    for item in context.items:
        if item.binds_everyone:
            continue
        for side in (item.consumers, item.providers):
            outside = 0
            for element in side:
                if not element.inside and not element.by_address and element.kind != "fqdn":
                    outside |= context.classes_of_element(element, item.rule.action == "deny")
            for scope in scopes:
                concerned = outside & held[scope.name]
                if scope.name != item.scope and concerned and item.rule.owner not in approvers_of(scope):
                    yield _unasked(item, scope, sorted(classes.names(concerned)))


def approvers_of(scope: Scope) -> tuple[str, ...]:
    """Who approves rules of other scopes that speak about this one."""
    return scope.approvers or scope.owners


def _unasked(item: ResolvedRule, scope: Scope, workloads: list[str]) -> LintFinding:
    wanted = approvers_of(scope)
    whose = f"its owner {item.rule.owner}" if item.rule.owner else "it has no owner that"
    return about(
        item,
        "W-OTHER-SCOPE",
        "warning",
        f"speaks about {listed(workloads)} of scope {scope.name}, and {whose} is none of "
        f"{', '.join(wanted) or 'its owners: it names none'}.",
        f"Let {' or '.join(wanted) or 'an owner'} of {scope.name} own the rule, or move it there.",
        {"scope": scope.name, "workloads": workloads[:20], "workload_count": len(workloads), "approvers": list(wanted)},
    )


__all__ = ["approvers_of", "others_scopes", "owners_and_reasons"]
