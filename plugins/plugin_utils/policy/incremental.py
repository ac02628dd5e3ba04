# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Incremental: compiled policy that is edited rule by rule and workload by workload, and says exactly what changes.

A workload that moves between classes that stay changes memberships and nothing else. A class that comes or goes
changes one bit in what its elements mean, and a rule is expanded anew only where the sets it names change. An edit
that changes which labels tell workloads apart compiles everything again (`Delta.rebuilt`), with an answer as exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import reduce

from ..model.addresses import Family
from ..model.allocation import allocating, undisturbed
from ..model.artifact import PeerSet
from ..model.bundle import PointEntry
from ..model.errors import Finding, PolicyError
from ..model.estate import DIRECTIONS, Direction, EnforcementPoint, Mode, Workload
from ..model.policy import Rule
from .bundling import effective_modes, point_entry
from .classes import ALWAYS
from .compile import COUNTING, better_said, named_workloads, policy_keys
from .delta import Bound, Delta, PointsOf, PolicyChange, SetChange, changes_between
from .living import ElementKey, means
from .resolve import ResolvedRule, resolve_rule, rule_findings
from .state import CompiledState, Held, Rules, points_of


class Engine(CompiledState):
    """Edits of rules and workloads. Rule ids are unique in their ruleset."""

    # -- rules ------------------------------------------------------------------------------------------------------

    def put_rule(self, scope: str, ruleset: str, rule: Rule) -> Delta:
        """Add a rule, or put it in the place of the one with its id. Raises PolicyError (E-RULESET)."""
        written = self._written(scope, ruleset)
        home, rules = self._homes[scope, ruleset]
        item = resolve_rule(rule, home, rules, self.classes.workloads)
        grant = next((one for one in self._policy.settings.grants if one.scope == scope), None)
        findings = tuple(rule_findings(item, home, grant, self.classes.workloads))
        written[rule.id] = rule
        if rules.stage not in COUNTING[self.stage]:
            return Delta(findings=findings)
        with undisturbed():
            return self._exchange(item.id, item, findings)

    def remove_rule(self, scope: str, ruleset: str, identity: str) -> Delta:
        """Raises PolicyError (E-RULESET), and E-RULE for a rule that is not there."""
        written = self._written(scope, ruleset)
        if identity not in written:
            raise PolicyError("E-RULE", f"{scope}/{ruleset} has no rule {identity}.", hint="Name a rule it has.")
        del written[identity]
        _home, rules = self._homes[scope, ruleset]
        if rules.stage not in COUNTING[self.stage]:
            return Delta()
        with undisturbed():
            return self._exchange(f"{identity}@{scope}/{ruleset}", None, ())

    def _written(self, scope: str, ruleset: str) -> dict[str, Rule]:
        if (scope, ruleset) not in self._rules:
            raise PolicyError(
                "E-RULESET", f"The policy has no ruleset {scope}/{ruleset}.", hint="Name a scope and a ruleset it has."
            )
        return self._rules[scope, ruleset]

    def _exchange(self, identity: str, item: ResolvedRule | None, findings: tuple[Finding, ...]) -> Delta:
        old = self._held.get(identity)
        leaving = named_workloads([old.item]) if old else set()
        coming = named_workloads([item]) if item else set()
        regrouped = {name for name in coming - leaving if not self._named[name]}
        regrouped |= {name for name in leaving - coming if self._named[name] == 1}
        if self._other_keys(old.item if old else None, item) or self._tells_apart(regrouped):
            return self._rebuilt(findings)
        self._named.update(coming)
        for name in regrouped & coming:  # a class of its own, of which the rules are those of the class it was in
            self._regroup(name)
        before = self._let_go(identity) if old else None
        after = self._hold(item) if item else None
        copies = (before.copies() if before else [], after.copies() if after else [])
        delta = Delta(
            policies=tuple(changes_between(*copies, self._points, self._enforced)),
            sets=tuple(self._existence([before] if before else [], [after] if after else [], {identity})),
            findings=findings,
        )
        self._named.subtract(leaving)
        for name in regrouped & leaving:
            self._regroup(name)
        return delta

    def _other_keys(self, old: ResolvedRule | None, new: ResolvedRule | None) -> bool:
        """Will other labels tell workloads apart?"""
        leaving = policy_keys([old], ()) if old else set()
        coming = policy_keys([new], ()) if new else set()
        return any(not self._keys[key] for key in coming - leaving) or any(
            self._keys[key] == 1 for key in leaving - coming
        )

    def _tells_apart(self, names: Iterable[str]) -> bool:
        """Do rules speak of addresses of these workloads? Such rules bind whole classes, so grouping matters."""
        workloads = self.classes.workloads
        return any(self._speaking_of(workloads[name].addresses) for name in names if name in workloads)

    def _regroup(self, name: str) -> None:
        workload = self.classes.workloads.get(name)
        if workload is not None and (self.classes.items[self.classes.of[name]].workload == name) != self._alone(
            workload
        ):
            self._place(name, workload)

    def _alone(self, workload: Workload) -> bool:
        return self._named[workload.name] > 0 or self._controls(workload)

    def _existence(self, before: Sequence[Held], after: Sequence[Held], rules: set[str]) -> Iterator[SetChange]:
        """Sets that came, went, or are now said in other words, because these rules are held in another form."""
        names_before = {name for held in before for name in held.names}
        names_after = {name for held in after for name in held.names}
        for name in sorted(names_before | names_after):
            others = name in self._always or not rules.issuperset(self._named_in.get(name, ()))
            was, is_ = others or name in names_before, others or name in names_after
            if not is_:
                yield SetChange(name, "", "vanished")
            elif not was:
                yield SetChange(name, self._meaning_of_set(name), "appeared")
            else:
                old, new = (self._said(name, rules, some) for some in (before, after))
                if old != new:
                    yield SetChange(name, new, "renamed")

    def _said(self, name: str, without: set[str], held: Sequence[Held]) -> str:
        """The words for a list of addresses, of some rules and all others but these. "" for sets of members."""
        others = [self._held[identity] for identity in self._named_in.get(name, ()) if identity not in without]
        sources = [one.statics[name] for one in (*others, *held) if name in one.statics]
        if name in self._always:
            sources.append(self._always[name])
        return reduce(better_said, sources).meaning if sources else ""

    # -- workloads --------------------------------------------------------------------------------------------------

    def put_workload(self, workload: Workload) -> Delta:
        """A workload that appears, or what has become of the one with its name: labels, addresses, modes, points."""
        with undisturbed():
            return self._moved(workload.name, workload)

    def remove_workload(self, name: str) -> Delta:
        """Raises PolicyError (E-WORKLOAD) for one that is not there."""
        if name not in self.classes.workloads:
            raise PolicyError("E-WORKLOAD", f"There is no workload {name}.", hint="Name one of the estate.")
        with undisturbed():
            return self._moved(name, None)

    def _moved(self, name: str, new: Workload | None) -> Delta:
        old = self.classes.workloads.get(name)
        if old == new:
            return Delta()
        before = self._carried(old)
        placed = self._place(name, new)
        after = self._carried(new)
        policies = list(self._others(placed, before.keys() | after.keys()))
        policies.extend(_own_changes(before, after))
        return Delta(
            policies=tuple(policies),
            sets=placed.sets,
            points_added=tuple(sorted(after.keys() - before.keys())),
            points_removed=tuple(sorted(before.keys() - after.keys())),
            readdressed=tuple(
                sorted(one for one in after.keys() & before.keys() if after[one].entry != before[one].entry)
            ),
            naming=tuple(self._naming(placed.sets)),
        )

    def _carried(self, workload: Workload | None) -> dict[str, _Carried]:
        """What the points of a workload carry now."""
        found: dict[str, _Carried] = {}
        points = points_of(workload) if workload else ()
        if workload is None or not points:
            return found
        position = self.classes.of[workload.name]
        rules = self._rules_of(position)
        for point in points:
            found[point.id] = _carried(workload, point, rules)
        return found

    def _others(self, placed: _Placed, own: AbstractSet[str]) -> Iterator[PolicyChange]:
        """Changes at the points of other workloads."""
        if not placed.before and not placed.after:
            return
        points = dict(self._points)
        if placed.position is not None:
            for direction, known in points.items():
                others = tuple([one for one in known[placed.position] if one not in own])
                points[direction] = known.replaced(placed.position, others)
        counting = {direction: self._enforced[direction] & ~placed.new_classes for direction in DIRECTIONS}
        yield from changes_between(placed.before, placed.after, points, counting)

    def _place(self, name: str, new: Workload | None) -> _Placed:
        """Take a workload out of its class and put it, as it is from now on, where it belongs."""
        classes = self.classes
        old = classes.workloads.get(name)
        rebuild = self._speaking_of({*(old.addresses if old else ()), *(new.addresses if new else ())})
        leaving: list[ElementKey] = []
        coming: list[ElementKey] = []
        left: int | None = None
        joined: int | None = None
        last = fresh = False
        if old is not None:
            leaving = self._meant(classes.of[name])
            sets_before = self._sets_of(leaving, classes.of[name])
            left, last = classes.leave(name)
            self._repoint(left, points_of(old), ())
        else:
            sets_before = set()
        if new is not None:
            joined, fresh = classes.join(new, self._alone(new))
            self._repoint(joined, (), points_of(new))
        if left == joined:
            last = fresh = False
        timed = any(
            fact.expires is not None
            for position, counts in ((left, last), (joined, fresh))
            if position is not None and counts
            for fact in classes.items[position].labels.values()
        )
        if joined is not None:
            coming = self._meant(joined) if not fresh else self._meant_by_labels(joined)
        if last and left is not None:
            self._unmark(left)
            classes.drop(left)
        if fresh and joined is not None:
            self._mark(joined)
        gone = 1 << left if last and left is not None else 0
        come = 1 << joined if fresh and joined is not None else 0
        if gone or come:
            self._builder.look_at_members()
            rebuild |= self._shift(leaving if gone else [], gone, coming if come else [], come, timed)
        before = [self._let_go(identity) for identity in sorted(rebuild)]
        after = [self._hold(held.item) for held in before]
        existence = list(self._existence(before, after, rebuild))
        sets_after = self._sets_of(coming, joined) if joined is not None else set()
        came_or_went = {change.id for change in existence}
        changed = self._members(
            sets_before - came_or_went, sets_after - came_or_went, name, _numbers(old), _numbers(new)
        )
        old_copies, new_copies = ([copy for held in one for copy in held.copies()] for one in (before, after))
        return _Placed(old_copies, new_copies, (*existence, *changed), joined, gone | come)

    def _meant_by_labels(self, position: int) -> list[ElementKey]:
        """The elements that will mean a new class; where facts end, those that may."""
        item = self.classes.items[position]
        timed = any(fact.expires is not None for fact in item.labels.values())
        return [key for key in self._index.candidates(item) if timed or means(key[0], item)]

    def _sets_of(self, keys: Iterable[ElementKey], position: int) -> set[str]:
        elements = self._builder.elements
        return {name for key in keys for _window, name, bits in elements.get(key, ()) if bits >> position & 1}

    def _shift(
        self, leaving: Iterable[ElementKey], gone: int, coming: Iterable[ElementKey], come: int, timed: bool
    ) -> set[str]:
        """A class is gone, a class has come (one bit each): in what elements mean, and in the copies of plain rules.

        Returns the rules that must be expanded anew.
        """
        rebuild: set[str] = set()
        self._last_meant = None
        elements = self._builder.elements
        moves = {key: [gone, 0] for key in leaving}
        for key in coming:
            moves.setdefault(key, [0, 0])[1] = come
        for key, (clear, add) in moves.items():
            if key in elements:
                known = elements[key]
                bits = known[0][2] & ~clear | add if len(known) == 1 and known[0][0] == ALWAYS and not timed else 0
                if not bits:
                    if self._resolved_anew(key) or timed:
                        rebuild.update(self._users[key])
                        continue
                else:
                    elements[key] = ((ALWAYS, known[0][1], bits),)
            for identity in self._users[key]:
                if not self._held[identity].plain:
                    rebuild.add(identity)
            for direction in DIRECTIONS:
                for identity in self._own[direction].get(key, ()):
                    held = self._held[identity]
                    if held.plain:
                        for copy in held.bound:
                            if copy.direction == direction:
                                copy.bits &= ~clear
                                if copy.rule.own is None:
                                    copy.bits |= add
        return rebuild

    def _resolved_anew(self, key: ElementKey) -> bool:
        """Whether the element now means other sets than before."""
        elements = self._builder.elements
        known = elements[key]
        self._builder.sources = {}
        new = tuple(self._builder.resolve_element(*key))
        self._texts.update((name, one.meaning) for name, one in self._builder.sources.items())
        self._unknow(key)
        elements[key] = new
        self._know(key)
        return [part[:2] for part in new] != [part[:2] for part in known]

    def _members(
        self, before: set[str], after: set[str], name: str, old: frozenset[Number], new: frozenset[Number]
    ) -> Iterator[SetChange]:
        """What sets gain and lose with one workload. Who else has an address keeps it in a set."""
        shared = {
            number: [self.classes.of[other] for other in self.classes.holders(*number) if other != name]
            for number in old | new
        }
        crowded = {number: others for number, others in shared.items() if others}
        for identity in sorted(before | after):
            had = old if identity in before else frozenset()
            has = new if identity in after else frozenset()
            if had == has:
                continue
            if crowded:
                bits = self._bits_of_set(identity)
                kept = {number for number, others in crowded.items() if any(bits >> one & 1 for one in others)}
            else:
                kept = set()
            gained, lost = sorted(has - had - kept), sorted(had - has - kept)
            if gained or lost:
                yield SetChange(identity, self._texts[identity], "changed", tuple(gained), tuple(lost))

    def _naming(self, sets: Iterable[SetChange]) -> Iterator[tuple[Direction, PointsOf]]:
        """The points of which a rule names a changed set."""
        found: dict[Direction, int] = dict.fromkeys(DIRECTIONS, 0)
        for change in sets:
            if change.kind != "changed":
                continue
            for identity in self._named_in[change.id]:
                for copy in self._held[identity].bound:
                    if change.id in (copy.rule.peers or ()) or change.id in (copy.rule.own or ()):
                        found[copy.direction] |= copy.bits
        for direction, bits in found.items():
            if bits:
                yield direction, PointsOf(bits & self._enforced[direction], self._points[direction])

    # -- everything -------------------------------------------------------------------------------------------------

    def _rebuilt(self, findings: tuple[Finding, ...]) -> Delta:
        """Compile the present state again, and compare all of it."""
        with allocating():
            before, sets_before = self._everything()
            self._policy, self._estate = self.policy, self.estate
            self._start()
            after, sets_after = self._everything()
        return Delta(
            policies=tuple(_own_changes(before, after)),
            sets=tuple(_set_changes(sets_before, sets_after)),
            rebuilt=True,
            findings=findings,
        )

    def _everything(self) -> tuple[dict[str, _Carried], dict[str, PeerSet]]:
        rules: dict[int, dict[Direction, Rules]] = {}
        found: dict[str, _Carried] = {}
        for name, workload in self.classes.workloads.items():
            position = self.classes.of[name]
            if position not in rules:
                rules[position] = self._rules_of(position)
            for point in points_of(workload):
                found[point.id] = _carried(workload, point, rules[position])
        return found, {name: self.peer_set(name) for name in {*self._named_in, *self._always}}


