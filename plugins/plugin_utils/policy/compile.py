# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Compile: validated policy and estate to the rules of every class, in both directions.

Rules become *copies*: one per direction and per interval of time in which both of its sides match. A copy belongs to
the classes it binds; workloads with equal lists of copies share one policy.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Literal, TypeVar

from ..model import services as line
from ..model.addresses import FAMILIES, Prefix
from ..model.allocation import allocating
from ..model.artifact import ArtifactRule, PeerSet, set_id
from ..model.calendar import Validity
from ..model.errors import Finding
from ..model.estate import DIRECTIONS, Direction, Estate, ServiceAddress
from ..model.intervals import Intervals, intersection, normalised
from ..model.policy import Policy
from .classes import ALWAYS, Classes, Window, overlap, positions_of, to_bits
from .membership import Membership
from .resolve import Element, ResolvedRule, resolve

T = TypeVar("T")
_LIST = "ip_list"
Stage = Literal["active", "staged"]
#: Stages of rulesets that count in each of the two answers (DESIGN §3.5).
COUNTING: Mapping[Stage, tuple[str, ...]] = {
    "active": ("active", "retiring"),
    "staged": ("active", "retiring", "staged"),
}

#: What no policy can close, beside management (DESIGN §3.6).
SIGNALS = ("icmp/3.4", "proto/2", "icmpv6/2", "icmpv6/130-137", "icmpv6/143")
DHCP: Mapping[Direction, tuple[str, ...]] = {"ingress": ("udp/68", "udp/546"), "egress": ("udp/67", "udp/547")}


@dataclass(frozen=True, slots=True)
class Copy:
    """A rule as one direction sees it. `peer_bits` are the classes its member sets hold.

    `own_prefixes` None: any local address. `origin` None: the failsafe.
    """

    artifact: ArtifactRule
    peer_bits: int
    peer_prefixes: tuple[Prefix, ...]
    own_prefixes: tuple[Prefix, ...] | None
    origin: ResolvedRule | None


@dataclass(frozen=True, slots=True)
class SetSource:
    """Where the addresses of a peer set come from: classes, or prefixes."""

    meaning: str
    bits: int = 0
    prefixes: tuple[Prefix, ...] | None = None


@dataclass(frozen=True, slots=True)
class NamedPeer:
    """An allow rule to a name (FQDN), for the classes it binds: compared by name, proven nowhere (DESIGN §3.14)."""

    origin: ResolvedRule
    names: tuple[str, ...]
    bits: int
    window: Window

    @property
    def validity(self) -> Validity:
        return Validity(*self.window, self.origin.rule.schedule)

    def valid(self, at: datetime) -> bool:
        return self.validity.holds(at)


class Compiled:
    """`copies[direction]` in blame order; `of_class[direction][class]` are ascending positions in it."""

    def __init__(
        self,
        estate: Estate,
        classes: Classes,
        copies: Mapping[Direction, tuple[Copy, ...]],
        of_class: Mapping[Direction, Sequence[Sequence[int]]],
        sources: Mapping[str, SetSource],
        by_name: tuple[NamedPeer, ...],
        findings: tuple[Finding, ...],
    ) -> None:
        self.estate = estate
        self.classes = classes
        self.copies = copies
        self.of_class = of_class
        self.sources = sources
        self.by_name = by_name
        self.findings = findings
        self._sets: dict[str, PeerSet] = {}

    @cached_property
    def _membership(self) -> Membership:
        return Membership(self.estate, self.classes)

    def peer_set(self, name: str) -> PeerSet:
        """The set with its addresses, worked out on first use."""
        if name not in self._sets:
            source = self.sources[name]
            if source.prefixes is not None:
                self._sets[name] = static_set(name, source)
            else:
                addresses = dict(self._membership.addresses(source.bits))
                self._sets[name] = PeerSet(name, "members", source.meaning, addresses)
        return self._sets[name]


def static_set(name: str, source: SetSource) -> PeerSet:
    prefixes = source.prefixes or ()
    addresses = {
        family: normalised((item.low, item.high) for item in prefixes if item.family == family) for family in FAMILIES
    }
    return PeerSet(name, "static", source.meaning, addresses)


def compile_policy(policy: Policy, estate: Estate, stage: Stage = "active") -> Compiled:
    """Findings of scopes (errors too) come along; a caller that wants to enforce must look at them."""
    with allocating():
        return _compile(policy, estate, stage)


