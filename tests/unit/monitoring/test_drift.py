# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drift compares meaning, names the packet and the rule, and never says equal of what it did not see."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.driver import Decision
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import forms
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import parse_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.compare import intersect
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.flows import Flow, Observations
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.live import PointState
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.monitoring import times
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.monitoring.ages import with_ages
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.monitoring.drift import drift
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.store import Store
from tests.support.timed import alive
from tests.unit.orchestration.builders import AT, UNREACHABLE, bundle, host, states

HOSTS = [
    host("web-1", "app=shop,role=web", "10.0.0.1", "2001:db8::1"),
    host("web-2", "app=shop,role=web", "10.0.0.2"),
    host("db-1", "app=shop,role=db", "10.0.0.3"),
    host("idle-1", "app=shop,role=idle", "10.0.0.4", modes="idle"),
]
RULES = ["web-to-db: allow role=web -> role=db : tcp/5432"]
SHOP = bundle(HOSTS, RULES)


def form_of(rules: list[str], name: str, hosts=HOSTS) -> forms.Form:
    return forms.of_artifact(bundle(hosts, rules).artifact(name), AT)


def live_with(name: str, form: forms.Form, **more) -> dict[str, PointState]:
    live = states(SHOP)
    live[name] = replace(live[name], form=form, own_form=form, **more)
    return live


def point(report, name):
    return next(one for one in report.points if one.point == name)


def test_what_means_the_same_is_equal():
    report = drift(SHOP, states(SHOP), AT)

    assert report.outcome == "ok"
    assert report.totals == {"equal": 4, "wider": 0, "narrower": 0, "mixed": 0, "unknown": 0}


@pytest.mark.parametrize(
    ("rules", "state", "kinds"),
    [
        ([*RULES, "hole: allow any -> role=db : tcp/4444"], "wider", {"wider"}),
        ([], "narrower", {"narrower"}),
        (["web-to-db: allow role=web -> role=db : tcp/5433"], "mixed", {"wider", "narrower"}),
    ],
)
def test_a_difference_has_a_direction(rules, state, kinds):
    report = drift(SHOP, live_with("db-1", form_of(rules, "db-1")), AT)

    assert report.outcome == "findings"
    assert point(report, "db-1").state == state
    assert {box.kind for box in point(report, "db-1").boxes} == kinds
    assert report.totals["equal"] == 3


def test_a_box_is_said_in_label_words_with_a_packet_the_live_rule_and_the_intended_one():
    asked = []

    def attribute(name, packet):
        asked.append((name, str(packet)))
        return Decision("microseg", "input", 57, "tcp dport 4444 accept", "allowed", False)

    live = live_with("db-1", form_of([*RULES, "hole: allow role=web -> role=db : tcp/4444"], "db-1"))
    (box,) = point(drift(SHOP, live, AT, attribute), "db-1").boxes

    assert (box.peers, box.own, box.services, box.workloads) == ("role=web", "db-1", ("tcp/4444",), 2)
    assert box.witness == "web-1 10.0.0.1 -> db-1 10.0.0.3 tcp/4444"
    assert asked == [("db-1", "10.0.0.1 -> 10.0.0.3 tcp/4444")]
    assert (box.live_rule, box.intended) == ("tcp dport 4444 accept", "no rule matches, mode full")


def test_a_missing_permission_names_the_rule_that_should_give_it_and_where_it_is_written():
    report = drift(SHOP, live_with("db-1", form_of([], "db-1")), AT, places={"web-to-db": "shop.yml:14"})

    (box,) = point(report, "db-1").boxes
    assert (box.rule, box.place) == ("web-to-db", "shop.yml:14")
    assert box.intended == "allow by web-to-db (application)"


def test_rules_of_somebody_else_are_foreign():
    mine = form_of(RULES, "db-1")
    theirs = form_of([], "db-1")
    live = states(SHOP)
    live["db-1"] = replace(live["db-1"], form=intersect(mine, theirs), own_form=mine)

    found = point(drift(SHOP, live, AT), "db-1")

    assert (found.state, found.cause, found.foreign) == ("narrower", "foreign", True)


def test_a_host_we_do_not_touch_is_not_judged_by_the_rules_of_others():
    closed = form_of([], "db-1")
    live = states(SHOP)
    live["idle-1"] = replace(live["idle-1"], form=closed)

    assert point(drift(SHOP, live, AT), "idle-1").state == "equal"


def test_membership_lag_a_policy_behind_and_tampering_are_told_apart():
    artifact = SHOP.artifact("db-1")
    fewer = form_of(RULES, "db-1", [HOSTS[0], *HOSTS[2:]])
    digest = artifact.policy_digest()

    def cause(**record) -> str:
        live = live_with("db-1", fewer, hash="h1", record={"pending": None, **record})
        return point(drift(SHOP, live, AT), "db-1").cause

    assert cause(hash="h1", policy_digest=digest) == "membership"
    assert cause(hash="h1", policy_digest="older") == "policy"
    assert cause(hash="other", policy_digest=digest) == "tampered"
    assert cause(hash="h1", policy_digest=digest, pending={"token": "t"}) == "pending"
    live = states(SHOP)
    live["db-1"] = PointState(True)
    assert point(drift(SHOP, live, AT), "db-1").cause == "missing"


