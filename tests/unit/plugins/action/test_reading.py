# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""estate, check and explain as tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail

from ..conftest import RunAction

READING = {
    "estate": {},
    "check": {},
    "explain": {"from": "web-1", "to": "db-1", "service": "tcp/5432"},
}


@pytest.mark.parametrize("name", READING)
def test_answers_are_the_same_in_check_mode_and_change_nothing(run_action: RunAction, name: str) -> None:
    answers = [run_action(name, policy="policy", check_mode=mode, **READING[name]) for mode in (False, True)]

    assert answers[0] == answers[1]
    assert answers[0]["changed"] is False


@pytest.mark.parametrize("name", READING)
def test_unknown_options_are_refused(run_action: RunAction, name: str) -> None:
    with pytest.raises(AnsibleActionFail, match="bogus"):
        run_action(name, policy="policy", bogus=1, **READING[name])


@pytest.mark.parametrize("name", READING)
def test_a_missing_policy_is_refused(run_action: RunAction, name: str) -> None:
    with pytest.raises(AnsibleActionFail, match="policy"):
        run_action(name, **READING[name])


@pytest.mark.parametrize("name", [*READING, "compile"])
def test_files_of_facts_are_read(run_action: RunAction, shop: Path, name: str) -> None:
    head = 'format: 1\nsource: edr\nobserved: "2026-11-24T08:00:00Z"\n'
    (shop / "good.yml").write_text(head + "ttl: PT8H\nlabels: {web-1: {}}\n")
    (shop / "bad.yml").write_text(head + "sessions: [{user: ann, workload: web-1}]\n")

    run_action(name, policy="policy", facts=["good.yml"], **READING.get(name, {}))
    with pytest.raises(AnsibleActionFail, match="the session of ann has no end") as caught:
        run_action(name, policy="policy", facts=["good.yml", "bad.yml"], **READING.get(name, {}))

    assert caught.value.result["code"] == "E-FACTS"


@pytest.mark.parametrize("name", READING)
def test_bad_documents_fail_with_code_hint_and_findings(run_action: RunAction, shop: Path, name: str) -> None:
    (shop / "policy" / "bad.yml").write_text("settings: [")

    with pytest.raises(AnsibleActionFail) as caught:
        run_action(name, policy="policy", **READING[name])

    assert caught.value.result["code"].startswith("E-")
    assert caught.value.result["findings"][0]["file"].endswith("bad.yml")
    assert str(caught.value).startswith(caught.value.result["code"])


class TestEstate:
    def test_counts_what_a_person_checks_first(self, run_action: RunAction) -> None:
        estate = run_action("estate", policy="policy")

        assert (estate["workloads"], estate["managed"], estate["without_address"]) == (3, 3, 0)
        assert estate["modes"] == {"full/full": 2, "idle/idle": 1}
        assert estate["labels"]["role"] == {"web": 1, "db": 1, "job": 1}

    def test_lists_the_workloads_in_the_report_only(self, run_action: RunAction, shop: Path) -> None:
        estate = run_action("estate", policy="policy", report="reports/estate.json")

        report = json.loads((shop / "reports" / "estate.json").read_text())
        assert [workload["name"] for workload in report["estate"]] == ["batch-1", "db-1", "web-1"]
        assert "estate" not in estate


class TestCheck:
    def test_of_a_policy_in_order(self, run_action: RunAction) -> None:
        answer = run_action("check", policy="policy")

        assert answer["outcome"] == "ok"
        assert answer["guardrails"] == {"holds": 1, "violated": 0}
        assert answer["tests"] == {"passes": 2, "fails": 0}

    def test_findings_do_not_fail_the_task_so_that_they_can_be_published(
        self, run_action: RunAction, shop: Path
    ) -> None:
        (shop / "policy" / "more.yml").write_text('tests:\n  - {deny: "web-1 -> db-1 tcp/5432"}\n')

        answer = run_action("check", policy="policy")

        assert answer["outcome"] == "findings"
        assert answer["counts"]["error"] == 1
        assert answer["findings"][0]["code"] == "E-TEST"

    def test_a_result_has_at_most_fifty_findings_and_the_report_all(self, run_action: RunAction, shop: Path) -> None:
        tests = "".join(f'  - {{deny: "web-1 -> db-1 tcp/5432", because: "{n}"}}\n' for n in range(60))
        (shop / "policy" / "more.yml").write_text("tests:\n" + tests)

        answer = run_action("check", policy="policy", report="check.json")

        assert len(answer["findings"]) == 50
        assert answer["counts"]["error"] == 60
        assert len(json.loads((shop / "check.json").read_text())["findings"]) == 60

    def test_a_report_that_cannot_be_written_fails(self, run_action: RunAction, shop: Path) -> None:
        (shop / "file").write_text("")

        with pytest.raises(AnsibleActionFail, match="E-REPORT-WRITE"):
            run_action("check", policy="policy", report="file/check.json")


class TestExplain:
    def test_names_the_rule(self, run_action: RunAction) -> None:
        answer = run_action("explain", policy="policy", **READING["explain"])

        assert answer["verdict"] == "allowed"
        assert answer["ingress"]["rule"] == "web-to-db"

    def test_of_nobody_fails_with_the_code(self, run_action: RunAction) -> None:
        with pytest.raises(AnsibleActionFail, match="E-TARGET"):
            run_action("explain", **{"policy": "policy", **READING["explain"], "from": "web-2"})
