# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""check, reach, explain and diff on the command line: JSON for programs, screens for people, exit codes for CI."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.cli.screen import Screen

from .conftest import HOSTS, POLICY, Microseg

VERBS = {
    "check": ("check",),
    "reach": ("reach",),
    "explain": ("explain", "batch-1", "db-1", "postgresql"),
    "diff": ("diff", "policy", "policy"),
    "doctor": ("doctor",),
}


@pytest.mark.parametrize("words", VERBS.values(), ids=VERBS)
def test_screens_fit_100_columns_and_end_with_the_next_command(microseg: Microseg, words: tuple[str, ...]) -> None:
    result = microseg(*words)

    assert result.code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines[:-1])) <= 100  # the next command is there to be copied, so it is never wrapped
    assert lines[-1].startswith("Next   ")
    assert result.stderr == ""


@pytest.mark.parametrize("words", VERBS.values(), ids=VERBS)
def test_json_is_all_there_is_on_stdout(microseg: Microseg, words: tuple[str, ...]) -> None:
    assert isinstance(microseg(*words, "--format", "json").json, dict)


class TestCheck:
    def test_of_a_policy_in_order_is_0(self, microseg: Microseg) -> None:
        result = microseg("check", "--format", "json")

        assert result.code == 0
        assert result.json["outcome"] == "ok"
        assert [item["outcome"] for item in result.json["guardrails"]] == ["holds"]
        assert [item["passes"] for item in result.json["tests"]] == [True, True]

    def test_of_a_wrong_rule_says_that_guardrails_and_tests_were_not_judged(
        self, microseg: Microseg, shop: Path
    ) -> None:
        policy = shop / "policy" / "all.yml"
        policy.write_text(policy.read_text().replace("to: {role: db}", "to: {role: nobody}"))

        result = microseg("check")

        assert "  guardrails  not judged: a rule is wrong\n  tests       not judged: a rule is wrong\n" in result.stdout
        assert (result.code, microseg("check", "--format", "json").json["judged"]) == (1, False)

    def test_of_a_failing_test_is_1_and_names_file_and_line(self, microseg: Microseg, shop: Path) -> None:
        (shop / "policy" / "more.yml").write_text('tests:\n  - {deny: "web-1 -> db-1 tcp/5432"}\n')

        result = microseg("check", "--format", "json")

        assert result.code == 1
        finding = next(item for item in result.json["findings"] if item["code"] == "E-TEST")
        assert finding["file"].endswith("more.yml")
        assert (finding["line"], finding["severity"]) == (2, "error")

    def test_of_bad_yaml_is_2_with_the_place_on_stderr(self, microseg: Microseg, shop: Path) -> None:
        (shop / "policy" / "bad.yml").write_text("settings: {labels: [\n")

        result = microseg("check")

        assert result.code == 2
        assert result.stdout == ""
        assert "bad.yml" in result.stderr
        assert result.stderr.startswith("E-")

    def test_of_bad_yaml_in_json_has_the_findings_on_stdout_too(self, microseg: Microseg, shop: Path) -> None:
        (shop / "policy" / "bad.yml").write_text("settings: {labels: [\n")

        result = microseg("check", "--format", "json")

        assert result.code == 2
        assert result.json["outcome"] == "unable"
        assert result.json["findings"][0]["file"].endswith("bad.yml")

    def test_answers_for_the_moment_asked(self, microseg: Microseg, shop: Path) -> None:
        (shop / "policy" / "all.yml").write_text(
            POLICY.replace("services: [postgresql]}", "services: [postgresql], expires: 2026-06-30}")
        )

        assert microseg("check", "--at", "2026-06-30T12:00:00Z").code == 0
        assert microseg("check", "--at", "2026-07-02T12:00:00Z").code == 1

    def test_ends_a_date_in_the_inventory_with_its_day_in_the_time_zone_of_the_policy(
        self, microseg: Microseg, shop: Path
    ) -> None:
        (shop / "policy" / "all.yml").write_text(
            POLICY.replace("controllers:", "timezone: Europe/Berlin\n  controllers:")
        )
        (shop / "hosts.yml").write_text(HOSTS.replace("role: web,", "role: {value: web, expires: 2026-06-30},"))

        assert microseg("check", "--at", "2026-06-30T21:59:59Z").code == 0
        assert microseg("check", "--at", "2026-06-30T22:00:00Z").code == 1

    @pytest.mark.parametrize("moment", ["soon", "2026-06-30T12:00:00"])
    def test_refuses_a_moment_that_could_be_another(self, microseg: Microseg, moment: str) -> None:
        result = microseg("check", "--at", moment)

        assert result.code == 2
        assert result.stderr.startswith("E-TIME")


