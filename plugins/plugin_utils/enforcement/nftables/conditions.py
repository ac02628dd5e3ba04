# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which packets a condition surely matches and which it may match.

Addresses are concrete (one representative per distinguishable group, named by bits), services are symbolic (intervals
of the service line). A condition that is not modelled may match everything and surely matches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from ...model import services as line
from ...model.addresses import Family
from ...model.intervals import EMPTY, Intervals, intersection, normalised, subtraction, union
from .names import CT_STATES

EVERY_STATE = sum(CT_STATES.values())
#: TCP flags of packets that open a connection: a SYN, whatever is said of congestion, urgency and haste beside it.
OPENING = frozenset(
    0x02 | push | urgent | more for push in (0, 0x08) for urgent in (0, 0x20) for more in range(0, 256, 64)
)
#: TCP flags of packets that do not: ACK and its like, FIN, RST, SYN-ACK, none, all of a scan.
NOT_OPENING = frozenset((0x10, 0x18, 0x30, 0x11, 0x01, 0x04, 0x14, 0x12, 0x00, 0x29))


class Found(NamedTuple):
    """Services that match for certain, and those that may (a superset)."""

    surely: Intervals
    maybe: Intervals


NOTHING = Found(EMPTY, EMPTY)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of packet: which conntrack state each service is in, and which TCP flags it may carry."""

    name: str
    states: tuple[tuple[int, Intervals], ...]
    flags: frozenset[int]

    def of_states(self, mask: int) -> Intervals:
        parts = [services for bit, services in self.states if bit & mask]
        return parts[0] if len(parts) == 1 else normalised(pair for part in parts for pair in part)


def _opening_states(family: Family) -> tuple[tuple[int, Intervals], ...]:
    """What conntrack says of a packet that belongs to nothing it knows.

    ICMP opens connections with requests only; other types are invalid. It does not look at neighbour discovery and
    multicast listener messages at all.
    """
    types = ["icmp/8", "icmp/13", "icmp/15", "icmp/17"] if family == 4 else ["icmpv6/128", "icmpv6/139"]
    requests = line.parse_all(types)
    untracked = EMPTY if family == 4 else line.parse_all(["icmpv6/130-136", "icmpv6/143"])
    signals = line.WHOLE["icmp" if family == 4 else "icmpv6"]
    new = union(subtraction(line.UNIVERSE[family], signals), requests)
    return (
        (CT_STATES["new"], new),
        (CT_STATES["untracked"], untracked),
        (CT_STATES["invalid"], subtraction(signals, union(requests, untracked))),
    )


#: A packet that would open a connection.
OPEN: dict[Family, Kind] = {4: Kind("new", _opening_states(4), OPENING), 6: Kind("new", _opening_states(6), OPENING)}
#: TCP that conntrack would take up in the middle of a connection it has not seen.
LOOSE = Kind("loose", ((CT_STATES["new"], line.ANY),), NOT_OPENING)
ESTABLISHED = Kind("established", ((CT_STATES["established"], line.ANY),), NOT_OPENING | OPENING)
RELATED = Kind("related", ((CT_STATES["related"], line.ANY),), NOT_OPENING | OPENING)


@dataclass(frozen=True, slots=True)
class Alternative:
    """A product of conditions. `own` and `peer` are bits that must all be set; 0 is any address.

    `states` is a mask of conntrack states. `flags`, of the sampled TCP flags, those that match; None is any.
    """

    own: int = 0
    peer: int = 0
    surely: Intervals = line.ANY
    maybe: Intervals = line.ANY
    states: int = EVERY_STATE
    flags: frozenset[int] | None = None

    def both(self, other: Alternative) -> Alternative:
        maybe = intersection(self.maybe, other.maybe)
        exact = self.surely is self.maybe and other.surely is other.maybe
        return Alternative(
            self.own | other.own,
            self.peer | other.peer,
            maybe if exact else intersection(self.surely, other.surely),
            maybe,
            self.states & other.states,
            self.flags if other.flags is None else other.flags if self.flags is None else self.flags & other.flags,
        )

    @property
    def doubtful(self) -> Alternative:
        """The same, but not for certain."""
        return replace(self, surely=EMPTY)

    @property
    def never(self) -> bool:
        return not self.maybe or not self.states

    def found(self, services: Intervals, own: int, peer: int, kind: Kind) -> Found:
        if (self.own and self.own & ~own) or (self.peer and self.peer & ~peer):
            return NOTHING
        maybe = services if self.maybe is line.ANY else intersection(services, self.maybe)
        if not maybe:
            return NOTHING
        surely = maybe if self.surely is self.maybe else intersection(services, self.surely)
        if self.states != EVERY_STATE:
            inside = kind.of_states(self.states)
            surely, maybe = intersection(surely, inside), intersection(maybe, inside)
        if self.flags is not None:
            if not self.flags & kind.flags:
                return NOTHING
            if kind.flags - self.flags:
                surely = EMPTY
        return Found(surely, maybe)


ALWAYS = Alternative()
NEVER = Alternative(surely=EMPTY, maybe=EMPTY)
PERHAPS = Alternative(surely=EMPTY)


@dataclass(frozen=True, slots=True)
class Condition:
    """Any of the alternatives; negated, none of them, but still within `scope`, where the fields exist."""

    alternatives: tuple[Alternative, ...]
    scope: Alternative = ALWAYS
    negated: bool = False

    def found(self, services: Intervals, own: int, peer: int, kind: Kind) -> Found:
        parts = [alternative.found(services, own, peer, kind) for alternative in self.alternatives]
        surely = normalised(pair for part in parts for pair in part.surely)
        maybe = normalised(pair for part in parts for pair in part.maybe)
        if not self.negated:
            return Found(surely, maybe)
        inside = self.scope.found(services, own, peer, kind)
        return Found(subtraction(inside.surely, maybe), subtraction(inside.maybe, surely))
