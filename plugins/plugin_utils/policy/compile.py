# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Compile: validated policy and estate to the rules of every class, in both directions.

Rules become *copies*: one per direction and per interval of time in which both of its sides match. A copy belongs to
the classes it binds; workloads with equal lists of copies share one policy.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

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
from .resolve import Element, ResolvedRule, resolve

Stage = Literal["active", "staged"]
#: Stages of rulesets that count in each of the two answers (DESIGN §3.5).
COUNTING: Mapping[Stage, tuple[str, ...]] = {
    "active": ("active", "retiring"),
    "staged": ("active", "retiring", "staged"),
}


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

    def valid(self, at: datetime) -> bool:
        return Validity(*self.window, self.origin.rule.schedule).holds(at)


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

    def peer_set(self, name: str) -> PeerSet:
        """The set with its addresses, worked out on first use."""
        if name not in self._sets:
            source = self.sources[name]
            if source.prefixes is not None:
                addresses = {
                    family: normalised((item.low, item.high) for item in source.prefixes if item.family == family)
                    for family in FAMILIES
                }
                self._sets[name] = PeerSet(name, "static", source.meaning, addresses)
            else:
                numbers: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
                for workload in self.classes.names(source.bits):
                    for address in self.estate.workloads[workload].addresses:
                        numbers[address.family].append((address.number, address.number))
                self._sets[name] = PeerSet(
                    name, "members", source.meaning, {family: normalised(numbers[family]) for family in FAMILIES}
                )
        return self._sets[name]


def compile_policy(policy: Policy, estate: Estate, stage: Stage = "active") -> Compiled:
    """Findings of scopes (errors too) come along; a caller that wants to enforce must look at them."""
    with allocating():
        return _compile(policy, estate, stage)


def _compile(policy: Policy, estate: Estate, stage: Stage) -> Compiled:
    rules, findings = resolve(policy, estate.workloads)
    counting = [item for item in rules if item.stage in COUNTING[stage]]
    control = {(address.family, address.number) for address in estate.controllers}
    controllers = {
        workload.name
        for workload in estate.workloads.values()
        if workload.managed and any((address.family, address.number) in control for address in workload.addresses)
    }
    keys = {key for item in counting for key in item.match.keys}
    keys |= {
        key for item in counting for element in (*item.consumers, *item.providers) for key in element.selector.keys
    }
    keys |= {key for service in estate.service_addresses for key in service.members.keys}
    named = {
        element.name
        for item in counting
        for element in (*item.consumers, *item.providers)
        if element.kind == "workload"
    }
    classes = Classes(estate, keys, named, controllers)
    builder = _Builder(estate, classes)
    for item in counting:
        builder.add(item)
    for copy, direction, bits in _failsafe(estate, classes, controllers, builder):
        builder.bind(copy, direction, bits)
    copies: dict[Direction, tuple[Copy, ...]] = {}
    of_class: dict[Direction, Sequence[Sequence[int]]] = {}
    for direction in DIRECTIONS:
        copies[direction], of_class[direction] = builder.finish(direction)
    return Compiled(estate, classes, copies, of_class, builder.sources, tuple(builder.by_name), findings)


@dataclass(frozen=True, slots=True)
class _Peers:
    """One alternative of the far side: all of these sets, in one interval of time. `sets` None is any address."""

    window: Window
    sets: tuple[str, ...] | None
    bits: int
    prefixes: tuple[Prefix, ...]


