# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""compile, plan and status on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Microseg

FRESH = {
    "hash": "absent",
    "listing": [],
    "foreign": [],
    "record": None,
    "control_path": {"client_address": "10.0.0.5", "server_port": 22},
}


@pytest.fixture
def live(shop: Path) -> str:
    answers = {"web-1": FRESH, "db-1": FRESH, "batch-1": {"unreachable": True, "msg": "no route to host"}}
    (shop / "live.json").write_text(json.dumps(answers))
    return "live.json"


def report(place: Path, outcome: str, **more: Any) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps({"outcome": outcome, "findings": [], **more}))
    return place


class TestCompile:
    def test_keeps_the_same_bundle_under_the_same_digest(self, microseg: Microseg) -> None:
        first, second = [microseg("compile", "--format", "json") for _ in range(2)]

        assert first.code == 0
        assert first.json == second.json
        assert Path(first.json["path"]).exists()

    def test_screen_names_the_next_command(self, microseg: Microseg) -> None:
        assert microseg("compile").stdout.splitlines()[-1].startswith("Next   microseg plan")


class TestPlan:
    def test_from_a_file_is_kept_and_shown_again_by_its_digest(self, microseg: Microseg, live: str) -> None:
        made = microseg("plan", "--live", live, "--format", "json")

        assert made.code == 0
        assert made.json["body"]["points"].keys() == {"web-1", "db-1"}
        for name in (made.json["digest"], made.json["digest"][:8], "latest"):
            shown = microseg("plan", name, "--format", "json", inventory=False).json
            assert shown["body"] == made.json["body"]

    def test_screen_fits_and_ends_with_the_command_that_makes_it_live(self, microseg: Microseg, live: str) -> None:
        made = microseg("plan", "--live", live)

        lines = made.stdout.splitlines()
        assert max(map(len, lines[:-1])) <= 100
        assert any(line.startswith("NEWLY DENIED") for line in lines)
        assert any(line.startswith("LEFT   1 not read: batch-1") for line in lines)
        assert "bulkhead.microseg.enforce -e microseg_plan=" in lines[-1]

    def test_without_any_reading_is_2(self, microseg: Microseg) -> None:
        result = microseg("plan")

        assert result.code == 2
        assert result.stderr.startswith("E-STORE-MISSING")

    @pytest.mark.parametrize("content", ["[]", "{", '{"web-1": 1}'])
    def test_from_a_file_that_is_no_reading_is_2(self, microseg: Microseg, shop: Path, content: str) -> None:
        (shop / "live.json").write_text(content)

        result = microseg("plan", "--live", "live.json")

        assert result.code == 2
        assert result.stderr.startswith("E-LIVE-FILE  live.json: ")

    def test_that_is_not_there_is_2(self, microseg: Microseg) -> None:
        result = microseg("plan", "0123456789", inventory=False)

        assert result.code == 2
        assert "E-NO-PLAN" in result.stderr

    def test_for_a_group_that_is_not_there_is_2(self, microseg: Microseg, live: str) -> None:
        result = microseg("plan", "--live", live, "--target", "nobody")

        assert result.code == 2
        assert result.stderr.startswith("E-NO-TARGET")


class TestStatus:
    @pytest.mark.parametrize(("outcome", "code"), [("ok", 0), ("findings", 1), ("unable", 2)])
    def test_is_the_outcome_of_a_report(self, microseg: Microseg, shop: Path, outcome: str, code: int) -> None:
        file = report(shop / "drift.json", outcome, counts={"wider": 1})

        result = microseg("status", str(file), "--format", "json", inventory=False)

        assert result.code == code
        assert result.json["outcome"] == outcome

    def test_is_the_worst_of_a_directory(self, microseg: Microseg, shop: Path) -> None:
        report(shop / "reports" / "a.json", "ok")
        report(shop / "reports" / "b.json", "findings")

        assert microseg("status", "reports", inventory=False).code == 1

    def test_of_a_store_looks_at_the_reports_of_its_playbooks(self, microseg: Microseg, shop: Path) -> None:
        report(shop / "store" / "reports" / "check.json", "unable")

        assert microseg("status", "--store", "store", inventory=False).code == 2

    def test_without_a_report_is_2(self, microseg: Microseg) -> None:
        result = microseg("status", inventory=False)

        assert result.code == 2
        assert result.stderr.startswith("E-NO-REPORT")

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"outcome": "fine"}'])
    def test_of_something_else_is_2(self, microseg: Microseg, shop: Path, content: str) -> None:
        (shop / "drift.json").write_text(content)

        result = microseg("status", "drift.json", inventory=False)

        assert result.code == 2
        assert result.stderr.startswith("E-REPORT  drift.json: ")

    def test_makes_no_store(self, microseg: Microseg, shop: Path) -> None:
        report(shop / "drift.json", "ok")

        microseg("status", "drift.json", inventory=False)

        assert not (shop / ".microseg").exists()


class TestDrift:
    @pytest.fixture
    def bundle(self, microseg: Microseg) -> str:
        return str(microseg("compile", "--format", "json").json["digest"])

    def test_of_unread_hosts_is_2_and_says_the_rest(self, microseg: Microseg, live: str, bundle: str) -> None:
        result = microseg("drift", "--live", live, "--bundle", bundle, "--format", "json", inventory=False)

        assert result.code == 2
        assert result.json["outcome"] == "unable"
        assert {finding["code"] for finding in result.json["findings"]} == {"W-DRIFT-WIDER", "W-DRIFT-UNREAD"}

    def test_of_hosts_that_differ_is_1(self, microseg: Microseg, shop: Path, bundle: str) -> None:
        (shop / "live.json").write_text(json.dumps(dict.fromkeys(("web-1", "db-1", "batch-1"), FRESH)))

        assert microseg("drift", "--live", "live.json", "--bundle", bundle, inventory=False).code == 1

    def test_screen_fits_and_shows_a_packet(self, microseg: Microseg, live: str, bundle: str) -> None:
        lines = microseg("drift", "--live", live, "--bundle", bundle, inventory=False).stdout.splitlines()

        assert max(map(len, lines)) <= 100
        assert any("-> db-1 10.0.0.2 tcp/" in line for line in lines)
        assert lines[-1].startswith("Next   ansible-playbook bulkhead.microseg.repair")

    def test_before_anything_was_provisioned_is_2(self, microseg: Microseg, live: str) -> None:
        result = microseg("drift", "--live", live, inventory=False)

        assert result.code == 2
        assert result.stderr.startswith("E-NOT-PROVISIONED")
