# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Decide: what compiled policy says about one pair of ends at one moment.

An *end* is an address with the workload that has it, or an address of nobody. Both sides are decided apart; a
connection is allowed iff both allow (DESIGN §3.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ..model import services as line
from ..model.addresses import Address
from ..model.artifact import FAILSAFE, ORDER
from ..model.estate import Direction, Mode, Workload
from ..model.forms import evaluate
from ..model.intervals import EMPTY, Intervals, contains, intersection, subtraction, union
from .compile import Compiled, Copy

DecidedBy = Literal["rule", "mode", "failsafe", "unenforced"]


@dataclass(frozen=True, slots=True)
class End:
    """Compared by address and the workload's name; names are unique in an estate."""

    address: Address
    workload: Workload | None = field(default=None, compare=False)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", "" if self.workload is None else self.workload.name)


@dataclass(frozen=True, slots=True)
class SideDecision:
    """The verdict of one side for one service point. `copy` is set when a rule or the failsafe decides."""

    verdict: Literal["allowed", "denied", "unknown"]
    decided_by: DecidedBy
    mode: Mode | None = None
    copy: Copy | None = None
    would: Literal["allowed", "denied"] | None = None
    reason: str = ""


class Decider:
    """Answers for one compiled policy at one moment.

    `intent`: judge as if every managed side were in full mode (DESIGN §3.21).
    `failsafe`: False leaves the failsafe out of the evaluation altogether.
    """

    def __init__(self, compiled: Compiled, at: datetime, intent: bool = False, failsafe: bool = True) -> None:
        self.compiled = compiled
        self.at = at
        self.intent = intent
        self.failsafe = failsafe
        self._rows: dict[tuple[Direction, int, int], tuple[tuple[int, ...], tuple[int, ...]]] = {}
        self._allowed: dict[tuple[Direction, tuple[int, ...], str, int], Intervals] = {}

    def at_moment(self, at: datetime | None) -> Decider:
        """The same policy at another moment; None: this very one."""
        return self if at in (None, self.at) else Decider(self.compiled, at, self.intent, self.failsafe)

    def mode(self, direction: Direction, workload: Workload | None) -> Mode | None:
        """The mode that counts, or None where this side enforces nothing."""
        if workload is None or not workload.managed:
            return None
        if self.intent:
            return "full"
        return workload.modes.of(direction) if workload.enforces(direction) else None

    def one_sided(self, consumer: End, provider: End) -> bool:
        return self.mode("egress", consumer.workload) is None or self.mode("ingress", provider.workload) is None

    def allowed(self, consumer: End, provider: End) -> Intervals:
        """Services allowed end to end between two addresses of one family."""
        return intersection(
            self.side_allowed("egress", consumer, provider), self.side_allowed("ingress", provider, consumer)
        )

    def by_name(self, consumer: End, provider: End) -> Intervals:
        """Services an allow rule to a name may open towards an address of nobody: what else only the mode denies.

        Names are compared, not resolved, so the answer for them is unknown (DESIGN §3.14).
        """
        mode = self.mode("egress", consumer.workload)
        if mode != "full" or consumer.workload is None or provider.workload is not None:
            return EMPTY
        position = self.compiled.classes.of[consumer.workload.name]
        named = EMPTY
        for peer in self.compiled.by_name:
            if peer.bits >> position & 1 and peer.valid(self.at):
                named = union(named, peer.origin.rule.services)
        if not named:
            return EMPTY
        copies = self.compiled.copies["egress"]
        artifacts = [copies[index].artifact for index in self.matching("egress", consumer, provider)]
        family = consumer.address.family
        by_mode = subtraction(evaluate(artifacts, "selective", family), evaluate(artifacts, "full", family))
        return intersection(named, by_mode)

    def side_allowed(self, direction: Direction, own: End, peer: End) -> Intervals:
        family = own.address.family
        mode = self.mode(direction, own.workload)
        if mode is None:
            return line.UNIVERSE[family]
        if self.failsafe and own.workload is peer.workload:
            return line.UNIVERSE[family]
        matching = self.matching(direction, own, peer)
        key = (direction, matching, mode, family)
        if key not in self._allowed:
            copies = self.compiled.copies[direction]
            self._allowed[key] = evaluate((copies[index].artifact for index in matching), mode, family)
        return self._allowed[key]

    def matching(self, direction: Direction, own: End, peer: End) -> tuple[int, ...]:
        """Positions, in blame order, of the copies that look at this pair."""
        if own.workload is None:
            return ()
        own_class = self.compiled.classes.of[own.workload.name]
        peer_class = -1 if peer.workload is None else self.compiled.classes.of[peer.workload.name]
        certain, by_address = self._row(direction, own_class, peer_class)
        if not by_address:
            return certain
        copies = self.compiled.copies[direction]
        zone = own.workload.zone
        extra = tuple(index for index in by_address if _addresses_match(copies[index], own, peer, peer_class, zone))
        return tuple(sorted((*certain, *extra))) if extra else certain

    def _row(self, direction: Direction, own_class: int, peer_class: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Copies that match whatever the addresses are, and those that depend on addresses."""
        key = (direction, own_class, peer_class)
        if key not in self._rows:
            certain: list[int] = []
            by_address: list[int] = []
            copies = self.compiled.copies[direction]
            for index in self.compiled.of_class[direction][own_class]:
                copy = copies[index]
                if not copy.artifact.valid(self.at) or (copy.artifact.tier == FAILSAFE and not self.failsafe):
                    continue
                member = copy.artifact.peers is None or (peer_class >= 0 and copy.peer_bits >> peer_class & 1)
                if member and copy.own_prefixes is None:
                    certain.append(index)
                elif member or copy.peer_prefixes:
                    by_address.append(index)
            self._rows[key] = tuple(certain), tuple(by_address)
        return self._rows[key]

    def decide(self, direction: Direction, own: End, peer: End, point: int) -> SideDecision:
        """Who decides one service point on one side, and how."""
        mode = self.mode(direction, own.workload)
        if mode is None:
            return SideDecision("allowed", "unenforced", would=self._would(direction, own, peer, point))
        if own.workload is peer.workload:
            return SideDecision("allowed", "failsafe", mode, reason="a workload to itself")
        if peer.workload is None and _is_loopback(peer.address):
            return SideDecision("allowed", "failsafe", mode, reason="loopback")
        copies = self.compiled.copies[direction]
        matching = [copies[index] for index in self.matching(direction, own, peer)]
        copy = deciding(matching, point)
        if copy is None:
            return SideDecision("allowed" if mode == "selective" else "denied", "mode", mode)
        by: DecidedBy = "failsafe" if copy.artifact.tier == FAILSAFE else "rule"
        return SideDecision("allowed" if copy.artifact.action == "allow" else "denied", by, mode, copy)

    def _would(self, direction: Direction, own: End, peer: End, point: int) -> Literal["allowed", "denied"] | None:
        """What full mode would say about a managed workload that is not enforced today (DESIGN §3.3)."""
        if own.workload is None or not own.workload.managed or self.intent:
            return None
        verdict = Decider(self.compiled, self.at, intent=True).decide(direction, own, peer, point).verdict
        return "denied" if verdict == "denied" else "allowed"


def deciding(matching: list[Copy], point: int) -> Copy | None:
    """The copy that decides a point: first tier with a deny or allow that no pass lifts; smallest id among equals."""
    for tier in ORDER:
        here = [copy for copy in matching if copy.artifact.tier == tier and contains(copy.artifact.services, point)]
        if not here or any(copy.artifact.action == "pass" for copy in here):
            continue
        return min(here, key=lambda copy: copy.artifact.order)
    return None


def _is_loopback(address: Address) -> bool:
    return address.number >> 24 == 127 if address.family == 4 else address.number == 1


def _addresses_match(copy: Copy, own: End, peer: End, peer_class: int, zone: str) -> bool:
    if copy.own_prefixes is not None and not any(prefix.holds(own.address, zone) for prefix in copy.own_prefixes):
        return False
    if copy.artifact.peers is None or (peer_class >= 0 and copy.peer_bits >> peer_class & 1):
        return True
    if copy.artifact.tier == FAILSAFE:  # controllers are recognised in every zone: nobody may be locked out
        zone = peer.address.zone
    return any(prefix.holds(peer.address, zone) for prefix in copy.peer_prefixes)


__all__ = ["Decider", "End", "SideDecision", "deciding"]
