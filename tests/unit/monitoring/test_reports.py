# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All formats say the same as the JSON, none of them carries a secret, and none can be made to carry markup."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.driver import Decision
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import StoreError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.monitoring.drift import drift
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.monitoring.drift_report import of_drift
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.monitoring.plan_report import of_plan
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.monitoring.reports import (
    WRITERS,
    Report,
    ReportFinding,
    write_reports,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.monitoring.screens import (
    WIDTH,
    drift_screen,
    plan_screen,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration import files
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.plan import PlanOptions, make_plan
from tests.unit.monitoring.test_drift import HOSTS, RULES, SHOP, form_of, live_with
from tests.unit.orchestration.builders import AT, UNREACHABLE, bundle, host, states

NASTY = "<script>alert(1)</script>|[x](javascript:1)\n# head `code` \x07 ]]> \" ' & \\"
CANARY = "hunter2canary"


@pytest.fixture
def drifted() -> Report:
    form = form_of(["w: allow role=web -> role=db : tcp/5433"], "db-1")
    live = live_with("db-1", form, reasons=(f"rule with password={CANARY}",))
    live["web-2"] = replace(UNREACHABLE, error=f"ssh https://me:{CANARY}@example.org failed")
    attribute = lambda _point, _packet: Decision("t", "c", 1, f"comment token={CANARY}", "allowed", False)  # noqa: E731
    return of_drift(drift(SHOP, live, AT, attribute, {"web-to-db": "shop.yml:14"}), ("microseg drift",))


def rendered(report: Report, name: str) -> str:
    return WRITERS[name][1](report.to_dict())


@pytest.mark.parametrize("name", WRITERS)
def test_no_format_carries_a_secret(drifted, name):
    assert CANARY not in rendered(drifted, name)


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"prometheus"}))
def test_every_format_names_every_finding(drifted, name):
    text = rendered(drifted, name).replace("\\", "")
    for finding in drifted.findings:
        assert finding.code in text
        assert finding.about in text


def test_the_json_says_what_was_looked_at_and_what_was_found(drifted):
    data = json.loads(rendered(drifted, "json"))

    assert (data["kind"], data["outcome"], data["format"]) == ("drift", "unable", 1)
    assert data["checked"] == ["db-1", "idle-1", "web-1", "web-2"]
    codes = {finding["code"]: finding for finding in data["findings"]}
    assert set(codes) == {"W-DRIFT-WIDER", "W-DRIFT-NARROWER", "W-DRIFT-UNREAD"}
    assert (codes["W-DRIFT-NARROWER"]["file"], codes["W-DRIFT-NARROWER"]["line"]) == ("shop.yml", 14)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


@pytest.fixture
def nasty() -> Report:
    finding = ReportFinding("W-X", "error", NASTY, NASTY, f"{NASTY}:3", "", ((NASTY, NASTY),))
    return Report(
        "drift",
        NASTY,
        "findings",
        "2026-06-01T12:00:00+00:00",
        {NASTY: NASTY},
        {NASTY: 1},
        (NASTY,),
        (finding,),
        (NASTY,),
    )


def test_html_is_one_page_without_script_link_or_foreign_tag(nasty):
    text = rendered(nasty, "html")
    page = Page(text)

    assert "script" not in page.tags
    assert page.links == []
    assert {"caption", "h1", "main", "time"} <= set(page.tags)
    assert text.count('scope="') >= 6
    assert "prefers-color-scheme: dark" in text
    assert '<html lang="en">' in text


def test_markdown_has_no_markup_from_outside(nasty):
    text = rendered(nasty, "markdown")

    assert not re.search(r"(?<!\\)<script", text.split("## Next")[0])
    assert not re.search(r"(?<!\\)\[x", text.split("## Next")[0])
    assert len([line for line in text.splitlines() if line.startswith("# ")]) == 1


def test_junit_is_well_formed_and_counts(nasty, drifted):
    assert ElementTree.fromstring(rendered(nasty, "junit")).find("testsuite").get("failures") == "1"
    suite = ElementTree.fromstring(rendered(drifted, "junit")).find("testsuite")

    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "1", "1")
    assert {case.get("name") for case in suite.iter("testcase")} == {"db-1", "idle-1", "web-1", "web-2"}


