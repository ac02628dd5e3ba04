# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No intermediate state lets through, or drops, what neither the old nor the new policy does."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import DirectionPolicy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import of_artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import contains
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.holdback import held_back
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.partial import idle_bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.plan import PlanOptions, make_plan
from tests.unit.orchestration.builders import AT, bundle, host, states

OPTIONS = PlanOptions(renderer="1")
PORTS = ("tcp/1", "tcp/2", "icmp/8", "udp/3")
POINTS = tuple(line.parse(text)[0][0] for text in PORTS)
NOBODY = 0xC6336401


def random_rules(dice: random.Random) -> list[str]:
    ends = ["any", "role=a", "role=b", "workload h1", "workload h3", "app=x", "cidr 198.51.100.0/24"]
    rules = []
    for number in range(dice.randint(0, 5)):
        action = dice.choices(["allow", "deny", "pass"], [6, 3, 1])[0]
        services = ",".join(dice.sample(PORTS, dice.randint(1, 2)))
        tier = dice.choice(["application", "application", "emergency", "admin", "baseline"])
        rules.append(f"r{number}: {action} {dice.choice(ends)} -> {dice.choice(ends)} : {services} tier={tier}")
    return rules


def random_bundle(dice: random.Random, count: int, second_addresses: list[bool]):
    hosts = [
        host(
            f"h{number + 1}",
            f"app={dice.choice('xy')},role={'ab'[number % 2]}",
            f"10.0.0.{number + 1}",
            *((f"10.0.0.{5 + number}",) if second_addresses[number] else ()),
            modes=f"{dice.choice(MODES)}/{dice.choice(MODES)}",
        )
        for number in range(count)
    ]
    hosts.append(host("u", "app=x,role=a", "10.0.0.9", managed=False))
    return bundle(hosts, random_rules(dice), "", controllers=dice.choice(["", "10.0.0.9"]))


MODES = ("full", "full", "full", "selective", "visibility", "idle")


class Allowed:
    """What a set of points lets through, packet by packet; built from artifacts, as hosts would run them."""

    def __init__(self, artifact, peers: list[int]) -> None:
        self._form = of_artifact(artifact, AT)
        self.own = [low for low, _high in artifact.own[4]]
        self.ingress = {(own, peer): self._of("ingress", own, peer) for own in self.own for peer in peers}
        self.egress = {(own, peer): self._of("egress", own, peer) for own in self.own for peer in peers}

    def _of(self, direction, own, peer) -> frozenset[int]:
        allowed = self._form.at(direction, 4, own, peer).allowed
        return frozenset(point for point in POINTS if contains(allowed, point))


def end_to_end(state: dict[str, Allowed], peers: list[int]) -> dict[tuple[int, int], frozenset[int]]:
    holder = {own: allowed for allowed in state.values() for own in allowed.own}
    everything = frozenset(POINTS)
    return {
        (consumer, provider): (holder[consumer].egress[consumer, provider] if consumer in holder else everything)
        & (holder[provider].ingress[provider, consumer] if provider in holder else everything)
        for consumer in peers
        for provider in peers
        if consumer != provider and not (consumer in holder and holder[consumer] is holder.get(provider))
    }


def check(seed: int, count: int) -> int:
    """Every order of every point through both phases, with every set of points missing: as sets of stages."""
    dice = random.Random(seed)
    second_addresses = [dice.random() < 0.15 for _number in range(count)]
    old, new = (random_bundle(dice, count, second_addresses) for _version in range(2))
    if dice.random() < 0.1:
        old = idle_bundle(old)
    live = {name: replace(state, control_path=None) for name, state in states(old).items()}
    plan = make_plan(new, old, live, AT, OPTIONS)
    names = sorted(new.points)
    peers = [number for entry in new.workloads.values() for _family, number in entry.addresses] + [NOBODY]
    before = {name: Allowed(old.artifact(name), peers) for name in names}
    after = {name: Allowed(new.artifact(name), peers) for name in names}
    middle = dict(before)
    for name, point in plan.body.points.items():
        if point.steps.first == "interim":
            middle[name] = Allowed(plan.interim_bundle.artifact(name), peers)
        elif point.steps.first == "new":
            middle[name] = after[name]
    for name in set(names) - set(plan.body.points):
        assert (before[name].ingress, before[name].egress) == (after[name].ingress, after[name].egress)
    was, will = end_to_end(before, peers), end_to_end(after, peers)
    failsafe = end_to_end({name: _failsafe_only(new.artifact(name), peers) for name in names}, peers)
    checked = 0

    def within(state: dict[str, Allowed], what: object) -> None:
        for pair, allowed in end_to_end(state, peers).items():
            low, high = was[pair] & will[pair], was[pair] | will[pair]
            spare = failsafe[pair]
            assert low - spare <= allowed - spare <= high - spare, (seed, what, pair, low, allowed, high)

    for missed_count in range(count + 1):
        for missed in itertools.combinations(names, missed_count):
            held = held_back(new, plan.interim_bundle, missed, AT) if plan.interim_bundle else None
            last = {
                name: Allowed(held.artifact(name, new), peers) if held and name in held.waits else after[name]
                for name in names
            }
            present = [name for name in names if name not in missed]
            for moved in itertools.product((False, True), repeat=len(present)):
                ready = {name for name, there in zip(present, moved, strict=True) if there}
                within({n: middle[n] if n in ready else before[n] for n in names}, ("phase-1", missed, ready))
                second = {n: before[n] if n in missed else last[n] if n in ready else middle[n] for n in names}
                within(second, ("phase-2", missed, ready))
                checked += 2
    return checked


def _failsafe_only(artifact, peers: list[int]) -> Allowed:
    """Traffic of the failsafe counts on both sides of the comparison (it may come with this very change)."""

    def only(policy):
        rules = tuple(rule for rule in policy.rules if rule.tier == "failsafe")
        return DirectionPolicy("full", rules)

    return Allowed(replace(artifact, ingress=only(artifact.ingress), egress=DirectionPolicy("visibility")), peers)


@pytest.mark.parametrize("seed", range(40))
def test_every_intermediate_state_lies_between_old_and_new(seed):
    print(f"seed {seed}")
    check(seed, 3)


@pytest.mark.proof
@pytest.mark.parametrize("block", range(20))
def test_every_intermediate_state_lies_between_old_and_new_at_length(block, proof_size):
    for seed in range(10_000 + block * 10_000, 10_000 + block * 10_000 + proof_size(150)):
        print(f"seed {seed}")
        check(seed, 4)
