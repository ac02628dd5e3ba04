# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Compiled policy kept rule by rule, so that single rules and workloads can be exchanged.

Nothing is kept per class but its members: the rules of a class are found through the elements that mean it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import attrgetter

from ..model.addresses import FAMILIES, Address, Family, Prefix
from ..model.allocation import allocating
from ..model.artifact import ArtifactRule, DirectionPolicy, PeerSet
from ..model.bundle import Bundle, PointEntry
from ..model.estate import DIRECTIONS, Direction, EnforcementPoint, Estate, Mode, Workload
from ..model.intervals import normalised
from ..model.policy import Policy, Rule, Ruleset, Scope
from ..model.selectors import Selector
from .bundling import add_policy, effective_modes, point_entry, workload_entries
from .classes import ALWAYS, positions_of
from .compile import (
    COUNTING,
    Builder,
    SetSource,
    Stage,
    better_said,
    controlling,
    failsafe,
    in_blame_order,
    named_workloads,
    policy_keys,
    static_set,
)
from .delta import Bound, ByClass
from .living import ElementIndex, ElementKey, LivingClasses, bits_of, means
from .resolve import Element, ResolvedRule, resolve_rule

Rules = tuple[ArtifactRule, ...]


def _inside(item: ResolvedRule) -> ElementKey:
    """Who is inside the scope, known like an element: `any` binds only those."""
    return Element("scope", True, Selector() if item.binds_everyone else item.match), False


@dataclass(slots=True)
class _Copy:
    """A rule of an artifact, and the classes that it binds at present."""

    rule: ArtifactRule
    direction: Direction
    bits: int
    order: tuple[int, int, str, str]


@dataclass(slots=True)
class Held:
    """A rule with its copies.

    `plain`: its elements mean classes at all times, so that a class that comes or goes is one bit in `bound`.
    `prefixes`: it binds whoever has an address in them.
    """

    item: ResolvedRule
    bound: list[_Copy]
    elements: tuple[ElementKey, ...]
    statics: dict[str, SetSource]
    names: frozenset[str]
    keys: frozenset[str]
    plain: bool
    prefixes: tuple[Prefix, ...]

    def copies(self) -> list[Bound]:
        return [(copy.rule, copy.direction, copy.bits) for copy in self.bound]


