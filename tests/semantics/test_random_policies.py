# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Random estates and policies: the product agrees with the brute-force evaluator, packet by packet."""

from __future__ import annotations

import datetime as dt
import ipaddress
import itertools
import os
import random

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import PolicyError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import of_artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import contains
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.compile import compile_bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.explain import explain
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.reach import reach

from ..support.policies import ASKED_AT, POINTS, World, random_world
from . import brute_schedule
from .brute_force import BruteForce, moment_of, service_point
from .fixtures import inputs_of

SAMPLE = 120
CONDITIONS = 12
FULL = int(2000 * float(os.environ.get("MICROSEG_PROOF_FRACTION", "1")))


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


def point_of(text: str) -> int:
    return line.parse(text)[0][0]


def pairs_of(reference: BruteForce):
    for consumer, provider in itertools.permutations(reference.workloads.values(), 2):
        for version in (4, 6):
            sources = [item for item in consumer["addresses"] if item[1].version == version]
            targets = [item for item in provider["addresses"] if item[1].version == version]
            if sources and targets:
                yield consumer, sources, provider, targets, version


def points_in(version: int):
    for text in POINTS:
        if not text.startswith("icmp/" if version == 6 else "icmpv6/"):
            yield text


def compare_reach(world: World, at: str, stage: str, failsafe: bool) -> int:
    """Number of packets compared."""
    reference = BruteForce(world.documents, world.hosts, world.facts)
    inputs = inputs_of(world.documents, world.hosts, moment(at), world.facts)
    report = reach(inputs, stage=stage, with_failsafe=failsafe)
    answers = {(pair.consumer, pair.provider, pair.family): pair for pair in report.pairs}
    compared = 0
    expected_keys = set()
    for consumer, sources, provider, targets, version in pairs_of(reference):
        answer = answers[consumer["name"], provider["name"], version]
        expected_keys.add((consumer["name"], provider["name"], version))
        shown = {(str(p.consumer.address), str(p.provider.address)): p.allowed for p in answer.by_address or ()}
        for text in points_in(version):
            verdicts = []
            for source, target in itertools.product(sources, targets):
                packet = reference.packet(
                    consumer, source, provider, target, service_point(text), moment(at), stage, failsafe
                )
                allowed = packet["verdict"] == "allowed"
                verdicts.append(allowed)
                if shown:
                    assert contains(shown[str(source[1]), str(target[1])], point_of(text)) == allowed, (
                        world.seed,
                        text,
                    )
                compared += 1
            assert contains(answer.allowed, point_of(text)) == any(verdicts), (
                world.seed, at, stage, failsafe, consumer["name"], provider["name"], version, text,
            )  # fmt: skip
            assert shown or len(set(verdicts)) == 1, (world.seed, text)
    assert set(answers) == expected_keys
    return compared


def compare_artifacts(world: World, at: str) -> int:
    """The compiled artifact of every host says, side by side, what the evaluator says; outsiders included."""
    reference = BruteForce(world.documents, world.hosts, world.facts)
    bundle = compile_bundle(inputs_of(world.documents, world.hosts, moment(at), world.facts))
    compared = 0
    strangers = [
        ("", ip) for ip in map(ipaddress.ip_address, ("203.0.113.9", "10.0.0.77", "2001:db8:ffff::1", "10.0.0.250"))
    ]
    for point, entry in bundle.points.items():
        own = reference.workloads[entry.workload]
        form = of_artifact(bundle.artifact(point), moment(at))
        ends = [(w, a) for w in reference.workloads.values() for a in w["addresses"]] + [(None, a) for a in strangers]
        for direction in ("ingress", "egress"):
            for local in own["addresses"]:
                for peer, address in ends:
                    if peer is own or address[1].version != local[1].version or address[0] != own["zone"]:
                        continue  # another zone's address cannot be told apart on the wire; that is the zones' own test
                    cell = form.at(direction, local[1].version, int(local[1]), int(address[1]))
                    for text in points_in(local[1].version):
                        verdict, _by = reference.side(
                            direction, own, local, peer, address, service_point(text), moment(at), "active"
                        )
                        assert contains(cell.allowed, point_of(text)) == (verdict == "allowed"), (
                            world.seed, at, direction, entry.workload, str(address[1]), text,
                        )  # fmt: skip
                        compared += 1
    return compared


