# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The fields of packets a live rule can look at, and what is known of them for a packet of one direction and family.

The packets are those of forms: they come from outside or go there (never over loopback), to or from a local address.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol

from ...model import services as line
from ...model.addresses import WHOLE_FAMILY, Family
from ...model.estate import Direction
from ...model.intervals import Interval, Intervals, contains, intersection, normalised, subtraction
from . import names
from .conditions import ALWAYS, NEVER, NOT_OPENING, OPENING, PERHAPS, Alternative
from .values import (
    Parser,
    Sets,
    Unmodelled,
    address4,
    address6,
    bit_values,
    compared,
    elements,
    interval,
    intervals,
    moment,
    number,
    unwrapped,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BYTE: Interval = (0, 255)
_PORT: Interval = (0, 65535)
_plain = number({})


class Part(NamedTuple):
    """What one value of a field means: addresses of one side, or a condition on the rest of the packet."""

    own: Intervals | None
    peer: Intervals | None
    rest: Alternative


class Field(Protocol):
    def element(self, value: Any) -> Part:
        """One element of a set or map. Raises Unmodelled."""
        ...

    def match(self, op: str, right: Any, sets: Sets) -> Part:
        """A whole comparison. Raises Unmodelled."""
        ...


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known before any rule is looked at. `tracked`: conntrack has seen the packet."""

    direction: Direction
    family: Family
    at: datetime
    tracked: bool = True

    @property
    def microseconds(self) -> int:
        return (self.at - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A field whose values are numbers in a domain."""

    parse: Parser
    domain: Interval
    bits: int
    meaning: Callable[[Intervals], Part]

    def element(self, value: Any) -> Part:
        return self.meaning((interval(value, self.parse, self.domain, self.bits),))

    def match(self, op: str, right: Any, sets: Sets) -> Part:
        found = normalised(intervals(right, sets, self.parse, self.domain, self.bits))
        return self.meaning(compared(op, found, self.domain))


@dataclass(frozen=True, slots=True)
class Absent:
    """A field that packets of this family do not have: no comparison with it holds, and its values need no reading."""

    def element(self, value: Any) -> Part:  # noqa: ARG002
        return _rest(NEVER)

    def match(self, op: str, right: Any, sets: Sets) -> Part:  # noqa: ARG002
        return _rest(NEVER)


@dataclass(frozen=True, slots=True)
class States:
    """`ct state`: one bit of a mask."""

    def element(self, value: Any) -> Part:
        return _rest(Alternative(states=bit_values(value, {}, number(names.CT_STATES))[0]))

    def match(self, op: str, right: Any, sets: Sets) -> Part:
        found = bit_values(right, sets, number(names.CT_STATES))
        bits = list(names.CT_STATES.values())
        return _rest(Alternative(states=sum(bit for bit in bits if _bits_match(op, bit, ~0, found))))


@dataclass(frozen=True, slots=True)
class Flags:
    """`tcp flags`, perhaps masked, for the sampled flags of `conditions`."""

    mask: int

    def element(self, value: Any) -> Part:
        return self.match("==", value, {})

    def match(self, op: str, right: Any, sets: Sets) -> Part:
        found = bit_values(right, sets, number(names.TCP_FLAGS))
        fitting = frozenset(sample for sample in OPENING | NOT_OPENING if _bits_match(op, sample, self.mask, found))
        tcp = line.WHOLE["tcp"]
        return _rest(Alternative(surely=tcp, maybe=tcp, flags=fitting))


@dataclass(frozen=True, slots=True)
class Word:
    """A field of which only some words can be judged: `judge` says yes, no, or None for perhaps."""

    judge: Callable[[str], bool | None]

    def element(self, value: Any) -> Part:
        return self.match("==", value, {})

    def match(self, op: str, right: Any, sets: Sets) -> Part:
        if op not in ("==", "!="):
            raise Unmodelled
        judged = [self.judge(str(unwrapped(value))) for value in elements(right, sets)]
        known = True if True in judged else None if None in judged else False
        if known is None:
            return _rest(PERHAPS)
        return _rest(ALWAYS if known == (op == "==") else NEVER)


def _bits_match(op: str, value: int, mask: int, wanted: list[int]) -> bool:
    value &= mask
    every = 0
    for one in wanted:
        every |= one
    if op == "in":
        return bool(value & every)
    if op == "!":
        return not value & every
    if op in ("==", "!="):
        return (value in wanted) == (op == "==")
    raise Unmodelled


def _rest(alternative: Alternative) -> Part:
    return Part(None, None, alternative)


def _services(found: Intervals, doubt: Intervals = ()) -> Part:
    maybe = normalised((*found, *doubt)) if doubt else found
    return _rest(Alternative(surely=found, maybe=maybe))


def _constant(value: int) -> Callable[[Intervals], Part]:
    return lambda values: _rest(ALWAYS if contains(values, value) else NEVER)


def _of_protocols(values: Intervals, family: Family) -> Intervals:
    """Services of IP protocol numbers."""
    shifted = tuple((low + line.PROTO_BASE, high + line.PROTO_BASE) for low, high in values)
    parts = list(intersection(shifted, line.WHOLE["proto"]))
    for protocol, value in line.PROTOCOL_NUMBERS.items():
        if contains(values, value) and protocol != ("icmpv6" if family == 4 else "icmp"):
            parts.extend(line.WHOLE[protocol])
    return normalised(parts)


def resolve(left: Any, situation: Situation) -> Field:
    """The field on the left of a match or the key of a map. Raises Unmodelled."""
    if not isinstance(left, Mapping) or len(left) != 1:
        raise Unmodelled
    kind, body = next(iter(left.items()))
    if kind == "payload":
        return _payload(body, situation)
    if kind == "meta":
        return _meta(str(body.get("key")), situation)
    if kind == "ct" and body.get("key") == "state" and situation.tracked:
        return States()
    if kind == "fib":
        return _fib(body, situation)
    if kind == "&" and len(body) == 2:
        return _masked(body[0], body[1])
    raise Unmodelled


def _masked(inner: Any, mask: Any) -> Field:
    if inner == {"payload": {"protocol": "tcp", "field": "flags"}}:
        return Flags(bit_values(mask, {}, number(names.TCP_FLAGS))[0])
    raise Unmodelled


def _payload(body: Mapping[str, Any], situation: Situation) -> Field:
    protocol, name = body.get("protocol"), body.get("field")
    if protocol in ("ip", "ip6"):
        return _network(str(protocol), str(name), situation)
    if protocol == "tcp" and name == "flags":
        return Flags(~0)
    if protocol in (*line.PORT_PROTOCOLS, "th") and name in ("dport", "sport"):
        return _ports(str(protocol), name == "sport")
    if protocol in line.ICMP_PROTOCOLS and name in ("type", "code"):
        return _icmp(str(protocol), str(name), situation)
    raise Unmodelled


def _network(protocol: str, name: str, situation: Situation) -> Field:
    family: Family = 4 if protocol == "ip" else 6
    here = family == situation.family
    if name in ("saddr", "daddr"):
        from_peer = (name == "saddr") == (situation.direction == "ingress")

        if not here:
            return Absent()

        def addresses(values: Intervals) -> Part:
            return Part(None, values, ALWAYS) if from_peer else Part(values, None, ALWAYS)

        parse, bits = (address4, 32) if family == 4 else (address6, 128)
        return Numbers(parse, WHOLE_FAMILY[family][0], bits, addresses)
    if (protocol, name) == ("ip", "protocol"):
        return _protocol(lambda values: _services(_of_protocols(values, 4)) if here else _rest(NEVER))
    if (protocol, name) == ("ip6", "nexthdr"):
        # The first header after the fixed one: extension headers may stand before what the service line calls protocol.
        return _protocol(lambda values: _next_header(values) if here else _rest(NEVER))
    if name == "version":
        return Numbers(_plain, (0, 15), 4, lambda values: _rest(ALWAYS if here and contains(values, family) else NEVER))
    raise Unmodelled


def _protocol(meaning: Callable[[Intervals], Part]) -> Field:
    return Numbers(number(names.PROTOCOLS), _BYTE, 8, meaning)


def _next_header(values: Intervals) -> Part:
    extension = any(contains(values, value) for value in (0, 43, 44, 51, 60, 135, 139, 140))
    return _services((), line.ANY if extension else _of_protocols(values, 6))


def _ports(protocol: str, source: bool) -> Field:
    def meaning(values: Intervals) -> Part:
        protocols = line.PORT_PROTOCOLS if protocol == "th" else (protocol,)
        whole = normalised(pair for name in protocols for pair in line.WHOLE[name])
        # `th` reads the same bytes of whatever protocol comes; there they are no ports.
        others = subtraction(line.ANY, whole) if protocol == "th" else ()
        if source:
            if values == (_PORT,):
                return _services(whole, others)
            return _services((), (*whole, *others) if values else ())
        bases = [line.BASES[name] for name in protocols]
        return _services(normalised((base + low, base + high) for base in bases for low, high in values), others)

    return Numbers(_plain, _PORT, 16, meaning)


def _icmp(protocol: str, name: str, situation: Situation) -> Field:
    base = line.BASES[protocol]
    here = (protocol == "icmp") == (situation.family == 4)
    words = {
        ("icmp", "type"): names.ICMP_TYPES,
        ("icmp", "code"): names.ICMP_CODES,
        ("icmpv6", "type"): names.ICMPV6_TYPES,
        ("icmpv6", "code"): names.ICMPV6_CODES,
    }[protocol, name]

    def meaning(values: Intervals) -> Part:
        if not here:
            return _rest(NEVER)
        if name == "type":
            return _services(tuple((base + low * 256, base + high * 256 + 255) for low, high in values))
        starts = range(base, base + 0x10000, 256)
        return _services(normalised((start + low, start + high) for start in starts for low, high in values))

    return Numbers(number(words), _BYTE, 8, meaning)


def _meta(key: str, situation: Situation) -> Field:
    if key == "l4proto":
        return _protocol(lambda values: _services(_of_protocols(values, situation.family)))
    if key == "nfproto":
        return Numbers(number({"ipv4": 2, "ipv6": 10}), _BYTE, 8, _constant(2 if situation.family == 4 else 10))
    if key == "protocol":
        kinds = {"ip": 0x800, "ip6": 0x86DD, "arp": 0x806, "vlan": 0x8100}
        return Numbers(number(kinds), (0, 65535), 16, _constant(kinds["ip" if situation.family == 4 else "ip6"]))
    if key == "time":
        return Numbers(moment, (0, 2**64), 64, _constant(situation.microseconds))
    if key in (("iif", "iifname") if situation.direction == "ingress" else ("oif", "oifname")):
        return Word(lambda word: False if word == "lo" else None)
    raise Unmodelled


def _fib(body: Mapping[str, Any], situation: Situation) -> Field:
    """The type of an address: the workload's own are local, the peer's are not, or the packet would use loopback."""
    flags = body.get("flags", [])
    sides = [flags] if isinstance(flags, str) else list(flags)
    if body.get("result") != "type" or sides not in (["saddr"], ["daddr"]):
        raise Unmodelled
    if (sides == ["saddr"]) == (situation.direction == "ingress"):
        return Word(lambda word: False if word == "local" else None)
    return Word(lambda word: word == "local")


__all__ = ["Field", "Part", "Situation", "resolve"]
