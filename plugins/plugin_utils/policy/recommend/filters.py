# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which talks are learned from, and why not the others. Nothing is dropped in silence: every reason is counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ...model import services as line
from ...model.addresses import Address
from ...model.estate import Estate
from ..decide import Decider
from .learning import Learning
from .observed import SHARED, Party, Talk
from .replay import sides_of

#: What each reason means, in the order in which they are looked for. The first that holds is counted.
REASONS: Mapping[str, str] = {
    "outside": "neither end is a workload that can be enforced on",
    "self": "a workload that talks to itself",
    "shared": "an address that several workloads share: nobody can say who talked",
    "broadcast": "broadcast, multicast, link-local or loopback",
    "failsafe": "the failsafe allows it, whatever the policy says",
    "approved": "allowed already by an active or staged rule, which stays as it is",
    "excluded": "an exclusion filter of the learning settings",
    "elsewhere": "the provider belongs to another scope than the one asked about",
    "denied": "an active or staged rule denies it; an allow would not open it",
    "dropped": "it never got through, and no trusted entry wants it",
    "scan": "one consumer tried many providers or services, or many strangers one service, and did not come back",
    "ephemeral": "a port from which consumers connect, seen from one consumer on one day: most likely a reply",
    "noise": "too few conversations between the two groups to tell it from an accident",
    "unplaced": "the workload belongs to no scope and has no app label from which one could be proposed",
    "overruled": "an active or staged rule overrules any allow in the application tier",
    "inseparable": "it cannot be opened without opening what was filtered",
}
#: So many conversations, all on one day, may be one try and its repetitions.
_TRY = 3
#: Share of the clients from outside that come back on another day, from which a service has clients at all.
_RETURNING = 0.2
#: Reasons that say nothing about whether a talk is usual.
_EVIDENCE = ("approved", "failsafe", "elsewhere", "denied", "dropped")
#: Reasons of talks that no proposal may allow.
UNWANTED = frozenset({"excluded", "broadcast", "denied", "dropped", "scan", "ephemeral", "noise", "overruled"})
_SPECIAL: tuple[tuple[int, int, int], ...] = (
    (4, 0xE0000000, 4),  # multicast
    (4, 0xA9FE0000, 16),  # link-local
    (4, 0x7F000000, 8),  # loopback
    (4, 0x00000000, 8),  # this network
    (4, 0xFFFFFFFF, 32),  # limited broadcast
    (6, 0xFF << 120, 8),
    (6, 0xFE80 << 112, 10),
    (6, 0x0, 127),  # unspecified and loopback
)


@dataclass(frozen=True)
class Sifted:
    """`included` are learned from. `left_out` has every other talk with its reason, and `details` what decided it."""

    included: tuple[Talk, ...]
    left_out: Mapping[str, tuple[Talk, ...]]
    details: Mapping[tuple[Party, Party, int], str] = field(default_factory=dict)

    def moved(self, talks: Iterable[Talk], reason: str) -> Sifted:
        """The same with some of the included ones left out."""
        gone = {talk.key for talk in talks}
        left_out = dict(self.left_out)
        moved = [talk for talk in self.included if talk.key in gone]
        left_out[reason] = tuple(sorted((*left_out.get(reason, ()), *moved), key=lambda talk: talk.order))
        return Sifted(tuple(talk for talk in self.included if talk.key not in gone), left_out, self.details)

    @property
    def unwanted(self) -> list[Talk]:
        return [talk for reason in sorted(UNWANTED) for talk in self.left_out.get(reason, ())]


class Sieve:
    """`group`: a key of the group a party belongs to. `home`: the scope a talk is learned in, "" for none."""

    def __init__(
        self,
        estate: Estate,
        decider: Decider,
        learning: Learning,
        group: Callable[[Party], object],
        home: Callable[[Talk], str],
    ) -> None:
        self.estate = estate
        self.decider = decider
        self.learning = learning
        self.group = group
        self.home = home

    def sift(self, talks: Iterable[Talk], scope: str = "") -> Sifted:
        """`scope`: learn only what belongs to this scope."""
        left_out: dict[str, list[Talk]] = defaultdict(list)
        details: dict[tuple[Party, Party, int], str] = {}
        maybe: list[Talk] = []
        for talk in talks:
            reason, detail = self._certain(talk, scope)
            if detail:
                details[talk.key] = detail
            if reason:
                left_out[reason].append(talk)
            else:
                maybe.append(talk)
        included = []
        # What is allowed already counts as evidence too: else approving one rule would make the next run judge anew.
        evidence = [*maybe, *(talk for reason in _EVIDENCE for talk in left_out[reason])]
        doubts = _Doubts(evidence, self.learning, self.group)
        for talk in maybe:
            reason = "" if talk.trusted else doubts.reason(talk)
            if not reason and not self.home(talk):
                reason = "unplaced"
            if reason:
                left_out[reason].append(talk)
            else:
                included.append(talk)
        for talk in list(left_out["dropped"]):
            if doubts.scanned(talk):
                left_out["dropped"].remove(talk)
                left_out["scan"].append(talk)
        ordered = {reason: tuple(sorted(left_out[reason], key=lambda talk: talk.order)) for reason in REASONS}
        return Sifted(tuple(included), {reason: found for reason, found in ordered.items() if found}, details)

    def _certain(self, talk: Talk, scope: str) -> tuple[str, str]:
        """The reason that the talk alone gives, and what decided it."""
        if SHARED in (talk.consumer, talk.provider):
            return "shared", ""
        if not self._managed(talk.consumer) and not self._managed(talk.provider):
            return "outside", ""
        if talk.consumer == talk.provider:
            return "self", ""
        if any(_special(one, talk.point) for one in (talk.provider, talk.consumer) if isinstance(one, Address)):
            return "broadcast", ""
        by_failsafe, allowed, denier = self.verdict(talk)
        if by_failsafe:
            return "failsafe", ""
        if allowed:
            return "approved", ""
        if talk.excluded is not None:
            return "excluded", talk.excluded.reason
        home = self.home(talk)
        if scope and home and home != scope:
            return "elsewhere", home
        if denier:
            return "denied", denier
        if not talk.count:
            return "dropped", ""
        return "", ""

    def _managed(self, party: Party) -> bool:
        return isinstance(party, str) and self.estate.workloads[party].managed

    def verdict(self, talk: Talk) -> tuple[bool, bool, str]:
        """Of the rules there are: only the failsafe allows it, all of it is allowed, and the rule that denies it."""
        sides = list(sides_of(self.decider, talk))
        allowed = all(side.verdict == "allowed" for side in sides)
        by_failsafe = {side.decided_by for side in sides} <= {"failsafe", "unenforced"}
        deniers = [
            side.copy.origin.id
            for side in sides
            if side.verdict == "denied" and side.copy is not None and side.copy.origin is not None
        ]
        return allowed and by_failsafe, allowed, min(deniers, default="")


