# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""diff without an inventory, against the brute-force evaluator and against the enumeration of every class."""

from __future__ import annotations

import copy
import datetime as dt
import itertools
import os
import random

import pytest
import yaml

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import FAMILIES
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import DIRECTIONS
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import contains, subtraction, union
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.combinations import (
    combinations,
    selectors_of,
    synthetic_estate,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.compile import compile_policy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.decide import Decider, End
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import loads
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.ends import Ends, distinct_ends
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.imagined import compare_imagined
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.label_difference import (
    LabelBox,
    compare_labels,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.label_space import Space
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.moments import moments_of
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.resolve import resolve

from ..support.policies import POINTS, random_world
from .brute_force import BruteForce, service_point

AT = dt.datetime(2026, 11, 24, 12, 0, tzinfo=dt.UTC)
SEEDS = 25
PROOF = int(600 * float(os.environ.get("MICROSEG_PROOF_FRACTION", "1")))
PAIRS = 150


def versions(seed: int):
    """The second drops, opens, closes, times or moves rules of the first."""
    world = random_world(seed)
    chooser = random.Random(seed)
    after = copy.deepcopy(world.documents)
    for ruleset in [one for document in after for one in document.get("rulesets", [])]:
        for rule in list(ruleset["rules"]):
            kind = chooser.random()
            if kind < 0.1 and len(ruleset["rules"]) > 1:
                ruleset["rules"].remove(rule)
            elif kind < 0.25:
                rule["services"] = [chooser.choice(["tcp/443", "any", "udp/53", "icmp"])]
            elif kind < 0.35:
                rule["expires"] = chooser.choice(["2026-12-24", "2028-06-01"])
            elif kind < 0.4:
                rule["from"] = chooser.choice([{"role": "web"}, {"role": ["web", "db"]}, "role!=web", rule["from"]])
        if chooser.random() < 0.15:
            ruleset["stage"] = "draft"
    return world, after


def compared(before, after):
    policies = [loads({"p.yml": yaml.safe_dump_all(documents)})[0] for documents in (before, after)]
    rules = [resolve(policy, {})[0] for policy in policies]
    together = [item for mine in rules for item in mine]
    spaces = {family: Space(together, policies, family) for family in FAMILIES}
    found = compare_labels(rules, policies, spaces.values(), "active", AT)
    assert found.complete
    return policies, rules, spaces, found.boxes


def point(space: Space, end: End) -> tuple[int, list[int], int]:
    """What an end is, its labels by key, its address, as numbers of the space."""
    if end.workload is None:
        return space.outside[0][0] + space.zones.index(end.address.zone), [0] * len(space.keys), end.address.number
    who = 1 + space.workloads.index(end.name) if end.name in space.workloads else 0
    labels = []
    for key in space.keys:
        fact = end.workload.labels.get(key)
        values = space.values[key]
        labels.append(0 if fact is None else values.index(fact.value) + 1 if fact.value in values else len(values) + 1)
    return who, labels, end.address.number


def said(boxes: list[LabelBox], space: Space, consumer: tuple, provider: tuple):
    services = ()
    for item in boxes:
        first, second, opened = space.sides(item.box)
        if all(
            contains(part.who, end[0])
            and contains(part.addresses, end[2])
            and all(contains(held, number) for held, number in zip(part.labels, end[1], strict=True))
            for part, end in ((first, consumer), (second, provider))
        ):
            assert not (set(opened) & set(services)), "boxes overlap"
            services = union(services, opened)
    return services


def check_against_classes(seed: int, most: int) -> int:
    """Every pair of classes (or `most` of them), at every moment. Returns how many pairs differed."""
    world, after = versions(seed)
    policies, rules, spaces, boxes = compared(world.documents, after)
    together = [item for mine in rules for item in mine]
    elements = [element for item in together for element in (*item.consumers, *item.providers)]
    reserved = [address for policy in policies for address in policy.settings.controllers]
    reserved += [item.address for policy in policies for item in policy.service_addresses]
    fronts = {item.address for policy in policies for item in policy.service_addresses}
    prefixes = [prefix for element in elements for prefix in element.prefixes]
    classes = combinations(selectors_of(together, policies))
    named = {element.name for element in elements if element.kind == "workload"}
    compiled = [
        compile_policy(policy, synthetic_estate(classes, named, prefixes, policy, reserved)) for policy in policies
    ]
    copies = [copy for one in compiled for direction in DIRECTIONS for copy in one.copies[direction]]
    moments = moments_of((copy.artifact.validity for copy in copies), AT)
    written = [p for one in compiled for source in one.sources.values() for p in source.prefixes or ()]
    ends = Ends(compiled[0], written)
    groups = [*ends.groups, *ends.all_externals(True)]
    chooser = random.Random(seed)
    pairs = [
        pair
        for pair in itertools.product(groups, groups)
        if pair[0].family == pair[1].family and (pair[0].ends or pair[1].ends)
    ]
    differing = 0
    deciders = [[Decider(one, moment, intent=True) for one in compiled] for moment in moments.moments]
    for source, target in chooser.sample(pairs, min(most, len(pairs))):
        two = distinct_ends(source, target)
        if two is None or (named and any(end.address in fronts for end in two)):
            continue  # here a named workload may be a member, there it has no labels
        space = spaces[source.family]
        where = [point(space, end) for end in two]
        so_far = {True: (), False: ()}
        for moment, (old, new) in zip(moments.moments, deciders, strict=True):
            answers = [
                one.allowed(*(End(end.address, one.compiled.estate.workloads.get(end.name)) for end in two))
                for one in (old, new)
            ]
            for allowed in (True, False):
                gained = subtraction(*(answers[::-1] if allowed else answers))
                differing += bool(gained)
                so_far[allowed] = union(so_far[allowed], gained)
                mine = [
                    item for item in boxes if item.space is space and item.allowed is allowed and item.since <= moment
                ]
                assert said(mine, space, *where) == so_far[allowed], (seed, moment, allowed, where)
    return differing


def test_boxes_are_what_the_enumeration_of_classes_finds() -> None:
    assert sum(check_against_classes(seed, PAIRS) for seed in range(SEEDS)) > SEEDS


@pytest.mark.proof
def test_boxes_are_what_the_enumeration_of_classes_finds_in_many_policies() -> None:
    assert sum(check_against_classes(seed, 4 * PAIRS) for seed in range(1000, 1000 + PROOF)) > PROOF


def check_against_brute_force(seed: int) -> int:
    """The hosts of a random world, all in full mode, packet by packet."""
    world, after = versions(seed)
    modes = {"modes": [{"match": {"workload": name}, "mode": "full"} for name in world.hosts]}
    rest = [
        [one for one in documents if "modes" not in one and "workloads" not in one]
        for documents in (world.documents, after)
    ]
    for host in world.hosts.values():
        host.pop("zone", None)
        host["labels"] = {key: v["value"] if isinstance(v, dict) else v for key, v in host["labels"].items()}
    policies, rules, spaces, boxes = compared(*rest)
    references = [BruteForce([*documents, modes], world.hosts) for documents in rest]
    terms = [
        item
        for space in spaces.values()
        for policy, mine in zip(policies, rules, strict=True)
        for item in space.terms(mine, policy)
    ]
    moments = moments_of((item.validity for item in terms), AT).moments
    compared_packets = 0
    reserved = {4: spaces[4].reserved, 6: spaces[6].reserved}
    for one, two in itertools.permutations(references[0].workloads, 2):
        for family in FAMILIES:
            first, second = (
                [entry for entry in references[0].workloads[name]["addresses"] if entry[1].version == family]
                for name in (one, two)
            )
            for source, target in itertools.product(first, second):
                if any(contains(reserved[family], int(entry[1])) for entry in (source, target)):
                    continue
                where = [
                    _host(spaces[family], world.hosts[name], name, entry)
                    for name, entry in ((one, source), (two, target))
                ]
                for text in POINTS:
                    if text.startswith("icmp/" if family == 6 else "icmpv6/"):
                        continue
                    number = line.parse(text)[0][0]
                    so_far = {True: False, False: False}
                    for moment in moments:
                        verdicts = [
                            reference.packet(
                                reference.workloads[one],
                                source,
                                reference.workloads[two],
                                target,
                                service_point(text),
                                moment,
                                "active",
                                True,
                            )["verdict"]
                            == "allowed"
                            for reference in references
                        ]
                        for allowed in (True, False):
                            so_far[allowed] |= verdicts == [not allowed, allowed]
                            mine = [
                                item
                                for item in boxes
                                if item.space is spaces[family] and item.allowed is allowed and item.since <= moment
                            ]
                            assert contains(said(mine, spaces[family], *where), number) == so_far[allowed], (
                                seed,
                                one,
                                two,
                                text,
                            )
                        compared_packets += 1
    return compared_packets


def _host(space: Space, host, name: str, entry):
    who = 1 + space.workloads.index(name) if name in space.workloads else 0
    labels = []
    for key in space.keys:
        value, values = host["labels"].get(key), space.values[key]
        labels.append(0 if value is None else values.index(value) + 1 if value in values else len(values) + 1)
    return who, labels, int(entry[1])


def test_boxes_are_what_the_brute_force_evaluator_finds() -> None:
    assert sum(check_against_brute_force(seed) for seed in range(200, 206)) > 1000


@pytest.mark.parametrize("seed", range(12))
def test_a_policy_has_no_difference_to_itself(seed: int) -> None:
    policy = loads({"p.yml": yaml.safe_dump_all(random_world(seed).documents)})[0]
    assert compare_imagined(policy, policy, "active", AT).empty