def compare_explanations(world: World, at: str, take: int) -> int:
    reference = BruteForce(world.documents, world.hosts, world.facts)
    inputs = inputs_of(world.documents, world.hosts, moment(at), world.facts)
    chooser = random.Random(world.seed)
    names = [*reference.workloads, "203.0.113.9", "2001:db8:ffff::1"]
    names += [item["name"] for item in reference.service_addresses]
    compared = 0
    for _ in range(take):
        consumer, provider = chooser.choice([*reference.workloads]), chooser.choice(names)
        text = chooser.choice(POINTS)
        try:
            answer = explain(inputs, consumer, provider, text).answer
        except PolicyError as error:
            if error.code != "E-TARGET":
                raise
            continue
        expected = reference.connection(consumer, provider, text, moment(at))
        assert answer.verdict == expected["verdict"], (world.seed, at, consumer, provider, text)
        compared += 1
    return compared


def prove(seed: int) -> int:
    world = random_world(seed)
    at = ASKED_AT[seed % len(ASKED_AT)]
    packets = compare_reach(world, at, ("active", "staged")[seed % 2], bool(seed % 3))
    return packets + compare_artifacts(world, at) + compare_explanations(world, at, 12)


def turning_points(world: World, timezone: str = "UTC") -> list[dt.datetime]:
    """When a window of a rule opens or closes, or a fact ends, from the observation on for some hundred days."""
    begin = moment(world.facts["observed"])
    rules = [
        rule
        for document in world.documents
        for ruleset in document.get("rulesets", [])
        for rule in ruleset["rules"]
        if ruleset["stage"] != "draft"
    ]
    found = set()
    for rule in rules:
        if "when" in rule:
            last = begin.date() + dt.timedelta(days=200)
            windows = brute_schedule.windows(rule["when"]["schedule"], rule["when"]["duration"], timezone, last)
            found |= {edge for window in windows[-200:] for edge in window if edge > begin}
    found |= {moment_of(session["until"], timezone) for session in world.facts["sessions"] if "until" in session}
    found.add(BruteForce(world.documents, world.hosts, world.facts).known_until)
    return sorted(found)


def prove_conditions(seed: int) -> int:
    """One world at three of its turning points, exactly or a second before."""
    world = random_world(seed, conditions=True)
    chooser = random.Random(seed)
    packets = 0
    for edge in chooser.sample(found := turning_points(world), min(3, len(found))):
        at = (edge - dt.timedelta(seconds=chooser.choice([0, 1]))).isoformat()
        packets += compare_reach(world, at, ("active", "staged")[seed % 2], bool(seed % 3))
        packets += compare_artifacts(world, at) + compare_explanations(world, at, 8)
    return packets


@pytest.mark.parametrize("block", range(4))
def test_random_policies_with_conditions_agree_with_the_reference(block: int) -> None:
    assert sum(prove_conditions(seed) for seed in range(500 + block, 500 + CONDITIONS, 4)) > 0


@pytest.mark.proof
def test_hundreds_of_random_policies_with_conditions_agree_with_the_reference() -> None:
    packets = sum(prove_conditions(seed) for seed in range(20_000, 20_000 + FULL // 4))
    print(f"\n{FULL // 4} policies with conditions, three moments each (seeds from 20000): {packets:,} packets agree")
    assert packets


@pytest.mark.parametrize("block", range(6))
def test_random_policies_agree_with_the_reference(block: int) -> None:
    assert sum(prove(seed) for seed in range(block, SAMPLE, 6)) > 0


@pytest.mark.proof
def test_two_thousand_random_policies_agree_with_the_reference() -> None:
    packets = sum(prove(seed) for seed in range(10_000, 10_000 + FULL))
    print(f"\n{FULL} random estates and policies (seeds 10000 to {10_000 + FULL - 1}): {packets:,} packets agree")
    assert packets
