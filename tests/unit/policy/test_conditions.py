# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Guardrails over time, tests with a moment, and what the clock does to rules."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.calendar import Validity
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.schedule import Schedule
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy import guardrails_in_time
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.timing import in_time
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.check import check
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.explain import explain

from ...semantics.fixtures import NOW, inputs_of

HOSTS = {
    "pc": {"labels": {"app": "pc"}, "addresses": ["10.0.0.1"]},
    "db": {"labels": {"app": "db"}, "addresses": ["10.0.0.2"]},
}
NIGHTS = {"schedule": "DTSTART:20260105T220000Z RRULE:FREQ=DAILY", "duration": "PT4H"}
NEVER = {"id": "g", "never": {"from": {"app": "pc"}, "to": {"app": "db"}}}


def inputs(*rules: dict[str, Any], hosts: dict[str, Any] = HOSTS, stage: str = "active", **documents: Any):
    written = [
        {"id": f"r{number}", "from": {"app": "pc"}, "to": {"app": "db"}, "services": ["tcp/1"], **rule}
        for number, rule in enumerate(rules)
    ]
    facts = documents.pop("facts", None)
    return inputs_of(
        [
            {
                "settings": {
                    "labels": {"app": {}, "posture": {}},
                    "controllers": ["10.0.0.9"],
                    "user_groups": ["dba"],
                },
                "guardrails": [NEVER],
                **documents,
            },
            {
                "scope": "estate",
                "estate": True,
                "match": {},
                "owners": ["o"],
                "rulesets": [{"name": "s", "stage": stage, "rules": written}],
            },
        ],
        hosts,
        NOW,
        facts and {"format": 1, "source": "tests", "observed": "2026-11-24T08:00:00Z", **facts},
    )


def found(report) -> list[tuple[str, str]]:
    return [(finding.code, finding.message) for finding in report.findings if "GUARDRAIL" in finding.code]


def test_a_guardrail_that_breaks_at_night_names_the_first_night() -> None:
    report = check(inputs({"when": NIGHTS}))
    ((code, message),) = found(report)
    assert code == "E-GUARDRAIL"
    assert "is violated from 2026-11-24 22:00Z on by 1 pairs" in message
    assert report.guardrails[0].at == dt.datetime(2026, 11, 24, 22, tzinfo=dt.UTC)
    assert report.to_dict()["guardrails"][0]["at"] == "2026-11-24T22:00:00+00:00"
    hint = next(finding.hint for finding in report.findings if finding.code == "E-GUARDRAIL")
    assert hint == "See: microseg explain pc db tcp/1 --at 2026-11-24T22:00:00Z"


def test_a_guardrail_that_is_broken_now_names_no_moment() -> None:
    report = check(inputs({}))
    assert report.guardrails[0].at is None
    assert " from 20" not in found(report)[0][1]


def test_only_both_windows_together_break_it() -> None:
    """A deny that is open whenever the allow is, but for the one day it leaves out."""
    without = {**NIGHTS, "schedule": NIGHTS["schedule"] + " EXDATE:20261224T220000Z"}
    report = check(inputs({"when": NIGHTS}, {"action": "deny", "when": without}))
    assert report.guardrails[0].at == dt.datetime(2026, 12, 24, 22, tzinfo=dt.UTC)


def test_what_opens_in_some_years_breaks_it_already() -> None:
    late = {"schedule": "DTSTART:20290101T000000Z RRULE:FREQ=DAILY", "duration": "PT1H"}
    assert check(inputs({"when": late})).guardrails[0].at == dt.datetime(2029, 1, 1, tzinfo=dt.UTC)
    report = check(inputs({}, {"action": "deny", "expires": "2029-06-01T00:00:00Z"}))
    assert report.guardrails[0].at == dt.datetime(2029, 6, 1, tzinfo=dt.UTC)


def test_staged_rulesets_are_judged_in_time_too() -> None:
    ((code, message),) = found(check(inputs({"when": NIGHTS}, stage="staged")))
    assert code == "W-GUARDRAIL"
    assert "would be violated from 2026-11-24 22:00Z on" in message


def test_the_end_of_a_fact_that_only_a_guardrail_asks_for_counts() -> None:
    guardrail = {"id": "g", "never": {"from": {"posture": "bad"}, "to": {"app": "db"}}}
    report = check(inputs({}, guardrails=[guardrail], facts={"ttl": "PT8H", "labels": {"pc": {"posture": "ok"}}}))
    assert report.guardrails[0].outcome == "violated"
    assert report.guardrails[0].at == dt.datetime(2026, 11, 24, 16, tzinfo=dt.UTC)


