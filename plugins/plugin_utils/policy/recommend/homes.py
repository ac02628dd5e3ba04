# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where proposals go: the scope that owns a workload, or one that is proposed for its application."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...model.estate import Estate, Workload
from ...model.labels import Truth
from ...model.policy import Policy, Scope
from ...model.selectors import Requirement, Selector
from .observed import Party, Talk
from .written import sayable


@dataclass(frozen=True)
class Homes:
    """`scopes` by name; `proposed` are those the policy does not have yet. `of_workload` lacks those without a home."""

    scopes: Mapping[str, Scope]
    proposed: frozenset[str]
    of_workload: Mapping[str, str]
    estate: Estate = field(repr=False)

    def of(self, party: Party) -> str:
        return self.of_workload.get(party, "") if isinstance(party, str) else ""

    def of_talk(self, talk: Talk) -> str:
        """The scope of the provider; of the consumer where the provider is outside the estate."""
        return self.of(talk.provider) if isinstance(talk.provider, str) else self.of(talk.consumer)


def find_homes(policy: Policy, estate: Estate) -> Homes:
    """The scope with most conditions owns a workload, one that somebody owns before others; estate scopes only what no
    other can.
    """
    owned = sorted(
        (scope for scope in policy.scopes if not scope.estate),
        key=lambda scope: (not scope.owners, -len(scope.match.requirements), scope.name),
    )
    wide = min((scope.name for scope in policy.scopes if scope.estate), default="")
    scopes = {scope.name: scope for scope in policy.scopes}
    proposed: dict[Selector, str] = {}
    homes: dict[str, str] = {}
    for workload in estate.workloads.values():
        owner = next((one.name for one in owned if one.match.matches(workload.labels, None) is Truth.YES), "")
        if not owner:
            match = _application(policy, workload)
            if match is None:
                owner = wide
            else:
                if match not in proposed:
                    proposed[match] = _free(match, scopes)
                    scopes[proposed[match]] = Scope(proposed[match], match)
                owner = proposed[match]
        if owner:
            homes[workload.name] = owner
    return Homes(scopes, frozenset(proposed.values()), homes, estate)


def _application(policy: Policy, workload: Workload) -> Selector | None:
    """`app` and `env`, or that it has no `env`; last known values, as scopes match.

    None without an application, or where documents have no words for it.
    """
    app = workload.labels.get("app")
    if app is None or "app" not in policy.settings.labels:
        return None
    found = [Requirement("app", "in", (app.value,))]
    if "env" in policy.settings.labels:
        env = workload.labels.get("env")
        found.append(Requirement("env", "absent") if env is None else Requirement("env", "in", (env.value,)))
    return Selector(tuple(found)) if sayable(found) else None


def _free(match: Selector, taken: Mapping[str, Scope]) -> str:
    plain = plain_name("-".join(one.values[0] for one in match.requirements if one.values)) or "learned"
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}-{number}", number + 1
    return name


def plain_name(text: str, most: int = 80) -> str:
    """What the grammar takes as a name.

    >>> plain_name("Shop / Web")
    'shop-web'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:most].strip("-")


__all__ = ["Homes", "find_homes", "plain_name"]
