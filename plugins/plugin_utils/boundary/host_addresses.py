# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which addresses an inventory host has: declared, else observed, else cached facts, else a literal ansible_host."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ..model.errors import EstateError
from ..model.estate import ObservedAddress
from .variables import Variables

#: Interfaces that container and virtual machine software makes on every machine alike: the same address everywhere.
_INTERNAL_BRIDGE = re.compile(r"docker\d+|br-[0-9a-f]{12}|podman\d+|cni-?podman\d+|cni\d+|virbr\d+|lxcbr\d+|lxdbr\d+")


def zone_and_addresses(variables: Variables) -> tuple[str, tuple[ObservedAddress, ...]]:
    """The zone of the host, and its addresses from the best source that has any (DESIGN §4)."""
    zone = _text(variables, "microseg_zone")
    declared, zone = _declared(variables, zone)
    addresses = declared or _observed(variables) or _from_facts(variables) or _from_connection(variables)
    return zone, tuple(addresses)


def _text(variables: Variables, name: str) -> str:
    value = variables.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _bad(variables, name, "is not text")
    return value


def _bad(variables: Variables, name: str, why: str, hint: str = "") -> EstateError:
    return EstateError("E-INVENTORY-VARIABLE", f"{variables.host}: {name} {why}.", variables.place(name), hint)


def _declared(variables: Variables, zone: str) -> tuple[list[ObservedAddress], str]:
    """`microseg_addresses`: texts or {address, zone}. All addresses of a workload are in one zone."""
    name = "microseg_addresses"
    written = variables.get(name)
    if written is None:
        return [], zone
    hint = "Write a list: [10.0.0.1, {address: 10.0.0.2, zone: lab}]."
    if isinstance(written, str):
        written = [written]
    if not isinstance(written, list):
        raise _bad(variables, name, "is not a list", hint)
    zones = {zone} if zone else set()
    found = []
    for entry in written:
        if isinstance(entry, dict):
            unknown = sorted(set(entry) - {"address", "zone"})
            if unknown or not isinstance(entry.get("address"), str) or not isinstance(entry.get("zone", ""), str):
                raise _bad(variables, name, f"has the entry {entry}, which is not {{address, zone}}", hint)
            zones.add(entry.get("zone") or zone)
            found.append(ObservedAddress(entry["address"], name))
        elif isinstance(entry, str):
            zones.add(zone)
            found.append(ObservedAddress(entry, name))
        else:
            raise _bad(variables, name, f"has the entry {entry!r}, which is not text", hint)
    if len(zones) > 1:
        shown = " and ".join(sorted(text or "the default zone" for text in zones))
        raise _bad(variables, name, f"names addresses in {shown}", "Make one workload per zone.")
    return found, next(iter(zones), zone)


def _observed(variables: Variables) -> list[ObservedAddress]:
    """What workload_facts saw on the host itself, or what a source of the inventory put into microseg_observed."""
    for name, report in (
        ("ansible_facts.microseg", variables.fact("microseg")),
        ("microseg_observed", variables.get("microseg_observed")),
    ):
        if report is None:
            continue
        if not isinstance(report, dict):
            raise _bad(variables, name, "is not {addresses: [...], observed_at: TIME}")
        seen = _moment(report.get("observed_at"), variables, name)
        texts: list[Any] = []
        for key in ("addresses", "ipv4", "ipv6"):  # the last two are how workload_facts reports
            listed = report.get(key, [])
            if not isinstance(listed, list):
                raise _bad(variables, name, f"has {key}, which is not a list")
            texts.extend(entry.get("address") if isinstance(entry, dict) else entry for entry in listed)
        found = [ObservedAddress(text, name, seen) for text in _usable(texts)]
        if found:
            return found
    return []


def _from_facts(variables: Variables) -> list[ObservedAddress]:
    """Gathered facts, from the fact cache: all addresses but those of loopback, link-local and internal bridges."""
    internal: set[str] = set()
    for interface in variables.fact("interfaces") or ():
        if _INTERNAL_BRIDGE.fullmatch(str(interface)):
            internal.update(_addresses_of(variables.fact(str(interface).replace("-", "_"))))
    texts = [*(variables.fact("all_ipv4_addresses") or ()), *(variables.fact("all_ipv6_addresses") or ())]
    clock = variables.fact("date_time")
    seen = _epoch(clock.get("epoch")) if isinstance(clock, dict) else None
    return [ObservedAddress(text, "facts", seen) for text in _usable(texts) if text not in internal]


def _addresses_of(interface: Any) -> Iterable[str]:
    if not isinstance(interface, dict):
        return
    first = interface.get("ipv4")
    entries = [
        *([first] if isinstance(first, dict) else []),
        *(interface.get("ipv4_secondaries") or ()),
        *(interface.get("ipv6") or ()),
    ]
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("address"), str):
            yield entry["address"]


def _from_connection(variables: Variables) -> list[ObservedAddress]:
    """`ansible_host`, where it is an address; names are not resolved, the answer would depend on who asks."""
    host = variables.get("ansible_host") or variables.host
    return [ObservedAddress(text, "ansible_host") for text in _usable([host])]


def _usable(texts: Iterable[Any]) -> list[str]:
    """Unicast addresses that another machine could use, each once, in order."""
    found: dict[str, None] = {}
    for text in texts:
        if not isinstance(text, str):
            continue
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
            continue
        found[str(address)] = None
    return list(found)


def _moment(written: Any, variables: Variables, name: str) -> datetime | None:
    """An ISO time with its zone, or seconds since 1970."""
    if written is None or written == "":
        return None
    if isinstance(written, (int, float)) and not isinstance(written, bool):
        return _epoch(written)
    try:
        parsed = datetime.fromisoformat(str(written))
    except ValueError:
        raise _bad(variables, name, f"has the time {written!r}, which is not ISO 8601") from None
    if parsed.tzinfo is None:
        raise _bad(variables, name, f"has the time {written!r} without a time zone", "Add Z or an offset.")
    return parsed


def _epoch(seconds: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
