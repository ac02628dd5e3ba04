# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Verdicts by table lookups are the verdicts of the decider and of the brute-force evaluator, flow by flow."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from itertools import product

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import parse_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.edges import edges_of
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.flows import Flow, Observations
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import contains
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy import simulate as simulating
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.decide import Decider, End
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate import Simulation
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_questions import Question
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import Inputs
from tests.semantics.brute_force import BruteForce, service_point
from tests.semantics.fixtures import inputs_of
from tests.support.policies import World, random_world
from tests.support.traffic import random_edges

WORDS = {0: "denied", 2: "unknown", 3: "allowed"}
FULL = int(600 * float(os.environ.get("MICROSEG_PROOF_FRACTION", "1")))


def questions_of(inputs: Inputs) -> list[Question]:
    return [Question(compiled, intent) for compiled in (inputs.active, inputs.staged) for intent in (False, True)]


def decided(decider: Decider, flow: Flow) -> str:
    """One flow at one moment, side by side, with the decider alone."""
    estate = decider.compiled.estate
    if any(service.address in (flow.consumer, flow.provider) for service in estate.service_addresses):
        return "unknown"
    sources = [End(flow.consumer, item) for item in estate.holders(flow.consumer)] or [End(flow.consumer)]
    targets = [End(flow.provider, item) for item in estate.holders(flow.provider)] or [End(flow.provider)]
    verdicts = set()
    for source, target in product(sources, targets):
        if len(sources) > 1 and (source.workload is target.workload) != (flow.consumer == flow.provider):
            continue
        sides = (
            decider.decide("egress", source, target, flow.service),
            decider.decide("ingress", target, source, flow.service),
        )
        if all(side.verdict == "allowed" for side in sides):
            verdicts.add("allowed")
        elif contains(decider.by_name(source, target), flow.service):
            verdicts.add("unknown")
        else:
            verdicts.add("denied")
    return verdicts.pop() if len(verdicts) == 1 else "unknown"


def prove(seed: int, instant: bool) -> int:
    world = random_world(seed)
    inputs = inputs_of(world.documents, world.hosts)
    edges = random_edges(inputs.estate, seed, instant=instant)
    questions = questions_of(inputs)
    codes = Simulation(questions, edges).codes()
    for index, (code, flow) in enumerate(zip(codes.tolist(), edges.flows(), strict=True)):
        moments = {flow.first_seen, flow.last_seen}
        moments |= {
            moment
            for question in questions
            for copies in question.compiled.copies.values()
            for copy in copies
            for moment in copy.artifact.validity.changes(flow.first_seen, flow.last_seen)
        }
        for number, question in enumerate(questions):
            found = {decided(Decider(question.compiled, at, question.intent), flow) for at in moments}
            expected = found.pop() if len(found) == 1 else "unknown"
            assert WORDS[code >> 2 * number & 3] == expected, (seed, index, number, flow)
    return len(codes)


@pytest.mark.parametrize("block", range(4))
def test_every_flow_gets_the_verdict_of_the_decider(block):
    assert sum(prove(seed, instant=seed % 2 == 0) for seed in range(block, 60, 4))


@pytest.mark.proof
def test_six_hundred_random_estates_get_the_verdicts_of_the_decider():
    assert sum(prove(seed, instant=seed % 2 == 0) for seed in range(20_000, 20_000 + FULL))


def agrees_with_brute_force(world: World, seed: int) -> int:
    inputs = inputs_of(world.documents, world.hosts)
    edges = random_edges(inputs.estate, seed, count=80, instant=True)
    reference = BruteForce(world.documents, world.hosts)
    codes = Simulation(questions_of(inputs), edges).codes()
    virtual = {service.address for service in inputs.estate.service_addresses}
    compared = 0
    for code, flow in zip(codes.tolist(), edges.flows(), strict=True):
        if flow.consumer.zone != flow.provider.zone or virtual & {flow.consumer, flow.provider}:
            continue
        text = line.show(((flow.service, flow.service),))[0]
        sides = [reference.holders((end.zone, _ip(end))) for end in (flow.consumer, flow.provider)]
        if any(len(side) > 1 for side in sides):
            continue
        consumer, provider = (side[0] if side else None for side in sides)
        for number, (stage, intent) in enumerate(product(("active", "staged"), (False, True))):
            source, target = ((end.zone, _ip(end)) for end in (flow.consumer, flow.provider))
            point = service_point(text)
            answer = reference.packet(consumer, source, provider, target, point, flow.first_seen, stage, True, intent)[
                "verdict"
            ]
            verdict = WORDS[code >> 2 * number & 3]
            if verdict == "unknown":
                assert answer == "denied"
                assert provider is None
            else:
                assert verdict == answer, (seed, flow, stage, intent)
            compared += 1
    return compared


def _ip(end):
    return ipaddress.ip_address(str(end))


@pytest.mark.parametrize("seed", range(30))
def test_a_sample_agrees_with_the_brute_force_evaluator(seed):
    assert agrees_with_brute_force(random_world(seed), seed) > 20


def test_chunks_make_no_difference(monkeypatch):
    world = random_world(5)
    inputs = inputs_of(world.documents, world.hosts)
    edges = random_edges(inputs.estate, 5)
    whole = Simulation(questions_of(inputs), edges).codes()
    monkeypatch.setattr(simulating, "CHUNK", 7)
    assert (Simulation(questions_of(inputs), edges).codes() == whole).all()


def test_a_flow_across_the_end_of_a_rule_is_unknown_and_says_why():
    documents = [
        {"settings": {"labels": {"role": {}}}},
        {"modes": [{"match": "role", "mode": "full"}]},
        {
            "scope": "estate", "match": {}, "estate": True, "owners": ["t"],
            "rulesets": [{"name": "a", "tier": "application", "stage": "active", "rules": [
                {"id": "until", "from": {"role": "web"}, "to": {"role": "db"}, "services": ["tcp/5432"],
                 "expires": "2026-12-01T00:00:00Z"},
            ]}],
        },
    ]  # fmt: skip
    hosts = {
        "web": {"labels": {"role": "web"}, "addresses": ["10.0.0.1"]},
        "db": {"labels": {"role": "db"}, "addresses": ["10.0.0.2"]},
    }
    end = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
    second = dt.timedelta(seconds=1)
    web, db = parse_address("10.0.0.1"), parse_address("10.0.0.2")
    times = [(end - 9 * second, end - second), (end - second, end), (end, end + second)]
    flows = [Flow(web, db, 5432, 1, first, last, "db") for first, last in times]
    flows.append(Flow(web, db, 22, 1, end - second, end, "db"))
    inputs = inputs_of(documents, hosts, end - dt.timedelta(days=9))
    simulation = Simulation([Question(inputs.active)], edges_of(Observations(tuple(flows), end, end, (), (), 0.0, "x")))
    assert [WORDS[code] for code in simulation.codes().tolist()] == ["allowed", "unknown", "denied", "denied"]
    assert simulation.reason(0, 1) == "a rule began or ceased to count while the flow was seen"
