# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Values on the right of a match, as numbers: addresses, ports, names, moments, ranges, prefixes, sets."""

from __future__ import annotations

import calendar
import socket
import struct
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ...model.intervals import Interval, Intervals, subtraction


class Unmodelled(Exception):
    """This part of a rule is not understood; the caller makes it unknown, never an error."""


Parser = Callable[[Any], int]
Sets = Mapping[str, Mapping[str, Any]]


def address4(value: Any) -> int:
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET, value), "big")
    except (OSError, TypeError):
        raise Unmodelled from None


def address6(value: Any) -> int:
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, value), "big")
    except (OSError, TypeError):
        raise Unmodelled from None


def number(names: Mapping[str, int]) -> Parser:
    def parse(value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and value in names:
            return names[value]
        raise Unmodelled

    return parse


def moment(value: Any) -> int:
    """Microseconds since 1970. nft prints UTC (with TZ=UTC) as text, seconds or nanoseconds as numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value // 1000 if value > 10**14 else value * 1_000_000
    try:
        return calendar.timegm(time.strptime(value, "%Y-%m-%d %H:%M:%S")) * 1_000_000
    except (TypeError, ValueError):
        raise Unmodelled from None


def unwrapped(element: Any) -> Any:
    """The value of a set element, without its timeout, counter or comment."""
    while isinstance(element, Mapping) and "elem" in element:
        element = element["elem"]
        if isinstance(element, Mapping) and "val" in element:
            element = element["val"]
    return element


def elements(right: Any, sets: Sets) -> list[Any]:
    """The single values of a named set, an anonymous set or a plain value."""
    if isinstance(right, str) and right.startswith("@"):
        name = right[1:]
        if name not in sets:
            raise Unmodelled
        found = sets[name].get("elem", [])
    elif isinstance(right, Mapping) and "set" in right:
        found = right["set"]
    else:
        return [right]
    return list(found) if isinstance(found, (list, tuple)) else [found]


def interval(value: Any, parse: Parser, domain: Interval, bits: int) -> Interval:
    value = unwrapped(value)
    if value == "*":
        return domain
    if isinstance(value, Mapping):
        if "range" in value:
            low, high = value["range"]
            return parse(low), parse(high)
        if "prefix" in value:
            length = int(value["prefix"]["len"])
            host = (1 << (bits - length)) - 1
            start = parse(value["prefix"]["addr"]) & ~host
            return start, start | host
        raise Unmodelled
    found = parse(value)
    return found, found


def intervals(right: Any, sets: Sets, parse: Parser, domain: Interval, bits: int) -> list[Interval]:
    """Not normalised. Long lists of plain addresses, the usual content of big sets, take the short way."""
    found = elements(right, sets)
    if parse is address4 or parse is address6:
        plain = _plain_addresses(found, bits)
        if plain is not None:
            return [(one, one) for one in plain]
    return [interval(element, parse, domain, bits) for element in found]


def _plain_addresses(found: list[Any], bits: int) -> list[int] | None:
    """All of them at once; None if any is more than one address written out."""
    family = socket.AF_INET if bits == 32 else socket.AF_INET6
    try:
        packed = b"".join(map(partial(socket.inet_pton, family), found))
    except (OSError, TypeError):
        return None
    if bits == 32:
        return list(struct.unpack(f"!{len(found)}I", packed))
    halves = struct.unpack(f"!{2 * len(found)}Q", packed)
    return [high << 64 | low for high, low in zip(halves[::2], halves[1::2], strict=True)]


def bit_values(right: Any, sets: Sets, parse: Parser) -> list[int]:
    """Values of a bitmask field: a list or an `|` is one value with several bits, a set is several values."""
    result = []
    for element in elements(right, sets):
        plain = unwrapped(element)
        if isinstance(plain, Mapping):
            plain = plain.get("|")
        parts = list(plain) if isinstance(plain, (list, tuple)) else [plain]
        total = 0
        for part in parts:
            if isinstance(part, Mapping):
                total |= bit_values(part, sets, parse)[0]
            else:
                total |= parse(part)
        result.append(total)
    return result


def compared(op: str, found: Intervals, domain: Interval) -> Intervals:
    """The values for which `field op found` holds, within the domain of the field."""
    if op in ("==", "in"):
        return found
    if op == "!=":
        return subtraction((domain,), found)
    low, high = found[0][0], found[-1][1]
    if op in ("<", "<=", ">", ">=") and len(found) == 1 and low == high:
        result = {
            "<": (domain[0], low - 1),
            "<=": (domain[0], low),
            ">": (low + 1, domain[1]),
            ">=": (low, domain[1]),
        }[op]
        return (result,) if result[0] <= result[1] else ()
    raise Unmodelled
