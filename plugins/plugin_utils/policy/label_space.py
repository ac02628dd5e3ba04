# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""All connections that labels can describe, as points of fields: what a policy means where no inventory is at hand.

An end is a workload, one that a rule names or another, an address of nobody in a zone, or a name (FQDN). A workload has
any labels: of each key counts whether it is absent, has one of the values that selectors name, or another one. Every
fact is known. Workloads stand at every address but those of controllers and service addresses. Rules become
boxes, in each direction, of what they match.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..model import services as line
from ..model.addresses import WHOLE_FAMILY, Family, Prefix
from ..model.artifact import FAILSAFE
from ..model.calendar import Validity
from ..model.diagram import Box
from ..model.estate import DIRECTIONS, ServiceAddress
from ..model.intervals import Intervals, intersection, normalised, subtraction
from ..model.policy import Policy
from ..model.selectors import Requirement, Selector
from .combinations import unnamed
from .compile import DHCP, SIGNALS, listening
from .resolve import Element, ResolvedRule

#: Ordinal of a workload that no rule names; those that one names come after it.
ANONYMOUS = 0
#: Ordinal of an absent key.
ABSENT = 0
ALWAYS = Validity()
#: One side of a box: per key of labels the ordinals, and what the end is.
Labels = tuple[Intervals | None, ...]
Ranges = tuple[Intervals | None, ...]
Sense = Literal["egress", "ingress", "name"]


@dataclass(frozen=True, slots=True)
class Part:
    """A product of ends. None leaves a field open."""

    who: Intervals | None
    labels: Labels
    addresses: Intervals | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """What one direction of a rule says in a box. `sense` "name": what it opens to a name, compared apart."""

    sense: Sense
    tier: str
    action: str
    ranges: Ranges
    validity: Validity = ALWAYS