class _Doubts:
    """What only many talks together show: scans, replies taken for requests, accidents."""

    def __init__(self, talks: Iterable[Talk], learning: Learning, group: Callable[[Party], object]) -> None:
        self.learning = learning
        self.group = group
        self.weight: Counter[tuple[object, object, int]] = Counter()
        self.consumers: dict[tuple[Party, int], set[Party]] = defaultdict(set)
        self.opened: dict[tuple[Party, Party], set[int]] = defaultdict(set)
        providers: dict[tuple[Party, int], set[Party]] = defaultdict(set)
        points: dict[tuple[Party, Party], set[int]] = defaultdict(set)
        strong: Counter[tuple[Party, int]] = Counter()
        tries: Counter[tuple[Party, Party]] = Counter()
        numbers: Counter[tuple[Party, Party]] = Counter()
        strangers: Counter[tuple[object, int]] = Counter()
        clients: Counter[tuple[object, int]] = Counter()
        for talk in talks:
            tries[talk.consumer, talk.provider] += 1 if _tried(talk) else -1
            numbers[talk.consumer, talk.provider] += _tried(talk)
            if _stranger(talk):
                strangers[group(talk.provider), talk.point] += 1
            elif isinstance(talk.consumer, Address) and len(talk.days) > 1:
                clients[group(talk.provider), talk.point] += 1
            if talk.count:
                self.weight[group(talk.consumer), group(talk.provider), talk.point] += talk.count
                self.consumers[talk.provider, talk.point].add(talk.consumer)
                self.opened[talk.consumer, talk.provider].add(talk.point)
            if talk.count <= 1:
                providers[talk.consumer, talk.point].add(talk.provider)
                points[talk.consumer, talk.provider].add(talk.point)
            else:
                strong[talk.consumer, talk.point] += 1
        self.scanners = {
            consumer
            for (consumer, point), tried in providers.items()
            if len(tried) >= learning.scan_providers and len(tried) > strong[consumer, point]
        } | {consumer for (consumer, _provider), tried in points.items() if len(tried) >= learning.scan_services}
        # However long it takes: what comes back on other days weighs against what was tried.
        self.probed = {pair for pair, more in tries.items() if more > 0 and numbers[pair] >= learning.scan_services}
        # Anybody can forge conversations of addresses; coming back is what clients do.
        self.flooded = {
            place
            for place, count in strangers.items()
            if count >= learning.scan_providers
            and clients[place] <= learning.public_above
            and clients[place] < _RETURNING * (count + clients[place])
        }

    def scanned(self, talk: Talk) -> bool:
        """Dropped or hardly more than tried, by somebody who scans; single, by one of many who did not come back."""
        if talk.count <= 1 and talk.consumer in self.scanners:
            return True
        if _tried(talk) and (talk.consumer, talk.provider) in self.probed:
            return True
        return _stranger(talk) and (self.group(talk.provider), talk.point) in self.flooded

    def reason(self, talk: Talk) -> str:
        if self.scanned(talk):
            return "scan"
        if self._ephemeral(talk):
            return "ephemeral"
        if self.weight[self.group(talk.consumer), self.group(talk.provider), talk.point] <= self.learning.noise:
            return "noise"
        return ""

    def _ephemeral(self, talk: Talk) -> bool:
        protocol = line.protocol_of(talk.point)
        if protocol not in line.PORT_PROTOCOLS:
            return False
        base = line.BASES[protocol]
        low, high = self.learning.ephemeral
        if not low <= talk.point - base <= high or len(self.consumers[talk.provider, talk.point]) > 1:
            return False
        back = self.opened.get((talk.provider, talk.consumer), ())
        replies = any(base <= point < base + low for point in back)
        return replies or len(talk.days) <= 1


def _tried(talk: Talk) -> bool:
    return talk.count <= _TRY and len(talk.days) <= 1


def _stranger(talk: Talk) -> bool:
    """A single conversation that got through, of an address of nobody."""
    return talk.count == 1 and isinstance(talk.consumer, Address)


def _special(address: Address, point: int) -> bool:
    bits = 32 if address.family == 4 else 128
    if any(
        family == address.family and address.number >> (bits - length) == number >> (bits - length)
        for family, number, length in _SPECIAL
    ):
        return True
    directed = address.family == 4 and address.number & 0xFF == 0xFF
    return directed and line.protocol_of(point) == "udp"


__all__ = ["REASONS", "UNWANTED", "Sieve", "Sifted"]
