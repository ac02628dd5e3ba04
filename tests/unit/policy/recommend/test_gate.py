# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The completeness gate and the maturity of rules."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.edges import Coverage
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.schedule import Schedule
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend import Learning
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend.gate import (
    Unseen,
    calendar_gaps,
    unseen_traffic,
    whole_days,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend.learning import Job
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend.maturity import maturity_of
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend.observed import Talk

from .site import Site

BERLIN = ZoneInfo("Europe/Berlin")
DAY = 86400


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def coverage(start: str, end: str, reported: tuple[str, ...] = ("a",)) -> Coverage:
    return Coverage(moment(start), moment(end), reported, ("a",), 0.0, "test")


def test_the_upper_bound_holds_for_traffic_that_is_known() -> None:
    """200 service edges of Zipf-like frequency, watched for a while: how often is more unseen than the bound says?"""
    chooser = random.Random(7)
    weights = [1 / (rank + 1) for rank in range(200)]
    total, missed = sum(weights), 0
    for _ in range(400):
        drawn = chooser.choices(range(200), weights, k=300)
        counts = {edge: drawn.count(edge) for edge in set(drawn)}
        unseen = sum(weight for edge, weight in enumerate(weights) if edge not in counts) / total
        sizes = list(counts.values())
        missed += unseen > Unseen(len(sizes), sum(sizes), sizes.count(1), sizes.count(2)).upper
    print(f"\nunseen traffic above the 95 % bound in {missed} of 400 observations")
    assert missed / 400 <= 0.07


def test_nothing_seen_is_everything_unseen() -> None:
    assert unseen_traffic([], lambda party: party) == Unseen(0, 0, 0, 0)
    assert Unseen(0, 0, 0, 0).upper == 1.0
    assert Unseen(0, 0, 0, 0).estimate == 1.0


def test_few_days_prove_little_even_without_a_singleton() -> None:
    assert Unseen(1, 2, 0, 1).upper > 0.5
    assert Unseen(5, 300, 0, 0).upper == pytest.approx(0.00994, abs=1e-4)


def test_whole_days_are_those_of_the_zone_whatever_the_clocks_do() -> None:
    found = whole_days(coverage("2026-10-23T22:00:00+00:00", "2026-10-26T23:00:00+00:00"), BERLIN)
    assert [day.isoformat() for day in found] == ["2026-10-24", "2026-10-25", "2026-10-26"]
    cut = whole_days(coverage("2026-10-23T22:00:01+00:00", "2026-10-26T22:59:59+00:00"), BERLIN)
    assert [day.isoformat() for day in cut] == ["2026-10-25"]


@pytest.mark.parametrize(
    ("start", "end", "gaps"),
    [
        ("2026-10-05T00:00:00+02:00", "2026-11-01T00:00:00+01:00", 0),
        ("2026-10-05T00:00:00+02:00", "2026-10-31T23:00:00+01:00", 1),
        ("2026-10-05T00:00:00+02:00", "2026-10-10T00:00:00+02:00", 2),
        ("2026-10-10T00:00:00+02:00", "2026-10-12T00:00:00+02:00", 2),
        ("2026-10-05T00:00:00+02:00", "2026-10-05T06:00:00+02:00", 3),
        ("2028-02-28T00:00:00+01:00", "2028-02-29T00:00:00+01:00", 2),
    ],
)
def test_the_calendar_wants_working_days_weekends_and_month_ends(start: str, end: str, gaps: int) -> None:
    assert len(calendar_gaps(coverage(start, end), Learning(), "Europe/Berlin")) == gaps


def test_a_job_must_have_run_wholly_on_a_workload_that_reported() -> None:
    nightly = Schedule(dt.datetime(2026, 1, 1, 2), "Europe/Berlin", "FREQ=MONTHLY;BYMONTHDAY=1", 0, 7200)
    learning = Learning(weekends=False, month_end=False, jobs=(Job("invoices", nightly, "a"),))
    seen = ("2026-10-31T00:00:00+00:00", "2026-11-01T03:00:00+00:00")
    cut = ("2026-10-31T00:00:00+00:00", "2026-11-01T02:59:00+00:00")
    assert not calendar_gaps(coverage(*seen), learning, "UTC")
    assert "no whole run of invoices" in calendar_gaps(coverage(*cut), learning, "UTC")[0]
    assert "did not report" in calendar_gaps(coverage(*seen, reported=()), learning, "UTC")[0]


def test_a_gap_in_a_history_was_not_observed() -> None:
    """Files from the 5th to the 31st and from the 2nd of November on, weekends missing: neither can be judged."""
    jobs = Schedule(dt.datetime(2026, 1, 1, 2), "Europe/Berlin", "FREQ=MONTHLY;BYMONTHDAY=1", 0, 7200)
    learning = Learning(jobs=(Job("invoices", jobs, "a"),))
    whole = coverage("2026-10-12T00:00:00+02:00", "2026-11-07T00:00:00+01:00")
    saturdays = [moment(f"2026-{day}T00:00:00+02:00") for day in ("10-17", "10-24")]
    gaps = (
        *((low, low + dt.timedelta(days=2)) for low in saturdays),
        (moment("2026-10-31T12:00:00+01:00"), moment("2026-11-02T00:00:00+01:00")),
    )
    assert not calendar_gaps(whole, learning, "Europe/Berlin")
    assert [gap.split(" was ")[0] for gap in calendar_gaps(replace(whole, gaps=gaps), learning, "Europe/Berlin")] == [
        "no whole Saturday or Sunday",
        "no month end",
        "no whole run of invoices",
    ]


def test_a_scope_that_nobody_saw_is_not_complete() -> None:
    """Its hosts are silent, which is no sign that nothing is missing."""
    site = Site().daily("web-1 web-2 web-3", "db-1 db-2", "tcp/5432")
    assert site.found().complete
    found = site.found(more=({"scope": "crm-prod", "match": {"app": "crm"}, "rulesets": []},))
    assert found.gates["shop-prod"].verdict == "complete"
    assert found.gates["crm-prod"].verdict == "not complete"
    assert not found.complete


def _clients(days: tuple[int, ...], count: int = 300) -> Site:
    site = Site().daily("web-1 web-2 web-3", "db-1 db-2", "tcp/5432")
    for number in range(count):
        for day in days:
            site.once(f"203.0.{number // 250}.{number % 250 + 1}", "web-1", "tcp/443", day=day + number % 20, count=4)
    return site


@pytest.mark.parametrize(("settings", "peer"), [("", "any"), ("public_above: 1000", "the ip_list web-clients")])
def test_clients_from_outside_that_never_came_back_keep_the_gate_open(settings: str, peer: str) -> None:
    """Four conversations each on one day: everybody could have sent them."""
    found = _clients((0,)).found(settings)
    (one,) = [rule for rule in found.rules if "443" in str(rule.document["services"]) or rule.maturity == "learning"]
    assert one.maturity == "learning"
    (gate,) = found.gates.values()
    assert gate.verdict == "not complete"
    (reason,) = gate.reasons
    assert one.id in reason
    assert "still learning" in reason
    assert peer in reason


@pytest.mark.parametrize("settings", ["", "public_above: 1000"])
def test_clients_from_outside_that_come_back_close_it(settings: str) -> None:
    assert _clients((0, 7)).found(settings).complete


def test_what_is_left_out_as_noise_is_the_seldom_traffic_that_the_estimate_lives_from() -> None:
    site = Site().daily("web-1 web-2 web-3", "db-1 db-2", "tcp/5432")
    for port in range(7000, 7009):
        site.once("crm-1", "db-1", f"tcp/{port}", day=port % 30)
    found = site.found()
    assert len(found.sifted.left_out["noise"]) == 9
    gate = found.gates["shop-prod"]
    assert (gate.unseen.edges, gate.unseen.once) == (10, 9)
    assert "never seen" in gate.reasons[0]


def talk(*days: int) -> Talk:
    moments = tuple(day * DAY for day in days)
    return Talk("a", "b", 443, 9, 0, moments[0], moments[-1], moments, frozenset(days))


@pytest.mark.parametrize(
    ("talks", "word"),
    [
        ([talk(1, 5, 9, 20, 29)], "stable"),
        ([talk(1)], "learning"),
        ([talk(28, 29)], "learning"),
        ([talk(1, 10, 20, 29)] * 9 + [talk(25, 29)], "stabilizing"),
        ([talk(1, 10, 20, 29)] * 3 + [talk(25, 29)], "learning"),
        ([talk(1, 2, 3, 4)], "stale"),
        ([talk(1, 8, 15, 22)], "stable"),
        ([talk(4)] * 3 + [talk(1, 29)], "learning"),
    ],
)
def test_maturity_follows_from_what_was_seen(talks: list[Talk], word: str) -> None:
    assert maturity_of(talks, 0, 30 * DAY) == word


def test_a_long_window_alone_makes_nothing_stable() -> None:
    assert maturity_of([talk(1)], 0, 3000 * DAY) == "learning"


def test_rows_that_span_weeks_are_not_taken_for_daily_traffic() -> None:
    site = Site()
    for consumer in ("10.0.1.1", "10.0.1.2"):
        start = dt.datetime(2026, 10, 5, 9, tzinfo=dt.UTC)
        site.see(consumer, "10.0.2.1", "tcp/5432", start, 90_000, until=start + dt.timedelta(days=33))
    (gate,) = site.found().gates.values()
    assert gate.verdict == "not complete"
    assert "give daily rows" in gate.reasons[0]


def test_no_flow_at_all_is_never_complete() -> None:
    assert not Site().found().complete
    (gate,) = Site().found(scope="shop-prod").gates.values()
    assert gate.unseen.upper == 1.0
