# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Services: which protocols and ports a rule speaks about.

All services live on one line of integers, so that the set algebra of `intervals` is the whole algebra:

====================  =============================================
tcp/P                 0x00000 + P
udp/P                 0x10000 + P
sctp/P                0x20000 + P
icmp/T.C   (IPv4)     0x30000 + T * 256 + C
icmpv6/T.C (IPv6)     0x40000 + T * 256 + C
proto/N               0x50000 + N, never 1, 6, 17, 58, 132
====================  =============================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .errors import NOWHERE, Place, PolicyError
from .intervals import Intervals, covers, intersection, normalised, subtraction, union

PROTOCOL_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
PORT_PROTOCOLS = ("tcp", "udp", "sctp")
ICMP_PROTOCOLS = ("icmp", "icmpv6")
BASES = {"tcp": 0x00000, "udp": 0x10000, "sctp": 0x20000, "icmp": 0x30000, "icmpv6": 0x40000}
PROTO_BASE = 0x50000

_OTHER_PROTOCOLS = subtraction(
    ((PROTO_BASE, PROTO_BASE + 255),), normalised((PROTO_BASE + n, PROTO_BASE + n) for n in PROTOCOL_NUMBERS.values())
)
WHOLE: dict[str, Intervals] = {name: ((base, base + 0xFFFF),) for name, base in BASES.items()}
WHOLE["proto"] = _OTHER_PROTOCOLS

#: Everything that can be said.
ANY: Intervals = normalised(interval for whole in WHOLE.values() for interval in whole)
#: Everything that can exist in one address family ("icmp is IPv4 only, icmpv6 IPv6 only").
UNIVERSE: dict[int, Intervals] = {4: subtraction(ANY, WHOLE["icmpv6"]), 6: subtraction(ANY, WHOLE["icmp"])}

_TERM = re.compile(r"^(?P<proto>[a-z0-9]+)(?:/(?P<rest>.*))?$")
_PORTS = re.compile(r"^(\d{1,5})(?:-(\d{1,5}))?$")
_ICMP = re.compile(r"^(\d{1,3})(?:-(\d{1,3})|\.(\d{1,3})(?:-(\d{1,3}))?)?$")


def _bad(text: str, why: str, where: Place) -> PolicyError:
    return PolicyError(
        "E-SERVICE",
        f"{text!r} is not a service: {why}.",
        where,
        "Write tcp/443, udp/8000-8100, icmp/8, icmp/3.4, proto/47, a protocol alone, any, or a name from services.",
    )


def parse(text: str, where: Place = NOWHERE) -> Intervals:
    """One term of the notation of policy documents. Raises PolicyError (E-SERVICE).

    >>> parse("tcp/443")
    ((443, 443),)
    >>> show(parse("icmp/3.4"))
    ['icmp/3.4']
    """
    if text == "any":
        return ANY
    found = _TERM.match(text)
    if not found:
        raise _bad(text, "unknown form", where)
    protocol, rest = found["proto"], found["rest"]
    if protocol not in WHOLE:
        raise _bad(text, f"there is no protocol {protocol!r}", where)
    if rest is None:
        if protocol == "proto":
            raise _bad(text, "proto needs a number", where)
        return WHOLE[protocol]
    if protocol in PORT_PROTOCOLS:
        low, high = _range(text, _PORTS.match(rest), 65535, where)
        return ((BASES[protocol] + low, BASES[protocol] + high),)
    if protocol == "proto":
        low, high = _range(text, _PORTS.match(rest), 255, where)
        if low == high and low in PROTOCOL_NUMBERS.values():
            name = next(key for key, number in PROTOCOL_NUMBERS.items() if number == low)
            raise _bad(text, f"protocol {low} is written {name}", where)
        return intersection(((PROTO_BASE + low, PROTO_BASE + high),), _OTHER_PROTOCOLS)
    return _icmp(text, protocol, rest, where)