def _compile(policy: Policy, estate: Estate, stage: Stage) -> Compiled:
    rules, findings = resolve(policy, estate.workloads)
    counting = [item for item in rules if item.stage in COUNTING[stage]]
    controllers = controlling(estate)
    classes = Classes(estate, policy_keys(counting, estate.service_addresses), named_workloads(counting), controllers)
    builder = Builder(estate, classes)
    for item in counting:
        builder.add(item)
    for copy, direction, bits in failsafe(estate, classes, controllers, builder):
        builder.bind(copy, direction, bits)
    copies: dict[Direction, tuple[Copy, ...]] = {}
    of_class: dict[Direction, Sequence[Sequence[int]]] = {}
    for direction in DIRECTIONS:
        copies[direction], of_class[direction] = builder.finish(direction)
    return Compiled(estate, classes, copies, of_class, builder.sources, tuple(builder.by_name), findings)


def controlling(estate: Estate) -> set[str]:
    """The managed workloads that have an address of a controller."""
    control = {(address.family, address.number) for address in estate.controllers}
    return {
        workload.name
        for workload in estate.workloads.values()
        if workload.managed
        for address in workload.addresses
        if (address.family, address.number) in control
    }


def policy_keys(rules: Iterable[ResolvedRule], service_addresses: Iterable[ServiceAddress]) -> set[str]:
    """The label keys that tell classes apart: those some selector mentions."""
    keys = {requirement.key for service in service_addresses for requirement in service.members.requirements}
    matches = {id(item.match): item.match for item in rules}
    keys.update(requirement.key for match in matches.values() for requirement in match.requirements)
    keys.update(
        requirement.key
        for item in rules
        for side in (item.consumers, item.providers)
        for element in side
        for requirement in element.selector.requirements
    )
    return keys


def named_workloads(rules: Iterable[ResolvedRule]) -> set[str]:
    return {
        element.name
        for item in rules
        for side in (item.consumers, item.providers)
        for element in side
        if element.kind == "workload"
    }


#: What an element means: (interval, peer set id, classes), most often just one.
_Meaning = tuple[tuple[Window, str, int], ...]
_Part = tuple[Element, _Meaning]
#: (interval, classes, own sets, own prefixes): whom one side of a rule binds.
_Side = tuple[Window, int, tuple[str, ...] | None, tuple[Prefix, ...] | None]


@dataclass(frozen=True, slots=True)
class _Peers:
    """One alternative of the far side: all of these sets, in one interval of time. `sets` None is any address."""

    window: Window
    sets: tuple[str, ...] | None
    bits: int
    prefixes: tuple[Prefix, ...]


