# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan says what changes, in few sentences, and its digest covers exactly what is approved."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import forms
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import parse_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import PlanError, StoreError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.flows import Flow, Observations
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.live import ControlPath, PointState
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.bundles import save_bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.partial import PartialBundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.plan import PlanOptions, make_plan
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.planfile import Plan
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.planstore import (
    load_plan,
    save_plan,
    target_artifact,
    verify_bundle,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.store import Store
from tests.unit.orchestration.builders import AT, UNREACHABLE, bundle, host, states

SHOP = [
    host("web-1", "app=shop,role=web", "10.0.0.1", "2001:db8::1"),
    host("web-2", "app=shop,role=web", "10.0.0.2", "2001:db8::2"),
    host("db-1", "app=shop,role=db", "10.0.0.3", "2001:db8::3", weight=5.0),
    host("batch-1", "app=batch,role=batch", "10.0.0.4", modes="idle"),
    host("printer", "app=office,role=printer", "10.0.0.9", managed=False),
]
BEFORE = ["web-to-db: allow role=web -> role=db : tcp/5432", "batch-to-db: allow app=batch -> role=db : tcp/5432"]
AFTER = ["web-to-db: allow role=web -> role=db : tcp/5432,tcp/5433"]
OPTIONS = PlanOptions(renderer="1", places={"web-to-db": "shop.yml:14", "batch-to-db": "shop.yml:20"})


def seen(consumer: str, provider: str, service: str, count: int = 1204) -> Observations:
    ends = parse_address(consumer), parse_address(provider)
    flow = Flow(*ends, line.parse(service)[0][0], count, AT - timedelta(days=9), AT, "ct")
    return Observations((flow,), AT - timedelta(days=30), AT, ("db-1",), ("db-1",), 0.002, "conntrack")


@pytest.fixture
def shop_plan() -> Plan:
    old, new = bundle(SHOP, BEFORE), bundle(SHOP, AFTER, "policy-2")
    return make_plan(new, old, states(old), AT, OPTIONS, seen("10.0.0.4", "10.0.0.3", "tcp/5432"))


def said(plan: Plan) -> list[str]:
    return [
        f"{one.verdict} {one.consumers['words']} -> {one.providers['words']} {','.join(one.services)} x{one.pairs}"
        for one in plan.evidence.statements
    ]


def test_a_change_of_both_ends_and_both_families_is_one_sentence(shop_plan):
    assert said(shop_plan) == [
        "denied app=batch -> role=db tcp/5432 x1",
        "allowed role=web -> role=db tcp/5433 x2",
    ]
    assert shop_plan.evidence.statements[1].families == ("ipv4", "ipv6")


def test_a_sentence_names_the_rules_that_decide_and_where_they_are_written(shop_plan):
    denied, allowed = shop_plan.evidence.statements

    assert (denied.was, denied.rule, denied.place) == ("batch-to-db", "", "shop.yml:20")
    assert denied.why == "removed rule batch-to-db; db-1 is full"
    assert (allowed.rule, allowed.place) == ("web-to-db", "shop.yml:14")
    assert str(denied.witness) == "batch-1 10.0.0.4 -> db-1 10.0.0.3 tcp/5432"


def test_observed_connections_that_a_denial_ends_are_a_cut_and_a_risk(shop_plan):
    denied, allowed = shop_plan.evidence.statements

    assert denied.cut
    assert denied.flows == 1204
    assert not allowed.cut
    assert (shop_plan.evidence.availability.before, shop_plan.evidence.availability.after) == (0.0, 5.0)
    assert shop_plan.evidence.availability.level == "MEDIUM"
    assert shop_plan.evidence.observed["window"] == "30 d"


def test_the_witness_of_a_cut_is_the_conversation_that_is_cut():
    everything = ["web-to-db: allow role=web -> role=db : tcp/5432", "batch-to-db: allow app=batch -> role=db : tcp"]
    old, new = bundle(SHOP, everything), bundle(SHOP, AFTER, "policy-2")
    plan = make_plan(new, old, states(old), AT, OPTIONS, seen("10.0.0.4", "10.0.0.3", "tcp/8080"))

    (denied,) = [one for one in plan.evidence.statements if one.cut]

    assert str(denied.witness) == "batch-1 10.0.0.4 -> db-1 10.0.0.3 tcp/8080"
    assert denied.why == "removed rule batch-to-db; db-1 is full"


def test_without_observations_a_denial_is_no_low_risk():
    old, new = bundle(SHOP, BEFORE), bundle(SHOP, AFTER, "policy-2")

    plan = make_plan(new, old, states(old), AT, OPTIONS)

    assert plan.evidence.availability.level == "UNKNOWN"


def test_what_the_other_end_drops_anyway_is_no_change():
    old = bundle(SHOP, ["in: allow workload printer -> role=db : tcp/1"])
    # egress of web opens towards db on a port that db's ingress does not accept (no rule on its side)
    live = states(old)
    new = bundle(
        SHOP, ["in: allow workload printer -> role=db : tcp/1", "x: allow role=web -> workload db-1 : tcp/9"], "p2"
    )
    ignoring = old.policies[old.points["db-1"].policy]
    halved = replace(new, policies={**new.policies, new.points["db-1"].policy: ignoring})

    plan = make_plan(halved, old, live, AT, OPTIONS)

    assert said(plan) == []
    assert set(plan.body.points) == {"web-1", "web-2"}


def test_nothing_to_do_is_an_empty_plan(shop_plan):
    old = bundle(SHOP, BEFORE)

    plan = make_plan(old, old, states(old), AT, OPTIONS)

    assert plan.empty
    assert plan.evidence.counts == {"nftables": {"change": 0, "equal": 4, "unknown": 0, "writer": 0}}


def test_the_first_plan_takes_an_open_estate_to_full_and_says_so():
    new = bundle(SHOP, BEFORE)

    plan = make_plan(new, None, states(None, new.points), AT, OPTIONS)

    assert plan.body.kind == "policy"
    assert {name: (one.steps.first, one.steps.second) for name, one in plan.body.points.items()} == dict.fromkeys(
        ("web-1", "web-2", "db-1"), ("new", "none")
    )
    assert all(one.base == "absent" and one.inverse == "absent" for one in plan.body.points.values())
    assert any("outside the estate" in text for text in said(plan))


def test_a_mode_change_is_a_mode_plan_and_leaving_for_idle_removes_our_rules():
    old = bundle(SHOP, BEFORE)
    relaxed = [replace(one, modes="visibility") if one.name == "db-1" else one for one in SHOP]
    idle = [replace(one, modes="idle") if one.name == "db-1" else one for one in SHOP]

    to_visibility = make_plan(bundle(relaxed, BEFORE), old, states(old), AT, OPTIONS)
    to_idle = make_plan(bundle(idle, BEFORE), old, states(old), AT, OPTIONS)

    assert to_visibility.body.kind == to_idle.body.kind == "mode"
    assert to_visibility.body.points["db-1"].steps.second == "new"
    assert to_idle.body.points["db-1"].steps.second == "remove"
    assert to_idle.body.points["db-1"].steps.first == "none"


def test_a_new_member_of_a_known_class_is_a_membership_plan_and_of_a_new_class_is_not():
    old = bundle(SHOP, BEFORE)
    more = bundle([*SHOP, host("printer-2", "app=batch,role=batch", "10.0.0.8", managed=False)], BEFORE)
    other = bundle([*SHOP, host("web-3", "app=shop,role=web,env=dev", "10.0.0.8", managed=False)], BEFORE)

    assert make_plan(more, old, states(old), AT, OPTIONS).body.kind == "membership"
    assert make_plan(other, old, states(old), AT, OPTIONS).body.kind == "policy"


def test_putting_back_what_somebody_changed_is_a_repair():
    old, tampered = bundle(SHOP, BEFORE), bundle(SHOP, [*BEFORE, "hole: allow any -> role=db : tcp/4444"])
    live = states(old, **{"db-1": replace(states(tampered)["db-1"], hash="tampered")})

    plan = make_plan(old, old, live, AT, OPTIONS)

    assert plan.body.kind == "repair"
    assert list(plan.body.points) == ["db-1"]
    assert plan.body.points["db-1"].base == "tampered"


def test_points_that_cannot_be_read_are_left_out_and_named():
    old, new = bundle(SHOP, BEFORE), bundle(SHOP, AFTER, "policy-2")
    live = states(
        old, **{"web-2": UNREACHABLE, "web-1": PointState(True, "x", error="login with password=hunter2 failed")}
    )
    del live["batch-1"]

    plan = make_plan(new, old, live, AT, OPTIONS)

    assert plan.evidence.left_out["web-2"] == "no route to host"
    assert plan.evidence.left_out["batch-1"] == "not read"
    assert "hunter2" not in json.dumps(plan.to_dict())
    assert list(plan.body.points) == ["db-1"]
    assert plan.evidence.counts["nftables"] == {"change": 1, "equal": 0, "unknown": 3, "writer": 0}


def test_unreadable_own_rules_are_unknown_and_take_the_safe_way():
    old, new = bundle(SHOP, BEFORE), bundle(SHOP, AFTER, "policy-2")
    form = forms.of_artifact(old.artifact("db-1"), AT)
    strange = forms.Form(
        {
            key: tuple(
                forms.Slice(part.own, tuple(forms.Cell(c.peers, (), line.UNIVERSE[key[1]]) for c in part.cells))
                for part in parts
            )
            for key, parts in form.slices.items()
        }
    )
    live = states(old, **{"db-1": PointState(True, "odd", strange, strange)})

    plan = make_plan(new, old, live, AT, OPTIONS)

    assert (plan.body.points["db-1"].steps.first, plan.body.points["db-1"].steps.second) == ("interim", "new")
    assert any(one.verdict == "unknown" for one in plan.evidence.statements)


# -- the digest ------------------------------------------------------------------------------------------------------


def test_the_digest_does_not_move_with_members_addresses_flows_and_the_clock(shop_plan):
    grown = [*SHOP[:2], replace(SHOP[2], addresses=("10.0.0.33", "2001:db8::33")), *SHOP[3:]]
    grown.append(host("printer-2", "app=office,role=printer", "10.0.0.77", managed=False))
    old, new = bundle(grown, BEFORE), bundle(grown, AFTER, "policy-2")

    later = make_plan(new, old, states(old), AT + timedelta(hours=5), OPTIONS)

    assert later.digest == shop_plan.digest
    assert later.evidence != shop_plan.evidence


@pytest.mark.parametrize("change", ["policy", "base", "mode", "renderer", "batches", "waivers", "class", "inverse"])
def test_the_digest_moves_with_everything_an_approval_is_about(shop_plan, change):
    old, new, options = bundle(SHOP, BEFORE), bundle(SHOP, AFTER, "policy-2"), OPTIONS
    live = states(old)
    if change == "policy":
        new = bundle(SHOP, ["web-to-db: allow role=web -> role=db : tcp/5432,tcp/5434"], "policy-2")
    elif change == "base":
        live["db-1"] = replace(live["db-1"], hash="moved")
    elif change == "mode":
        new = bundle([replace(SHOP[0], modes="selective"), *SHOP[1:]], AFTER, "policy-2")
    elif change == "renderer":
        options = replace(OPTIONS, renderer="2")
    elif change == "batches":
        options = replace(OPTIONS, batches=("100%",))
    elif change == "waivers":
        options = replace(OPTIONS, waivers=("wide until 2027 by team-shop",))
    elif change == "class":
        new = bundle([*SHOP, host("x", "app=new", "10.0.0.99", managed=False)], AFTER, "policy-2")
    else:
        old = bundle(SHOP, BEFORE[:1], "policy-1")

    assert make_plan(new, old, live, AT, options).digest != shop_plan.digest


def test_no_address_flow_or_clock_is_in_the_digested_body(shop_plan):
    text = json.dumps(shop_plan.body.to_dict())

    for word in ("10.0.0", "2001:db8", "1204", "2026"):
        assert word not in text


def test_a_plan_comes_back_from_the_store_by_the_beginning_of_its_digest_and_is_verified(shop_plan, tmp_path):
    store = Store.open(tmp_path / "s")
    new = bundle(SHOP, AFTER, "policy-2")

    digest = save_plan(store, shop_plan, new)

    assert load_plan(store) == load_plan(store, digest) == load_plan(store, digest[:8]) == shop_plan
    with pytest.raises(PlanError) as caught:
        load_plan(store, "0" * 12)
    assert caught.value.code == "E-NO-PLAN"
    other = json.loads(json.dumps(shop_plan.to_dict()))
    other["body"]["points"]["db-1"]["base"] = "forged"
    store.set_ref(f"plans/{digest}", store.put_json(other), store.ref(f"plans/{digest}").version)
    with pytest.raises(StoreError) as damaged:
        load_plan(store, digest)
    assert damaged.value.code == "E-STORE-DAMAGED"


def test_targets_of_every_phase_are_read_by_slice_and_must_be_the_approved_ones(shop_plan, tmp_path):
    store = Store.open(tmp_path / "s")
    old, new = bundle(SHOP, BEFORE), bundle(SHOP, AFTER, "policy-2")
    save_plan(store, shop_plan, new)

    first = target_artifact(store, shop_plan, "db-1", "phase-1")
    second = target_artifact(store, shop_plan, "db-1", "phase-2")

    assert second == new.artifact("db-1")
    assert target_artifact(store, shop_plan, "web-1", "phase-1") is None
    before, after = (forms.of_artifact(one.artifact("db-1"), AT) for one in (old, new))
    middle = forms.of_artifact(first, AT)
    for (direction, family), own, peer in (
        (("ingress", 4), 0x0A000003, 0x0A000001),
        (("ingress", 4), 0x0A000003, 0x0A000004),
    ):
        cells = [form.at(direction, family, own, peer).allowed for form in (before, after, middle)]
        assert cells[2] == line.intersection(cells[0], cells[1])
    verify_bundle(shop_plan, new)
    with pytest.raises(PlanError) as caught:
        verify_bundle(shop_plan, old)
    assert caught.value.code == "E-PLAN-BUNDLE"
    with pytest.raises(PlanError) as caught:
        target_artifact(store, shop_plan, "printer", "phase-1")
    assert caught.value.code == "E-NO-POINT"


def test_a_target_on_the_way_that_opens_more_than_the_plan_approves_is_refused(shop_plan, tmp_path):
    store = Store.open(tmp_path / "s")
    new = bundle(SHOP, AFTER, "policy-2")
    save_plan(store, shop_plan, new)
    wide = PartialBundle(new)
    artifact = new.artifact("db-1")
    wide.add(replace(artifact, ingress=replace(artifact.ingress, mode="selective", rules=())))
    evidence = replace(shop_plan.evidence, interim=save_bundle(store, wide.bundle()))
    tampered = replace(shop_plan, evidence=evidence)
    assert tampered.digest == shop_plan.digest

    with pytest.raises(PlanError) as caught:
        target_artifact(store, tampered, "db-1", "phase-1")

    assert caught.value.code == "E-PLAN-BUNDLE"


# -- refusals --------------------------------------------------------------------------------------------------------


def code_of(**more) -> PlanError:
    arguments = {"new": bundle(SHOP, AFTER, "policy-2"), "old": bundle(SHOP, BEFORE), "at": AT, "options": OPTIONS}
    arguments["live"] = states(arguments["old"])
    arguments.update(more)
    with pytest.raises(PlanError) as caught:
        make_plan(**arguments)
    return caught.value


def test_a_plan_for_nobody_is_refused():
    assert code_of(options=replace(OPTIONS, rollout=frozenset({"web-9"}))).code == "E-NO-TARGET"
    assert code_of(new=bundle(SHOP[4:], [])).code == "E-NO-TARGET"


def test_who_would_lose_the_control_path_is_refused_before_anything_is_sent():
    old = bundle(SHOP, BEFORE)
    live = states(old)
    live["web-1"] = replace(live["web-1"], control_path=ControlPath("10.8.0.14", 22))

    error = code_of(live=live)

    assert error.code == "E-CONTROL-PATH"
    assert "web-1 sees you as 10.8.0.14" in str(error)
    live["web-1"] = replace(live["web-1"], control_path=ControlPath("10.255.0.5", 2222))
    assert code_of(live=live).code == "E-CONTROL-PATH"


def test_a_policy_rule_does_not_stand_in_for_the_failsafe():
    old = bundle(SHOP, BEFORE)
    live = states(old)
    live["web-1"] = replace(live["web-1"], control_path=ControlPath("10.8.0.14", 22))
    new = bundle(SHOP, [*AFTER, "ssh: allow any -> any : tcp/22"], "policy-2")

    assert code_of(new=new, live=live).code == "E-CONTROL-PATH"


def test_the_controllers_own_host_must_be_named_twice():
    options = replace(OPTIONS, controller=frozenset({"db-1"}))

    assert code_of(options=options).code == "E-CONTROLLER-HOST"
    old = bundle(SHOP, BEFORE)
    make_plan(bundle(SHOP, AFTER, "p2"), old, states(old), AT, replace(options, controller_named_twice=True))


def test_rules_written_by_another_tool_are_not_planned_and_its_stack_is_named():
    hosts = [replace(one, writer="terraform", stack="aws-shop") if one.name == "db-1" else one for one in SHOP]
    old, new = bundle(hosts, BEFORE), bundle(hosts, AFTER, "policy-2")

    plan = make_plan(new, old, states(old), AT, OPTIONS)

    assert plan.evidence.others == {"db-1": "terraform (stack aws-shop)"}
    assert plan.evidence.counts["nftables"]["writer"] == 1
    error = code_of(new=new, old=old, options=replace(OPTIONS, rollout=frozenset({"db-1"})))
    assert error.code == "E-WRITER"
    assert "stack aws-shop" in str(error)


def test_a_limit_narrows_what_is_touched():
    old, new = bundle(SHOP, BEFORE), bundle(SHOP, AFTER, "policy-2")

    plan = make_plan(new, old, states(old), AT, replace(OPTIONS, rollout=frozenset({"web-1"})))

    assert list(plan.body.points) == ["web-1"]
    assert said(plan) == []  # db-1 stays as it is and drops tcp/5433 anyway


def test_what_the_clock_will_change_is_scheduled():
    old = bundle(SHOP, BEFORE)
    new = bundle(SHOP, [*AFTER, "tmp: deny any -> role=db : tcp/5432 expires=2027-06-30T00:00:00+00:00"], "policy-2")

    plan = make_plan(new, old, states(old), AT, OPTIONS)

    (one,) = plan.evidence.scheduled
    assert (one.rule, one.event, one.points, one.moment) == ("tmp", "expires", 3, "2027-06-30T00:00:00+00:00")


def test_probes_are_between_present_peers_and_wait_for_both_ends(shop_plan):
    probes = shop_plan.evidence.probes["db-1"]

    assert {(probe.expect, probe.phase) for probe in probes} == {("allowed", "phase-2"), ("denied", "phase-1")}
    allowed = next(probe for probe in probes if probe.expect == "allowed")
    assert (allowed.consumer, allowed.provider, allowed.service) == ("web-1", "db-1", "tcp/5433")
    assert allowed.needs == ("db-1", "web-1")