def test_without_conditions_guardrails_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    judge = guardrails_in_time.judge_guardrails
    monkeypatch.setattr(
        guardrails_in_time,
        "judge_guardrails",
        lambda policy, decider: asked.append(decider.at) or judge(policy, decider),
    )
    check(inputs({"to": {"app": "pc"}, "allow_empty": True}))
    assert asked == [NOW]


def test_more_combinations_than_are_judged_are_told() -> None:
    rules = [
        {"from": {"app": "db"}, "to": {"app": "pc"}, "expires": f"2026-12-01T{hour:02}:{minute:02}:00Z"}
        for hour in range(4)
        for minute in range(0, 60, 3)
    ]
    report = check(inputs(*rules))
    assert [code for code, _message in found(report)] == ["W-GUARDRAIL-MOMENTS"]
    assert "until 2026-12-01 03:09Z only" in found(report)[0][1]
    assert report.ok


def test_a_policy_test_is_asked_for_its_moment() -> None:
    night = {"deny": "pc -> db tcp/1", "at": "2026-11-24T23:00:00Z"}
    tests = [night, {"deny": "pc -> db tcp/1"}, {**night, "deny": "", "allow": "pc -> db tcp/1"}]
    del tests[2]["deny"]
    report = check(inputs({"when": NIGHTS}, tests=tests, guardrails=[]))
    assert [result.passes for result in report.tests] == [False, True, True]


def test_explain_says_what_the_clock_does() -> None:
    days = {"schedule": "DTSTART:20260105T080000Z RRULE:FREQ=DAILY", "duration": "PT10H"}
    report = explain(inputs({"when": days}, guardrails=[], modes=FULL), "pc", "db", "tcp/1").to_dict()
    assert report["times"] == {"egress": "closes 2026-11-24 18:00Z", "ingress": "closes 2026-11-24 18:00Z"}
    assert report["shared_with"] == []


def test_explain_names_the_others_on_a_shared_workload() -> None:
    facts = {
        "ttl": "PT8H",
        "groups": {"dba": ["ann"]},
        "sessions": [
            {"user": "ann", "workload": "pc"},
            {"user": "bob", "workload": "pc"},
            {"user": "eve", "workload": "pc", "until": "2026-11-24T10:00:00Z"},
        ],
    }
    policy = inputs({"from": {"users": ["dba"]}}, guardrails=[], modes=FULL, facts=facts)
    assert explain(policy, "pc", "db", "tcp/1").shared_with == ("bob",)
    policy = inputs({"from": [{"users": ["dba"]}, {"app": "pc"}]}, guardrails=[], modes=FULL, facts=facts)
    assert explain(policy, "pc", "db", "tcp/1").shared_with == ()
    assert "W-USER-SHARED" not in [finding.code for finding in policy.findings]


FULL = [{"match": {"app": ["pc", "db"]}, "mode": "full"}]
DAYS = Schedule(dt.datetime(2026, 1, 5, 8), "UTC", "FREQ=DAILY;UNTIL=20261231T080000Z", 0, 36000)


@pytest.mark.parametrize(
    ("validity", "said"),
    [
        (Validity(), ""),
        (Validity(schedule=DAYS), "closes 2026-11-24 18:00Z"),
        (Validity(None, dt.datetime(2026, 11, 24, 14, 0, 5, tzinfo=dt.UTC), DAYS), "closes 2026-11-24 14:00:05Z"),
        (Validity(None, dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC), DAYS), "ended 2026-11-24 12:00Z"),
        (Validity(dt.datetime(2026, 11, 24, 20, tzinfo=dt.UTC), None, DAYS), "closed until 2026-11-25 08:00Z"),
        (Validity(dt.datetime(2026, 11, 25, 9, tzinfo=dt.UTC), None, DAYS), "closed until 2026-11-25 09:00Z"),
        (Validity(dt.datetime(2027, 2, 1, tzinfo=dt.UTC), None, DAYS), "closed, and does not open again"),
        (Validity(schedule=Schedule(dt.datetime(2026, 1, 5), "UTC", "FREQ=DAILY", 1, 0)), ""),
    ],
)
def test_what_time_does_to_a_rule_is_said_in_a_few_words(validity: Validity, said: str) -> None:
    assert in_time(validity, NOW) == said