def test_what_was_not_seen_is_unknown_and_the_job_could_not_be_done():
    live = states(SHOP, **{"web-2": UNREACHABLE})
    del live["db-1"]
    live["web-1"] = PointState(True, "odd", error="cannot parse: token=abc123secret")

    report = drift(SHOP, live, AT)

    assert report.outcome == "unable"
    assert report.totals["unknown"] == 3
    assert [one.error for one in report.unread] == ["not read", "cannot parse: token=(redacted)", "no route to host"]
    assert drift(SHOP, {}, AT, only=()).outcome == "unable"


def test_a_rule_that_cannot_be_judged_is_unknown_and_quoted_and_never_equal():
    form = form_of(RULES, "db-1")
    strange = forms.Form(
        {
            key: tuple(
                forms.Slice(part.own, tuple(forms.Cell(c.peers, c.allowed, ((9, 9),)) for c in part.cells))
                for part in parts
            )
            for key, parts in form.slices.items()
        }
    )

    found = point(drift(SHOP, live_with("db-1", strange, reasons=("meta cgroup 7 accept",)), AT), "db-1")

    assert found.state == "unknown"
    assert found.reasons == ("meta cgroup 7 accept",)
    assert found.boxes[0].services == ("tcp/9",)


def test_intent_is_judged_at_the_time_of_reading():
    until = "2026-07-01T00:00:00+00:00"
    timed = bundle(HOSTS, [*RULES, f"t: allow role=web -> role=db : tcp/9 expires={until}"])
    live = states(timed)

    report = drift(timed, alive(live, timed, AT), AT)
    assert report.outcome == "ok"
    # What is live has no end: it is open as intended today, and would still be in July.
    endless = point(drift(timed, live, AT), "db-1")
    assert (endless.state, endless.moment) == ("wider", until)
    now = point(drift(timed, live, AT + timedelta(days=60)), "db-1")
    assert (now.state, now.moment) == ("wider", "")


def _begun(policy):
    """Its rules as rules that began long ago."""
    since = AT - timedelta(days=1000)
    return replace(
        policy, rules=tuple(replace(one, starts=since) if one.tier != "failsafe" else one for one in policy.rules)
    )


def test_without_a_clock_to_trust_rules_that_ask_for_none_are_wider():
    plain = bundle(HOSTS, RULES)
    begun = {key: tuple(_begun(part) for part in pair) for key, pair in plain.policies.items()}
    timed = replace(plain, policies=begun)

    found = point(drift(timed, states(timed), AT), "db-1")

    assert (found.state, found.moment, found.untrusted) == ("wider", "", True)
    assert found.boxes[0].intended.endswith("while the clock is not trusted")
    assert found.boxes[0].witness


def test_more_times_than_are_judged_are_not_called_equal(monkeypatch):
    monkeypatch.setattr(times, "MOST_MOMENTS", 1)
    timed = bundle(HOSTS, [*RULES, "t: allow role=web -> role=db : tcp/9 expires=2026-07-01T00:00:00+00:00"])

    found = point(drift(timed, alive(states(timed), timed, AT), AT), "db-1")

    assert (found.state, found.cause) == ("unknown", "")
    assert "combinations of times" in found.reasons[-1]


def test_the_age_of_a_state_is_kept_until_it_changes(tmp_path):
    store = Store.open(tmp_path / "s")
    wide = live_with("db-1", form_of([*RULES, "hole: allow any -> role=db : tcp/4444"], "db-1"))
    day = timedelta(days=1)

    with_ages(store, drift(SHOP, states(SHOP), AT))
    with_ages(store, drift(SHOP, wide, AT + day))
    report = with_ages(store, drift(SHOP, wide, AT + 2 * day))

    assert point(report, "db-1").since == (AT + day).isoformat(timespec="seconds")
    assert point(report, "web-1").since == AT.isoformat(timespec="seconds")
    only = with_ages(store, drift(SHOP, states(SHOP), AT + 3 * day, only=("web-1",)))
    assert [one.point for one in only.points] == ["web-1"]
    assert point(with_ages(store, drift(SHOP, wide, AT + 4 * day)), "db-1").since == (AT + day).isoformat(
        timespec="seconds"
    )


def test_observed_flows_have_four_verdicts():
    def flow(consumer, provider, service, disposition):
        point_of = line.parse(service)[0][0]
        return Flow(parse_address(consumer), parse_address(provider), point_of, 3, AT, AT, "ct", disposition)

    seen = Observations(
        (
            flow("10.0.0.1", "10.0.0.3", "tcp/5432", "allowed"),
            flow("10.0.0.4", "10.0.0.3", "tcp/5432", "allowed"),
            flow("10.0.0.4", "10.0.0.3", "tcp/1", "dropped"),
            flow("10.0.0.2", "10.0.0.3", "tcp/5432", "dropped"),
            flow("10.0.0.3", "10.0.0.3", "tcp/1", "allowed"),
        ),
        AT - timedelta(days=1), AT, ("db-1",), ("db-1", "web-1"), 0.0, "conntrack",
    )  # fmt: skip

    report = drift(SHOP, states(SHOP), AT, observations=seen)

    assert report.outcome == "findings"
    assert report.verdicts.counts == {"permitted": 1, "escaped": 1, "rejected": 1, "misdropped": 1}
    assert report.verdicts.conversations[0].text == "idle-1 10.0.0.4 -> db-1 10.0.0.3 tcp/5432"
    assert report.verdicts.observed["coverage"] == 0.5
