# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Run live chains for all services at once: which packets may be accepted, which may be dropped.

The two overlap exactly where something is not understood, so what only one of them holds is proven.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ...model import services as line
from ...model.addresses import Family
from ...model.estate import Direction
from ...model.intervals import EMPTY, Interval, Intervals, intersection, normalised, subtraction, union
from .conditions import ESTABLISHED, EVERY_STATE, LOOSE, OPEN, RELATED, Alternative, Found, Kind
from .names import CT_STATES
from .program import CHANGED, Chain, Program, Rule
from .text import quote

#: ICMP errors that belong to a connection; conntrack calls them related.
ERRORS: dict[Family, Intervals] = {
    4: line.parse_all(["icmp/3", "icmp/11", "icmp/12"]),
    6: line.parse_all(["icmpv6/1-4"]),
}
#: Destination ports of replies, by the direction they travel in: towards us, the ports this kernel takes for its own
#: connections; away from us, whatever a peer may use for its.
REPLY_PORTS: dict[Direction, Interval] = {"ingress": (32768, 60999), "egress": (1024, 65535)}


class Outcome(NamedTuple):
    """Services that may be accepted, dropped, or left to the caller; doubtful rules met on the way."""

    accept: Intervals
    drop: Intervals
    fall: Intervals
    doubts: tuple[tuple[Rule, Intervals], ...]


class Spread(NamedTuple):
    """The outcome of a map of chains, the services it holds, and which chain gets which of them."""

    accept: Intervals
    drop: Intervals
    fall: Intervals
    doubts: tuple[tuple[Rule, Intervals], ...]
    handled: Intervals
    targets: tuple[tuple[Chain, Intervals], ...]


