# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Ids of rules that nobody named: readable, stable, unique in their scope."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from ...model import selectors

_LONGEST = 60


def rule_id(rule: Mapping[str, Any], taken: Collection[str], prefix: str = "") -> str:
    """From who, to whom and what.

    >>> rule_id({"from": {"role": "web"}, "to": "app=shop,role=db", "services": ["postgresql"]}, [])
    'web-to-shop-db-postgresql'
    """
    consumers, providers = (_words(rule[side]) for side in ("from", "to"))
    action = "" if rule.get("action", "allow") == "allow" else f"{rule['action']}-"
    services = "-".join(str(service) for service in rule["services"][:2])
    text = f"{prefix}{action}{consumers}-to-{providers}-{services}"
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST].rstrip("-")
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}-{number}", number + 1
    return name


def _words(peers: Any) -> str:
    first = peers[0] if isinstance(peers, list) else peers
    if isinstance(first, Mapping):
        known = next((word for word in ("workload", "ip_list", "cidr", "fqdn", "users") if word in first), None)
        if known is not None:
            value = first[known]
            return str(value[0] if isinstance(value, list) else value)
    elif first in ("scope", "all-workloads", "any"):
        return str(first)
    requirements = selectors.parse(first).requirements
    return "-".join(one.values[0] if one.values else one.key for one in requirements)


__all__ = ["rule_id"]
