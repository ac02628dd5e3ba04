# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Settings of the estate. Labels and time zone come first: everything else is read with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from ...model.addresses import Address, parse_address
from ...model.errors import MicrosegError, PolicyError
from ...model.facts import SESSION_PREFIX
from ...model.policy import CriticalityRule, Dependency, LabelDeclaration, Settings, StandingApproval, TierGrant
from ...model.selectors import RESERVED_KEYS
from .nodes import Spot
from .peers import Context, label_text, read_peer, read_selector
from .problems import Problems, nearest
from .words import GrantWords, SettingsWords

_PERCENT = re.compile(r"^(\d+(?:\.\d+)?)\s*%$")


def read_declarations(words: SettingsWords, spot: Spot, problems: Problems) -> dict[str, LabelDeclaration]:
    declared: dict[str, LabelDeclaration] = {}
    for key, label in words.labels.items():
        here = spot["labels"]
        if key in RESERVED_KEYS or key.startswith(SESSION_PREFIX):
            problems.error(
                "E-LABEL-KEY",
                f"{key!r} {'is' if key in RESERVED_KEYS else 'begins with'} a word of the peer grammar.",
                here.key(key).place,
                "Choose another label key.",
            )
            continue
        values = []
        for number, value in enumerate(label.values):
            with problems.collecting():
                values.append(label_text(value, here[key]["values"][number]))
        declared[key] = LabelDeclaration(label.required, tuple(dict.fromkeys(values)))
    return declared


def read_settings(words: SettingsWords, spot: Spot, zone: ZoneInfo, context: Context) -> Settings:
    criticality = []
    for item, here in zip(words.criticality, spot["criticality"], strict=False):
        with context.problems.collecting():
            criticality.append(CriticalityRule(read_selector(item.match, here["match"], context), float(item.weight)))
    dependencies = []
    for need, here in zip(words.dependencies, spot["dependencies"], strict=False):
        with context.problems.collecting():
            peer = read_peer(need.to, here["to"], context, "yes")
            dependencies.append(Dependency(peer, context.services.read(need.services, here["services"])))
    return Settings(
        labels=context.labels.declared,
        controllers=read_addresses(words.controllers, spot["controllers"], "", context.problems),
        management_ports=context.services.read(words.management_ports, spot["management_ports"]),
        criticality=tuple(criticality),
        dependencies=tuple(dependencies),
        timezone=zone.key,
        max_shrink=_share(words.max_shrink, spot["max_shrink"], context.problems),
        standing_approvals=tuple(
            StandingApproval(tuple(approval.kinds), approval.max_eps) for approval in words.standing_approvals
        ),
        grants=_grants(words.grants),
        user_groups=tuple(dict.fromkeys(words.user_groups)),
        place=spot.place,
    )


def read_addresses(texts: Sequence[str], spot: Spot, zone: str, problems: Problems) -> tuple[Address, ...]:
    """Single addresses, each once."""
    found: dict[Address, None] = {}
    for number, text in enumerate(texts):
        address = read_address(text, spot[number], zone, problems)
        if address is not None:
            found[address] = None
    return tuple(found)


def read_address(text: str, spot: Spot, zone: str, problems: Problems) -> Address | None:
    try:
        return parse_address(text, zone, spot.place)
    except MicrosegError as error:
        hint = "Only single addresses stand here; blocks go into ip_lists." if "/" in text else error.hint
        problems.error(error.code, error.message, error.where, hint)
        return None


def check_grants(words: SettingsWords, spot: Spot, scopes: Sequence[str], problems: Problems) -> None:
    """A grant without its scope would wait for whoever takes that name."""
    for grant, here in zip(words.grants, spot["grants"], strict=False):
        if grant.scope not in scopes:
            problems.error(
                "E-SCOPE",
                f"the grant names the scope {grant.scope!r}, which does not exist.",
                here["scope"].place,
                nearest(grant.scope, scopes) or "Remove the grant.",
            )


def _grants(words: Sequence[GrantWords]) -> tuple[TierGrant, ...]:
    """One per scope; several entries about one scope add up."""
    merged: dict[str, TierGrant] = {}
    for item in words:
        old = merged.get(item.scope, TierGrant(item.scope))
        merged[item.scope] = TierGrant(
            item.scope,
            tuple(dict.fromkeys((*old.tiers, *item.tiers))),
            tuple(dict.fromkeys((*old.actions, *item.actions))),
            tuple(dict.fromkeys((*old.peers, *item.peers))),
        )
    return tuple(merged.values())


def _share(written: Any, spot: Spot, problems: Problems) -> float:
    with problems.collecting():
        percent = _PERCENT.match(written) if isinstance(written, str) else None
        share = float(percent[1]) / 100 if percent else written
        whole = isinstance(share, int) and share != 0  # a bare 1 could be 1 % or everything
        if isinstance(share, bool) or not isinstance(share, (int, float)) or whole or not 0 <= share <= 1:
            raise PolicyError(
                "E-VALUE",
                f"max_shrink {spot.written!r} is not a share.",
                spot.place,
                "Write 1%, or a fraction such as 0.01.",
            )
        return float(share)
    return 0.0
