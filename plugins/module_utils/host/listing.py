# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The canonical form of our table as ``nft -j`` lists it, and its hash.

Two listings have the same hash when they are the same policy: handles, counters, running times and the elements of
membership sets, of set ``clock`` and of sets filled by packets do not count; everything else does. Host and controller
share this file.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Tuple

FAMILY = "inet"
TABLE = "microseg"
ABSENT = "absent"
MEMBERSHIP = {"m4_": "ipv4_addr", "m6_": "ipv6_addr"}
# The set that says whether this host's clock is to be trusted: both families, or nothing. The host itself fills it.
CLOCK = "clock"
CLOCK_TYPE = "nf_proto"

# What traffic or the clock changes without anyone changing the policy.
_MOVING: Mapping[str, Tuple[str, ...]] = {
    "counter": ("packets", "bytes"),
    "quota": ("used", "used_unit"),
    "elem": ("expires",),
    "last": ("used",),
}


def is_membership(name: str) -> bool:
    return name[:3] in MEMBERSHIP


def own(listing: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """The objects of our table, in listed order, out of a listing of it or of the whole ruleset."""
    return [item for item in listing.get("nftables", ()) if _place(item) == (FAMILY, TABLE)]


def foreign(listing: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Everything in a listing of the ruleset that is not ours."""
    return [item for item in listing.get("nftables", ()) if "metainfo" not in item and _place(item) != (FAMILY, TABLE)]


def _place(item: Mapping[str, Any]) -> Tuple[Optional[str], Optional[str]]:
    for kind, body in item.items():
        if isinstance(body, Mapping):
            return body.get("family"), body.get("name") if kind == "table" else body.get("table")
    return None, None


def canonical(listing: Optional[Mapping[str, Any]]) -> Optional[List[Any]]:
    """Objects sorted by kind and name, rules in their order within a chain; None if our table is not there."""
    if listing is None:
        return None
    objects = []
    for position, item in enumerate(own(listing)):
        kind = next(iter(item))
        body = dict(item[kind])
        body.pop("handle", None)
        if kind == "set" and (is_membership(str(body.get("name", ""))) or body.get("name") == CLOCK):
            body.pop("elem", None)
        elif "dynamic" in _flags(body):
            body.pop("elem", None)  # a set that packets fill holds state, not policy
        elif "elem" in body:
            body["elem"] = _sorted([_settled(one) for one in body["elem"]])
        name = str(body.get("chain") if kind == "rule" else body.get("name", ""))
        # The position decides only among rules of one chain: names are unique within the other kinds.
        objects.append((kind, name, position, {kind: _settled_object(kind, body)}))
    if not objects:
        return None
    objects.sort(key=lambda entry: entry[:3])
    return [entry[3] for entry in objects]


def canonical_hash(listing: Optional[Mapping[str, Any]]) -> str:
    """Hexadecimal SHA-256 of the canonical form; ``absent`` if our table is not there."""
    form = canonical(listing)
    if form is None:
        return ABSENT
    text = json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def members(listing: Optional[Mapping[str, Any]]) -> Dict[str, FrozenSet[str]]:
    """Addresses in the membership sets of a listing."""
    found: Dict[str, FrozenSet[str]] = {}
    for item in own(listing or {}):
        body = item.get("set")
        if body is not None and is_membership(str(body["name"])):
            found[str(body["name"])] = frozenset(_address(one) for one in body.get("elem", ()))
    return found


def trusting(listing: Optional[Mapping[str, Any]]) -> Optional[bool]:
    """Are the rules that depend on the time in force? None if there are none."""
    for item in own(listing or {}):
        body = item.get("set")
        if body is not None and body["name"] == CLOCK:
            return bool(body.get("elem"))
    return None


def counters(listing: Optional[Mapping[str, Any]]) -> Dict[str, Dict[str, int]]:
    """Named counters of our table: name -> packets, bytes."""
    bodies = [item["counter"] for item in own(listing or {}) if "counter" in item]
    return {str(one["name"]): {"packets": int(one["packets"]), "bytes": int(one["bytes"])} for one in bodies}


def _address(element: Any) -> str:
    if isinstance(element, Mapping):
        element = element.get("elem", element)
        if isinstance(element, Mapping):
            element = element.get("val", element)
    return element if isinstance(element, str) else json.dumps(element, sort_keys=True)


def _flags(body: Mapping[str, Any]) -> List[str]:
    flags = body.get("flags", [])
    return [flags] if isinstance(flags, str) else list(flags)


def _settled_object(kind: str, body: Dict[str, Any]) -> Any:
    return {key: _settled(value) for key, value in body.items() if key not in _MOVING.get(kind, ())}


def _settled(value: Any) -> Any:
    """Drop what moves; sort the elements of anonymous sets, which the kernel lists in any order."""
    if isinstance(value, Mapping):
        result = {}
        for key, inner in value.items():
            moving = _MOVING.get(key, ()) if isinstance(inner, Mapping) else ()
            settled = _settled({name: one for name, one in inner.items() if name not in moving} if moving else inner)
            result[key] = _sorted(settled) if key == "set" and isinstance(settled, list) else settled
        return result
    if isinstance(value, (list, tuple)):
        return [_settled(one) for one in value]
    return value


def _sorted(elements: List[Any]) -> List[Any]:
    return sorted(elements, key=lambda one: json.dumps(one, sort_keys=True))
