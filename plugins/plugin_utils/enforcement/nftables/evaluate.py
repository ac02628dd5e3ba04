# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What live chains mean for connections: the questions a form needs answered, put to the machine.

An opening packet must be accepted; so must what follows it, what answers it and the errors about it; and nothing may
slip in beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ...model import services as line
from ...model.addresses import Family
from ...model.estate import Direction
from ...model.intervals import EMPTY, Interval, Intervals, intersection, normalised, subtraction, union
from .conditions import ESTABLISHED, EVERY_STATE, LOOSE, OPEN, RELATED, Alternative
from .machine import Machine
from .names import CT_STATES
from .program import CHANGED, Program, Rule
from .text import quote

#: ICMP errors that belong to a connection; conntrack calls them related.
ERRORS: dict[Family, Intervals] = {
    4: line.parse_all(["icmp/3", "icmp/11", "icmp/12"]),
    6: line.parse_all(["icmpv6/1-4"]),
}
#: Destination ports of replies, by the direction they travel in: towards us, the ports this kernel takes for its own
#: connections; away from us, whatever a peer may use for its.
REPLY_PORTS: dict[Direction, Interval] = {"ingress": (32768, 60999), "egress": (1024, 65535)}


class Answer(NamedTuple):
    """For one pair of addresses: services whose connections are allowed, or cannot be judged, and the services of
    established packets that may be lost."""

    allowed: Intervals
    unknown: Intervals
    lost: Intervals


@dataclass
class Judge:
    """Asks a program what happens to the packets of one pair of addresses, and collects why something is unknown."""

    program: Program
    reasons: dict[str, None] = field(default_factory=dict)
    loses: bool = False
    _answers: dict[tuple[int, int], Answer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        family = self.program.situation.family
        self.universe = line.UNIVERSE[family]
        self.errors = ERRORS[family]
        self.open = Machine(OPEN[family])
        self.loose = Machine(LOOSE)
        self.established = Machine(ESTABLISHED)
        self.related = Machine(RELATED)
        rules = [rule for chain in self.program.chains.values() for rule in chain.rules]
        looks_at_flags = any(alternative.flags is not None for rule in rules for alternative in alternatives(rule))
        tells_related_apart = any(
            alternative.states != EVERY_STATE and subtraction(rule.guard.maybe, self.errors)
            for rule in rules
            for alternative in alternatives(rule)
            if bool(alternative.states & CT_STATES["related"]) != bool(alternative.states & CT_STATES["new"])
        )
        #: Packets that open no connection, but would let one in where they pass and an opening packet does not.
        self._detours: list[tuple[Machine, Intervals, str]] = []
        if looks_at_flags:
            self._detours.append((self.loose, line.WHOLE["tcp"], "TCP that opens no connection is accepted"))
        if tells_related_apart:
            self._detours.append((self.related, self.universe, "related connections are accepted"))

    def cells(self, own: int, peer: int) -> tuple[Intervals, Intervals]:
        """(allowed, unknown), as `forms.build_slices` asks for it."""
        answer = self.answer(own, peer)
        return answer.allowed, answer.unknown

    def losses(self, own: int, peer: int) -> tuple[Intervals, Intervals]:
        """Established packets that may be lost, in the place of what is allowed."""
        return self.answer(own, peer).lost, EMPTY

    def answer(self, own: int, peer: int) -> Answer:
        key = (own, peer)
        if key not in self._answers:
            self._answers[key] = self._judged(own, peer)
            self.loses = self.loses or bool(self._answers[key].lost)
        return self._answers[key]

    def _judged(self, own: int, peer: int) -> Answer:
        accept, drop, doubts = self.through(self.open, self.universe, own, peer)
        # What a translation may touch is another packet afterwards: later chains cannot make it certain again.
        changed = normalised(pair for rule, services in doubts if rule.note in CHANGED for pair in services)
        allowed, unknown = subtraction(subtraction(accept, drop), changed), union(intersection(accept, drop), changed)
        if unknown:
            for rule, services in doubts:
                if intersection(services, unknown):
                    self.reasons[quote(rule.live, rule.note or "not understood")] = None
        unknown = self._errors(own, peer, unknown)
        for machine, asked, reason in self._detours:
            # Ours alone: what others accept does not get past us, and what they deny is not for us to doubt.
            accept, _drop, _doubts = self.through(machine, asked, own, peer, ours=True)
            opened, _drop, _doubts = self.through(self.open, self.universe, own, peer, ours=True)
            more = subtraction(subtraction(accept, opened), self.errors)
            unknown = self._doubt(unknown, more, f"{reason} ({self.direction})")
        _accept, lost, _doubts = self.through(self.established, self.universe, own, peer)
        unknown = self._doubt(unknown, intersection(allowed, lost), f"established traffic dropped ({self.direction})")
        return Answer(subtraction(allowed, unknown), unknown, lost)

    @property
    def direction(self) -> str:
        return self.program.situation.direction

    def _errors(self, own: int, peer: int, unknown: Intervals) -> Intervals:
        """ICMP errors of allowed connections must come through."""
        accept, drop, _doubts = self.through(self.related, self.errors, own, peer)
        missing = subtraction(self.errors, subtraction(accept, drop))
        return self._doubt(unknown, missing, f"ICMP errors of allowed connections dropped ({self.direction})")

    def _doubt(self, unknown: Intervals, more: Intervals, reason: str) -> Intervals:
        if more:
            self.reasons[reason] = None
        return union(unknown, more)

    def through(
        self, machine: Machine, services: Intervals, own: int, peer: int, ours: bool = False
    ) -> tuple[Intervals, Intervals, list[tuple[Rule, Intervals]]]:
        """Every base chain (or every one of `ours`) must accept. Chains of type nat see opening packets only."""
        dropped: Intervals = EMPTY
        doubts: list[tuple[Rule, Intervals]] = []
        for base in self.program.bases:
            if base.live.type == "nat" and machine.kind in (ESTABLISHED, RELATED):
                continue
            if ours and not base.live.ours:
                continue
            outcome = machine.base(base, services, own, peer)
            dropped = union(dropped, outcome.drop)
            doubts.extend(outcome.doubts)
            services = outcome.accept
        return services, dropped, doubts


def alternatives(rule: Rule) -> Iterator[Alternative]:
    yield rule.guard
    for condition in rule.extra:
        yield from condition.alternatives
    for when, _verdict in rule.verdicts:
        yield when


def lost_connections(lost: Intervals, way: Direction, family: Family) -> Intervals:
    """Services whose replies, travelling `way`, are among the established packets that may be lost."""
    found: list[Interval] = []
    low, high = REPLY_PORTS[way]
    for protocol in line.PORT_PROTOCOLS:
        base = line.BASES[protocol]
        if intersection(lost, ((base + low, base + high),)):
            found.extend(line.WHOLE[protocol])
    if intersection(lost, line.parse_all(["icmp/0", "icmpv6/129"])):
        found.extend(line.WHOLE["icmp" if family == 4 else "icmpv6"])
    found.extend(intersection(lost, line.WHOLE["proto"]))
    return normalised(found)


__all__ = ["Answer", "Judge", "lost_connections"]