class Space:
    """Fields: who consumes, who provides, then for each key its value on both sides, both addresses, the service."""

    def __init__(self, rules: Sequence[ResolvedRule], policies: Sequence[Policy], family: Family) -> None:
        self.family = family
        elements = [element for item in rules for element in (*item.consumers, *item.providers)]
        selectors = [element.selector for element in elements] + [item.match for item in rules]
        selectors += [service.members for policy in policies for service in policy.service_addresses]
        used = Counter(key for selector in selectors for key in selector.keys)
        values: dict[str, set[str]] = {key: set() for key in used}
        for selector in set(selectors):
            for requirement in selector.requirements:
                values[requirement.key].update(requirement.values)
        #: The keys that most selectors use come first: they split the space into parts that have little in common.
        self.keys = sorted(used, key=lambda key: (-used[key], key))
        self.values = {key: tuple(sorted(values[key])) for key in self.keys}
        self.others = {key: unnamed(self.values[key]) for key in self.keys}
        self._ordinals = {key: {value: number for number, value in enumerate(self.values[key], 1)} for key in self.keys}
        self.workloads = tuple(sorted({element.name for element in elements if element.kind == "workload"}))
        prefixes = [prefix for element in elements for prefix in element.prefixes]
        zones = {"", *(prefix.zone for prefix in prefixes if prefix.zone is not None)}
        zones |= {service.address.zone for policy in policies for service in policy.service_addresses}
        self.zones = tuple(sorted(zones))
        self.names = tuple(sorted({element.name for element in elements if element.kind == "fqdn"}))
        outside = 1 + len(self.workloads)
        self.somebody: Intervals = ((0, outside - 1),)
        self.outside: Intervals = ((outside, outside + len(self.zones) - 1),)
        self.named: Intervals = ((1, outside - 1),) if self.workloads else ()
        beyond = outside + len(self.zones)
        self.nameable: Intervals = ((beyond, beyond + len(self.names) - 1),) if self.names else ()
        self.last_who = beyond + len(self.names) - 1
        self._nothing: Labels = (None,) * len(self.keys)
        self.reserved = normalised(
            (address.number, address.number)
            for policy in policies
            for address in (*policy.settings.controllers, *(item.address for item in policy.service_addresses))
            if address.family == family
        )
        self._parts: dict[Selector, tuple[Part, ...]] = {}

    @property
    def highest(self) -> list[int]:
        """The last number of each field, in order."""
        keys = [len(self.values[key]) + 1 for key in self.keys for _side in (0, 1)]
        address = WHOLE_FAMILY[self.family][0][1]
        return [self.last_who, self.last_who, *keys, address, address, line.ANY[-1][1]]

    def ranges(self, consumers: Part, providers: Part, services: Intervals) -> Ranges:
        labels = [side for pair in zip(consumers.labels, providers.labels, strict=True) for side in pair]
        return (consumers.who, providers.who, *labels, consumers.addresses, providers.addresses, services)

    def sides(self, box: Box) -> tuple[Part, Part, Intervals]:
        """Consumers, providers and services of a box."""
        first, second = box[2:-3:2], box[3:-3:2]
        return Part(box[0], first, box[-3]), Part(box[1], second, box[-2]), box[-1]

    def impossible(self) -> Iterator[Ranges]:
        """What is no connection of this family between two ends of which one is a workload."""
        nobody = Part(None, self._nothing)
        everything = ((0, line.ANY[-1][1]),)
        no_service = subtraction(everything, line.UNIVERSE[self.family])
        yield self.ranges(nobody, nobody, no_service)
        yield self.ranges(Part(self.outside, self._nothing), Part(self.outside, self._nothing), everything)
        if self.reserved:
            there = Part(self.somebody, self._nothing, self.reserved)
            yield self.ranges(there, nobody, everything)
            yield self.ranges(nobody, there, everything)
        if self.nameable:
            yield self.ranges(Part(self.nameable, self._nothing), nobody, everything)

    def only_itself(self, box: Box) -> bool:
        """One named workload to itself: never meant."""
        consumers, providers = box[0], box[1]
        return (
            consumers == providers
            and len(consumers) == 1
            and bool(intersection(consumers, self.named))
            and (consumers[0][0] == consumers[0][1])
        )

    def to_a_name(self) -> Ranges:
        """Names are no addresses: what rules open to them is compared apart."""
        return self.ranges(Part(None, self._nothing), Part(self.nameable, self._nothing), ((0, line.ANY[-1][1]),))

    def unenforced(self, sense: Sense) -> Ranges:
        """Where the own end is nobody's, nothing is enforced in this direction."""
        outside, anyone = Part(self.outside, self._nothing), Part(None, self._nothing)
        everything = ((0, line.ANY[-1][1]),)
        return self.ranges(*((outside, anyone) if sense == "egress" else (anyone, outside)), everything)

    # -- ends ------------------------------------------------------------------------------------------------------

    def ordinals(self, requirements: Iterable[Requirement], key: str) -> Intervals:
        """The values of one key that satisfy all of its requirements."""
        last = len(self.values[key]) + 1
        result: Intervals = ((0, last),)
        for requirement in requirements:
            if requirement.key != key:
                continue
            if requirement.operator == "exists":
                held: Intervals = ((1, last),)
            elif requirement.operator == "absent":
                held = ((ABSENT, ABSENT),)
            else:
                named = [self._ordinals[key][value] for value in requirement.values]
                held = normalised((number, number) for number in named)
                held = held if requirement.operator == "in" else subtraction(((0, last),), held)
            result = intersection(result, held)
        return result

    def matching(self, selector: Selector) -> tuple[Part, ...]:
        """Workloads a selector matches: one part, or none where it contradicts itself."""
        if selector not in self._parts:
            labels = [self.ordinals(selector.requirements, key) if key in selector.keys else None for key in self.keys]
            possible = all(part is None or part for part in labels)
            self._parts[selector] = (Part(self.somebody, tuple(labels)),) if possible else ()
        return self._parts[selector]

    def members(self, element: Element) -> tuple[Part, ...]:
        """The workloads an element means, whatever their addresses."""
        if element.kind in ("labels", "users", "scope"):
            return self.matching(element.selector)
        if element.kind == "all":
            return (Part(self.somebody, self._nothing),)
        if element.kind == "workload":
            number = 1 + self.workloads.index(element.name)
            return (Part(((number, number),), self._nothing),)
        return ()

    def at(self, prefixes: Iterable[Prefix]) -> Iterator[Part]:
        """Ends by address. Workloads are all in the default zone, which is also meant where a prefix has none."""
        by_zone: dict[str, list[tuple[int, int]]] = {}
        for prefix in prefixes:
            if prefix.family == self.family:
                by_zone.setdefault(prefix.zone or "", []).append((prefix.low, prefix.high))
        for zone, blocks in by_zone.items():
            number = self.outside[0][0] + self.zones.index(zone)
            there: Intervals = ((number, number),)
            who = normalised((*self.somebody, *there)) if zone == "" else there
            yield Part(who, self._nothing, normalised(blocks))

    def bound(self, item: ResolvedRule, own: Iterable[Element]) -> Iterator[Part]:
        """The ends on whose side a rule counts (DESIGN §3.4, §3.9)."""
        inside = (Part(self.somebody, self._nothing),) if item.binds_everyone else self.matching(item.match)
        prefixes: list[Prefix] = []
        for element in own:
            if element.kind == "any":
                yield from inside
            elif element.kind == "addresses":
                prefixes.extend(element.prefixes)
            else:
                yield from self.members(element)
        for there in self.at(prefix for prefix in prefixes if not prefix.zone):
            for part in inside:
                yield Part(part.who, part.labels, there.addresses)

    def peers(self, far: Sequence[Element]) -> Iterator[Part]:
        if any(element.kind == "any" for element in far):
            yield Part(None, self._nothing)
            return
        yield from self.at(prefix for element in far for prefix in element.prefixes)
        for element in far:
            yield from self.members(element)

    # -- rules -----------------------------------------------------------------------------------------------------

    def terms(self, rules: Iterable[ResolvedRule], policy: Policy) -> set[Term]:
        """Everything a policy says in this family, the failsafe included. `rules` are those that count."""
        found = set(self._failsafe(policy))
        for item in rules:
            found.update(self._rule(item, policy.service_addresses))
        return found

    def _rule(self, item: ResolvedRule, services: Sequence[ServiceAddress]) -> Iterator[Term]:
        rule = item.rule
        opened = intersection(rule.services, line.UNIVERSE[self.family])
        validity = Validity(None, rule.expires, rule.schedule)

        def term(sense: Sense, own: Part, far: Part, service: Intervals) -> Term:
            ends = (far, own) if sense == "ingress" else (own, far)
            return Term(sense, item.tier, rule.action, self.ranges(*ends, service), validity)

        consumers, providers = list(self.bound(item, item.consumers)), list(self.bound(item, item.providers))
        if opened:
            for own in consumers:
                yield from (term("egress", own, far, opened) for far in self.peers(item.providers))
                for element in item.providers:
                    if element.kind == "fqdn":
                        number = self.nameable[0][0] + self.names.index(element.name)
                        yield term("name", own, Part(((number, number),), self._nothing), opened)
            for own in providers:
                yield from (term("ingress", own, far, opened) for far in self.peers(item.consumers))
        for service in services:
            heard = intersection(listening(service, rule.services), line.UNIVERSE[self.family])
            if heard and service.address.family == self.family and self._reaches(item.providers, service):
                address = service.address
                prefix = Prefix(address.zone, address.family, address.number, address.number)
                for own in consumers:
                    yield from (term("egress", own, far, heard) for far in self.at((prefix,)))

    def _reaches(self, far: Iterable[Element], service: ServiceAddress) -> bool:
        """Could a workload be meant by one of the elements and be a member?"""
        return any(
            _common(one, other)
            for element in far
            for one in self.members(element)
            for other in self.matching(service.members)
        )

    def _failsafe(self, policy: Policy) -> Iterator[Term]:
        """Control-path traffic that no policy can close (DESIGN §3.6); nobody here is a controller."""
        somebody, anyone = Part(self.somebody, self._nothing), Part(None, self._nothing)
        universe = line.UNIVERSE[self.family]
        controllers = normalised(
            (address.number, address.number) for address in policy.settings.controllers if address.family == self.family
        )
        if controllers and policy.settings.management_ports:
            control = Part(normalised((*self.somebody, *self.outside)), self._nothing, controllers)
            ports = intersection(policy.settings.management_ports, universe)
            yield Term("ingress", FAILSAFE, "allow", self.ranges(control, somebody, ports))
        signals = intersection(line.parse_all(SIGNALS), universe)
        for sense in DIRECTIONS:
            ends = (somebody, anyone) if sense == "egress" else (anyone, somebody)
            for services in (signals, intersection(line.parse_all(DHCP[sense]), universe)):
                yield Term(sense, FAILSAFE, "allow", self.ranges(*ends, services))


def meet(left: Ranges, right: Ranges) -> bool:
    """Do two boxes have a point in common?"""
    return all(
        one is None or other is None or one == other or bool(intersection(one, other))
        for one, other in zip(left, right, strict=True)
    )


def _common(left: Part, right: Part) -> bool:
    return meet((left.who, *left.labels), (right.who, *right.labels))


__all__ = ["ABSENT", "ANONYMOUS", "Part", "Ranges", "Space", "Term", "meet"]