class TestReach:
    def test_lists_pairs_with_what_is_allowed(self, microseg: Microseg) -> None:
        pairs = microseg("reach", "--format", "json").json["pairs"]

        opened = [pair for pair in pairs if pair["allowed"]]
        assert set(opened[0]) == {"from", "to", "family", "allowed", "unknown", "by_address", "one_sided"}
        assert [(pair["from"], pair["to"], pair["allowed"]) for pair in opened] == [("web-1", "db-1", ["tcp/5432"])]

    def test_can_be_narrowed_to_some_ends(self, microseg: Microseg) -> None:
        pairs = microseg("reach", "--from", "batch-1", "--to", "role=db", "--format", "json").json["pairs"]

        assert [(pair["from"], pair["to"]) for pair in pairs] == [("batch-1", "db-1")]


class TestExplain:
    def test_names_the_rule_that_allows(self, microseg: Microseg) -> None:
        answer = microseg("explain", "web-1", "db-1", "tcp/5432", "--format", "json").json

        assert answer["verdict"] == "allowed"
        assert answer["one_sided"] is False
        for side in ("egress", "ingress"):
            decided = answer[side]
            assert (decided["decided_by"], decided["tier"], decided["rule"]) == ("rule", "application", "web-to-db")
            assert (decided["ruleset"], decided["scope"]) == ("core", "shop")
            assert decided["file"].endswith("all.yml")
            assert decided["line"] > 0

    def test_of_an_unknown_end_is_2_with_the_nearest_word(self, microseg: Microseg) -> None:
        result = microseg("explain", "web-2", "db-1", "tcp/5432")

        assert result.code == 2
        assert "web-1" in result.stderr