@dataclass
class Machine:
    """Executes the chains of one program for one kind of packet, remembering what it has done."""

    kind: Kind
    _done: dict[tuple[int, Intervals, int, int], Outcome] = field(default_factory=dict)
    _split: dict[tuple[int, Intervals], list[Found]] = field(default_factory=dict)
    _spreads: dict[tuple[int, Intervals], Spread | None] = field(default_factory=dict)

    def chain(self, chain: Chain, services: Intervals, own: int, peer: int) -> Outcome:
        key = (id(chain), services, own & chain.own_bits, peer & chain.peer_bits)
        found = self._done.get(key)
        if found is None:
            found = self._done[key] = self._run(chain, services, own, peer)
        return found

    def base(self, chain: Chain, services: Intervals, own: int, peer: int) -> Outcome:
        """A base chain: what falls off its end meets its policy."""
        outcome = self.chain(chain, services, own, peer)
        if not outcome.fall:
            return outcome
        if chain.live.policy == "drop":
            return outcome._replace(drop=union(outcome.drop, outcome.fall), fall=EMPTY)
        return outcome._replace(accept=union(outcome.accept, outcome.fall), fall=EMPTY)

    def match(self, rule: Rule, services: Intervals, own: int, peer: int) -> Found:
        found = rule.guard.found(services, own, peer, self.kind)
        for condition in rule.extra:
            if not found.maybe:
                break
            more = condition.found(found.maybe, own, peer, self.kind)
            found = Found(intersection(found.surely, more.surely), more.maybe)
        return found

    def _run(self, chain: Chain, services: Intervals, own: int, peer: int) -> Outcome:
        accept: list[Interval] = []
        drop: list[Interval] = []
        fall: list[Interval] = []
        doubts: list[tuple[Rule, Intervals]] = []
        going = services
        for rule in chain.rules:
            if not rule.verdicts:
                continue
            found = self.match(rule, going, own, peer)
            if not found.maybe:
                continue
            if found.surely == found.maybe and len(rule.verdicts) > 2:
                spread = self._spread(rule, found.maybe, own, peer)
                if spread is not None:
                    accept.extend(spread.accept)
                    drop.extend(spread.drop)
                    fall.extend(spread.fall)
                    doubts.extend(spread.doubts)
                    going = subtraction(going, spread.handled)
                    continue
            unsure = subtraction(found.maybe, found.surely)
            if unsure:
                doubts.append((rule, unsure))
            back: list[Interval] = []
            handled: list[Interval] = []
            for (_when, verdict), part in zip(rule.verdicts, self._parts(rule, found.maybe, own, peer), strict=True):
                if not part.maybe:
                    continue
                handled.extend(part.surely)
                if part.surely != part.maybe and not unsure:
                    doubts.append((rule, subtraction(part.maybe, part.surely)))
                if verdict.kind == "accept":
                    accept.extend(part.maybe)
                elif verdict.kind == "drop":
                    drop.extend(part.maybe)
                elif verdict.kind == "return":
                    fall.extend(part.maybe)
                elif verdict.kind == "continue":
                    back.extend(part.maybe)
                elif verdict.kind == "doubt":
                    accept.extend(part.maybe)
                    drop.extend(part.maybe)
                    back.extend(part.maybe)
                    doubts.append((rule, part.maybe))
                else:
                    outcome = self.chain(rule.targets[verdict.target], part.maybe, own, peer)
                    accept.extend(outcome.accept)
                    drop.extend(outcome.drop)
                    (back if verdict.kind == "jump" else fall).extend(outcome.fall)
                    doubts.extend(outcome.doubts)
            # Left: what surely did not match, what may not have, and what came back.
            left = subtraction(going, intersection(found.surely, normalised(handled)))
            going = union(left, normalised(back)) if back else left
            if not going:
                break
        fall.extend(going)
        return Outcome(normalised(accept), normalised(drop), normalised(fall), tuple(doubts))

    def _spread(self, rule: Rule, services: Intervals, own: int, peer: int) -> Spread | None:
        """The outcome of a map that sends services to chains; None where a rule needs the long way.

        Most chains do not look at the sets an address is in, and end for it as they end for an address in no set. Only
        the others are asked again.
        """
        key = (id(rule), services)
        if key not in self._spreads:
            self._spreads[key] = self._spread_of_no_set(rule, services)
        plain = self._spreads[key]
        if plain is None:
            return None
        asked = [
            (part, self.chain(chain, part, own, peer))
            for chain, part in plain.targets
            if own & chain.own_bits or peer & chain.peer_bits
        ]
        if not asked:
            return plain
        gone = normalised(pair for part, _outcome in asked for pair in part)
        return plain._replace(
            accept=normalised((*subtraction(plain.accept, gone), *(pair for _p, one in asked for pair in one.accept))),
            drop=normalised((*subtraction(plain.drop, gone), *(pair for _p, one in asked for pair in one.drop))),
            fall=normalised((*subtraction(plain.fall, gone), *(pair for _p, one in asked for pair in one.fall))),
            doubts=(*plain.doubts, *(doubt for _p, one in asked for doubt in one.doubts)),
        )

    def _spread_of_no_set(self, rule: Rule, services: Intervals) -> Spread | None:
        if any(when.own or when.peer or verdict.kind != "goto" for when, verdict in rule.verdicts):
            return None
        parts = self._parts(rule, services, 0, 0)
        if any(part.surely != part.maybe for part in parts):
            return None
        pairs = zip(rule.verdicts, parts, strict=True)
        targets = [(rule.targets[verdict.target], part.surely) for (_when, verdict), part in pairs if part.surely]
        outcomes = [self.chain(chain, part, 0, 0) for chain, part in targets]
        return Spread(
            normalised(pair for one in outcomes for pair in one.accept),
            normalised(pair for one in outcomes for pair in one.drop),
            normalised(pair for one in outcomes for pair in one.fall),
            tuple(doubt for one in outcomes for doubt in one.doubts),
            normalised(pair for _chain, part in targets for pair in part),
            tuple(targets),
        )

    def _parts(self, rule: Rule, services: Intervals, own: int, peer: int) -> list[Found]:
        """What each verdict of a rule takes. A map by service alone is split once, whatever the addresses."""
        if len(rule.verdicts) == 1:
            return [rule.verdicts[0][0].found(services, own, peer, self.kind)]
        if any(when.own or when.peer for when, _verdict in rule.verdicts):
            return [when.found(services, own, peer, self.kind) for when, _verdict in rule.verdicts]
        key = (id(rule), services)
        if key not in self._split:
            self._split[key] = [when.found(services, own, peer, self.kind) for when, _verdict in rule.verdicts]
        return self._split[key]


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


__all__ = ["Answer", "Judge", "Machine", "Outcome", "lost_connections"]