class Builder:
    """Makes the copies of rules, one rule after the other; `elements` remembers what each element means."""

    def __init__(self, estate: Estate, classes: Classes) -> None:
        self.estate = estate
        self.classes = classes
        self.sources: dict[str, SetSource] = {}
        self.bound: dict[Direction, list[tuple[Copy, int]]] = {"ingress": [], "egress": []}
        self.by_name: list[NamedPeer] = []
        self.elements: dict[tuple[Element, bool], _Meaning] = {}
        self.look_at_members()

    def look_at_members(self) -> None:
        """Who is behind the service addresses now."""
        self._members = {item.name: self.classes.last_known(item.members) for item in self.estate.service_addresses}

    def bind(self, copy: Copy, direction: Direction, bits: int) -> None:
        self.bound[direction].append((copy, bits))

    def add(self, item: ResolvedRule) -> None:
        deny = item.rule.action == "deny"
        limit: Window = ALWAYS if item.rule.expires is None else (None, item.rule.expires)
        consumers = [self._part(element, deny) for element in item.consumers]
        providers = [self._part(element, deny) for element in item.providers]
        for direction in DIRECTIONS:
            own, far = (providers, consumers) if direction == "ingress" else (consumers, providers)
            sides = self._binding(item, own)
            if not sides:
                continue
            names = tuple(sorted(element.name for element, _parts in far if element.kind == "fqdn"))
            if names:
                for window, bits, _sets, _prefixes in sides:
                    common = _common(window, limit)
                    if common is not None:
                        self.by_name.append(NamedPeer(item, names, bits, common))
            for peers in self._peers(far):
                for window, bits, own_sets, own_prefixes in sides:
                    common = _common(window, peers.window, limit)
                    if common is not None:
                        copy = self._copy(item, common, item.rule.services, peers, own_sets, own_prefixes)
                        self.bind(copy, direction, bits)
            if direction == "egress" and self.estate.service_addresses:
                self._through_service_addresses(item, sides, far, limit)

    @staticmethod
    def _copy(
        item: ResolvedRule,
        window: Window,
        services: Intervals,
        peers: _Peers,
        own_sets: tuple[str, ...] | None,
        own_prefixes: tuple[Prefix, ...] | None,
    ) -> Copy:
        rule = item.rule
        return Copy(
            ArtifactRule(
                id=item.id,
                tier=item.tier,
                action=rule.action,
                services=services,
                peers=peers.sets,
                own=own_sets,
                reject=rule.reject,
                reset_established=rule.reset_established,
                log=rule.log,
                starts=window[0],
                expires=window[1],
                schedule=rule.schedule,
            ),
            peers.bits,
            peers.prefixes,
            own_prefixes,
            item,
        )

    def _part(self, element: Element, deny: bool) -> _Part:
        """An element with what it means: nothing where it does not mean workloads."""
        if element.kind in ("addresses", "any", "fqdn"):
            return element, ()
        key = (element, deny)
        known = self.elements.get(key)
        if known is None:
            known = self.elements[key] = tuple(self.resolve_element(element, deny))
        return element, known

    def resolve_element(self, element: Element, deny: bool) -> Iterator[tuple[Window, str, int]]:
        """(interval, peer set id, classes) of an element that means workloads."""
        if element.kind in ("labels", "users"):
            windows = self.classes.matching(element.selector, deny)
        elif element.kind == "scope":
            windows = ((ALWAYS, self.classes.last_known(element.selector)),)
        elif element.kind == "all":
            windows = ((ALWAYS, self.classes.everything),)
        elif element.kind == "workload" and element.name in self.classes.of:
            windows = ((ALWAYS, 1 << self.classes.of[element.name]),)
        else:
            windows = ()
        timed = len(windows) > 1 or any(window != ALWAYS for window, _bits in windows)
        for window, bits in windows:
            if not bits:
                continue
            meaning = str(element) if not timed else f"{element} {_show_window(window)}{' or unknown' if deny else ''}"
            name = set_id("members", meaning)
            self.sources[name] = SetSource(meaning, bits)
            yield window, name, bits

    def _binding(self, item: ResolvedRule, own: Sequence[_Part]) -> list[_Side]:
        """Which classes the rule binds on this side, when, and for which local addresses (DESIGN §3.4, §3.9)."""
        if len(own) == 1 and len(own[0][1]) == 1:
            window, _name, bits = own[0][1][0]
            return [(window, bits, None, None)]
        by_window: dict[Window, int] = {}
        prefixes: list[Prefix] = []
        anything = False
        for element, meaning in own:
            if element.kind == "any":
                anything = True
            elif element.kind == "addresses":
                prefixes.extend(element.prefixes)
            else:
                for window, _name, bits in meaning:
                    by_window[window] = _joined(by_window.get(window, 0), bits)
        inside = 0
        if anything or prefixes:
            inside = self.classes.everything if item.binds_everyone else self.classes.last_known(item.match)
        if anything:
            by_window[ALWAYS] = _joined(by_window.get(ALWAYS, 0), inside)
        sides: list[_Side] = [(window, bits, None, None) for window, bits in by_window.items()]
        if prefixes:
            own_prefixes = tuple(sorted(set(prefixes), key=str))
            rest = inside & ~by_window.get(ALWAYS, 0) & self.classes.holding(own_prefixes)
            if rest:
                sides.append((ALWAYS, rest, (self.static(own_prefixes),), own_prefixes))
        return sides

    def _peers(self, far: Sequence[_Part]) -> list[_Peers]:
        if len(far) == 1 and len(far[0][1]) == 1:
            window, name, known = far[0][1][0]
            return [_Peers(window, (name,), known, ())]
        by_window: dict[Window, tuple[list[str], int]] = {}
        prefixes: list[Prefix] = []
        statics: list[str] = []
        for element, meaning in far:
            if element.kind == "any":
                return [_Peers(ALWAYS, None, 0, ())]
            if element.kind == "addresses":
                prefixes.extend(element.prefixes)
                statics.append(self.static(element.prefixes, element.name))
            else:
                for window, name, bits in meaning:
                    names, known = by_window.get(window, ([], 0))
                    by_window[window] = ([*names, name], _joined(known, bits))
        peers: list[_Peers] = []
        if statics:
            names, known = by_window.pop(ALWAYS, ([], 0))
            peers.append(_Peers(ALWAYS, tuple(sorted({*names, *statics})), known, tuple(prefixes)))
        peers.extend(
            _Peers(window, tuple(sorted(set(names))), known, ()) for window, (names, known) in by_window.items()
        )
        return peers

    def static(self, prefixes: Iterable[Prefix], name: str = "") -> str:
        ordered = tuple(sorted(set(prefixes), key=str))
        listing = ",".join(str(prefix) for prefix in ordered)
        source = SetSource(f"{_LIST} {name}" if name else listing, prefixes=ordered)
        identity = set_id("static", listing)
        self.sources[identity] = better_said(self.sources.get(identity), source)
        return identity

    def _through_service_addresses(
        self,
        item: ResolvedRule,
        sides: Sequence[_Side],
        far: Sequence[_Part],
        limit: Window,
    ) -> None:
        """A rule to the members also decides the consumer's egress to the service address (DESIGN §3.12)."""
        reached = [part for _element, meaning in far for part in meaning]
        for service in self.estate.service_addresses:
            services = listening(service, item.rule.services)
            if not services:
                continue
            prefix = Prefix(service.address.zone, service.address.family, *[service.address.number] * 2)
            for peer_window in {window for window, _name, bits in reached if bits & self._members[service.name]}:
                peers = _Peers(peer_window, (self.static((prefix,)),), 0, (prefix,))
                for window, bits, own_sets, own_prefixes in sides:
                    common = _common(window, peer_window, limit)
                    if common is not None:
                        self.bind(self._copy(item, common, services, peers, own_sets, own_prefixes), "egress", bits)

    def finish(self, direction: Direction) -> tuple[tuple[Copy, ...], Sequence[Sequence[int]]]:
        """Copies in blame order, and per class the ascending positions of those that bind it."""
        bound: list[tuple[Copy, int]] = []
        for copy, bits in in_blame_order(self.bound[direction], lambda pair: pair[0].artifact):
            if bound and bound[-1][0].artifact == copy.artifact:  # the same at the same times, said by two elements
                bound[-1] = copy, bound[-1][1] | bits
            else:
                bound.append((copy, bits))
        of_class: list[array[int]] = [array("I") for _ in self.classes.items]
        positions: dict[int, tuple[int, ...]] = {}
        for index, (_copy, bits) in enumerate(bound):
            known = positions.get(bits)
            if known is None:
                known = positions[bits] = tuple(positions_of(bits))
            for position in known:
                of_class[position].append(index)
        return tuple([copy for copy, _bits in bound]), of_class