def _range(text: str, found: re.Match[str] | None, most: int, where: Place) -> tuple[int, int]:
    if not found:
        raise _bad(text, "expected NUMBER or LOW-HIGH", where)
    low = int(found[1])
    high = int(found[2]) if found[2] else low
    if low > high:
        raise _bad(text, f"{low} is greater than {high}", where)
    if high > most:
        raise _bad(text, f"{high} is greater than {most}", where)
    return low, high


def _icmp(text: str, protocol: str, rest: str, where: Place) -> Intervals:
    found = _ICMP.match(rest)
    if not found:
        raise _bad(text, "expected TYPE, LOW-HIGH or TYPE.CODE", where)
    kind = int(found[1])
    last = int(found[2]) if found[2] else kind
    code = int(found[3]) if found[3] else 0
    last_code = int(found[4]) if found[4] else (code if found[3] else 255)
    if max(kind, last, code, last_code) > 255 or last < kind or last_code < code:
        raise _bad(text, "types and codes are 0 to 255, low before high", where)
    base = BASES[protocol]
    return ((base + kind * 256 + code, base + last * 256 + last_code),)


def parse_all(texts: Iterable[str], where: Place = NOWHERE) -> Intervals:
    return normalised(interval for text in texts for interval in parse(text, where))


def show(services: Intervals, family: int | None = None) -> list[str]:
    """The canonical notation: merged, sorted by protocol then number; `any` alone for everything of the family.

    >>> show(parse_all(["tcp/80", "tcp/81-90", "udp/53"]))
    ['tcp/80-90', 'udp/53']
    >>> show(UNIVERSE[4], family=4)
    ['any']
    """
    universe = ANY if family is None else UNIVERSE[family]
    services = intersection(services, universe)
    if services == universe:
        return ["any"]
    terms: list[str] = []
    for protocol, whole in WHOLE.items():
        part = intersection(services, whole)
        if not part:
            continue
        if protocol != "proto" and part == whole:
            terms.append(protocol)
        elif protocol in ICMP_PROTOCOLS:
            terms.extend(_show_icmp(protocol, part))
        else:
            base = PROTO_BASE if protocol == "proto" else BASES[protocol]
            terms.extend(f"{protocol}/{_show_range(low - base, high - base)}" for low, high in part)
    return terms


def _show_range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _show_icmp(protocol: str, part: Intervals) -> list[str]:
    base = BASES[protocol]
    terms: list[str] = []
    for low, high in part:
        first, code = divmod(low - base, 256)
        last, last_code = divmod(high - base, 256)
        if code:  # a type that begins in the middle of its codes
            end = last_code if last == first else 255
            terms.append(f"{protocol}/{first}.{_show_range(code, end)}")
            if last == first:
                continue
            first += 1
        if last_code != 255:  # a type that ends in the middle of its codes
            if last > first:
                terms.append(f"{protocol}/{_show_range(first, last - 1)}")
            terms.append(f"{protocol}/{last}.{_show_range(0, last_code)}")
        elif last >= first:
            terms.append(f"{protocol}/{_show_range(first, last)}")
    return terms


def protocol_of(point: int) -> str:
    """The protocol name of one point of the line (`proto` for the others)."""
    for protocol, base in BASES.items():
        if base <= point <= base + 0xFFFF:
            return protocol
    return "proto"


def representative(services: Intervals) -> int:
    """The point a person would try first: TCP, then UDP, then ICMP; never port 0 where another will do.

    Raises ValueError on the empty set.
    """
    for protocol in ("tcp", "udp", "icmp", "icmpv6", "sctp", "proto"):
        part = intersection(services, WHOLE[protocol])
        if part:
            low, high = part[0]
            return low + 1 if low == BASES.get(protocol) and high > low and protocol in PORT_PROTOCOLS else low
    raise ValueError("empty service set")


__all__ = [
    "ANY",
    "BASES",
    "ICMP_PROTOCOLS",
    "PORT_PROTOCOLS",
    "PROTOCOL_NUMBERS",
    "PROTO_BASE",
    "UNIVERSE",
    "WHOLE",
    "covers",
    "intersection",
    "parse",
    "parse_all",
    "protocol_of",
    "representative",
    "show",
    "subtraction",
    "union",
]  # fmt: skip