class _Builder:
    def __init__(self, estate: Estate, classes: Classes) -> None:
        self.estate = estate
        self.classes = classes
        self.sources: dict[str, SetSource] = {}
        self.bound: dict[Direction, list[tuple[Copy, int]]] = {"ingress": [], "egress": []}
        self.by_name: list[NamedPeer] = []
        self._elements: dict[tuple[Element, bool], tuple[tuple[Window, str, int], ...]] = {}
        self._members = {item.name: classes.last_known(item.members) for item in estate.service_addresses}

    def bind(self, copy: Copy, direction: Direction, bits: int) -> None:
        self.bound[direction].append((copy, bits))

    def add(self, item: ResolvedRule) -> None:
        deny = item.rule.action == "deny"
        limit: Window = (None, item.rule.expires)
        for direction in DIRECTIONS:
            own, far = (item.providers, item.consumers) if direction == "ingress" else (item.consumers, item.providers)
            sides = list(self._binding(item, own, deny))
            if not sides:
                continue
            names = tuple(sorted(element.name for element in far if element.kind == "fqdn"))
            if names:
                for window, bits, _sets, _prefixes in sides:
                    common = _common(window, limit)
                    if common is not None:
                        self.by_name.append(NamedPeer(item, names, bits, common))
            for peers in self._peers(far, deny):
                for window, bits, own_sets, own_prefixes in sides:
                    common = _common(window, peers.window, limit)
                    if common is not None:
                        copy = self._copy(item, common, item.rule.services, peers, own_sets, own_prefixes)
                        self.bind(copy, direction, bits)
            if direction == "egress" and self.estate.service_addresses:
                self._through_service_addresses(item, sides, far, deny, limit)

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

    def _classes_of(self, element: Element, deny: bool) -> tuple[tuple[Window, str, int], ...]:
        """(interval, peer set id, classes) of an element that means workloads."""
        key = (element, deny)
        if key not in self._elements:
            self._elements[key] = tuple(self._resolve_element(element, deny))
        return self._elements[key]

    def _resolve_element(self, element: Element, deny: bool) -> Iterator[tuple[Window, str, int]]:
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

    def _binding(
        self, item: ResolvedRule, own: Iterable[Element], deny: bool
    ) -> Iterator[tuple[Window, int, tuple[str, ...] | None, tuple[Prefix, ...] | None]]:
        """Which classes the rule binds on this side, when, and for which local addresses (DESIGN §3.4, §3.9)."""
        by_window: dict[Window, int] = {}
        prefixes: list[Prefix] = []
        anything = False
        for element in own:
            if element.kind == "any":
                anything = True
            elif element.kind == "addresses":
                prefixes.extend(element.prefixes)
            else:
                for window, _name, bits in self._classes_of(element, deny):
                    by_window[window] = _joined(by_window.get(window, 0), bits)
        inside = self.classes.everything if item.binds_everyone else self.classes.last_known(item.match)
        if anything:
            by_window[ALWAYS] = _joined(by_window.get(ALWAYS, 0), inside)
        for window, bits in by_window.items():
            yield window, bits, None, None
        if prefixes:
            own_prefixes = tuple(sorted(set(prefixes), key=str))
            rest = inside & ~by_window.get(ALWAYS, 0) & self.classes.holding(own_prefixes)
            if rest:
                yield ALWAYS, rest, (self.static(own_prefixes),), own_prefixes

    def _peers(self, far: Iterable[Element], deny: bool) -> Iterator[_Peers]:
        by_window: dict[Window, tuple[list[str], int]] = {}
        prefixes: list[Prefix] = []
        statics: list[str] = []
        for element in far:
            if element.kind == "any":
                yield _Peers(ALWAYS, None, 0, ())
                return
            if element.kind == "addresses":
                prefixes.extend(element.prefixes)
                statics.append(self.static(element.prefixes, element.name))
            else:
                for window, name, bits in self._classes_of(element, deny):
                    names, known = by_window.get(window, ([], 0))
                    by_window[window] = ([*names, name], _joined(known, bits))
        if statics:
            names, known = by_window.pop(ALWAYS, ([], 0))
            yield _Peers(ALWAYS, tuple(sorted({*names, *statics})), known, tuple(prefixes))
        for window, (names, known) in by_window.items():
            yield _Peers(window, tuple(sorted(set(names))), known, ())

    def static(self, prefixes: Iterable[Prefix], name: str = "") -> str:
        ordered = tuple(sorted(set(prefixes), key=str))
        listing = ",".join(str(prefix) for prefix in ordered)
        identity = set_id("static", listing)
        if identity not in self.sources:
            self.sources[identity] = SetSource(f"ip_list {name}" if name else listing, prefixes=ordered)
        return identity

    def _through_service_addresses(
        self,
        item: ResolvedRule,
        sides: Sequence[tuple[Window, int, tuple[str, ...] | None, tuple[Prefix, ...] | None]],
        far: Iterable[Element],
        deny: bool,
        limit: Window,
    ) -> None:
        """A rule to the members also decides the consumer's egress to the service address (DESIGN §3.12)."""
        reached = [part for element in far if not element.by_address for part in self._classes_of(element, deny)]
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
        ordered = sorted(self.bound[direction], key=lambda pair: (pair[0].artifact.order, str(pair[0].artifact)))
        of_class: list[array[int]] = [array("I") for _ in self.classes.items]
        positions: dict[int, tuple[int, ...]] = {}
        for index, (_copy, bits) in enumerate(ordered):
            if bits not in positions:
                positions[bits] = tuple(positions_of(bits))
            for position in positions[bits]:
                of_class[position].append(index)
        return tuple(copy for copy, _bits in ordered), of_class


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
    return known | bits if known else bits


def _show_window(window: Window) -> str:
    start, end = window
    return f"[{start.isoformat() if start else ''}..{end.isoformat() if end else ''})"


def _failsafe(
    estate: Estate, classes: Classes, controllers: set[str], builder: _Builder
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
    signals = line.parse_all(["icmp/3.4", "proto/2", "icmpv6/2", "icmpv6/130-137", "icmpv6/143"])
    for direction, dhcp in (("ingress", ["udp/68", "udp/546"]), ("egress", ["udp/67", "udp/547"])):
        yield copy("signals", signals), direction, managed  # type: ignore[misc]
        yield copy("dhcp", line.parse_all(dhcp)), direction, managed  # type: ignore[misc]


__all__ = ["COUNTING", "Compiled", "Copy", "SetSource", "Stage", "compile_policy", "listening"]
