# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Random pairs of policies and estates: diff says what a plain comparison of every pair of ends says, at every moment,
and the brute-force evaluator agrees."""

from __future__ import annotations

import copy
import itertools
import os
import random
from collections.abc import Iterator

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import Address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import MicrosegError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import DIRECTIONS
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import (
    contains,
    intersection,
    subtraction,
    union,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy import changed_pairs
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.decide import Decider, End
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.difference import compare_over_time
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.ends import ends_of
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.moments import moments_of

from ..support.policies import LABELS, POINTS, PREFIXES, SERVICES, World, random_world
from .brute_force import BruteForce, service_point
from .fixtures import NOW, inputs_of
from .test_random_policies import point_of

SAMPLE = 60
FULL = int(1000 * float(os.environ.get("MICROSEG_PROOF_FRACTION", "1")))


def two_versions(seed: int) -> tuple[World, World]:
    """The second policy differs in a few rules, and often in modes, labels, addresses, hosts and settings."""
    chooser = random.Random(f"versions-{seed}")
    before = random_world(seed, hosts=chooser.choice([2, 3, 4, 5]), conditions=seed % 2 == 1)
    if chooser.random() < 0.3:  # two workloads that differ in nothing, and one with two addresses of one sort
        name, host = chooser.choice([*before.hosts.items()] or [("", {})])
        if host and not host.get("zone"):
            before.hosts[f"{name}-twin"] = {**copy.deepcopy(host), "addresses": ["10.0.0.201", "10.0.0.202"]}
            before.documents.append({"modes": [{"match": {"workload": f"{name}-twin"}, "mode": "full"}]})
            if chooser.random() < 0.5:
                host["shared"] = before.hosts[f"{name}-twin"]["shared"] = True
                before.hosts[f"{name}-twin"]["addresses"].append(host["addresses"][0])
    after = copy.deepcopy(before)
    for document in after.documents:
        for ruleset in document.get("rulesets", []):
            for rule in ruleset["rules"]:
                _change(chooser, rule, bool(document.get("estate")))
            if len(ruleset["rules"]) > 1 and chooser.random() < 0.15:
                ruleset["rules"].pop()
            if chooser.random() < 0.1:
                ruleset["stage"] = chooser.choice(["draft", "active"])
        for mode in document.get("modes", []):
            if chooser.random() < 0.1:
                match = mode["match"]
                mode.clear()
                mode.update({"match": match, "mode": chooser.choice(["full", "selective", "visibility"])})
        if "service_addresses" in document and chooser.random() < 0.3:
            document["service_addresses"][0]["ports"] = {"tcp/443": "tcp/22"}
        if "settings" in document and chooser.random() < 0.15:
            document["settings"]["management_ports"] = ["tcp/22-23"]
    for host in after.hosts.values():
        if chooser.random() < 0.1:
            host["labels"] = {**host["labels"], "role": chooser.choice(LABELS["role"])}
        if chooser.random() < 0.1 and len(host["addresses"]) > 1 and not host.get("shared"):
            host["addresses"] = host["addresses"][:-1]
    if chooser.random() < 0.2:
        after.hosts["fresh"] = {"labels": {"app": "shop"}, "addresses": ["10.0.0.77", "2001:db8::77"]}
    return before, after


def _change(chooser: random.Random, rule: dict, estate: bool) -> None:
    draw = chooser.random()
    if draw < 0.15:
        rule["services"] = [chooser.choice(SERVICES)]
    elif draw < 0.2:
        rule["id"] = f"{rule['id']}-renamed"
    elif draw < 0.25 and estate:
        rule["to"] = chooser.choice([{"role": "web"}, {"cidr": chooser.choice(PREFIXES)}, "any"])
    elif draw < 0.3 and rule.get("action") != "pass":
        rule["expires"] = "2026-12-10"
    elif draw < 0.33:
        rule.pop("when", None)


def outsiders(deciders: tuple[Decider, Decider]) -> Iterator[End]:
    """Addresses of nobody at both edges of every prefix, and far from all."""
    prefixes = {
        prefix
        for decider in deciders
        for source in decider.compiled.sources.values()
        for prefix in source.prefixes or ()
    }
    numbers = {(4, 0xCB007109), (6, 0x20010DB8FFFF << 80)}
    for prefix in prefixes:
        for number in (prefix.low - 1, prefix.low, prefix.high, prefix.high + 1):
            if 0 <= number < 1 << (32 if prefix.family == 4 else 128):
                numbers.add((prefix.family, number))
    estate = deciders[1].compiled.estate
    for zone in {"", *(workload.zone for workload in estate.workloads.values())}:
        for family, number in sorted(numbers):
            if not estate.holders(Address(zone, family, number)):
                yield End(Address(zone, family, number))


def every_pair(deciders: tuple[Decider, Decider]) -> Iterator[tuple[tuple[End, End], tuple[End, End]]]:
    """Consumer and provider before, consumer and provider after."""
    olds = {end: end for one in deciders[0].compiled.estate.workloads.values() for end in ends_of(one)}
    news = [end for one in deciders[1].compiled.estate.workloads.values() for end in ends_of(one) if end in olds]
    both = [(olds[end], end) for end in news] + [(end, end) for end in outsiders(deciders)]
    for consumer, provider in itertools.product(both, both):
        one, other = consumer[1], provider[1]
        if one.address.family == other.address.family and one.name != other.name:
            yield (consumer[0], provider[0]), (one, other)


def prove(seed: int) -> tuple[int, int]:
    """How many pairs were compared, and how many boxes were said."""
    worlds = two_versions(seed)
    try:
        inputs = [inputs_of(world.documents, world.hosts, NOW, world.facts) for world in worlds]
        deciders = Decider(inputs[0].active, NOW), Decider(inputs[1].active, NOW)
    except MicrosegError:
        return 0, 0
    spoken: list[list] = []

    def describe(groups: list) -> str:
        spoken.append(groups)
        return str(len(spoken) - 1)

    found = compare_over_time(*deciders, describe, lambda end: end.name)
    said: dict[tuple, list] = {}
    pairs = list(every_pair(deciders))
    for allowed, boxes in ((True, found.newly_allowed), (False, found.newly_denied)):
        for box in boxes:
            if box.providers.startswith("fqdn"):
                continue
            sides = [spoken[int(words)] for words in (box.consumers, box.providers)]
            for _olds, news in pairs:
                if all(_among(end, groups) for end, groups in zip(news, sides, strict=True)):
                    said.setdefault((allowed, *news), []).append((box.since or NOW, box.services))
    validities = {
        rule.artifact.validity
        for decider in deciders
        for direction in DIRECTIONS
        for rule in decider.compiled.copies[direction]
    }
    moments = {at: (deciders[0].at_moment(at), deciders[1].at_moment(at)) for at in moments_of(validities, NOW).moments}
    for boxes in said.values():
        for at, _services in boxes:
            moments.setdefault(at, (deciders[0].at_moment(at), deciders[1].at_moment(at)))
    for olds, news in pairs:
        known = {True: (), False: ()}
        for at in sorted(moments):
            before, after = moments[at][0].allowed(*olds), moments[at][1].allowed(*news)
            for allowed, change in ((True, subtraction(after, before)), (False, subtraction(before, after))):
                fresh = subtraction(change, known[allowed])
                claimed = ()
                for since, services in said.get((allowed, *news), ()):
                    if since == at:
                        assert not intersection(claimed, services), (seed, news, "said twice")
                        claimed = union(claimed, services)
                assert not subtraction(claimed, fresh), (seed, at, news, allowed, claimed, change)
                assert claimed == fresh or not found.complete, (seed, at, news, allowed, claimed, change)
                known[allowed] = union(known[allowed], fresh)
    if found.complete:
        _agrees_with_the_reference(seed, worlds, sorted(moments), said)
    return len(pairs), len(found.newly_allowed) + len(found.newly_denied)


def _among(end: End, groups: list) -> bool:
    if end.workload is not None:
        return any(end in group.ends for group in groups)
    return any(
        not group.ends
        and group.representative.address.zone == end.address.zone
        and group.family == end.address.family
        and contains(group.region, end.address.number)
        for group in groups
    )


def _agrees_with_the_reference(seed: int, worlds: tuple[World, World], moments: list, said: dict) -> None:
    """Single packets, chosen at random, at moments chosen at random: what differs was said, and only that."""
    chooser = random.Random(seed)
    references = [BruteForce(world.documents, world.hosts, world.facts) for world in worlds]
    names = sorted(set(references[0].workloads) & set(references[1].workloads))
    claimed = {
        (key[0], key[1].name, str(key[1].address), key[2].name, str(key[2].address)): boxes
        for key, boxes in said.items()
    }
    for consumer, provider in itertools.permutations(names, 2):
        ends = [[reference.workloads[name] for reference in references] for name in (consumer, provider)]
        for source, target in itertools.product(*[_shared(*both) for both in ends]):
            if source[1].version != target[1].version:
                continue
            key = (consumer, str(source[1]), provider, str(target[1]))
            for text in chooser.sample(POINTS, 6):
                if text.startswith("icmp/" if source[1].version == 6 else "icmpv6/"):
                    continue
                at = chooser.choice(moments)
                old, new = (
                    reference.packet(ends[0][side], source, ends[1][side], target, service_point(text), at, "active")[
                        "verdict"
                    ]
                    == "allowed"
                    for side, reference in enumerate(references)
                )
                for allowed, differs in ((True, new and not old), (False, old and not new)):
                    told = any(
                        since <= at and contains(services, point_of(text))
                        for since, services in claimed.get((allowed, *key), ())
                    )
                    assert told or not differs, (seed, at, key, text, allowed)


def _shared(before: dict, after: dict) -> list:
    return [pair for pair in before["addresses"] if pair in after["addresses"]]


@pytest.mark.parametrize("block", range(4))
def test_diff_says_what_a_comparison_of_every_pair_says(block: int) -> None:
    found = [prove(seed) for seed in range(block, SAMPLE, 4)]
    assert sum(pairs for pairs, _boxes in found)
    assert sum(boxes for _pairs, boxes in found)


def test_pairs_in_small_blocks_are_the_same_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed_pairs, "_BLOCK", 3)
    found = [prove(seed) for seed in range(1000, 1006)]
    assert sum(boxes for _pairs, boxes in found)


@pytest.mark.proof
def test_a_thousand_diffs_say_what_a_comparison_of_every_pair_says() -> None:
    found = [prove(seed) for seed in range(30_000, 30_000 + FULL)]
    pairs, boxes = (sum(column) for column in zip(*found, strict=True))
    print(f"\n{FULL} pairs of policies (seeds from 30000): {pairs:,} pairs of ends, {boxes:,} boxes")
    assert pairs
    assert boxes