class CompiledState:
    """Holds what `compile_policy` would make of the present policy and estate."""

    def __init__(self, policy: Policy, estate: Estate, stage: Stage = "active") -> None:
        self.stage: Stage = stage
        self._policy = policy
        self._estate = estate
        with allocating():
            self._start()

    # -- what is held -----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        estate, workloads = self._estate, self._estate.workloads
        self._rules: dict[tuple[str, str], dict[str, Rule]] = {}
        self._homes: dict[tuple[str, str], tuple[Scope, Ruleset]] = {}
        items: list[ResolvedRule] = []
        for scope in self._policy.scopes:
            for ruleset in scope.rulesets:
                home = (scope.name, ruleset.name)
                self._homes[home] = scope, ruleset
                self._rules[home] = {rule.id: rule for rule in ruleset.rules}
                if ruleset.stage in COUNTING[self.stage]:
                    items.extend(resolve_rule(rule, scope, ruleset, workloads) for rule in ruleset.rules)
        self._control = {(address.family, address.number) for address in estate.controllers}
        self._named = Counter(name for item in items for name in named_workloads([item]))
        controllers = controlling(estate)
        keys = policy_keys(items, estate.service_addresses)
        self.classes = LivingClasses(estate, keys, self._named, controllers)
        self._builder = Builder(estate, self.classes)
        self._index = ElementIndex(self.classes)
        self._held: dict[str, Held] = {}
        self._users: dict[ElementKey, dict[str, None]] = {}
        self._own: dict[Direction, dict[ElementKey, dict[str, None]]] = {direction: {} for direction in DIRECTIONS}
        self._prefixed: dict[str, None] = {}
        self._by_prefix: dict[tuple[Family, int, int], dict[str, None]] = {}
        self._sizes: Counter[tuple[Family, int]] = Counter()
        self._last_meant: tuple[int, list[ElementKey]] | None = None
        self._named_in: dict[str, dict[str, None]] = {}
        self._elements_of_set: dict[str, dict[ElementKey, None]] = {}
        self._texts: dict[str, str] = {}
        self._keys = Counter(policy_keys((), estate.service_addresses))
        for item in items:
            self._hold(item)
        self._builder.sources = {}
        self._failsafe = [
            (
                _Copy(copy.artifact, direction, 0, copy.artifact.order),
                copy.artifact.id == "failsafe-management" and direction == "egress",
            )
            for copy, direction, _bits in failsafe(estate, self.classes, controllers, self._builder)
        ]
        self._always = self._builder.sources
        self._enforced: dict[Direction, int] = dict.fromkeys(DIRECTIONS, 0)
        positions = range(len(self.classes.items))
        for position in positions:
            self._mark(position)
        self._points = {
            direction: ByClass([self._points_in(position, direction) for position in positions])
            for direction in DIRECTIONS
        }

    def _points_in(self, position: int, direction: Direction) -> tuple[str, ...]:
        return tuple(
            [
                point.id
                for workload in self._workloads_in(position)
                for point in points_of(workload)
                if direction in point.directions
            ]
        )

    def _workloads_in(self, position: int) -> Iterator[Workload]:
        return (self.classes.workloads[name] for name in self.classes.members[position])

    def _controls(self, workload: Workload) -> bool:
        return workload.managed and any((one.family, one.number) in self._control for one in workload.addresses)

    def _mark(self, position: int) -> None:
        item = self.classes.items[position]
        for direction in DIRECTIONS:
            if item.managed and item.modes.of(direction) != "idle":
                self._enforced[direction] |= 1 << position

    def _unmark(self, position: int) -> None:
        for direction in DIRECTIONS:
            self._enforced[direction] &= ~(1 << position)

    def _repoint(self, position: int, removed: Iterable[EnforcementPoint], added: Iterable[EnforcementPoint]) -> None:
        """Keep the points of a class up to date; a delta may still hold what was there before."""
        for direction in DIRECTIONS:
            known = self._points[direction][position]
            for point in removed:
                if direction in point.directions:
                    index = known.index(point.id)
                    known = known[:index] + known[index + 1 :]
            known += tuple(point.id for point in added if direction in point.directions)
            self._points[direction] = self._points[direction].replaced(position, known)

    def _hold(self, item: ResolvedRule) -> Held:
        """Expand a rule and make it known to everything that leads to it."""
        self._last_meant = None
        builder = self._builder
        builder.sources = {}
        builder.bound = {direction: [] for direction in DIRECTIONS}
        builder.by_name = []
        builder.add(item)
        deny = item.rule.action == "deny"
        self._texts.update((name, one.meaning) for name, one in builder.sources.items() if one.prefixes is None)
        statics = {name: one for name, one in builder.sources.items() if one.prefixes is not None}
        known: dict[tuple[Direction, ArtifactRule], _Copy] = {}
        for direction in DIRECTIONS:
            for copy, bits in builder.bound[direction]:
                one = known.setdefault(
                    (direction, copy.artifact), _Copy(copy.artifact, direction, 0, copy.artifact.order)
                )
                one.bits |= bits
        bound = list(known.values())
        elements: dict[ElementKey, None] = {}
        plain = not self._estate.service_addresses
        prefixes: list[Prefix] = []
        names = set(statics)
        for direction in DIRECTIONS:
            own, side = self._own[direction], item.providers if direction == "ingress" else item.consumers
            for element in side:
                if element.kind in ("addresses", "fqdn"):
                    prefixes.extend(element.prefixes)
                    continue
                key = _inside(item) if element.kind == "any" else (element, deny)
                meaning = builder.elements.get(key, ())
                names.update([name for _window, name, _bits in meaning])
                plain = plain and all(window == ALWAYS for window, _name, _bits in meaning)
                elements[key] = None
                own.setdefault(key, {})[item.id] = None
        for key in elements:
            self._use(key, item.id)
        held = Held(
            item,
            bound,
            tuple(elements),
            statics,
            frozenset(names),
            frozenset(policy_keys([item], ())),
            plain,
            tuple(prefixes),
        )
        for name in names:
            self._named_in.setdefault(name, {})[item.id] = None
        self._keys.update(held.keys)
        for prefix in prefixes:
            block = _block(prefix)
            if block not in self._by_prefix:
                self._by_prefix[block] = {}
                self._sizes[block[:2]] += 1
            self._by_prefix[block][item.id] = None
        if any(copy.rule.own is not None for copy in bound):
            self._prefixed[item.id] = None
        self._held[item.id] = held
        return held

    def _use(self, key: ElementKey, identity: str) -> None:
        users = self._users.get(key)
        if users is None:
            users = self._users[key] = {}
            self._index.add(key)
            self._know(key)
        users[identity] = None

    def _know(self, key: ElementKey) -> None:
        for _window, name, _bits in self._builder.elements.get(key, ()):
            self._elements_of_set.setdefault(name, {})[key] = None

    def _unknow(self, key: ElementKey) -> None:
        for _window, name, _bits in self._builder.elements.get(key, ()):
            self._elements_of_set[name].pop(key, None)
            if not self._elements_of_set[name]:
                del self._elements_of_set[name]

    def _let_go(self, identity: str) -> Held:
        self._last_meant = None
        held = self._held.pop(identity)
        for key in held.elements:
            for direction in DIRECTIONS:
                own = self._own[direction].get(key)
                if own is not None:
                    own.pop(identity, None)
            users = self._users[key]
            del users[identity]
            if not users:
                del self._users[key]
                for direction in DIRECTIONS:
                    self._own[direction].pop(key, None)
                self._index.remove(key)
                self._unknow(key)
                self._builder.elements.pop(key, None)
        for name in held.names:
            del self._named_in[name][identity]
            if not self._named_in[name]:
                del self._named_in[name]
        self._keys.subtract(held.keys)
        self._keys += Counter()
        self._prefixed.pop(identity, None)
        for prefix in held.prefixes:
            block = _block(prefix)
            if identity in self._by_prefix.get(block, ()):
                del self._by_prefix[block][identity]
                if not self._by_prefix[block]:
                    del self._by_prefix[block]
                    self._sizes[block[:2]] -= 1
                    if not self._sizes[block[:2]]:
                        del self._sizes[block[:2]]
        return held

    def _speaking_of(self, addresses: Iterable[Address]) -> set[str]:
        """Rules that name a block which holds one of the addresses."""
        return {
            identity
            for address in addresses
            for family, size in self._sizes
            if family == address.family
            for identity in self._by_prefix.get((family, size, address.number - address.number % size), ())
        }

    # -- questions --------------------------------------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        """The present policy; its digest is that of the documents the engine began with."""
        return replace(
            self._policy,
            scopes=tuple(
                replace(
                    scope,
                    rulesets=tuple(
                        replace(one, rules=tuple(self._rules[scope.name, one.name].values())) for one in scope.rulesets
                    ),
                )
                for scope in self._policy.scopes
            ),
        )

    @property
    def estate(self) -> Estate:
        workloads = self.classes.workloads
        return Estate(
            {name: workloads[name] for name in sorted(workloads)},
            self._estate.service_addresses,
            self._estate.controllers,
            self._estate.management_ports,
        )

    def rules(self, workload: str, direction: Direction) -> Rules:
        """The rules that bind a workload, in blame order, whatever its mode. Raises KeyError."""
        return self._rules_of(self.classes.of[workload])[direction]

    def peer_set(self, name: str) -> PeerSet:
        """Raises KeyError for a set no rule names."""
        static = self._static(name)
        if static is not None:
            return static_set(name, static)
        numbers: dict[Family, list[tuple[int, int]]] = {family: [] for family in FAMILIES}
        for position in positions_of(self._bits_of_set(name)):
            for member in self.classes.members[position]:
                for address in self.classes.workloads[member].addresses:
                    numbers[address.family].append((address.number, address.number))
        return PeerSet(name, "members", self._texts[name], {family: normalised(numbers[family]) for family in FAMILIES})

    def _static(self, name: str) -> SetSource | None:
        static = self._always.get(name)
        for identity in self._named_in.get(name, ()):
            one = self._held[identity].statics.get(name)
            static = static if one is None else better_said(static, one)
        return static

    def _meaning_of_set(self, name: str) -> str:
        static = self._static(name)
        return static.meaning if static is not None else self._texts[name]

    def _bits_of_set(self, name: str) -> int:
        key = next(iter(self._elements_of_set[name]))
        return next(bits for _window, known, bits in self._builder.elements[key] if known == name)

    def bundle(self) -> Bundle:
        """What `make_bundle` makes of a fresh compile."""
        policies: dict[str, tuple[DirectionPolicy, DirectionPolicy]] = {}
        points: dict[str, PointEntry] = {}
        known: dict[tuple[int, tuple[Direction, ...]], str] = {}
        estate = self.estate
        for name, workload in estate.workloads.items():
            for point in points_of(workload):
                key = (self.classes.of[name], point.directions)
                if key not in known:
                    modes = effective_modes(workload, point)
                    ingress, egress = (self._direction_policy(key[0], one, modes[one]) for one in DIRECTIONS)
                    known[key] = add_policy(policies, ingress, egress)
                points[point.id] = point_entry(workload, point, known[key])
        sets = {name: self.peer_set(name) for name in sorted({*self._named_in, *self._always})}
        points = {name: points[name] for name in sorted(points)}
        return Bundle(self._policy.digest, points, policies, sets, workload_entries(self._policy, estate))

    def _direction_policy(self, position: int, direction: Direction, mode: Mode) -> DirectionPolicy:
        return DirectionPolicy(mode, () if mode == "idle" else self._rules_of(position)[direction])

    def _meant(self, position: int) -> list[ElementKey]:
        """The elements that mean a class. The last answer is kept until something changes: it is asked for in a row."""
        if self._last_meant is None or self._last_meant[0] != position:
            item, elements = self.classes.items[position], self._builder.elements
            found = [
                key
                for key in self._index.candidates(item)
                if (bits_of(elements[key]) >> position & 1 if key in elements else means(key[0], item))
            ]
            self._last_meant = position, found
        return self._last_meant[1]

    def _rules_of(self, position: int) -> dict[Direction, Rules]:
        item, held = self.classes.items[position], self._held
        meant = self._meant(position)
        control = bool(item.workload) and any(map(self._controls, self._workloads_in(position)))
        rules: dict[Direction, Rules] = {}
        for direction in DIRECTIONS:
            own = self._own[direction]
            identities: dict[str, None] = dict(self._prefixed)
            for key in meant:
                if key in own:
                    identities.update(own[key])
            found = [
                copy
                for identity in identities
                for copy in held[identity].bound
                if copy.direction == direction and copy.bits >> position & 1
            ]
            found += [
                copy
                for copy, only_control in self._failsafe
                if copy.direction == direction and (control if only_control else item.managed)
            ]
            found.sort(key=_order)
            if any(one.order == other.order for one, other in pairwise(found)):
                found = in_blame_order(found, lambda copy: copy.rule)
            rules[direction] = tuple([copy.rule for copy in found])
        return rules


_order = attrgetter("order")


def points_of(workload: Workload) -> tuple[EnforcementPoint, ...]:
    """Those of a bundle: a workload that is not managed, or has no address, has none."""
    return workload.enforcement if workload.managed and workload.addresses else ()


def _block(prefix: Prefix) -> tuple[Family, int, int]:
    return prefix.family, prefix.high - prefix.low + 1, prefix.low
