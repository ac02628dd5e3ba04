# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Run live chains for all services at once: which packets may be accepted, which may be dropped.

The two overlap exactly where something is not understood, so what only one of them holds is proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...model.intervals import EMPTY, Interval, Intervals, intersection, normalised, subtraction, union
from .conditions import NOTHING, Found, Kind
from .program import Chain, Rule


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


@dataclass(slots=True)
class _Walk:
    """A walk through a chain under way: what has been decided, and the services still going."""

    going: Intervals
    accept: list[Interval] = field(default_factory=list)
    drop: list[Interval] = field(default_factory=list)
    fall: list[Interval] = field(default_factory=list)
    doubts: list[tuple[Rule, Intervals]] = field(default_factory=list)
    outcome: Outcome | None = None

    def add(self, part: Outcome | Spread) -> None:
        self.accept.extend(part.accept)
        self.drop.extend(part.drop)
        self.doubts.extend(part.doubts)

    def copy(self) -> _Walk:
        return _Walk(self.going, self.accept[:], self.drop[:], self.fall[:], self.doubts[:])

    def ended(self) -> Outcome:
        fall = normalised((*self.fall, *self.going))
        return Outcome(normalised(self.accept), normalised(self.drop), fall, tuple(self.doubts))


@dataclass
class Machine:
    """Executes the chains of one program for one kind of packet, remembering what it has done."""

    kind: Kind
    _starts: dict[tuple[int, Intervals], _Walk] = field(default_factory=dict)
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
        """The rules before the first that looks at addresses do the same for all: they are run once."""
        key = (id(chain), services)
        start = self._starts.get(key)
        if start is None:
            start = self._starts[key] = _Walk(services)
            self._walk(start, chain.rules[: chain.same_for_all], 0, 0)
            if not start.going:
                start.outcome = start.ended()
        if start.outcome is not None:
            return start.outcome
        walk = start.copy()
        self._walk(walk, chain.rules[chain.same_for_all :], own, peer)
        return walk.ended()

    def _walk(self, walk: _Walk, rules: Sequence[Rule], own: int, peer: int) -> None:
        for rule in rules:
            if not walk.going:
                return
            found = self.match(rule, walk.going, own, peer) if rule.verdicts else NOTHING
            if not found.maybe:
                continue
            if found.surely == found.maybe and len(rule.verdicts) > 2:
                spread = self._spread(rule, found.maybe, own, peer)
                if spread is not None:
                    walk.add(spread)
                    walk.fall.extend(spread.fall)
                    walk.going = subtraction(walk.going, spread.handled)
                    continue
            self._rule(walk, rule, found, own, peer)

    def _rule(self, walk: _Walk, rule: Rule, found: Found, own: int, peer: int) -> None:
        unsure = subtraction(found.maybe, found.surely)
        if unsure:
            walk.doubts.append((rule, unsure))
        back: list[Interval] = []
        handled: list[Interval] = []
        for (_when, verdict), part in zip(rule.verdicts, self._parts(rule, found.maybe, own, peer), strict=True):
            if not part.maybe:
                continue
            handled.extend(part.surely)
            if part.surely != part.maybe and not unsure:
                walk.doubts.append((rule, subtraction(part.maybe, part.surely)))
            if verdict.kind in ("accept", "doubt"):
                walk.accept.extend(part.maybe)
            if verdict.kind in ("drop", "doubt"):
                walk.drop.extend(part.maybe)
            if verdict.kind == "return":
                walk.fall.extend(part.maybe)
            if verdict.kind in ("continue", "doubt"):
                back.extend(part.maybe)
            if verdict.kind == "doubt":
                walk.doubts.append((rule, part.maybe))
            if verdict.kind in ("jump", "goto"):
                outcome = self.chain(rule.targets[verdict.target], part.maybe, own, peer)
                walk.add(outcome)
                (back if verdict.kind == "jump" else walk.fall).extend(outcome.fall)
        # Going on: what surely did not match, what may not have, and what came back.
        left = subtraction(walk.going, intersection(found.surely, normalised(handled)))
        walk.going = union(left, normalised(back)) if back else left

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
