# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What an author may change and make live, by the roles of the policy.

A change is judged by the roles of the version before it: nobody grants himself anything on the way. A rule that changes
needs the permission for what it was and for what it becomes, so moving it, or its scope's name, tier or stage, needs
both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import ascii_lowercase, ascii_uppercase

from ..model.errors import NOWHERE, Finding, Place, PlanError
from ..model.policy import EVERY_SCOPE, DocumentKind, Policy, Role
from .changes import Changes, DocumentChange, Home, RuleChange

#: Roles named in a hint.
NAMED = 5
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def same_person(member: str, who: str) -> bool:
    """E-mail addresses and logins, whatever their case and with or without the @ of a forge.

    Case is that of ASCII: forges know other letters that look or fold alike as other people.

    >>> same_person("@Ann", "ann"), same_person("ann@example.org", "ann"), same_person("\N{KELVIN SIGN}ate", "kate")
    (True, False, False)
    """
    return member.removeprefix("@").translate(_LOWER) == who.removeprefix("@").translate(_LOWER)


def roles_of(roles: Sequence[Role], who: str) -> tuple[Role, ...]:
    return tuple(role for role in roles if any(_is(member, who) for member in role.members))


def _is(member: Sequence[str], who: str) -> bool:
    return any(same_person(name, who) for name in member)


def is_author(roles: Sequence[Role], who: str, author: str) -> bool:
    """Are the two one person, be it under two names? Roles say which names are one person's, several roles together."""
    if not author:
        return False
    names, others = [author], [member for role in roles for member in role.members]
    while not any(same_person(name, who) for name in names):
        joined = [member for member in others if any(_is(member, name) for name in names)]
        if not joined:
            return False
        names += [name for member in joined for name in member]
        others = [member for member in others if member not in joined]
    return True


def may_write_rule(role: Role, home: Home) -> bool:
    scope = EVERY_SCOPE in role.scopes or home.scope in role.scopes
    return scope and home.tier in role.tiers and home.stage in role.stages


def may_write_document(role: Role, kind: DocumentKind) -> bool:
    return kind in role.documents


def judge_author(before: Policy, made: Changes, who: str) -> tuple[Finding, ...]:
    """An error for every change that the author may not make, with those who could.

    Codes: E-MAY-RULE, E-MAY-DOCUMENT; W-NO-ROLES (info) where there are no roles, so that everybody may do everything.
    """
    if not before.roles:
        return (
            Finding(
                "W-NO-ROLES",
                "info",
                "the policy before the change has no roles, so everybody may change everything.",
                before.settings.place,
                "Write roles: who may write which scopes and documents.",
            ),
        )
    mine = roles_of(before.roles, who)
    found = [*_rules(before.roles, mine, made.rules, who), *_documents(before.roles, mine, made.documents, who)]
    return tuple(sorted(found, key=lambda one: (one.where.file, one.where.line, one.code)))


def _rules(roles: Sequence[Role], mine: Sequence[Role], rules: Sequence[RuleChange], who: str) -> Iterator[Finding]:
    for change in rules:
        if change.by_name:  # the change is that of the service or the list, which is judged as such
            continue
        for home in change.homes:
            if not any(may_write_rule(role, home) for role in mine):
                could = [role for role in roles if may_write_rule(role, home)]
                yield Finding(
                    "E-MAY-RULE",
                    "error",
                    f"{who} may not change rule {home.rule.id} ({change.what}) of scope {home.scope}, "
                    f"tier {home.tier}, stage {home.stage}.",
                    change.place,
                    _could(could),
                )
                break


def _documents(
    roles: Sequence[Role], mine: Sequence[Role], documents: Sequence[DocumentChange], who: str
) -> Iterator[Finding]:
    for change in documents:
        if not any(may_write_document(role, change.kind) for role in mine):
            could = [role for role in roles if may_write_document(role, change.kind)]
            yield Finding(
                "E-MAY-DOCUMENT",
                "error",
                f"{who} may not change {change.kind}: {change.name} ({change.what}).",
                change.place,
                _could(could),
            )


def _could(roles: Sequence[Role]) -> str:
    if not roles:
        return "No role may: whoever may write roles has to allow it first."
    named = ", ".join(role.name for role in roles[:NAMED])
    return f"Could: {named}{', …' if len(roles) > NAMED else ''}."


def approves(roles: Sequence[Role], parties: Sequence[str], who: str, author: str = "") -> bool:
    """Is this person one of the parties? A party is a role, or a person by name.

    Nobody approves his own change (`author`), unless a role that makes him a party says `own_changes`.
    """
    named = {role.name: role for role in roles}
    own = is_author(roles, who, author)
    for party in parties:
        role = named.get(party)
        if role is None:
            if same_person(party, who) and not own:
                return True
        elif roles_of((role,), who) and (not own or role.own_changes):
            return True
    return False


def may_provision(
    policy: Policy, who: str, kind: str, points: int, *, author: str = "", place: Place = NOWHERE
) -> None:
    """Raises PlanError: E-MAY-PROVISION where no role of this person allows a plan of that kind and size, E-OWN-CHANGE
    where only a role allows it that may not provision what its members wrote.

    Without a role that says anything about provisioning everybody may. `who` "" is nobody in particular. `points`:
    enforcement points that the plan touches.
    """
    granting = [role for role in policy.roles if role.provision is not None]
    if not granting:
        return
    fitting = [role for role in granting if _fits(role, kind, points)]
    allowed = roles_of(fitting, who) if who else ()
    if not allowed:
        asked = f"{who} may not" if who else "nobody was named (microseg_author) who may"
        raise PlanError(
            "E-MAY-PROVISION",
            f"{asked} provision a plan of kind {kind} that touches {points} enforcement points. Nothing was sent.",
            place,
            _could(fitting),
        )
    if is_author(policy.roles, who, author) and not any(role.own_changes for role in allowed):
        raise PlanError(
            "E-OWN-CHANGE",
            f"{who} wrote the change and may not provision it. Nothing was sent.",
            place,
            "Somebody else has to; or say own_changes: true on the role.",
        )


def _fits(role: Role, kind: str, points: int) -> bool:
    granted = role.provision
    return granted is not None and kind in granted.kinds and (granted.max_eps is None or points <= granted.max_eps)


__all__ = [
    "approves",
    "is_author",
    "judge_author",
    "may_provision",
    "may_write_document",
    "may_write_rule",
    "roles_of",
    "same_person",
]
