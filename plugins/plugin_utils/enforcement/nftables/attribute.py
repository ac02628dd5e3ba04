# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which live rule decides a packet: the answer to "why is this open" and "who closed this"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ...model.intervals import Intervals, contains
from ..driver import Decision, Packet
from .listing import LiveRule
from .machine import Machine
from .program import Chain, Rule
from .read import Live
from .text import rule_text


class _Decider(NamedTuple):
    """Where a walk ended: in a chain, at a rule, or (None) at the end of the base chain, with its policy."""

    chain: Chain
    rule: LiveRule | None


def decide(live: Live, packet: Packet) -> Decision:
    """The rule that decides an opening packet.

    Of several base chains that accept, ours is named; the first that drops is named whosever it is.
    """
    judge = live.judges[packet.direction, packet.family]
    own, peer = _mask(judge.program.own_sets, packet.own), _mask(judge.program.peer_sets, packet.peer)
    point = ((packet.service, packet.service),)
    accepted: Decision | None = None
    for base in judge.program.bases:
        outcome = judge.open.base(base, point, own, peer)
        unsure = bool(outcome.accept and outcome.drop)
        decider = _walk(judge.open, base, point, own, peer, unsure) or _Decider(base, None)
        if unsure or not outcome.accept:
            return _decision(decider, base, "unknown" if unsure else "denied")
        found = _decision(decider, base, "allowed")
        if accepted is None or not found.foreign:
            accepted = found
    return accepted or Decision("", "", None, "no rule on the way", "allowed", foreign=False)


def _walk(machine: Machine, chain: Chain, point: Intervals, own: int, peer: int, unsure: bool) -> _Decider | None:
    """The first rule that ends the packet for certain, or (unsure) the first that is in doubt."""
    found = _step(machine, chain, point, own, peer, unsure)
    return found if isinstance(found, _Decider) else None


def _step(
    machine: Machine, chain: Chain, point: Intervals, own: int, peer: int, unsure: bool
) -> _Decider | Literal["back", "gone"]:
    """`back`: the packet returns to the calling chain; `gone`: it falls to the policy of the base chain."""
    for rule in chain.rules:
        match = machine.match(rule, point, own, peer) if rule.verdicts else None
        if not match or not match.maybe:
            continue
        for when, verdict in rule.verdicts:
            part = when.found(match.maybe, own, peer, machine.kind)
            if not part.maybe:
                continue
            certain = bool(match.surely and part.surely)
            if unsure and (not certain or verdict.kind == "doubt") and _matters(machine, rule, point, own, peer):
                return _Decider(chain, rule.live)
            if not certain or verdict.kind == "continue":
                continue
            if verdict.kind in ("accept", "drop"):
                return _Decider(chain, rule.live)
            if verdict.kind == "return":
                return "back"
            if verdict.kind in ("jump", "goto"):
                inner = _step(machine, rule.targets[verdict.target], point, own, peer, unsure)
                if isinstance(inner, _Decider):
                    return inner
                if verdict.kind == "goto" or inner == "gone":
                    return "back"
    return "back"


def _matters(machine: Machine, rule: Rule, point: Intervals, own: int, peer: int) -> bool:
    """Could the doubtful rule end the packet at all?"""
    for _when, verdict in rule.verdicts:
        if verdict.kind in ("accept", "drop", "return", "doubt", "goto"):
            return True
        if verdict.kind == "jump":
            outcome = machine.chain(rule.targets[verdict.target], point, own, peer)
            if outcome.accept or outcome.drop:
                return True
    return False


def _decision(decider: _Decider, base: Chain, verdict: Literal["allowed", "denied", "unknown"]) -> Decision:
    live = decider.chain.live
    foreign = not live.ours
    table = f"{live.family} {live.table}"
    if decider.rule is None:
        return Decision(table, base.live.name, None, f"policy {base.live.policy}", verdict, foreign)
    return Decision(table, live.name, decider.rule.handle, rule_text(decider.rule), verdict, foreign)


def _mask(sets: Sequence[Intervals], address: int) -> int:
    return sum(1 << position for position, addresses in enumerate(sets) if contains(addresses, address))
