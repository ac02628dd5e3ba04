# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What every recommendation promises, on random estates with random policies and random flows.

The documents it writes are read by the evaluator that shares no code with the product, which then judges every packet.
"""

from __future__ import annotations

import datetime as dt
import os
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.edges import Edges
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.authoring import PolicyFiles
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import loads
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend import (
    Learning,
    Recommendation,
    changed_texts,
    recommend,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend.filters import UNWANTED
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend.observed import Talk
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import Inputs, join
from tests.semantics.brute_force import BruteForce, service_point
from tests.semantics.fixtures import inputs_of, inventory_host
from tests.support.observed import Observer
from tests.support.policies import World, random_world

AT = dt.datetime(2026, 11, 24, 12, 0, tzinfo=dt.UTC)
START = AT - dt.timedelta(days=20)
STRANGERS = ("203.0.113.9", "203.0.113.10", "198.51.100.7", "2001:db8:ffff::1", "10.0.0.77", "224.0.0.5", "10.0.0.255")
SERVICES = ("tcp/443", "tcp/5432", "tcp/5433", "tcp/40000", "udp/53", "icmp/8.0", "proto/47", "tcp/22")
ISOLATIONS = ("role", "application", "environment")
FULL = int(400 * float(os.environ.get("MICROSEG_PROOF_FRACTION", "1")))


def watched(world: World, chooser: random.Random, rows: int = 60) -> Edges:
    """Flows between anybody and anybody, some of them often, some once, some dropped."""
    known = {item["name"]: item for document in world.documents for item in document.get("workloads", ())}
    known.update(world.hosts)
    addresses = {text: item.get("zone", "") for item in known.values() for text in item["addresses"]}
    families = {text: 6 if ":" in text else 4 for text in (*addresses, *STRANGERS)}
    observer = Observer()
    for _ in range(rows):
        consumer = chooser.choice([*addresses, *addresses, *STRANGERS[:5]])
        others = [text for text in (*addresses, *STRANGERS) if families[text] == families[consumer]]
        at = START + dt.timedelta(minutes=chooser.randrange(20 * 1440))
        service = chooser.choice(SERVICES)
        for provider in sorted({chooser.choice(others) for _ in range(chooser.choice((1, 1, 3, 12)))}):
            if service.startswith("icmp/") and families[consumer] == 6:
                continue
            count = chooser.choice((1, 1, 2, 30))
            observer.see(consumer, provider, service, at, count, dropped=chooser.random() < 0.15)
    hosts = tuple(sorted(world.hosts))
    return observer.edges(START, AT, hosts, zones=addresses)


def found_in(world: World, edges: Edges, learning: Learning) -> tuple[Inputs, Recommendation]:
    inputs = inputs_of(world.documents, world.hosts, AT)
    return inputs, recommend(inputs.policy, inputs.estate, edges, learning, AT)


def texts_of(world: World, found: Recommendation) -> dict[str, str]:
    files = {"case.yml": yaml.safe_dump_all(world.documents, sort_keys=False)}
    return {**files, **changed_texts(PolicyFiles(files), found)}


def staged(texts: dict[str, str], stage: str = "staged") -> list[dict[str, Any]]:
    """The documents with what was proposed at another stage."""
    documents = [document for text in texts.values() for document in yaml.safe_load_all(text)]
    for document in documents:
        for ruleset in document.get("rulesets", ()):
            if ruleset["name"].startswith("learned"):
                ruleset["stage"] = stage
    return documents


def allowed(reference: BruteForce, talk: Talk) -> list[bool]:
    answers = []
    for consumer, provider, point in talk.addresses:
        pair = []
        for party, address in ((talk.consumer, consumer), (talk.provider, provider)):
            workload = reference.workloads[party] if isinstance(party, str) else None
            ends = reference.ends(str(address), address.zone)
            pair.append((workload, ends[0][1] if ends else None))
        text = line.show(((point, point),))[0]
        text = f"{text}.0" if text.startswith("icmp") and "." not in text else text
        verdict = reference.packet(*pair[0], *pair[1], service_point(text), AT, "staged", intent=True)["verdict"]
        answers.append(verdict == "allowed")
    return answers


def judge(seed: int, isolation: str) -> int:
    chooser = random.Random(seed)
    world = random_world(seed)
    edges = watched(world, chooser)
    learning = Learning(
        isolation=isolation,  # type: ignore[arg-type]
        least_confidence=chooser.choice((0.0, 0.2, 0.5, 1.0)),
        reuse=chooser.choice((0.01, 0.5, 1.0)),
        public_above=chooser.choice((1, 2, 256)),
        scan_providers=chooser.choice((3, 10)),
        noise=chooser.choice((0, 1, 3)),
    )
    _inputs, found = found_in(world, edges, learning)
    texts = texts_of(world, found)
    before = BruteForce(world.documents, world.hosts)
    after = BruteForce(staged(texts), world.hosts)
    for talk in found.sifted.included:
        assert all(allowed(after, talk)), (seed, talk)
    for reason, talks in found.sifted.left_out.items():
        for talk in talks if reason in UNWANTED else ():
            assert any(allowed(before, talk)) or not any(allowed(after, talk)), (seed, reason, talk)
    policy, findings = loads(texts)
    again = join(policy, findings, [inventory_host(name, value) for name, value in world.hosts.items()], AT)
    old = inputs_of(world.documents, world.hosts, AT)
    assert {item.code for item in again.errors} <= {item.code for item in old.errors}, seed
    known = {rule.id for rule in found.rules}
    told = [item for item in again.findings if item.code in ("W-NO-PAIR", "E-NO-PAIR")]
    assert not [item for item in told if item.message.split()[1] in known], seed
    return len(found.sifted.included)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(ISOLATIONS))
def test_nothing_that_was_learned_is_blocked_and_nothing_that_was_filtered_is_opened(seed: int, isolation: str) -> None:
    judge(seed, isolation)


@pytest.mark.proof
@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_the_same_on_many_estates(isolation: str) -> None:
    assert sum(judge(seed, isolation) for seed in range(FULL)) > 10 * FULL


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(ISOLATIONS))
def test_the_order_of_flows_workloads_and_documents_means_nothing(seed: int, isolation: str) -> None:
    chooser = random.Random(seed)
    world = random_world(seed)
    edges = watched(world, chooser)
    learning = Learning(isolation=isolation)  # type: ignore[arg-type]
    first = found_in(world, edges, learning)[1]
    order = np.array(chooser.sample(range(len(edges)), len(edges)), np.int64)
    columns = ("consumer", "provider", "service", "count", "first", "last", "dropped", "sensor")
    mixed = replace(edges, **{name: getattr(edges, name)[order] for name in columns})
    names = chooser.sample(sorted(world.hosts), len(world.hosts))
    other = World(
        seed, chooser.sample(world.documents, len(world.documents)), {name: world.hosts[name] for name in names}
    )
    second = found_in(other, mixed, learning)[1]
    assert [rule.to_dict() for rule in first.rules] == [rule.to_dict() for rule in second.rules]
    assert (first.services, first.ip_lists, first.scopes) == (second.services, second.ip_lists, second.scopes)
    assert first.gates == second.gates
    assert {key: list(value) for key, value in first.sifted.left_out.items()} == {
        key: list(value) for key, value in second.sifted.left_out.items()
    }


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["draft", "staged", "active"]))
def test_a_second_run_replaces_its_draft_and_leaves_alone_what_was_approved(seed: int, stage: str) -> None:
    world = random_world(seed)
    edges = watched(world, random.Random(seed))
    first = found_in(world, edges, Learning())[1]
    documents = staged(texts_of(world, first), stage)
    second = found_in(World(seed, documents, world.hosts), edges, Learning())[1]
    if stage == "draft":
        assert [rule.to_dict() for rule in second.rules] == [rule.to_dict() for rule in first.rules]
        again = texts_of(World(seed, documents, world.hosts), second)
        assert sorted(map(repr, staged(again, stage))) == sorted(map(repr, documents))
    else:
        assert not second.rules
        assert not second.services
        assert not second.ip_lists
