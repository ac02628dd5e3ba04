# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Roles: who may write and provision what. Whom a change concerns is judged in policy/permissions.py."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ...model.policy import EVERY_SCOPE, Provisioning, Role
from .nodes import Spot
from .problems import Problems, nearest
from .words import WORKLOAD_NAME, RoleWords

_ONE = re.compile(WORKLOAD_NAME)


def read_roles(
    written: Sequence[tuple[RoleWords, Spot]], scopes: Sequence[str], problems: Problems
) -> tuple[Role, ...]:
    roles: dict[str, Role] = {}
    for words, spot in written:
        role = _read_role(words, spot, problems)
        _check_scopes(words, spot, scopes, problems)
        first = roles.setdefault(role.name, role)
        if first is not role:
            problems.error(
                "E-ROLE-TWICE",
                f"role {role.name} stands twice (first at {first.place}).",
                role.place,
                "Join the two, or give one of them another name.",
            )
    return tuple(roles.values())


def _read_role(words: RoleWords, spot: Spot, problems: Problems) -> Role:
    write, provision = words.write, words.provision
    return Role(
        name=words.name,
        members=tuple(_members(words.members, spot["members"], problems)),
        handle=words.handle,
        scopes=tuple(dict.fromkeys(write.scopes)),
        tiers=tuple(dict.fromkeys(write.tiers)),
        stages=tuple(dict.fromkeys(write.stages)),
        documents=tuple(dict.fromkeys(write.documents)),
        provision=Provisioning(tuple(dict.fromkeys(provision.kinds)), provision.max_eps) if provision else None,
        own_changes=words.own_changes,
        place=spot.place,
    )


def _members(written: Sequence[Any], spot: Spot, problems: Problems) -> Iterator[tuple[str, ...]]:
    for number, member in enumerate(written):
        names = member if isinstance(member, list) else [member]
        if names and all(isinstance(name, str) and _ONE.match(name) for name in names):
            yield tuple(dict.fromkeys(names))
        else:
            problems.error(
                "E-VALUE",
                f"members[{number + 1}] is {spot[number].written!r}, which names nobody.",
                spot[number].place,
                "Write an e-mail address or a login, or a list of those of one person.",
            )


def _check_scopes(words: RoleWords, spot: Spot, scopes: Sequence[str], problems: Problems) -> None:
    """A permission for a scope that is not there would wait for whoever takes that name."""
    for number, name in enumerate(words.write.scopes):
        if name != EVERY_SCOPE and name not in scopes:
            problems.error(
                "E-SCOPE",
                f"role {words.name} may write the scope {name!r}, which does not exist.",
                spot["write"]["scopes"][number].place,
                nearest(name, scopes) or "Remove it from the role.",
            )
