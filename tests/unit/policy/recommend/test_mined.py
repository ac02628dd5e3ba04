# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Mined tests, and the coverage that is lost with a test."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any

import yaml

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.compile import compile_policy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.decide import Decider
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.expectations import run_tests
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend.mined import Mined, mine
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.tested import (
    coverage,
    covering,
    lost_coverage,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import Inputs
from tests.semantics.fixtures import inputs_of

from .site import AT, DOCUMENTS, HOSTS, SHOP, Site

WEBS, DBS = "web-1 web-2 web-3", "db-1 db-2"
RULES = [
    {"id": "w", "from": {"role": "web"}, "to": {"role": "db"}, "services": ["postgresql", "tcp/5433"]},
    {"id": "c", "from": {"app": "crm", "role": "app"}, "to": {"role": "web"}, "services": ["web"]},
]
POLICY: dict[str, Any] = {**SHOP, "rulesets": [{"name": "core", "stage": "active", "rules": RULES}]}
SEEN = {"because": "observed 105 times, last 2026-11-08"}
GUARDS = {
    "guardrails": [
        {"id": "crm-not-to-db", "never": {"from": {"app": "crm"}, "to": {"role": "db"}}},
        {"id": "nobody-to-nobody", "never": {"from": {"app": "none"}, "to": {"role": "db"}}},
    ]
}


def site() -> Site:
    return (
        Site().daily(WEBS, DBS, "tcp/5432").daily("web-1", "db-1", "tcp/5433").daily("crm-1", "web-1 web-2", "tcp/443")
    )


def mined(*tests: dict[str, str], most: int = 200) -> tuple[Inputs, Decider, Mined]:
    more = (GUARDS, {"tests": list(tests)}) if tests else (GUARDS,)
    inputs = inputs_of([*DOCUMENTS, POLICY, *more], HOSTS, AT)
    decider = Decider(compile_policy(inputs.policy, inputs.estate), AT, intent=True)
    approved = site().found(shop=POLICY, more=more).sifted.left_out["approved"]
    return inputs, decider, mine(inputs.policy, decider, approved, most)


def test_every_rule_and_kind_of_pair_is_covered_once_and_every_guardrail() -> None:
    _inputs, _decider, found = mined()
    assert list(found.tests) == [
        {"name": "crm-1-to-web-1-tcp-443", "allow": "crm-1 -> web-1 tcp/443", **SEEN},
        {"name": "web-1-to-db-1-postgresql", "allow": "web-1 -> db-1 tcp/5432", **SEEN},
        {"name": "web-1-to-db-1-tcp-5433", "allow": "web-1 -> db-1 tcp/5433", **SEEN},
        {"name": "never-crm-not-to-db", "deny": "crm-1 -> db-1 tcp/1", "because": "guardrail crm-not-to-db"},
    ]  # fmt: skip
    assert found.uncovered == ()


def test_mined_tests_pass_and_cover_what_they_should() -> None:
    _inputs, _decider, found = mined()
    inputs, decider, again = mined(*found.tests)
    assert all(result.passes for result in run_tests(inputs.policy, decider))
    assert again.tests == (), "a second run finds everything covered"


def test_the_number_is_bounded_and_what_the_bound_leaves_out_is_told() -> None:
    _inputs, _decider, found = mined(most=2)
    assert len(found.tests) == 2
    assert found.uncovered


def test_what_existing_tests_cover_is_not_covered_again() -> None:
    _inputs, _decider, found = mined({"allow": "web-2 -> db-2 tcp/5432"}, {"deny": "crm-2 -> db-2 tcp/9"})
    assert [test["name"] for test in found.tests] == ["crm-1-to-web-1-tcp-443", "web-1-to-db-1-tcp-5433"]


def test_a_deleted_test_is_told_with_what_nothing_else_covers() -> None:
    _inputs, _decider, found = mined()
    inputs, decider, _again = mined(*found.tests)
    tests = inputs.policy.tests
    for gone in tests:
        (lost,) = lost_coverage(tests, [test for test in tests if test is not gone], inputs.policy, decider)
        assert lost.test is gone
        assert lost.what
    pair = "pair app=shop,env=prod,role=web -> app=shop,env=prod,role=db tcp/5433"
    kept = [test for test in tests if test.name != "web-1-to-db-1-tcp-5433"]
    assert [item.what for item in lost_coverage(tests, kept, inputs.policy, decider)] == [(pair,)]


def test_a_renamed_sentence_under_the_same_name_and_a_spare_test_lose_nothing() -> None:
    inputs, decider, _found = mined(
        {"name": "t", "allow": "web-1 -> db-1 tcp/5432"}, {"allow": "web-2 -> db-1 tcp/5432"}
    )
    named, spare = inputs.policy.tests
    moved = replace(named, consumer="web-3", text="web-3 -> db-1 tcp/5432")
    assert lost_coverage([named, spare], [moved], inputs.policy, decider) == ()
    assert lost_coverage([named, spare], [spare], inputs.policy, decider) == ()
    (lost,) = lost_coverage([named], [], inputs.policy, decider)
    assert lost.to_dict() == {
        "name": "t",
        "text": "web-1 -> db-1 tcp/5432",
        "what": ["pair app=shop,env=prod,role=web -> app=shop,env=prod,role=db tcp/5432", "rule w@shop-prod/core"],
    }


def test_a_test_about_somebody_who_left_covers_nothing() -> None:
    inputs, decider, _found = mined({"name": "t", "allow": "web-1 -> db-1 tcp/5432"})
    stranger = replace(inputs.policy.tests[0], consumer="web-9")
    assert coverage(stranger, inputs.policy, decider) == frozenset()


def test_the_greedy_cover_covers_all_that_can_be_and_is_never_much_larger_than_the_smallest() -> None:
    """Against every subset: at most H(n) times the smallest cover, as the greedy one is known to be."""
    for seed in range(60):
        chooser = random.Random(seed)
        items = [f"i{n}" for n in range(7)]
        tests = {f"t{n}": frozenset(chooser.sample(items, chooser.randint(1, 4))) for n in range(6)}
        everything = set().union(*tests.values())
        chosen = covering(tests, [], 99)
        assert set().union(*(tests[name] for name in chosen)) == everything
        smallest = next(
            size
            for size in range(1, 7)
            if any(
                set().union(*(tests[name] for name in some)) == everything
                for some in itertools.combinations(tests, size)
            )
        )
        assert len(chosen) <= smallest * (1 + 1 / 2 + 1 / 3 + 1 / 4)


def test_documents_of_tests_are_read_by_the_loader() -> None:
    _inputs, _decider, found = mined()
    text = yaml.safe_dump({"tests": [dict(test) for test in found.tests]})
    inputs = inputs_of([*DOCUMENTS, POLICY, yaml.safe_load(text)], HOSTS, AT)
    assert [test.name for test in inputs.policy.tests] == [test["name"] for test in found.tests]