def in_blame_order(items: Iterable[T], rule_of: Callable[[T], ArtifactRule]) -> list[T]:
    """By the order of rules; among copies of one rule by their text, which is written only for them."""
    ordered = sorted([(rule_of(item).order, item) for item in items], key=itemgetter(0))
    result: list[T] = []
    for _order, alike in groupby(ordered, key=itemgetter(0)):
        group = [item for _order, item in alike]
        result.extend(group if len(group) == 1 else sorted(group, key=lambda item: str(rule_of(item))))
    return result


def better_said(known: SetSource | None, new: SetSource) -> SetSource:
    """Rules may write one list in several ways: a named one says most, and which rule came first does not matter."""
    return new if known is None else min(known, new, key=lambda one: (not one.meaning.startswith(_LIST), one.meaning))


def listening(service: ServiceAddress, member_services: Intervals) -> Intervals:
    """The listening points of a service address whose member point is in the set."""
    return normalised((low, low) for low, target in service.ports if intersection(((target, target),), member_services))


def _common(*windows: Window) -> Window | None:
    result: Window | None = ALWAYS
    for window in windows:
        result = None if result is None else overlap(result, window)
    return result


def _joined(known: int, bits: int) -> int:
    """The union, as the very same object where it is the only part: big estates have big bitsets."""
    return known | bits if known and known != bits else bits


def _show_window(window: Window) -> str:
    start, end = window
    return f"[{start.isoformat() if start else ''}..{end.isoformat() if end else ''})"


def failsafe(
    estate: Estate, classes: Classes, controllers: set[str], builder: Builder
) -> Iterator[tuple[Copy, Direction, int]]:
    """Control-path traffic that no policy can close (DESIGN §3.6)."""
    managed = to_bits([index for index, item in enumerate(classes.items) if item.managed])
    control = to_bits(sorted({classes.of[name] for name in controllers}))

    def copy(name: str, services: Intervals, prefixes: tuple[Prefix, ...] | None = None) -> Copy:
        sets = None if prefixes is None else (builder.static(prefixes),)
        rule = ArtifactRule(f"failsafe-{name}", "failsafe", "allow", services, sets)
        return Copy(rule, 0, prefixes or (), None, None)

    sources = tuple(
        Prefix(None, address.family, address.number, address.number) for address in sorted(set(estate.controllers))
    )
    if sources and estate.management_ports:
        yield copy("management", estate.management_ports, sources), "ingress", managed
        yield copy("management", estate.management_ports), "egress", control
    for direction in DIRECTIONS:
        yield copy("signals", line.parse_all(SIGNALS)), direction, managed
        yield copy("dhcp", line.parse_all(DHCP[direction])), direction, managed


__all__ = ["COUNTING", "DHCP", "SIGNALS", "Compiled", "Copy", "SetSource", "Stage", "compile_policy", "listening"]
