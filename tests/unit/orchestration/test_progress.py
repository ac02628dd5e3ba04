# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A rollout that stopped anywhere is found again where it stands, and goes on or back from there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import forms
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import PlanError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.live import PointState
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.holdback import held_back
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.plan import PlanOptions, make_plan
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.progress import (
    progress,
    remember,
    rollback,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.store import Store
from tests.unit.orchestration.builders import AT, UNREACHABLE, bundle, host, states

HOSTS = [
    host("web-1", "app=shop,role=web", "10.0.0.1"),
    host("web-2", "app=shop,role=web", "10.0.0.2"),
    host("db-1", "app=shop,role=db", "10.0.0.3"),
]
BEFORE = ["a: allow role=web -> role=db : tcp/1", "b: allow role=db -> role=web : tcp/2"]
AFTER = ["a: allow role=web -> role=db : tcp/3", "b: allow role=db -> role=web : tcp/2"]
OPTIONS = PlanOptions(renderer="1")


@pytest.fixture
def rollout(tmp_path):
    old, new = bundle(HOSTS, BEFORE), bundle(HOSTS, AFTER, "policy-2")
    return old, new, make_plan(new, old, states(old), AT, OPTIONS), Store.open(tmp_path / "s")


def at_step(plan, artifact, phase, hash_of="after") -> PointState:
    form = forms.of_artifact(artifact, AT)
    record = {
        "plan": plan.digest,
        "step": phase,
        "hash": hash_of,
        "pending": None,
        "policy_digest": artifact.policy_digest(),
    }
    return PointState(True, hash_of, form, form, record)


def stands(plan, live, new, store) -> dict[str, str]:
    found = progress(plan, live, new, plan.interim_bundle, None, store, AT)
    return {name: one.stand for name, one in found.points.items()}


def test_every_point_is_found_at_the_step_it_took(rollout):
    old, new, plan, store = rollout
    live = states(old)
    live["web-1"] = at_step(plan, plan.interim_bundle.artifact("web-1"), "phase-1")
    live["db-1"] = at_step(plan, new.artifact("db-1"), "phase-2")

    assert stands(plan, live, new, store) == {"db-1": "new", "web-1": "interim", "web-2": "old"}
    found = progress(plan, live, new, plan.interim_bundle, None, store, AT)
    assert found.counts == {"old": 1, "interim": 1, "new": 1, "pending": 0, "moved": 0, "lost": 0, "left_out": 0}
    assert found.todo(plan, "phase-1") == ("web-2",)
    assert found.todo(plan, "phase-2") == ("web-1",)
    assert found.missed == ("web-2",)
    assert not found.done


def test_a_hash_nobody_knows_is_a_moved_base_and_only_that_point_waits(rollout):
    old, new, plan, store = rollout
    live = states(old)
    live["web-2"] = replace(live["web-2"], hash="e51c" * 8)

    found = progress(plan, live, new, plan.interim_bundle, None, store, AT)

    assert found.points["web-2"].stand == "moved"
    assert str(found.points["web-2"].wrong).startswith("E-BASE-MOVED  web-2 live e51ce51c, plan expects hash-")
    assert set(found.todo(plan, "phase-1")) == {"web-1", "db-1"}


def test_a_record_alone_does_not_prove_a_step_its_hash_or_meaning_must_agree(rollout):
    old, new, plan, store = rollout
    live = states(old)
    tampered = at_step(plan, old.artifact("web-1"), "phase-2", "tampered")
    live["web-1"] = replace(tampered, record={**tampered.record, "hash": "other"})
    meant = at_step(plan, new.artifact("web-2"), "phase-2", "fresh")
    live["web-2"] = replace(meant, record={key: value for key, value in meant.record.items() if key != "hash"})

    assert stands(plan, live, new, store) == {"db-1": "old", "web-1": "moved", "web-2": "new"}


def test_what_the_store_remembers_is_a_second_witness(rollout):
    old, new, plan, store = rollout
    live = states(old)
    live["web-1"] = PointState(True, "after-1", record={"pending": None})
    remember(store, plan.digest, "web-1", "phase-1", "after-1")

    assert stands(plan, live, new, store)["web-1"] == "interim"


def test_unreachable_and_unconfirmed_points_are_missed_and_others_hold_back_for_them(rollout):
    old, new, plan, store = rollout
    live = states(old)
    waiting = at_step(plan, plan.interim_bundle.artifact("web-1"), "phase-1")
    live["web-1"] = replace(waiting, record={**waiting.record, "pending": {"token": "t"}})
    live["web-2"] = UNREACHABLE

    found = progress(plan, live, new, plan.interim_bundle, None, store, AT)
    held = held_back(new, plan.interim_bundle, found.missed, AT)

    assert {name: one.stand for name, one in found.points.items()} == {
        "db-1": "old",
        "web-1": "pending",
        "web-2": "lost",
    }
    assert held_back(new, plan.interim_bundle, ("web-2",), AT).waits == {"db-1": ("web-2",)}
    assert held_back(new, plan.interim_bundle, ("web-2",), AT).services == {"db-1": ("tcp/3",)}
    assert held.waits == {}  # db-1 itself has not moved yet, so it is missed too


def test_what_is_held_back_keeps_the_names_of_the_rules(rollout):
    _old, new, plan, _store = rollout

    held = held_back(new, plan.interim_bundle, ("web-2",), AT)
    artifact = held.artifact("db-1", new)

    assert {rule.id for rule in artifact.ingress.rules} >= {
        "a",
        "failsafe-management",
        "held-back-1@microseg/held-back",
    }
    form = forms.of_artifact(artifact, AT)
    assert form.at("ingress", 4, 0x0A000003, 0x0A000001).allowed == ((3, 3),)
    assert form.at("ingress", 4, 0x0A000003, 0x0A000002).allowed == ()
    assert held.artifact("web-1", new) == new.artifact("web-1")


def test_the_way_back_is_a_plan_to_what_each_point_carried_before(rollout):
    old, new, plan, _store = rollout

    back = rollback(plan, new, old, states(new), AT, OPTIONS)

    assert {name: one.policy for name, one in back.body.points.items()} == {
        name: one.inverse for name, one in plan.body.points.items()
    }
    with pytest.raises(PlanError) as caught:
        rollback(plan, new, bundle(HOSTS, []), states(new), AT, OPTIONS)
    assert caught.value.code == "E-PLAN-BUNDLE"


def test_the_way_back_from_the_first_plan_removes_our_rules():
    new = bundle(HOSTS, BEFORE)
    plan = make_plan(new, None, states(None, new.points), AT, OPTIONS)

    back = rollback(plan, new, None, states(new), AT, OPTIONS)

    assert {one.steps.second for one in back.body.points.values()} == {"remove"}
