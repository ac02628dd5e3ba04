# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""After any edits the engine holds what a fresh compile makes, and every delta is the difference of two compiles."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import Address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.bundle import Bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import PolicyError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import Estate, Workload
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.policy import Policy, Rule
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.bundling import make_bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.compile import compile_policy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.delta import Delta
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.incremental import Engine

from ...semantics.fixtures import inputs_of
from ...support.policies import random_world

SHARE = float(os.environ.get("MICROSEG_PROOF_FRACTION", "1"))


def _read(seed: int, hosts: int) -> tuple[Policy, Estate]:
    world = random_world(seed, hosts)
    inputs = inputs_of(world.documents, world.hosts)
    return inputs.policy, inputs.estate


class Edited:
    """A policy and an estate beside the engine, edited the plain way."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.policy, self.estate = _read(seed, 6)
        other, others = _read(seed + 100_000, 7)
        self.spare = [rule for scope in other.scopes for ruleset in scope.rulesets for rule in ruleset.rules]
        self.hosts = [*others.workloads.values(), *self.estate.workloads.values()]
        self.engine = Engine(self.policy, self.estate)
        self.number = 0

    def bundle(self) -> Bundle:
        return make_bundle(self.policy, compile_policy(self.policy, self.estate))

    def step(self) -> Delta:
        return self.random.choice([self._rule, self._rule, self._workload, self._workload, self._workload])()

    def _rule(self) -> Delta:
        homes = [(scope.name, ruleset.name) for scope in self.policy.scopes for ruleset in scope.rulesets]
        scope, ruleset = home = self.random.choice(homes)
        rules = {rule.id: rule for rule in self._rules(home)}
        what = self.random.random()
        if rules and what < 0.35:
            gone = self.random.choice(list(rules))
            self._write(home, [rule for name, rule in rules.items() if name != gone])
            return self.engine.remove_rule(scope, ruleset, gone)
        rule = self.random.choice(self.spare)
        if rules and what < 0.7:
            rule = replace(rule, id=self.random.choice(list(rules)))
            if self.random.random() < 0.3:
                rule = replace(rules[rule.id], services=rule.services)
        else:
            self.number += 1
            rule = replace(rule, id=f"new-{self.number}")
        self._write(home, [*({**rules, rule.id: rule}).values()])
        return self.engine.put_rule(scope, ruleset, rule)

    def _rules(self, home: tuple[str, str]) -> tuple[Rule, ...]:
        return next(
            ruleset.rules
            for scope in self.policy.scopes
            for ruleset in scope.rulesets
            if (scope.name, ruleset.name) == home
        )

    def _write(self, home: tuple[str, str], rules: list[Rule]) -> None:
        self.policy = replace(
            self.policy,
            scopes=tuple(
                replace(
                    scope,
                    rulesets=tuple(
                        replace(ruleset, rules=tuple(rules)) if (scope.name, ruleset.name) == home else ruleset
                        for ruleset in scope.rulesets
                    ),
                )
                for scope in self.policy.scopes
            ),
        )

    def _workload(self) -> Delta:
        workloads = dict(self.estate.workloads)
        what = self.random.random()
        if workloads and what < 0.15:
            gone = self.random.choice(list(workloads))
            del workloads[gone]
            self._settle(workloads)
            return self.engine.remove_workload(gone)
        model = self.random.choice(self.hosts)
        if not workloads or what < 0.3:
            name = f"w{self.random.randint(1, 9)}"
            new = replace(model, name=name, enforcement=tuple(replace(one, id=name) for one in model.enforcement))
        else:
            new = self.random.choice(list(workloads.values()))
            new = self.random.choice(
                [
                    replace(new, labels=model.labels),
                    replace(new, labels=model.labels),
                    replace(new, addresses=model.addresses),
                    replace(new, addresses=new.addresses[:-1]),
                    replace(new, modes=model.modes),
                    replace(new, managed=not new.managed),
                    replace(new, addresses=(*new.addresses, Address(new.zone, 4, (10 << 24) + 250))),
                    replace(new, zone="lab", addresses=tuple(replace(one, zone="lab") for one in new.addresses)),
                ]
            )
        workloads[new.name] = new
        self._settle(workloads)
        return self.engine.put_workload(new)

    def _settle(self, workloads: dict[str, Workload]) -> None:
        self.estate = Estate(
            {name: workloads[name] for name in sorted(workloads)},
            self.estate.service_addresses,
            self.estate.controllers,
            self.estate.management_ports,
        )


def agrees(before: Bundle, after: Bundle, delta: Delta) -> None:
    """Every statement of a delta, against the two compiles."""
    assert set(delta.points_added) == after.points.keys() - before.points.keys()
    assert set(delta.points_removed) == before.points.keys() - after.points.keys()
    both = before.points.keys() & after.points.keys()
    changed = set()
    for direction, number in (("ingress", 0), ("egress", 1)):
        exchanged: dict[str, tuple[list, list]] = {}
        modes = {}
        for change in delta.policies:
            if change.direction == direction:
                for point in change.points:
                    lists = exchanged.setdefault(point, ([], []))
                    lists[0].extend(change.removed)
                    lists[1].extend(change.added)
                    modes[point] = change.modes
        assert exchanged.keys() <= both
        for point in both:
            old = before.policies[before.points[point].policy][number]
            new = after.policies[after.points[point].policy][number]
            removed, added = exchanged.get(point, ([], []))
            assert sorted(map(str, removed)) == sorted(str(rule) for rule in old.rules if rule not in new.rules), point
            assert sorted(map(str, added)) == sorted(str(rule) for rule in new.rules if rule not in old.rules), point
            if old != new:
                changed.add(point)
            if old.mode != new.mode:
                assert modes[point] == (old.mode, new.mode)
    assert delta.policy_points == changed
    bare = {
        point: (replace(before.points[point], policy=""), replace(after.points[point], policy="")) for point in both
    }
    assert set(delta.readdressed) == {point for point, (old, new) in bare.items() if old != new}
    sets = {change.id: change for change in delta.sets}
    for name in {*before.sets, *after.sets}:
        old, new = before.sets.get(name), after.sets.get(name)
        change = sets.pop(name, None)
        if old == new:
            assert change is None
        elif old is None:
            assert change.kind == "appeared"
        elif new is None:
            assert change.kind == "vanished"
        elif old.addresses != new.addresses:
            assert change.kind == "changed"
            assert set(change.gained) == numbers(new) - numbers(old)
            assert set(change.lost) == numbers(old) - numbers(new)
        else:
            assert change.kind == "renamed"
    assert not sets
    moved = {change.id for change in delta.sets if change.kind == "changed"}
    named = {
        point
        for point in both - changed
        if moved.intersection(
            name
            for policy in after.policies[after.points[point].policy]
            for rule in policy.rules
            for name in (*(rule.peers or ()), *(rule.own or ()))
        )
    }
    assert delta.membership_points == named


def numbers(peer_set) -> set:
    return {
        (family, number)
        for family, intervals in peer_set.addresses.items()
        for low, high in intervals
        for number in (range(low, high + 1) if high - low < 1000 else (low, high))
    }


def edits_agree(seed: int, steps: int) -> int:
    edited = Edited(seed)
    before = edited.bundle()
    assert edited.engine.bundle().digest == before.digest
    rebuilt = 0
    for _step in range(steps):
        delta = edited.step()
        after = edited.bundle()
        assert edited.engine.bundle().digest == after.digest
        agrees(before, after, delta)
        assert isinstance(delta.to_dict()["policies"], list)
        rebuilt += delta.rebuilt
        before = after
    return rebuilt


def test_after_every_edit_the_state_is_a_fresh_compile_and_the_delta_is_the_difference():
    rebuilt = sum(edits_agree(seed, 12) for seed in range(25))

    assert rebuilt < 25 * 12 / 4, "most edits are made in place"


@pytest.mark.proof
@pytest.mark.parametrize("part", range(4))
def test_thousands_of_edits_agree_with_fresh_compiles(part):
    for seed in range(1000 + part * 250, 1000 + part * 250 + max(2, int(250 * SHARE))):
        edits_agree(seed, 20)


def test_what_is_not_there_is_named():
    edited = Edited(3)
    scope = edited.policy.scopes[0]

    with pytest.raises(PolicyError, match="no ruleset shop/nothing") as caught:
        edited.engine.remove_rule("shop", "nothing", "a")
    assert caught.value.code == "E-RULESET"
    with pytest.raises(PolicyError, match="has no rule none") as caught:
        edited.engine.remove_rule(scope.name, scope.rulesets[0].name, "none")
    assert caught.value.code == "E-RULE"
    with pytest.raises(PolicyError, match="no workload w99"):
        edited.engine.remove_workload("w99")
