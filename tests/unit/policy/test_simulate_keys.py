# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Answers by keys are the answers flow by flow, also where a draft tells members of a key apart."""

from __future__ import annotations

import copy
import datetime as dt
import os
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import parse_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.edges import Edges, edges_of
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import Rejected
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.flows import Flow, Observations
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.resolve import resolve_rule
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate import Simulation
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_changes import (
    CHANGES,
    CLASSES,
    change_of,
    class_of,
    sorted_into,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_draft import tried
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_edit import KeyedVerdicts
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_keys import (
    answer_by_keys,
    build_keys,
    keys_of_edges,
    split_keys,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_questions import Question
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
    edges = random_edges(inputs.estate, seed, count=400)
    keys = build_keys(at_one_moment(edges) if seed % 2 else edges, inputs.active)
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
                if change is None:
                    assert "fqdn" in str(rule)
                    continue
                smaller = copy.deepcopy(world.documents)
                for other in smaller:
                    for part in other.get("rulesets", []):
                        part["rules"] = [one for one in part["rules"] if one["id"] != rule["id"]]
                compiled = inputs_of(smaller, world.hosts).active
                expected = Simulation([Question(compiled)], keys.edges).codes(keys.itself)
                settled(verdicts, change, expected, (seed, name))
                assert set(change.open.tolist()) <= set(verdicts.shared.tolist())
                edits += len(change.keys) > 0
    return edits


def test_only_keys_that_a_window_cuts_are_asked_by_their_edges():
    """Where no rule that matters begins or ceases to count while the flows of a key were seen, its sum decides."""
    documents = [
        {"settings": {"labels": {"role": {}}, "controllers": ["10.9.0.1"]}},
        {"modes": [{"match": {"role": role}, "mode": "full"} for role in ("web", "db", "job")]},
        {
            "scope": "estate",
            "estate": True,
            "match": {},
            "owners": ["t"],
            "rulesets": [
                {
                    "name": "r",
                    "stage": "active",
                    "rules": [
                        {
                            "id": "for-a-while",
                            "from": {"role": "web"},
                            "to": {"role": "db"},
                            "services": ["tcp/5432"],
                            "expires": "2026-12-01T00:00:00Z",
                        },
                        {"id": "always", "from": {"role": "web"}, "to": {"role": "db"}, "services": ["tcp/22"]},
                    ],
                }
            ],
        },
    ]
    hosts = {
        f"{role}-{number}": {"labels": {"role": role}, "addresses": [f"10.0.{place}.{number}"]}
        for place, role in enumerate(("web", "db", "job"))
        for number in (1, 2)
    }
    compiled = inputs_of(documents, hosts).active
    web, other_web, db, job = (parse_address(text) for text in ("10.0.0.1", "10.0.0.2", "10.0.1.1", "10.0.2.1"))
    day, end = dt.timedelta(days=1), dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
    flows = [
        (web, db, 5432, end - 3 * day, end - 2 * day),
        (job, db, 5432, end - 3 * day, end - 2 * day),
        (job, db, 5432, end + day, end + 2 * day),
        (web, db, 22, end - day, end + day),
        (db, web, 5432, end - day, end + day),
        (web, job, 80, end - day, end + day),
    ]
    seen = [Flow(one, two, point, 1, first, last, "s", "allowed") for one, two, point, first, last in flows]
    whole = Observations(tuple(seen), end - 4 * day, end + 4 * day, ("s",), ("s",), 0.0, "test")
    edges = edges_of(whole)
    keys = build_keys(edges, compiled)
    asked = []
    answers = answer_by_keys(keys, [Question(compiled)], lambda: asked.append(1) or edges)
    split = {str(keys.edges.ends[int(keys.edges.consumer[key])]) for key in np.flatnonzero(answers.split)}
    assert (len(keys), len(asked), split) == (5, 0 if not split else 1, split)
    assert split == set()  # no rule with a time speaks of jobs, of what comes from a database, and of tcp/22

    later = Flow(other_web, db, 5432, 1, end + day, end + 2 * day, "s", "allowed")
    edges = edges_of(replace(whole, flows=(*seen, later)))
    keys = build_keys(edges, compiled)
    answers = answer_by_keys(keys, [Question(compiled)], lambda: edges)
    [cut] = np.flatnonzero(answers.split)
    assert str(keys.edges.ends[int(keys.edges.consumer[cut])]) == "10.0.0.1"
    assert answers.edge_codes.tolist() == [3, 0]


def settled(verdicts: KeyedVerdicts, change, expected, why) -> None:
    """The change leads from the verdicts to those expected, but for the keys that it leaves open."""
    got = verdicts.codes.copy()
    got[change.keys] = change.codes
    assert set(np.flatnonzero(got != expected).tolist()) <= set(change.open.tolist()), why
    assert (verdicts.codes[change.keys] != change.codes).all(), why
    assert not set(change.keys.tolist()) & set(change.open.tolist()), why


def at_one_moment(edges: Edges) -> Edges:
    """So that no rule begins or ceases to count in between."""
    moment = np.full(len(edges), edges.first[0])
    return replace(edges, first=moment, last=moment)


def other_rule(rule: dict, chooser: random.Random) -> dict:
    """The same rule with other services, another action, or other peers."""
    other = copy.deepcopy(rule)
    which = chooser.choice(["services", "action", "from", "to"])
    if which == "services":
        other["services"] = chooser.sample(["tcp/22", "tcp/80-443", "udp/53", "tcp/1-65535", "tcp/5432"], 2)
    elif which == "action":
        other["action"] = chooser.choice(["allow", "deny", "pass"])
    else:
        other[which] = chooser.choice([{"role": "web"}, {"role": ["web", "db"]}, {"env": "prod"}, {"app": "shop"}])
    return other


def prove_rules(seed: int) -> Counter:
    """Every rule put into the policy without it, and another in its place: what a compile with it changes."""
    chooser = random.Random(seed)
    world = random_world(seed, hosts=6)
    inputs = inputs_of(world.documents, world.hosts)
    found: Counter = Counter()
    for number, document in enumerate(world.documents):
        for place, ruleset in enumerate(document.get("rulesets", [])):
            if ruleset.get("stage", "active") not in ("active", "retiring"):
                continue
            for index, rule in enumerate(ruleset["rules"]):
                smaller, other = copy.deepcopy(world.documents), copy.deepcopy(world.documents)
                del smaller[number]["rulesets"][place]["rules"][index]
                other[number]["rulesets"][place]["rules"][index] = other_rule(rule, chooser)
                name = f"{rule['id']}@{document['scope']}/{ruleset['name']}"
                for one, two, old in ((smaller, world.documents, ""), (world.documents, other, name)):
                    try:
                        before, after = (inputs_of(documents, world.hosts) for documents in (one, two))
                    except Rejected:
                        continue
                    keys = build_keys(at_one_moment(random_edges(inputs.estate, seed, count=400)), before.active)
                    verdicts = KeyedVerdicts(keys, before.active)
                    scope = next(item for item in after.policy.scopes if item.name == document["scope"])
                    rules = next(item for item in scope.rulesets if item.name == ruleset["name"])
                    [new] = [item for item in rules.rules if item.id == rule["id"]]
                    change = verdicts.edited(old, resolve_rule(new, scope, rules, after.estate.workloads))
                    draft = tried(verdicts, after.active)
                    simulation = Simulation([Question(after.active)], keys.of_ends)
                    expected = simulation.codes(keys.itself)
                    clear = ~split_keys(keys, simulation)
                    assert (draft.codes == expected)[~draft.split].all(), (seed, name, old)
                    assert (draft.split | clear).all()
                    found["part" if not draft.whole else "whole"] += 1
                    found["drafts"] += bool((draft.codes != verdicts.codes).any() and not draft.whole)
                    if change is None:
                        found["none"] += 1
                        continue
                    settled(verdicts, change, expected, (seed, name, old))
                    # Keys that the new rule cuts through and may change are open.
                    assert set(np.flatnonzero(~clear & (expected != verdicts.codes))) <= {*change.keys, *change.open}
                    found["edits"] += 1
                    found["changed" if old else "added"] += len(change.keys) > 0
    return found


def test_one_rule_more_or_another_changes_what_a_compile_with_it_changes():
    found = sum((prove_rules(seed) for seed in range(24)), Counter())
    assert min(found["added"], found["changed"]) >= 5, found
    assert min(found["part"], found["whole"], found["drafts"], found["none"]) >= 10, found


@pytest.mark.proof
def test_one_rule_more_or_another_two_hundred_times():
    assert sum((prove_rules(seed) for seed in range(70_000, 70_000 + FULL // 2)), Counter())["edits"]


def test_one_rule_less_changes_what_a_compile_without_it_changes():
    assert sum(prove_edits(seed) for seed in range(40)) >= 10