class TestDiff:
    @pytest.fixture
    def after(self, shop: Path) -> str:
        shutil.copytree(shop / "policy", shop / "after")
        (shop / "after" / "all.yml").write_text(POLICY.replace("[tcp/5432]}", "[tcp/5433]}"))
        return "after"

    def test_says_what_is_newly_allowed_and_denied(self, microseg: Microseg, after: str) -> None:
        answer = microseg("diff", "policy", after, "--format", "json").json

        assert [box["services"] for box in answer["newly_allowed"]] == [["tcp/5433"]]
        assert [box["services"] for box in answer["newly_denied"]] == [["tcp/5432"]]

    def test_needs_no_inventory(self, microseg: Microseg, after: str) -> None:
        answer = microseg("diff", "policy", after, "--format", "json", inventory=False).json

        assert answer["newly_denied"]

    @pytest.fixture
    def history(self, shop: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Two commits of the shop: tcp/5432, then tcp/5433."""
        for who in ("AUTHOR", "COMMITTER"):
            monkeypatch.setenv(f"GIT_{who}_NAME", "Ada")
            monkeypatch.setenv(f"GIT_{who}_EMAIL", "ada@example.org")

        def git(*words: str) -> None:
            subprocess.run(["git", *words], cwd=shop, check=True, capture_output=True)

        git("init", "--initial-branch", "main")
        for text in (POLICY, POLICY.replace("[tcp/5432]}", "[tcp/5433]}")):
            (shop / "policy" / "all.yml").write_text(text)
            git("add", "policy")
            git("commit", "-m", "Change")
        return git

    @pytest.mark.usefixtures("history")
    @pytest.mark.parametrize("inventory", [True, False])
    @pytest.mark.parametrize("words", [("HEAD~1", "HEAD"), ("main~1", "policy")])
    def test_compares_git_revisions(self, microseg: Microseg, words: tuple[str, str], inventory: bool) -> None:
        answer = microseg("diff", *words, "-p", "policy", "--format", "json", inventory=inventory).json

        assert {tuple(box["services"]) for box in answer["newly_allowed"]} == {("tcp/5433",)}
        assert {tuple(box["services"]) for box in answer["newly_denied"]} == {("tcp/5432",)}

    def test_of_a_word_that_is_two_things_is_2_and_says_both(
        self, microseg: Microseg, history: Callable[..., None]
    ) -> None:
        history("branch", "policy")
        refused = microseg("diff", "HEAD~1", "policy")

        assert refused.code == 2
        assert "'policy' is a directory and a git revision" in refused.stderr
        assert "./policy" in refused.stderr
        assert "refs/heads/policy" in refused.stderr
        assert microseg("diff", "HEAD~1", "./policy").code == 0
        assert microseg("diff", "HEAD~1", "refs/heads/policy").code == 0
        assert microseg("diff", "policy", "policy").code == 0  # two directories mean what they always meant

    @pytest.mark.usefixtures("history")
    def test_of_an_unknown_revision_is_2_with_the_nearest(self, microseg: Microseg) -> None:
        refused = microseg("diff", "mian", "HEAD")

        assert refused.code == 2
        assert "'mian' is neither" in refused.stderr
        assert "Did you mean main?" in refused.stderr

    def test_shows_a_witness_on_the_screen(self, microseg: Microseg, after: str) -> None:
        assert "web-1 -> db-1 tcp/5432" in microseg("diff", "policy", after).stdout


def test_next_command_carries_the_sources_of_this_run(microseg: Microseg, shop: Path) -> None:
    (shop / "policy").rename(shop / "rules")

    assert "-i hosts.yml -e x=1 -p rules" in microseg("check", "-p", "rules", "-e", "x=1").stdout


def test_a_secret_given_by_extra_vars_is_not_in_the_next_command(microseg: Microseg) -> None:
    result = microseg("check", "-e", "db_password=hunter2")

    assert result.code == 0
    assert "hunter2" not in result.stdout + result.stderr


@pytest.mark.parametrize(("who", "meant"), [("web-l", "web-1"), ("rolle=web", "role")])
def test_reach_of_somebody_unknown_is_2_and_not_an_empty_list(microseg: Microseg, who: str, meant: str) -> None:
    for option in ("--from", "--to"):
        result = microseg("reach", option, who, "--format", "json")

        assert result.code == 2
        assert result.json["findings"][0]["code"] == "E-LABEL-KEY"
        assert f"Did you mean {meant}" in result.stderr


def test_names_and_labels_cannot_write_on_the_terminal(microseg: Microseg, shop: Path) -> None:
    hosts = 'all: {hosts: {h: {microseg_id: "a\\e[2J\\nCHECK  all  IN ORDER", microseg_labels: {env: "x\\e[31m"}}}}\n'
    (shop / "odd.yml").write_text(hosts)

    for words in (("check",), ("reach",), ("explain", "no\x1b[2Jbody\n", "db-1", "tcp/1")):
        result = microseg(*words, "-i", "odd.yml")

        assert "\x1b" not in result.stdout + result.stderr
        assert "\nCHECK  all" not in result.stdout + result.stderr


LOST = """
label_rules:
  - {set: {role: web}, group: webserver}
  - {set: {role: db}, name: "nobody.*"}
---
modes: [{match: {role: dbx}, ingress: full}]
"""


def test_a_label_rule_or_mode_that_concerns_nobody_is_said(microseg: Microseg, shop: Path) -> None:
    (shop / "policy" / "lost.yml").write_text(LOST)

    result = microseg("check", "--format", "json")

    assert result.code == 0
    said = {item["line"]: item["message"] for item in result.json["findings"] if item["code"] == "W-NOBODY"}
    assert sorted(said) == [3, 4, 6]
    assert "no host is in group webserver" in said[3]


def test_only_the_last_column_gives_way_to_a_long_text() -> None:
    screen = Screen()
    screen.rows([("installation", "findings", "x" * 200), ("policy", "ok", "short")])

    lines = screen.text().splitlines()

    assert lines[0].split()[:2] == ["installation", "findings"]
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("diff", "policy", "nope"), "'nope' is neither a directory nor a bundle"),
        (("check", "-p", "nope"), "nope: there is no such directory"),
        (("check", "-p", "hosts.yml"), "hosts.yml: this is not a directory"),
        (("explain", "role=web", "db-1", "tcp/1"), "for a selector there is microseg reach"),
    ],
)
def test_a_wrong_argument_is_named(microseg: Microseg, words: tuple[str, ...], said: str) -> None:
    result = microseg(*words, inventory=words[0] != "diff")

    assert result.code == 2
    assert said in result.stderr


def test_doctor_does_not_send_on_to_check_what_cannot_be_checked(microseg: Microseg) -> None:
    assert "correct what is unable" in microseg("doctor", "-p", "nope").stdout


@pytest.mark.parametrize(
    "words",
    [
        *(words for name, words in VERBS.items() if name != "doctor"),
        ("compile",),
        ("lint",),
        ("simulate", "--flows", "flows.json"),
        ("rule", "add", "allow role=web -> role=db : tcp/1", "--scope", "shop", "--dry-run"),
    ],
    ids=lambda words: words[0],
)
def test_every_verb_reads_the_files_of_facts(microseg: Microseg, words: tuple[str, ...]) -> None:
    result = microseg(*words, "--facts", "nowhere.yml")

    assert result.code == 2
    assert "nowhere.yml: there is no such file." in result.stderr


def test_facts_of_several_files_count(microseg: Microseg, shop: Path) -> None:
    (shop / "policy" / "users.yml").write_text(
        "scope: people\nestate: true\nmatch: {}\nowners: [o]\nrulesets: [{name: r, stage: active, rules: [\n"
        "{id: u, from: {users: [dba]}, to: {workload: db-1}, services: [tcp/9]}]}]\n"
    )
    settings = shop / "policy" / "all.yml"
    settings.write_text(settings.read_text().replace("settings:\n", "settings:\n  user_groups: [dba]\n", 1))
    head = 'format: 1\nsource: idp\nobserved: "2026-11-24T08:00:00Z"\nttl: PT8H\n'
    (shop / "groups.yml").write_text(head + "groups: {dba: [ann]}\n")
    (shop / "sessions.yml").write_text(head + "sessions: [{user: ann, workload: batch-1}]\n")
    facts = ("--facts", "groups.yml", "--facts", "sessions.yml")

    answers = [
        microseg("explain", "batch-1", "db-1", "tcp/9", *facts, "--at", at, "--format", "json").json["would"]
        for at in ("2026-11-24T12:00:00Z", "2026-11-24T16:00:00Z")
    ]

    assert answers == ["allowed", "denied"]
