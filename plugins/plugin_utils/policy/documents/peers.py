# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Peers and selectors as they are written."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo

from ...model import selectors
from ...model.errors import PolicyError
from ...model.policy import (
    AddressPeer,
    AllWorkloadsPeer,
    AnyPeer,
    FqdnPeer,
    LabelPeer,
    MatchTarget,
    Peer,
    ScopePeer,
    UsersPeer,
    WorkloadPeer,
)
from ...model.selectors import Selector
from .nodes import Spot
from .problems import Problems, nearest
from .tables import LabelTable, ListTable, ServiceTable, zoned_block
from .words import WORKLOAD_NAME

_WORDS: dict[str, Peer] = {"scope": ScopePeer(), "all-workloads": AllWorkloadsPeer(), "any": AnyPeer()}
_KEYS = ("workload", "ip_list", "cidr", "fqdn")
_WORKLOAD = re.compile(WORKLOAD_NAME)
_HOST_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_FQDN = re.compile(rf"^(?:{_HOST_LABEL}\.)+(?!\d+$){_HOST_LABEL}$")


@dataclass
class Context:
    """What all readers of documents share."""

    problems: Problems
    services: ServiceTable
    ip_lists: ListTable
    labels: LabelTable
    zone: ZoneInfo
    user_groups: tuple[str, ...] = ()


def read_selector(written: Any, spot: Spot, context: Context) -> Selector:
    """Either form, its keys and values held against the declarations. Raises PolicyError."""
    if isinstance(written, Mapping):
        written = {key: _texts(value, spot[key]) for key, value in written.items()}
    selector = selectors.parse(written, spot.place)
    context.labels.check(selector, spot)
    return selector


