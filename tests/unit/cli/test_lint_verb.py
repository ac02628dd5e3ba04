# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""lint on the command line: screens, JSON, SARIF, JUnit, flows and exit codes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from .conftest import Microseg

RULES = """
scope: more
match: {app: shop, env: prod}
owners: [team-shop]
rulesets:
  - name: more
    stage: active
    rules:
      - {id: again, from: {role: web}, to: {role: db}, services: [tcp/5432], reason: twice%s}
"""


@pytest.fixture
def doubled(shop: Path) -> Path:
    (shop / "policy" / "more.yml").write_text(RULES % "")
    return shop


def test_a_policy_without_findings_that_count_is_0(microseg: Microseg) -> None:
    result = microseg("lint")

    assert result.code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].endswith("IN ORDER")
    assert lines[-1].startswith("Next   ")


def test_a_redundant_rule_is_1_with_evidence_in_json(microseg: Microseg, doubled: Path) -> None:
    result = microseg("lint", "--format", "json")

    assert result.code == 1
    finding = next(item for item in result.json["findings"] if item["code"] == "W-REDUNDANT")
    assert (finding["rule"], finding["stage"]) == ("again@more/more", "active")
    assert finding["evidence"]["by"] == ["web-to-db@shop/core"]
    assert finding["evidence"]["packet"]["service"] == "tcp/5432"
    assert finding["file"].endswith("more.yml")


def test_only_what_is_severe_enough_fails(microseg: Microseg, doubled: Path) -> None:
    assert microseg("lint", "--fail-on", "error").code == 0
    (doubled / "policy" / "more.yml").unlink()
    assert microseg("lint", "--fail-on", "info").code == 1


def test_the_heading_counts_what_counts_and_says_notes_apart(microseg: Microseg, doubled: Path) -> None:
    """One warning, and a note about a rule that ends soon."""
    soon = (datetime.now(UTC) + timedelta(days=5)).date().isoformat()
    (doubled / "policy" / "more.yml").write_text(RULES % f", expires: {soon}")
    found = microseg("lint", "--format", "json").json["findings"]
    notes = sum(item["severity"] == "info" for item in found)
    warnings = len(found) - notes
    assert notes >= 1
    assert warnings >= 1
    first, second, third = microseg("lint").stdout.splitlines()[:3]
    assert first.endswith(plural(warnings, "FINDING"))
    assert second.split() == ["findings", *plural(warnings, "warning").split()]
    assert third.split() == ["notes", str(notes)]
    every = microseg("lint", "--fail-on", "info").stdout.splitlines()
    assert every[0].endswith(plural(len(found), "FINDING"))
    assert every[2].split()[0] == "waived"
    none = microseg("lint", "--fail-on", "error").stdout.splitlines()
    assert none[0].endswith("IN ORDER")
    assert none[1].split() == ["findings", "none"]
    assert none[2].split() == f"not counted {plural(warnings, 'warning')}, {plural(notes, 'note')}".split()


def plural(count: int, word: str) -> str:
    return f"{count} {word}" + ("S" if word.isupper() else "s") * (count != 1)


@pytest.mark.parametrize("days", ["-1", "36501", "99999999999", "-5d"])
def test_days_that_no_calendar_has_are_refused(microseg: Microseg, shop: Path, days: str) -> None:
    result = microseg("lint", "--ends-within", days)
    assert result.code == 2
    assert "E-INTERNAL" not in result.stderr


def test_a_waiver_is_shown_with_its_end(microseg: Microseg, doubled: Path) -> None:
    waiver = ", waivers: [{code: W-REDUNDANT, reason: until the move, until: 2096-01-31}]"
    (doubled / "policy" / "more.yml").write_text(RULES % waiver)
    result = microseg("lint")

    assert result.code == 0
    assert "waived until 2096-02-01: W-REDUNDANT again@more/more (until the move)" in result.stdout


def test_sarif_and_junit_for_pipelines(microseg: Microseg, doubled: Path) -> None:
    sarif = microseg("lint", "--format", "sarif")
    junit = microseg("lint", "--format", "junit")

    assert (sarif.code, junit.code) == (1, 1)
    results = json.loads(sarif.stdout)["runs"][0]["results"]
    assert {"W-REDUNDANT", "W-NO-REASON"} <= {item["ruleId"] for item in results}
    suite = ElementTree.fromstring(junit.stdout).find("testsuite")
    assert suite is not None
    assert suite.get("failures") == "1"


def test_flows_that_cannot_be_read_are_2_and_say_so(microseg: Microseg) -> None:
    result = microseg("lint", "--flows", "nowhere.parquet")

    assert result.code == 2
    assert result.stderr.startswith("E-FLOW-FILE")
    assert result.stdout == ""