Number = tuple[Family, int]


@dataclass(frozen=True, slots=True)
class _Carried:
    entry: PointEntry
    sides: Mapping[Direction, tuple[Mode, Rules]]


@dataclass(frozen=True, slots=True)
class _Placed:
    """What placing a workload did to others: copies of rules that were expanded anew, and sets.

    `position` is its class now, `new_classes` a bitset of classes that came or went with it.
    """

    before: list[Bound]
    after: list[Bound]
    sets: tuple[SetChange, ...]
    position: int | None
    new_classes: int


def _carried(workload: Workload, point: EnforcementPoint, rules: Mapping[Direction, Rules]) -> _Carried:
    modes = effective_modes(workload, point)
    sides = {one: (modes[one], () if modes[one] == "idle" else rules[one]) for one in DIRECTIONS}
    return _Carried(point_entry(workload, point, ""), sides)


def _numbers(workload: Workload | None) -> frozenset[Number]:
    return frozenset((one.family, one.number) for one in workload.addresses) if workload else frozenset()


def _own_changes(before: Mapping[str, _Carried], after: Mapping[str, _Carried]) -> Iterator[PolicyChange]:
    """Point by point, for points that were there before and after."""
    for point in sorted(before.keys() & after.keys()):
        for direction in DIRECTIONS:
            (old_mode, old), (new_mode, new) = before[point].sides[direction], after[point].sides[direction]
            removed, added = _exchanged(old, new)
            if removed or added or old_mode != new_mode:
                yield PolicyChange(direction, (point,), removed, added, (old_mode, new_mode))


def _exchanged(old: Rules, new: Rules) -> tuple[Rules, Rules]:
    """Rules are most often the very same objects; only the others are compared."""
    if old == new:
        return (), ()
    kept, known = {id(rule) for rule in new}, {id(rule) for rule in old}
    removed = [rule for rule in old if id(rule) not in kept]
    added = [rule for rule in new if id(rule) not in known]
    equal = set(removed) & set(added)
    return tuple(rule for rule in removed if rule not in equal), tuple(rule for rule in added if rule not in equal)


def _set_changes(before: Mapping[str, PeerSet], after: Mapping[str, PeerSet]) -> Iterator[SetChange]:
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            if new is not None:
                yield SetChange(name, new.meaning, "appeared")
            elif old is not None:
                yield SetChange(name, old.meaning, "vanished")
        elif old.meaning != new.meaning:
            yield SetChange(name, new.meaning, "renamed")
