# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Answers by keys are the answers flow by flow, also where a draft tells members of a key apart."""

from __future__ import annotations

import copy
import os
import random

import numpy as np
import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.edges import Edges
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import Rejected
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate import Simulation
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_changes import (
    CHANGES,
    CLASSES,
    change_of,
    class_of,
    sorted_into,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_edit import KeyedVerdicts
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_keys import (
    answer_by_keys,
    build_keys,
    keys_of_edges,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_rows import Question
from tests.semantics.fixtures import inputs_of
from tests.support.policies import World, random_world
from tests.support.traffic import random_edges

FULL = int(400 * float(os.environ.get("MICROSEG_PROOF_FRACTION", "1")))


def draft_of(world: World, seed: int) -> World:
    """Other rules for the same hosts: those of another random policy, whatever names they share."""
    other = random_world(seed + 1_000_000, hosts=len(world.hosts))
    draft = copy.deepcopy(world)
    chooser = random.Random(seed)
    rules = [
        rule for document in other.documents for ruleset in document.get("rulesets", []) for rule in ruleset["rules"]
    ]
    rules = [rule for rule in rules if "workload" not in str(rule)]
    for document in draft.documents:
        if document.get("estate"):
            chosen = chooser.sample(rules, min(len(rules), chooser.randint(1, 4)))
            for number, rule in enumerate(chosen):
                rule["id"] = f"new-{number}"
            expiring = "posture" in str([host for host in world.hosts.values() if "expires" in str(host)])
            fitting = [rule for rule in chosen if rule.get("action") != "pass" or not expiring]
            fitting = [rule for rule in fitting if rule.get("action", "allow") == "allow" or "fqdn" not in str(rule)]
            document["rulesets"].append(
                {"name": "new", "tier": chooser.choice(["admin", "application"]), "stage": "active", "rules": fitting}
            )
    return draft


def totals_of(edges: Edges, codes, names, judge) -> dict[str, int]:
    kinds = sorted_into(names, judge, codes, edges.dropped)
    return {name: int(edges.count[kinds == place].sum()) for place, name in enumerate(names)}


def prove(seed: int) -> tuple[int, int, bool]:
    """Keys, how many of them the draft split, and whether it is another policy."""
    world = random_world(seed, hosts=6)
    before = inputs_of(world.documents, world.hosts)
    try:
        after = inputs_of(draft_of(world, seed).documents, world.hosts)
    except Rejected:  # a rule of another world that does not fit this one
        after = before
    edges = random_edges(before.estate, seed, count=400, instant=seed % 3 == 0)
    keys = build_keys(edges, before.active)
    assert keys.edges.count.sum() == edges.count.sum()
    assert keys.rows.sum() == len(edges)
    assert keys.dropped.sum() == edges.count[edges.dropped].sum()
    assert (np.diff(keys.numbers) > 0).all()
    questions = [Question(compiled, intent) for intent in (False, True) for compiled in (before.active, after.active)]
    answers = answer_by_keys(keys, questions, lambda: edges)
    simulation = Simulation(questions, edges)
    codes = simulation.codes()
    assert answers.totals(CHANGES, change_of) == totals_of(edges, codes, CHANGES, change_of)
    assert answers.totals(CLASSES, class_of) == totals_of(edges, codes, CLASSES, class_of)
    key_of = keys_of_edges(keys, edges)
    for key in np.flatnonzero(~answers.split).tolist():
        members = key_of == key
        assert set(codes[members].tolist()) == {int(answers.codes[key])}, (seed, key)
        assert members.sum() == keys.rows[key]
        pairs = set(zip(edges.consumer[members].tolist(), edges.provider[members].tolist(), strict=True))
        assert len(pairs) == keys.pairs[key]
        assert edges.first[members].min() == keys.edges.first[key]
        assert edges.last[members].max() == keys.edges.last[key]
    return len(keys), int(answers.split.sum()), after is not before


def test_answers_by_keys_are_those_by_edges():
    found = [prove(seed) for seed in range(30)]
    assert sum(other for _keys, _split, other in found) > 15
    assert sum(split for _keys, split, _other in found) > 50
    assert sum(keys - split for keys, split, _other in found) > 500


@pytest.mark.proof
def test_answers_by_keys_are_those_by_edges_four_hundred_times():
    assert all(prove(seed)[0] for seed in range(30_000, 30_000 + FULL))


def prove_edits(seed: int) -> int:
    """Every rule taken away alone: the keys that change are those that a compile without it changes."""
    world = random_world(seed, hosts=6)
    inputs = inputs_of(world.documents, world.hosts)
    keys = build_keys(random_edges(inputs.estate, seed, count=400), inputs.active)
    verdicts = KeyedVerdicts(keys, inputs.active)
    if not verdicts.editable:
        assert verdicts.without("any") is None
        return 0
    edits = 0
    for document in world.documents:
        for ruleset in document.get("rulesets", []):
            for rule in list(ruleset["rules"]):
                name = f"{rule['id']}@{document['scope']}/{ruleset['name']}"
                change = verdicts.without(name)
                smaller = copy.deepcopy(world.documents)
                for other in smaller:
                    for part in other.get("rulesets", []):
                        part["rules"] = [one for one in part["rules"] if one["id"] != rule["id"]]
                compiled = inputs_of(smaller, world.hosts).active
                expected = Simulation([Question(compiled)], keys.edges).codes(keys.itself)
                got = verdicts.codes.copy()
                got[change.keys] = change.codes
                assert (got == expected).all(), (seed, name)
                assert (verdicts.codes[change.keys] != change.codes).all()
                edits += len(change.keys) > 0
    return edits


def test_one_rule_less_changes_what_a_compile_without_it_changes():
    assert sum(prove_edits(seed) for seed in range(40)) >= 10
