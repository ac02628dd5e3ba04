# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A rule in one line, for command lines and commit messages: `allow role=web -> role=db : postgresql`.

Ends are selectors, the words scope, all-workloads and any, addresses and blocks (`10.0.0.0/8 in zone lab`), and
`workload NAME`, `ip_list NAME`, `fqdn NAME`, `users GROUP`; several are joined by ` | `.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from ...model import selectors
from ...model.addresses import parse_prefix
from ...model.errors import NOWHERE, MicrosegError, Place, PolicyError
from ...model.policy import Action
from .problems import nearest

_LINE = re.compile(r"^\s*(?P<action>\S+)\s+(?P<consumers>.+?)\s+->\s+(?P<providers>.+)\s+:\s+(?P<services>[^:]+?)\s*$")
_NAMED = re.compile(r"^(workload|ip_list|fqdn)\s+(\S+)$")
_USERS = re.compile(r"^users\s+(\S.*)$")
_ZONED = re.compile(r"^(?P<cidr>\S+)\s+in\s+zone\s+(?P<zone>\S.*)$")
_WORDS = ("scope", "all-workloads", "any")
_HOW = "Write: allow role=web -> role=db : postgresql"


def parse_rule(text: str, where: Place = NOWHERE) -> dict[str, Any]:
    """`action`, `from`, `to` and `services` as a rule of a document has them. Raises PolicyError (E-SHORT-FORM).

    >>> parse_rule("deny role=web -> ip_list office | 10.0.0.1 : dns")["to"]
    [{'ip_list': 'office'}, {'cidr': '10.0.0.1'}]
    """
    found = _LINE.match(text)
    if not found or "->" in found["providers"]:
        raise PolicyError("E-SHORT-FORM", f"{text!r} is not a rule in short form.", where, _HOW)
    actions = get_args(Action)
    if found["action"] not in actions:
        raise PolicyError(
            "E-ACTION", f"{found['action']!r} is not an action.", where, nearest(found["action"], actions)
        )
    services = [term.strip() for term in found["services"].split(",")]
    if not all(services) or any(" " in term for term in services):
        raise PolicyError("E-SHORT-FORM", f"{found['services']!r} is not a list of services.", where, _HOW)
    return {
        "action": found["action"],
        "from": _parse_ends(found["consumers"], where),
        "to": _parse_ends(found["providers"], where),
        "services": services,
    }


def print_rule(rule: Mapping[str, Any]) -> str:
    """The line for a rule as a document has it; `parse_rule` reads it back.

    >>> print_rule({"from": {"app": "shop", "role": ["web", "api"]}, "to": "any", "services": ["tcp/443"]})
    'allow app=shop,role in (api,web) -> any : tcp/443'
    """
    services = ", ".join(rule["services"])
    return f"{rule.get('action', 'allow')} {_print_ends(rule['from'])} -> {_print_ends(rule['to'])} : {services}"


def _parse_ends(text: str, where: Place) -> Any:
    ends = [_parse_end(end.strip(), where) for end in text.split("|")]
    return ends[0] if len(ends) == 1 else ends


def _parse_end(text: str, where: Place) -> Any:
    named = _NAMED.match(text)
    if named:
        return {named[1]: named[2]}
    users = _USERS.match(text)
    if users:
        return {"users": [users[1]]}
    if text in _WORDS:
        return text
    zoned = _ZONED.match(text)
    if zoned:
        parse_prefix(zoned["cidr"], zoned["zone"], where)
        return {"cidr": zoned["cidr"], "zone": zoned["zone"]}
    if re.match(r"^[0-9a-fA-F:.]+(/\d+)?$", text) and ("." in text or ":" in text):
        parse_prefix(text, None, where)
        return {"cidr": text}
    try:
        return str(selectors.parse(text, where))
    except MicrosegError as error:
        raise PolicyError("E-SHORT-FORM", f"{text!r} is not a peer: {error.message}", where, _HOW) from None


def _print_ends(peers: Any) -> str:
    return " | ".join(_print_end(peer) for peer in (peers if isinstance(peers, list) else [peers]))


def _print_end(peer: Any) -> str:
    if isinstance(peer, Mapping):
        if "users" in peer:
            return " | ".join(f"users {group}" for group in peer["users"])
        if "cidr" in peer:
            zone = peer.get("zone")
            return f"{peer['cidr']} in zone {zone}" if zone is not None else str(peer["cidr"])
        for word in ("workload", "ip_list", "fqdn"):
            if word in peer:
                return f"{word} {peer[word]}"
    elif peer in _WORDS:
        return str(peer)
    return str(selectors.parse(peer))