def test_sarif_points_at_the_line_of_the_policy(drifted, nasty):
    json.loads(rendered(nasty, "sarif"))
    data = json.loads(rendered(drifted, "sarif"))
    (run,) = data["runs"]

    assert data["version"] == "2.1.0"
    assert run["invocations"][0]["executionSuccessful"] is False
    result = next(one for one in run["results"] if one["ruleId"] == "W-DRIFT-NARROWER")
    place = result["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("shop.yml", 14)
    assert all(run["tool"]["driver"]["rules"][one["ruleIndex"]]["id"] == one["ruleId"] for one in run["results"])


def test_prometheus_text_is_lines_a_scraper_reads(drifted, nasty):
    sample = re.compile(r'^[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="(\\.|[^"\\])*")*\})? -?[0-9.e+]+$')
    for report in (drifted, nasty):
        text = rendered(report, "prometheus")
        assert text.endswith("\n")
        for line in text.splitlines():
            assert line.startswith("# ") or sample.match(line), line
    assert 'microseg_drift_outcome{outcome="unable"} 1' in rendered(drifted, "prometheus")


def test_reports_replace_each_other_whole(drifted, tmp_path, monkeypatch):
    written = write_reports(drifted, tmp_path / "out", WRITERS)
    before = {path: path.read_text() for path in written}

    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StoreError) as caught:
        write_reports(replace(drifted, title="Other"), tmp_path / "out", WRITERS)

    assert caught.value.code == "E-STORE-WRITE"
    assert {path: path.read_text() for path in (tmp_path / "out").iterdir()} == before
    with pytest.raises(StoreError) as caught:
        write_reports(drifted, tmp_path, ["pdf"])
    assert caught.value.code == "E-REPORT-FORMAT"


def test_reports_can_be_read_by_others_as_far_as_the_umask_lets_them(drifted, tmp_path):
    old = os.umask(0o022)
    try:
        (path,) = write_reports(drifted, tmp_path / "out", ["prometheus"])
    finally:
        os.umask(old)

    assert stat.S_IMODE(path.stat().st_mode) == 0o644


# -- screens -----------------------------------------------------------------------------------------------------------

LONG = [
    host(f"{'very-long-host-name-' * 4}{n}", f"app={'a' * 60},role={'r' * 50}{n}", f"10.1.0.{n}") for n in range(1, 30)
]


def test_a_drift_screen_fits_and_ends_with_the_next_command():
    tampered = bundle(LONG, ["x: allow any -> any : " + ",".join(f"tcp/{n}" for n in range(1, 90, 2))])
    report = drift(bundle(LONG, []), states(tampered), AT)

    lines = drift_screen(report, "ansible-playbook bulkhead.microseg.repair").splitlines()

    assert max(map(len, lines)) <= WIDTH
    assert lines[-1] == "Next   ansible-playbook bulkhead.microseg.repair"
    assert lines[0].startswith("DRIFT  findings")


def test_a_plan_screen_fits_and_ends_with_the_next_command():
    old, new = (
        bundle(LONG, []),
        bundle(LONG, [f"x{n}: allow workload {LONG[n].name} -> any : tcp/{n}" for n in range(1, 25)], "p2"),
    )
    plan = make_plan(new, old, states(old), AT, PlanOptions(renderer="1"))

    lines = plan_screen(plan, "ansible-playbook bulkhead.microseg.enforce").splitlines()

    assert max(map(len, lines)) <= WIDTH
    assert lines[-1] == "Next   ansible-playbook bulkhead.microseg.enforce"
    assert lines[0].startswith(f"PLAN {plan.digest[:8]}  kind policy")


def test_screens_say_so_when_nothing_is_to_do_and_when_nothing_was_seen():
    plan = make_plan(SHOP, SHOP, states(SHOP), AT, PlanOptions(renderer="1"))

    assert "Nothing to change" in plan_screen(plan, "x")
    assert drift_screen(drift(SHOP, states(SHOP), AT), "x").endswith("Next   nothing to do\n")
    assert "Nobody was looked at" in drift_screen(drift(SHOP, {}, AT, only=()), "x")


def test_a_plan_report_puts_cuts_first_and_names_the_policy_line():
    new = bundle(HOSTS, [], "policy-2")
    plan = make_plan(
        new, SHOP, states(SHOP), AT, PlanOptions(renderer="1", places={RULES[0].split(":")[0]: "shop.yml:14"})
    )

    report = of_plan(plan)

    assert report.outcome == "findings"
    assert [(one.code, one.place) for one in report.findings] == [("W-PLAN-DENIED", "shop.yml:14")]
    for name in WRITERS:
        assert rendered(report, name)
