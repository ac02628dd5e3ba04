# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Between two policies that change by the clock: within old and new at every moment of a pause, not only at one."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import timedelta

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import DirectionPolicy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import of_artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import contains
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.between import PAUSE
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.holdback import held_back
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.plan import make_plan
from tests.support.timed import alive, moments, timed
from tests.unit.orchestration.builders import AT, states
from tests.unit.orchestration.test_phases import NOBODY, OPTIONS, POINTS, random_bundle

Open = dict[tuple[str, int, int], frozenset[int]]


def lets_through(artifact, peers, moment) -> Open:
    form = of_artifact(artifact, moment)
    return {
        (way, own, peer): frozenset(p for p in POINTS if contains(form.at(way, 4, own, peer).allowed, p))
        for way in ("ingress", "egress")
        for own in (low for low, _high in artifact.own[4])
        for peer in peers
    }


def end_to_end(state: dict[str, Open], holders: dict[int, str], peers) -> dict[tuple[int, int], frozenset[int]]:
    def side(way, own, peer) -> frozenset[int]:
        name = holders.get(own)
        return state[name][way, own, peer] if name in state else frozenset(POINTS)

    return {
        (consumer, provider): side("egress", consumer, provider) & side("ingress", provider, consumer)
        for consumer, provider in itertools.permutations(peers, 2)
        if holders.get(consumer) is None or holders.get(consumer) != holders.get(provider)
    }


def failsafe_only(artifact):
    def only(policy):
        return DirectionPolicy("full", tuple(rule for rule in policy.rules if rule.tier == "failsafe"))

    return replace(artifact, ingress=only(artifact.ingress), egress=DirectionPolicy("visibility"))


def check(seed: int, count: int = 3) -> int:
    dice = random.Random(seed)
    second = [dice.random() < 0.15 for _number in range(count)]
    old, new = (timed(dice, random_bundle(dice, count, second), AT) for _version in range(2))
    live = alive({n: replace(one, control_path=None) for n, one in states(old).items()}, old, AT)
    plan = make_plan(new, old, live, AT, OPTIONS)
    names = sorted(new.points)
    peers = [number for entry in new.workloads.values() for _family, number in entry.addresses] + [NOBODY]
    holders = {low: name for name in names for low, _high in new.artifact(name).own[4]}
    middle = {}
    for name in names:
        point = plan.body.points.get(name)
        step = point.steps.first if point else "none"
        middle[name] = {"interim": plan.interim_bundle, "new": new}.get(step, old).artifact(name)
    targets = {name: new.artifact(name) if name in plan.body.points else old.artifact(name) for name in names}
    everything = [part for one in (old, new) for pair in one.policies.values() for part in pair]
    checked = 0
    for missed in (frozenset(), *map(frozenset, itertools.combinations(names, 1)), frozenset(names[:2])):
        held = held_back(new, plan.interim_bundle, missed, AT) if plan.interim_bundle else None
        last = {n: held.artifact(n, new) if held and n in held.waits else targets[n] for n in names}
        for moment in moments(dice, AT, everything, PAUSE - timedelta(days=1)):
            was, will, spare, between, after = (
                {n: lets_through(some[n], peers, moment) for n in names}
                for some in (
                    {n: old.artifact(n) for n in names},
                    {n: new.artifact(n) for n in names},
                    {n: failsafe_only(new.artifact(n)) for n in names},
                    middle,
                    last,
                )
            )
            low, high, free = (end_to_end(some, holders, peers) for some in (was, will, spare))
            present = [name for name in names if name not in missed]
            for moved in itertools.product((False, True), repeat=len(present)):
                ready = {name for name, there in zip(present, moved, strict=True) if there}
                first = {n: between[n] if n in ready else was[n] for n in names}
                following = {n: was[n] if n in missed else after[n] if n in ready else between[n] for n in names}
                for phase, state in (("phase 1", first), ("phase 2", following)):
                    for pair, found in end_to_end(state, holders, peers).items():
                        least, most = low[pair] & high[pair], low[pair] | high[pair]
                        where = (seed, phase, moment, missed, ready, pair)
                        assert least - free[pair] <= found - free[pair] <= most - free[pair], where
                    checked += 1
    return checked


@pytest.mark.parametrize("seed", range(25))
def test_every_state_of_a_rollout_is_right_at_every_moment(seed):
    print(f"seed {seed}")
    assert check(seed) > 0


@pytest.mark.proof
@pytest.mark.parametrize("block", range(8))
def test_every_state_of_a_rollout_is_right_at_every_moment_at_length(block, proof_size):
    for seed in range(10_000 + block * 10_000, 10_000 + block * 10_000 + proof_size(60)):
        print(f"seed {seed}")
        check(seed)


@pytest.mark.parametrize("seed", range(15))
def test_a_forgotten_rollout_is_never_wider_than_old_or_new(seed):
    """Beyond the time of exact windows states may be narrower; what neither policy lets through stays closed."""
    dice = random.Random(seed)
    old, new = (timed(dice, random_bundle(dice, 2, [False, False]), AT) for _version in range(2))
    live = alive({n: replace(one, control_path=None) for n, one in states(old).items()}, old, AT)
    plan = make_plan(new, old, live, AT, OPTIONS)
    peers = [number for entry in new.workloads.values() for _family, number in entry.addresses] + [NOBODY]
    for name in plan.interim_bundle.points if plan.interim_bundle else ():
        for days in (93, 130, 200, 364, 367, 500):
            moment = AT + timedelta(days=days, hours=dice.randint(0, 23))
            was, will, spare, between = (
                lets_through(artifact, peers, moment)
                for artifact in (
                    old.artifact(name), new.artifact(name), failsafe_only(new.artifact(name)),
                    plan.interim_bundle.artifact(name),
                )
            )  # fmt: skip
            for key, found in between.items():
                failsafe = spare[key] if key[0] == "ingress" else frozenset()
                assert found <= (was[key] & will[key]) | failsafe, (seed, name, moment, key)
