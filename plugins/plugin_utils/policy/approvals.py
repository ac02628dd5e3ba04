# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who must approve a change: the owners of every scope that it speaks about (DESIGN §3.8).

Owners are those of the version before the change, so that nobody makes himself one on the way; those of the version
after it count only for scopes that are new.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..model.estate import Workload
from ..model.labels import Truth
from ..model.policy import Policy, Role, Scope
from ..model.selectors import Requirement, Selector
from .changes import Changes, Home, RuleChange, homes
from .resolve import Element, resolve_peer


@dataclass(frozen=True)
class RequiredApproval:
    """One approval by any of `parties`, for `subject` (`scope NAME`, or a kind of documents).

    `why` are the changes that ask for it. Without parties nobody is named who could: the change must wait until
    somebody is.
    """

    subject: str
    parties: tuple[str, ...]
    why: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"subject": self.subject, "parties": list(self.parties), "why": list(self.why)}


def required_approvals(
    before: Policy, after: Policy, made: Changes, workloads: Mapping[str, Workload] | None
) -> tuple[RequiredApproval, ...]:
    """`workloads` None: there is no inventory, so every scope counts that could have a member in common with a rule."""
    wanted: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for change in made.rules:
        own = {home.scope for home in change.homes}
        for name in touched(before, after, change, workloads):
            parties = _of_scope(before, after, name, name not in own)
            wanted.setdefault((f"scope {name}", parties), {})[f"rule {change.home.id} {change.what}"] = None
    roles = before.roles or after.roles
    for document in made.documents:
        if document.kind == "scopes":
            name = document.name.partition(":")[0]
            for concerned in sorted({name, *_by_border(before, after, name, workloads)}):
                parties = _of_scope(before, after, concerned, concerned != name)
                # A scope that nobody owns gets its first owners from those who may write scopes.
                if parties or concerned != name:
                    wanted.setdefault((f"scope {concerned}", parties), {})[f"{document.name} {document.what}"] = None
        keeping = document.kind, keepers(roles, document.kind)
        wanted.setdefault(keeping, {})[f"{document.name} {document.what}"] = None
    return tuple(RequiredApproval(*key, tuple(why)) for key, why in sorted(wanted.items()))


def touched(
    before: Policy, after: Policy, change: RuleChange, workloads: Mapping[str, Workload] | None
) -> tuple[str, ...]:
    """The scopes whose owners a changed rule concerns: its own, and those that members of its other side belong to."""
    found = {home.scope for home in change.homes}
    for policy, home in ((before, change.before), (after, change.after)):
        if home is not None:
            found |= foreign_scopes(policy, home, workloads)
    return tuple(sorted(found))


def _by_border(before: Policy, after: Policy, name: str, workloads: Mapping[str, Workload] | None) -> Iterator[str]:
    """Other scopes that a border concerns which comes, goes or moves: who shares members with it, and whom its rules
    speak about, since what they inherit moves as well.
    """
    borders = [next((scope for scope in policy.scopes if scope.name == name), None) for policy in (before, after)]
    was, now = borders
    if was is not None and now is not None and (was.match, was.estate) == (now.match, now.estate):
        return
    for policy, border in zip((before, after), borders, strict=True):
        if border is None or border.estate:
            continue
        for other in policy.scopes:
            if other.name != name and not other.estate and _share_members(border.match, other.match, workloads):
                yield other.name
        if was is not None and now is not None:  # the rules of a scope that comes or goes are changes themselves
            for home in homes(policy).values():
                if home.scope == name:
                    yield from foreign_scopes(policy, home, workloads)


def _share_members(one: Selector, other: Selector, workloads: Mapping[str, Workload] | None) -> bool:
    if workloads is None:
        return can_overlap(one, other)
    return any(
        one.matches(here.labels, None) is not Truth.NO and other.matches(here.labels, None) is not Truth.NO
        for here in workloads.values()
    )


def foreign_scopes(policy: Policy, home: Home, workloads: Mapping[str, Workload] | None) -> set[str]:
    """Other scopes than its own that a rule speaks about. Estate scopes see everything and are nobody's border."""
    own = next(scope for scope in policy.scopes if scope.name == home.scope)
    if own.estate:
        return set()
    elements = [resolve_peer(peer, own, workloads or {}) for peer in (*home.rule.consumers, *home.rule.providers)]
    outside = [one for one in elements if not one.inside and one.kind in ("labels", "workload", "all", "users")]
    return {
        scope.name
        for scope in policy.scopes
        if scope is not own and not scope.estate and any(_speaks_about(one, scope, workloads) for one in outside)
    }


def _speaks_about(element: Element, scope: Scope, workloads: Mapping[str, Workload] | None) -> bool:
    if element.kind == "labels" and element.selector.implies(scope.match):
        return True
    if workloads is None:
        return element.kind != "labels" or can_overlap(element.selector, scope.match)
    return any(scope.match.matches(one.labels, None) is not Truth.NO for one in _members(element, workloads))


def _members(element: Element, workloads: Mapping[str, Workload]) -> Iterable[Workload]:
    """Who the element means now, or could mean when facts change."""
    if element.kind == "workload":
        return [workloads[element.name]] if element.name in workloads else []
    return [one for one in workloads.values() if element.selector.matches(one.labels, None) is not Truth.NO]


def can_overlap(one: Selector, other: Selector) -> bool:
    """Could one workload match both? Keys are independent of each other."""
    return all(
        _compatible([item for item in (*one.requirements, *other.requirements) if item.key == key])
        for key in one.keys & other.keys
    )


def _compatible(requirements: Sequence[Requirement]) -> bool:
    operators = {item.operator for item in requirements}
    if "absent" in operators:
        return not operators & {"in", "exists"}
    chosen = [set(item.values) for item in requirements if item.operator == "in"]
    if not chosen:
        return True
    excluded = {value for item in requirements if item.operator == "notin" for value in item.values}
    return bool(set.intersection(*chosen) - excluded)


def _of_scope(before: Policy, after: Policy, name: str, foreign: bool) -> tuple[str, ...]:
    """`foreign`: a rule of another scope speaks about it, for which it may have approvers of its own."""
    for policy in (before, after):
        for scope in policy.scopes:
            if scope.name == name:
                return (scope.approvers or scope.owners) if foreign else scope.owners
    return ()


def keepers(roles: Sequence[Role], kind: str) -> tuple[str, ...]:
    """The roles that may write documents of a kind."""
    return tuple(role.name for role in roles if kind in role.documents)


__all__ = ["RequiredApproval", "can_overlap", "foreign_scopes", "keepers", "required_approvals", "touched"]
