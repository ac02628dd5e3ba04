# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan says what the clock will open and close, and is the same plan whenever it is made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.bundle import Bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.schedule import Schedule
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.monitoring.plan_report import of_plan
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.monitoring.screens import plan_screen
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.later import MOST_MOMENTS
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.plan import PlanOptions, make_plan
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.planfile import Plan
from tests.support.timed import alive
from tests.unit.orchestration.builders import bundle, host, states

NIGHT = datetime(2026, 11, 26, 2, tzinfo=UTC)  # a Thursday
MORNING = datetime(2026, 11, 26, 8, tzinfo=UTC)
WEEKDAYS = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"
OFFICE = Schedule(datetime(2026, 1, 5, 8), "Europe/Berlin", WEEKDAYS, 0, 36000)
WORDS = "Mon-Fri 08:00-18:00 Europe/Berlin"
SHOP = [
    host("web-1", "app=shop,role=web", "10.0.0.1"),
    host("web-2", "app=shop,role=web", "10.0.0.2"),
    host("db-1", "app=shop,role=db", "10.0.0.3"),
]
BASE = ["keep: allow role=web -> role=db : tcp/5432"]
OPTIONS = PlanOptions(renderer="1")


def scheduled(plain: Bundle, **schedules: Schedule) -> Bundle:
    def pair(parts):
        return tuple(
            replace(part, rules=tuple(replace(r, schedule=schedules.get(r.id, r.schedule)) for r in part.rules))
            for part in parts
        )

    return replace(plain, policies={key: pair(parts) for key, parts in plain.policies.items()})


def planned(old: Bundle, new: Bundle, at: datetime, **options) -> Plan:
    live = {name: replace(one, control_path=None) for name, one in states(old).items()}
    return make_plan(new, old, alive(live, old, at), at, replace(OPTIONS, **options))


OLD = bundle(SHOP, BASE)
NEW = scheduled(bundle(SHOP, [*BASE, "office: allow role=web -> role=db : tcp/5433"], "policy-2"), office=OFFICE)


def test_what_opens_in_the_morning_is_in_the_plan_of_the_night():
    plan = planned(OLD, NEW, NIGHT)

    assert plan.evidence.statements == ()
    [then] = plan.evidence.later
    assert (then.moment, then.when) == ("2026-11-26T07:00:00+00:00", WORDS)
    [one] = then.statements
    assert (one.verdict, one.consumers["words"], one.providers["words"], one.said, one.pairs) == (
        "allowed", "role=web", "role=db", "tcp/5433", 2,
    )  # fmt: skip
    assert one.rule == "office"
    assert {point.steps.second for point in plan.body.points.values()} == {"new"}


def test_day_or_night_the_same_plan_is_approved():
    night, morning, weekend = (planned(OLD, NEW, at) for at in (NIGHT, MORNING, NIGHT + timedelta(days=2)))

    assert night.digest == morning.digest == weekend.digest
    [timed] = night.body.timed
    assert timed.when == (WORDS,)
    assert [(change.verdict, change.services) for change in timed.changes] == [("allowed", ("tcp/5433",))]
    assert night.body.changes == ()
    assert [one.said for one in morning.evidence.statements] == ["tcp/5433"]
    assert morning.evidence.later == ()


def test_another_schedule_is_another_plan():
    wider = replace(OFFICE, seconds=36060)

    assert planned(OLD, NEW, NIGHT).digest != planned(OLD, scheduled(NEW, office=wider), NIGHT).digest


def test_a_window_that_grows_is_told_with_its_hour():
    wider = scheduled(bundle(SHOP, [*BASE, "office: allow role=web -> role=db : tcp/5433"], "policy-3"),
                      office=replace(OFFICE, seconds=36000 + 3600))  # fmt: skip
    plan = planned(NEW, wider, MORNING)

    assert plan.evidence.statements == ()
    [then] = plan.evidence.later
    assert then.moment == "2026-11-26T17:00:00+00:00"
    assert [one.verdict for one in then.statements] == ["allowed"]