def label_text(value: Any, spot: Spot) -> str:
    """A label value as text. Raises PolicyError (E-SELECTOR) for what YAML read as something else than was written."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        what = (
            "is empty" if value in (None, "") else "is not text" if isinstance(value, (list, dict)) else "is a boolean"
        )
        shown = repr(spot.written) if isinstance(value, bool) else "this label value"
        raise PolicyError("E-SELECTOR", f"{shown} {what}; label values are text.", spot.place, _quoted(value, spot))
    if str(value) != spot.written:
        raise PolicyError(
            "E-SELECTOR", f"{spot.written} is a number that reads as {value}.", spot.place, _quoted(value, spot)
        )
    return str(value)


def _quoted(value: Any, spot: Spot) -> str:
    return f'Put quotes around it: "{spot.written}".' if isinstance(value, (bool, float)) else "Write a value."


def _texts(value: Any, spot: Spot) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return [item if isinstance(item, str) else label_text(item, spot[number]) for number, item in enumerate(value)]
    return label_text(value, spot)


def read_target(written: Any, spot: Spot, context: Context) -> MatchTarget:
    """What modes match on: labels, or `{workload: NAME}`. Raises PolicyError."""
    if isinstance(written, Mapping) and "workload" in written:
        return MatchTarget(workload=_name_peer(written, "workload", spot))
    return MatchTarget(selector=read_selector(written, spot, context))


def read_peers(
    written: Any, spot: Spot, context: Context, fqdn: Literal["yes", "from", "deny", "guardrail"]
) -> tuple[Peer, ...]:
    """One peer or a list of them; `fqdn` says whether names are possible here, or why not. Errors are collected."""
    if isinstance(written, list):
        if not written:
            context.problems.error(
                "E-PEER", "an empty list names nobody.", spot.place, "Name a peer, or remove the rule."
            )
        peers: list[Peer] = []
        for number, item in enumerate(written):
            with context.problems.collecting():
                peers.extend(_read(item, spot[number], context, fqdn))
        return tuple(dict.fromkeys(peers))
    with context.problems.collecting():
        return _read(written, spot, context, fqdn)
    return ()


def _read(
    written: Any, spot: Spot, context: Context, fqdn: Literal["yes", "from", "deny", "guardrail"]
) -> tuple[Peer, ...]:
    """`{users: [A, B]}` is one peer for each group; everything else is one peer."""
    if isinstance(written, Mapping) and "users" in written:
        return _read_users(written, spot, context, fqdn == "from")
    return (read_peer(written, spot, context, fqdn),)


def _read_users(written: Mapping[Any, Any], spot: Spot, context: Context, consumers: bool) -> tuple[Peer, ...]:
    """Raises PolicyError (E-USERS)."""
    others = [str(other) for other in written if other != "users"]
    if others:
        raise PolicyError(
            "E-USERS",
            f"users stands alone; {', '.join(others)} does not go with it.",
            spot.key(others[0]).place,
            "Write a list of peers for a union.",
        )
    if not consumers:
        raise PolicyError(
            "E-USERS",
            "users open connections, they do not serve them.",
            spot.key("users").place,
            "Name users in `from`.",
        )
    groups = written["users"]
    if not isinstance(groups, list) or not groups or not all(isinstance(group, str) and group for group in groups):
        raise PolicyError(
            "E-USERS", "users is a list of group names.", spot["users"].place, "Write {users: [GROUP, GROUP]}."
        )
    for number, group in enumerate(groups):
        if group not in context.user_groups:
            raise PolicyError(
                "E-USERS",
                f"the user group {group!r} is not declared.",
                spot["users"][number].place,
                nearest(group, context.user_groups) or "Declare it in settings.user_groups.",
            )
    return tuple(UsersPeer(group) for group in dict.fromkeys(groups))


def read_peer(written: Any, spot: Spot, context: Context, fqdn: Literal["yes", "from", "deny", "guardrail"]) -> Peer:
    """Raises PolicyError: E-PEER and what selectors, blocks and lists raise."""
    if isinstance(written, str):
        word = _WORDS.get(written.strip())
        if word is not None:
            return word
        _refuse_bare_addresses(written, spot, context)
        return LabelPeer(read_selector(written, spot, context))
    if not isinstance(written, Mapping):
        what = (
            "has no value"
            if written is None
            else "is a list where one peer stands"
            if isinstance(written, list)
            else "is not a peer"
        )
        raise PolicyError(
            "E-PEER", f"this {what}.", spot.place, "Write labels, {workload: …}, {ip_list: …}, {cidr: …}, scope or any."
        )
    key = next((key for key in _KEYS if key in written), None)
    if key is None:
        return LabelPeer(_without_words(written, spot, context))
    if key == "cidr":
        return AddressPeer((zoned_block(written, spot),))
    name = _name_peer(written, key, spot)
    if key == "workload":
        return WorkloadPeer(name)
    if key == "ip_list":
        return AddressPeer(context.ip_lists.blocks_of(name, spot[key]), name)
    return FqdnPeer(_fqdn(name, spot[key], fqdn))


def _without_words(written: Mapping[Any, Any], spot: Spot, context: Context) -> Selector:
    for key in written:
        if key in selectors.RESERVED_KEYS:
            raise PolicyError(
                "E-KEY",
                f"{key!r} is not a kind of peer.",
                spot.key(key).place,
                "zone goes with cidr." if key == "zone" else f"Kinds: {', '.join(_KEYS)}, or label keys.",
            )
    return read_selector(written, spot, context)


def _name_peer(written: Mapping[Any, Any], key: str, spot: Spot) -> str:
    others = [str(other) for other in written if other != key]
    if others:
        raise PolicyError(
            "E-PEER", f"{key} stands alone; {', '.join(others)} does not go with it.", spot.key(others[0]).place,
            "Write a list of peers for a union.",
        )  # fmt: skip
    name = written[key]
    if not isinstance(name, str) or not _WORKLOAD.match(name):
        raise PolicyError("E-PEER", f"{key} must be one name.", spot[key].place, "Write a list of peers for a union.")
    return name


def _fqdn(name: str, spot: Spot, fqdn: Literal["yes", "from", "deny", "guardrail"]) -> str:
    """DESIGN §3.14."""
    if fqdn == "from":
        raise PolicyError(
            "E-FQDN", "a name cannot open connections.", spot.place, "Use fqdn in `to`, or cidr in `from`."
        )
    if fqdn == "deny":
        raise PolicyError(
            "E-FQDN",
            "only allow rules may name an fqdn.",
            spot.place,
            "Its addresses are not known for certain: use cidr.",
        )
    if fqdn == "guardrail":
        raise PolicyError(
            "E-FQDN",
            "a guardrail cannot name an fqdn.",
            spot.place,
            "Its addresses are not known for certain: use cidr.",
        )
    plain = name.lower().removesuffix(".")
    if not _FQDN.match(plain) or len(plain) > 253:
        raise PolicyError(
            "E-FQDN",
            f"{name!r} is not a full host name.",
            spot.place,
            "Write api.example.com; no wildcard, no address.",
        )
    return plain


def _refuse_bare_addresses(written: str, spot: Spot, context: Context) -> None:
    """Text is a selector, so a bare address or list name would mean a label key of that name."""
    if written in context.labels.declared:
        return
    if written in context.ip_lists.known:
        raise PolicyError(
            "E-PEER",
            f"{written!r} is an ip_list, not a label key.",
            spot.place,
            f"Did you mean {{ip_list: {written}}}?",
        )
    if "." in written or ":" in written:
        try:
            ipaddress.ip_network(written, strict=False)
        except ValueError:
            return
        raise PolicyError(
            "E-PEER", f"{written!r} is an address, not a selector.", spot.place, f"Did you mean {{cidr: {written}}}?"
        )