def test_what_a_scheduled_deny_will_close_is_told():
    freeze = scheduled(
        bundle(SHOP, [*BASE, "freeze: deny role=web -> role=db : tcp/5432 tier=admin"], "p"), freeze=OFFICE
    )
    plan = planned(OLD, freeze, NIGHT)

    [then] = plan.evidence.later
    assert [(one.verdict, one.said) for one in then.statements] == [("denied", "tcp/5432")]
    assert plan.evidence.availability.level == "UNKNOWN"  # nothing was observed, and in the morning it denies


def test_the_risk_counts_what_opens_later():
    every = scheduled(bundle(SHOP, [*BASE, "office: allow any -> role=db : tcp"], "p"), office=OFFICE)
    night, morning = planned(OLD, every, NIGHT), planned(OLD, every, MORNING)

    assert night.evidence.security == morning.evidence.security
    assert night.evidence.security.after > night.evidence.security.before


def test_the_next_turn_of_a_schedule_is_announced():
    [turn] = planned(OLD, NEW, NIGHT).evidence.scheduled
    assert (turn.moment, turn.event, turn.recurs, turn.points) == ("2026-11-26T07:00:00+00:00", "opens", WORDS, 3)
    [turn] = planned(OLD, NEW, MORNING).evidence.scheduled
    assert (turn.moment, turn.event) == ("2026-11-26T17:00:00+00:00", "closes")


def test_a_plan_of_timed_rules_survives_the_store():
    plan = planned(OLD, NEW, NIGHT)

    assert Plan.from_dict(plan.to_dict()) == Plan(plan.body, plan.evidence)
    assert "timed" not in planned(OLD, bundle(SHOP, [], "p"), NIGHT).body.to_dict()


def test_too_many_times_are_said_aloud():
    names = [f"r{number}" for number in range(6)]
    rules = [f"{name}: allow role=web -> role=db : tcp/{6000 + number}" for number, name in enumerate(names)]
    often = {
        name: Schedule(datetime(2026, 1, 1), "UTC", f"FREQ=DAILY;INTERVAL={interval}", 1, 0)
        for name, interval in zip(names, (2, 3, 5, 7, 11, 13), strict=True)
    }
    plan = planned(OLD, scheduled(bundle(SHOP, [*BASE, *rules], "p"), **often), NIGHT)

    assert not plan.body.all_times
    assert len(plan.evidence.later) <= MOST_MOMENTS
    assert "more combinations of times than are compared" in plan_screen(plan, "enforce")
    assert "W-PLAN-TIMES" in {finding.code for finding in of_plan(plan).findings}


def test_the_screen_says_when_and_fits():
    screen = plan_screen(planned(OLD, NEW, NIGHT), "enforce")

    assert f"LATER ALLOWED   2 pairs   from 2026-11-26 07:00Z, {WORDS}" in screen
    assert all(len(line) <= 100 for line in screen.splitlines())
    [finding] = [one for one in of_plan(planned(OLD, NEW, NIGHT)).findings if one.code == "W-PLAN-ALLOWED"]
    assert f"from 2026-11-26T07:00:00+00:00, {WORDS}" in finding.message


def test_windows_are_extended_by_a_repair_that_changes_no_packet():
    def until(day):
        return lambda _artifact, _at: day

    live = {name: replace(one, control_path=None) for name, one in states(NEW).items()}
    present = {
        name: replace(one, windows_until=datetime(2028, 1, 1, tzinfo=UTC))
        for name, one in alive(live, NEW, NIGHT).items()
    }
    same, later = (
        make_plan(NEW, NEW, present, NIGHT, replace(OPTIONS, windows_until=until(datetime(2028, month, 1, tzinfo=UTC))))
        for month in (1, 4)
    )

    assert same.empty
    assert later.body.kind == "repair"
    assert (later.body.changes, later.body.timed, later.evidence.later) == ((), (), ())
    assert later.evidence.extended == dict.fromkeys(("db-1", "web-1", "web-2"), "2028-04-01")
    assert {point.steps.second for point in later.body.points.values()} == {"new"}
    assert "WINDOWS extended to 2028-04-01 at 3" in plan_screen(later, "enforce")
