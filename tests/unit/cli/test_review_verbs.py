# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""owners, check --author, review and revisions in a git repository as a team has it."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import parse_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.edges import edges_of
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import PlanError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.flows import Flow, Observations
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.visibility.edges_file import write_edges
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.provision import begin, finish, record_begin
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.store import open_store

from .conftest import Microseg

ROLES = """
roles:
  - name: team-shop
    members: [[ann@example.org, "@ann"]]
    handle: "@example/team-shop"
    write: {scopes: [shop]}
  - name: security
    members: [eve]
    write: {scopes: ["*"], documents: [settings, services, modes, guardrails, tests, roles, scopes]}
"""


def git(place: Path, *words: str) -> str:
    command = ["git", "-C", str(place), "-c", "user.name=Ann", "-c", "user.email=ann@example.org", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(shop: Path) -> Path:
    """The shop with roles, its scope in a file of its own, all of it committed."""
    before, _mark, rest = (shop / "policy" / "all.yml").read_text().partition("---\nscope: shop")
    scope, _mark, after = rest.partition("---\n")
    (shop / "policy" / "all.yml").write_text(f"{before}---\n{after}")
    (shop / "policy" / "shop.yml").write_text(f"scope: shop{scope}")
    (shop / "policy" / "roles.yml").write_text(ROLES)
    git(shop, "init", "-q", "-b", "main")
    git(shop, "add", ".")
    git(shop, "commit", "-q", "-m", "before")
    return shop


def edit(repository: Path, file: str, old: str, new: str) -> None:
    path = repository / "policy" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("words", [("check",), ("check", "--base", "main"), ("review", "main")], ids=" ".join)
@pytest.mark.parametrize("who", ["", " ", "@"])
def test_an_author_without_a_name_is_refused_and_not_waved_through(
    microseg: Microseg, repository: Path, words: tuple[str, ...], who: str
) -> None:
    result = microseg(*words, "--author", who)

    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("E-AUTHOR  --author names nobody")


class TestOwners:
    def test_are_written_once_and_hand_written_lines_stay(self, microseg: Microseg, repository: Path) -> None:
        file = repository / "CODEOWNERS"
        file.write_text("*.md @docs\n")

        first = microseg("owners", "--write", "CODEOWNERS", "--format", "json", inventory=False)
        written = file.read_text()
        file.write_text(f"{written}/src @dev")
        second = microseg("owners", "--write", "CODEOWNERS", "--format", "json", inventory=False)

        assert (first.json["changed"], second.json["changed"]) == (True, False)
        assert file.read_text() == f"{written}/src @dev"
        assert written.startswith("*.md @docs\n\n# BEGIN microseg owners")
        lines = [line for line in written.splitlines() if line and not line.startswith("#")]
        assert lines == [
            "*.md @docs",
            "/policy/ @eve",
            "/CODEOWNERS @eve",
            "/policy/all.yml @eve",
            "/policy/roles.yml @eve",
            "/policy/shop.yml @example/team-shop",
        ]

    def test_check_says_when_the_policy_went_on(self, microseg: Microseg, repository: Path) -> None:
        microseg("owners", "--write", "CODEOWNERS", inventory=False)
        assert microseg("owners", "--check", "CODEOWNERS", inventory=False).code == 0

        (repository / "policy" / "shop.yml").rename(repository / "policy" / "moved.yml")
        result = microseg("owners", "--check", "CODEOWNERS", "--format", "json", inventory=False)

        assert result.code == 1
        assert result.json["findings"][-1]["code"] == "E-OWNERS-STALE"
        assert "/policy/shop.yml" in (repository / "CODEOWNERS").read_text(), "a check writes nothing"

    def test_block_that_moved_stays_where_it_is(self, microseg: Microseg, repository: Path) -> None:
        (repository / ".github").mkdir()
        file = repository / ".github" / "CODEOWNERS"
        microseg("owners", "--write", str(file), inventory=False)
        file.write_text(f"{file.read_text()}\n/late @dev\n")
        edit(repository, "shop.yml", "team-shop", "ann@example.org, team-shop")

        assert microseg("owners", "--write", str(file), inventory=False).code == 0

        text = file.read_text()
        assert text.endswith("# END microseg owners\n\n/late @dev\n")
        assert "/policy/shop.yml ann@example.org @example/team-shop\n" in text
        assert "/.github/CODEOWNERS @eve\n" in text

    @pytest.mark.parametrize(
        ("old", "new", "code"),
        [
            ("[team-shop]", '["a b"]', "E-OWNER"),
            ("[team-shop]", '["x\\n* @mallory"]', "E-OWNER"),
        ],
    )
    def test_owner_that_would_add_lines_is_refused(
        self, microseg: Microseg, repository: Path, old: str, new: str, code: str
    ) -> None:
        edit(repository, "shop.yml", old, new)

        result = microseg("owners", "--write", "CODEOWNERS", inventory=False)

        assert result.code == 2
        assert result.stderr.startswith(code)
        assert not (repository / "CODEOWNERS").exists()

    @pytest.mark.parametrize("name", ["sh*p.yml", "[a].yml", "!a.yml"])
    def test_file_that_no_pattern_can_name_is_refused(self, microseg: Microseg, repository: Path, name: str) -> None:
        (repository / "policy" / "shop.yml").rename(repository / "policy" / name)

        result = microseg("owners", "--write", "CODEOWNERS", inventory=False)

        assert (result.code, result.stderr[:13]) == (2, "E-OWNERS-PATH")

    @pytest.mark.parametrize("text", ["# BEGIN microseg owners\n", "# END microseg owners\n# BEGIN microseg owners\n"])
    def test_half_a_block_is_refused(self, microseg: Microseg, repository: Path, text: str) -> None:
        (repository / "CODEOWNERS").write_text(text)

        result = microseg("owners", "--write", "CODEOWNERS", inventory=False)

        assert (result.code, result.stderr[:13]) == (2, "E-OWNERS-FILE")
        assert (repository / "CODEOWNERS").read_text() == text

    def test_what_is_shared_by_several_and_what_nobody_owns_is_told(self, microseg: Microseg, repository: Path) -> None:
        (repository / "policy" / "two.yml").write_text(
            "scope: a\nmatch: {app: a}\nowners: [x]\n---\nscope: b\nmatch: {app: b}\nowners: [y]\n"
            "---\nscope: c\nmatch: {app: c}\n"
        )

        said = microseg("owners", "--format", "json", inventory=False).json["findings"]

        assert [(one["code"], one["file"]) for one in said] == [("W-OWNERS", "two.yml"), ("W-OWNERS", "two.yml")]


class TestAuthor:
    def test_who_may_passes_and_who_may_not_is_1_with_the_place(self, microseg: Microseg, repository: Path) -> None:
        edit(repository, "shop.yml", "[postgresql]", "[postgresql, tcp/22]")

        assert microseg("check", "--author", "ann@example.org").code == 0
        result = microseg("check", "--author", "bob", "--base", "main", "--format", "json")

        assert result.code == 1
        (finding,) = [one for one in result.json["findings"] if one["code"] == "E-MAY-RULE"]
        assert (finding["file"], finding["line"]) == ("shop.yml", 8)
        assert finding["hint"] == "Could: team-shop, security."

    def test_nobody_grants_himself_anything_in_the_working_tree(self, microseg: Microseg, repository: Path) -> None:
        edit(repository, "roles.yml", "[eve]", "[eve, bob]")
        edit(repository, "shop.yml", "[postgresql]", "[postgresql, tcp/22]")

        codes = [one["code"] for one in microseg("check", "--author", "bob", "--format", "json").json["findings"]]

        assert codes.count("E-MAY-RULE") == codes.count("E-MAY-DOCUMENT") == 1

    @pytest.mark.usefixtures("repository")
    def test_without_a_change_there_is_nothing_to_judge(self, microseg: Microseg) -> None:
        assert microseg("check", "--author", "stranger").code == 0

    @pytest.mark.usefixtures("repository")
    def test_base_without_author_and_unknown_base_are_2(self, microseg: Microseg) -> None:
        assert microseg("check", "--base", "main").stderr.startswith("E-AUTHOR")
        assert microseg("check", "--author", "ann", "--base", "nowhere").stderr.startswith("E-REVISION")


class TestReview:
    def test_of_nothing_changed_is_0(self, microseg: Microseg, repository: Path) -> None:
        result = microseg("review", "main", "--format", "json")

        assert result.code == 0
        data = result.json
        assert (data["outcome"], data["pairs_allowed"], data["pairs_denied"]) == ("ok", 0, 0)
        assert (data["rules"], data["documents"], data["approvals"]) == ([], [], [])
        assert {data[risk]["level"] for risk in ("security", "availability")} == {"LOW"}
        assert str(repository) not in result.stdout

    def test_says_packets_risks_approvals_and_what_breaks(self, microseg: Microseg, repository: Path) -> None:
        flows(repository, ("10.0.0.1", "10.0.0.2", "tcp/5432", 12), ("10.0.0.1", "10.0.0.2", "tcp/22", 3))
        edit(repository, "shop.yml", "[postgresql]", "[tcp/22, tcp/23]")

        result = microseg("review", "main", "--flows", "flows.json", "--author", "ann", "--format", "json")

        data = result.json
        assert result.code == 1, "a test fails"
        assert [(box["services"], box["witness"]["from"]) for box in data["newly_denied"]] == [(["tcp/5432"], "web-1")]
        assert [box["services"] for box in data["newly_allowed"]] == [["tcp/22-23"]]
        assert data["availability"] == {"before": 1.0, "after": 2.0, "level": "MEDIUM"}
        (rule,) = data["rules"]
        assert (rule["rule"], rule["what"]) == ("web-to-db@shop/core", "changed")
        assert (rule["evidence"]["strength"], rule["evidence"]["conversations"]) == ("WEAK", 3)
        assert rule["evidence"]["breaks"] == 12
        assert [one["text"] for one in data["tests"]] == ["web-1 -> db-1 tcp/5432"]
        assert data["approvals"] == [
            {
                "subject": "scope shop",
                "parties": ["team-shop"],
                "why": ["rule web-to-db@shop/core changed"],
                "by": [],
                "given": None,
            }
        ]
        assert "E-MAY-RULE" not in result.stdout

    @pytest.mark.parametrize(("count", "strength"), [(10, "JUSTIFIED"), (9, "WEAK"), (1, "WEAK"), (0, "NONE")])
    def test_evidence_has_three_strengths(
        self, microseg: Microseg, repository: Path, count: int, strength: str
    ) -> None:
        flows(repository, *([("10.0.0.1", "10.0.0.2", "tcp/99", count)] if count else []))
        add_rule(repository, "{id: new, from: {role: web}, to: {role: db}, services: [tcp/99]}")

        (rule,) = microseg("review", "main", "--flows", "flows.json", "--format", "json").json["rules"]

        assert (rule["what"], rule["evidence"]["strength"]) == ("added", strength)

    def test_a_rule_that_goes_is_no_low_risk(self, microseg: Microseg, repository: Path) -> None:
        edit(repository, "shop.yml", "stage: active", "stage: draft")

        without = microseg("review", "main", "--format", "json").json
        flows(repository, ("10.0.0.1", "10.0.0.2", "tcp/5432", 40))
        data = microseg("review", "main", "--flows", "flows.json", "--format", "json").json

        assert without["availability"]["level"] == "UNKNOWN"
        assert data["availability"] == {"before": 0.0, "after": 1.0, "level": "MEDIUM"}
        assert data["rules"][0]["evidence"]["breaks"] == 40

    def test_a_dropped_conversation_breaks_nothing(self, microseg: Microseg, repository: Path) -> None:
        flows(repository, ("10.0.0.1", "10.0.0.2", "tcp/5432", 40), dropped=True)
        edit(repository, "shop.yml", "stage: active", "stage: draft")

        data = microseg("review", "main", "--flows", "flows.json", "--format", "json").json

        assert data["rules"][0]["evidence"]["breaks"] == 0
        assert data["availability"]["level"] == "LOW"

    def test_says_which_tests_are_gone_and_what_nothing_looks_at_any_more(
        self, microseg: Microseg, repository: Path
    ) -> None:
        flows(repository, ("10.0.0.3", "10.0.0.2", "tcp/5432", 7))
        edit(repository, "all.yml", '  - {deny: "batch-1 -> db-1 tcp/5432"}\n', "")

        data = microseg("review", "main", "--flows", "flows.json", "--format", "json").json

        (lost,) = data["tests_lost"]
        assert (lost["text"], lost["services"], lost["conversations"]) == ("batch-1 -> db-1 tcp/5432", ["tcp/5432"], 7)

    def test_a_test_that_moves_to_another_moment_is_gone_from_where_it_was(
        self, microseg: Microseg, repository: Path
    ) -> None:
        moment = '{deny: "batch-1 -> db-1 tcp/5432", at: "2026-11-24T12:00:00"}'
        edit(repository, "all.yml", '{deny: "batch-1 -> db-1 tcp/5432"}', moment)
        git(repository, "commit", "-qam", "noon")
        edit(repository, "all.yml", "T12:00:00", "T03:00:00")

        (lost,) = microseg("review", "main", "--format", "json").json["tests_lost"]

        assert lost["text"] == "batch-1 -> db-1 tcp/5432"

    def test_what_nobody_could_approve_is_not_approved(self, microseg: Microseg, repository: Path) -> None:
        edit(repository, "shop.yml", "owners: [team-shop]\n", "")
        git(repository, "commit", "-qam", "nobody")
        add_rule(repository, "{id: new, from: {role: web}, to: {role: db}, services: [tcp/99]}")

        result = microseg("review", "main", "--author", "ann", "--approved-by", "eve", "--format", "json")

        (finding,) = (one for one in result.json["findings"] if one["severity"] == "error")
        assert (result.code, finding["code"]) == (1, "E-APPROVAL")
        assert finding["message"] == "nobody is named who could approve what changes about scope shop."

    def test_missing_approvals_are_errors_once_somebody_approved(self, microseg: Microseg, repository: Path) -> None:
        add_rule(repository, "{id: new, from: {role: web}, to: {role: db}, services: [tcp/99]}")
        words = ("review", "main", "--author", "ann", "--format", "json")

        assert microseg(*words).code == 0
        own = microseg(*words, "--approved-by", "ann@example.org", "--approved-by", "eve")
        edit(repository, "roles.yml", "@ann", "@tim")
        git(repository, "commit", "-qam", "Tim")
        other = microseg("review", "main~1", "--approved-by", "tim", "--format", "json")

        assert [one["code"] for one in own.json["findings"]] == ["E-APPROVAL"], "under another name"
        assert [one["code"] for one in other.json["findings"]] == ["E-APPROVAL", "E-APPROVAL"]

    def test_in_a_file_the_comment_and_on_stdout_json(self, microseg: Microseg, repository: Path) -> None:
        add_rule(repository, '{id: new, from: {role: web}, to: {role: db}, services: [tcp/9], reason: "<b>@all"}')

        result = microseg("review", "main", "--out", "out.md", "--format", "json")

        text = (repository / "out.md").read_text()
        assert result.json["rules"][0]["reason"] == "<b>@all"
        assert text.startswith("<!-- microseg review -->\n## Policy review: in order")
        assert "`<b>@all`" in text

    def test_of_documents_that_cannot_be_read_is_2_with_a_comment(self, microseg: Microseg, repository: Path) -> None:
        edit(repository, "shop.yml", "{role: web}", "{rolle: web}")

        result = microseg("review", "main", "--out", "out.md")

        assert result.code == 2
        assert "E-LABEL-KEY" in (repository / "out.md").read_text()
        assert result.stderr.startswith("E-LABEL-KEY")

    def test_without_inventory_over_label_combinations(self, microseg: Microseg, repository: Path) -> None:
        edit(repository, "shop.yml", "[postgresql]", "[tcp/22]")

        data = microseg("review", "main", "--format", "json", inventory=False).json

        assert data["basis"] == "label combinations"
        assert data["newly_denied"][0]["services"] == ["tcp/5432"]
        assert (data["guardrails"], data["tests"]) == (None, None)
        assert [one["rule"] for one in data["rules"]] == ["web-to-db@shop/core"]

    def test_what_a_scope_may_not_say_is_an_error_without_inventory_too(
        self, microseg: Microseg, repository: Path
    ) -> None:
        add_rule(repository, "{id: out, from: {app: a}, to: {app: b}, services: [tcp/99]}")

        result = microseg("review", "main", "--format", "json", inventory=False)

        assert result.code == 1
        assert "E-SCOPE-OUTSIDE" in [one["code"] for one in result.json["findings"]]

    def test_of_two_revisions_does_not_look_at_the_working_tree(self, microseg: Microseg, repository: Path) -> None:
        edit(repository, "shop.yml", "[postgresql]", "[tcp/22]")
        git(repository, "commit", "-qam", "after")
        edit(repository, "shop.yml", "[tcp/22]", "[tcp/nonsense]")

        data = microseg("review", "main~1", "main", "--format", "json").json

        assert [box["services"] for box in data["newly_allowed"]] == [["tcp/22"]]
        assert data["after"]["revision"] == "main"


def add_rule(repository: Path, text: str) -> None:
    path = repository / "policy" / "shop.yml"
    path.write_text(f"{path.read_text().rstrip()}\n      - {text}\n")


def flows(repository: Path, *seen: tuple[str, str, str, int], dropped: bool = False) -> None:
    """flows.json with conversations of a month."""
    start, end = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    found = tuple(
        Flow(
            parse_address(consumer),
            parse_address(provider),
            line.parse(service)[0][0],
            count,
            start,
            end,
            "test",
            "dropped" if dropped else "allowed",
        )
        for consumer, provider, service, count in seen
    )
    observations = Observations(found, start, end, ("web-1",), ("web-1",), 0.0, "test")
    write_edges(edges_of(observations), repository / "flows.json")


FRESH = {
    "hash": "absent",
    "listing": [],
    "foreign": [],
    "record": None,
    "control_path": {"client_address": "10.0.0.5", "server_port": 22},
}
PHASES = {
    "phase-1": {"web-1": "confirmed", "db-1": "confirmed"},
    "phase-2": {"web-1": "confirmed", "db-1": "confirmed"},
}


class TestRevisions:
    def provision(self, microseg: Microseg, repository: Path, *words: str, who: str = "") -> str:
        """Plan, approve and make live, as the playbooks do it; the hosts are the answers of a file."""
        (repository / "live.json").write_text(json.dumps(dict.fromkeys(("web-1", "db-1", "batch-1"), FRESH)))
        digest: str = microseg("plan", "--live", "live.json", "--format", "json", *words).json["digest"]
        store = open_store(repository / ".microseg")
        begin(store, digest, who=who)
        record_begin(store, digest, who)
        finish(store, digest, PHASES)
        return digest

    def asked(self, microseg: Microseg) -> dict[str, Any]:
        found: dict[str, Any] = microseg("revisions", "--format", "json", inventory=False).json
        return found

    def test_before_anything_was_provisioned_nothing_is_live_and_no_store_is_made(
        self, microseg: Microseg, repository: Path
    ) -> None:
        found = self.asked(microseg)

        assert (found["live"], found["provisioned"], found["before"]) == ("", [], "")
        assert [one["subject"] for one in found["revisions"]] == ["before"]
        assert found["revisions"][0]["policy"] == found["working_tree"] != ""
        assert not (repository / ".microseg").exists()

    def test_forward_and_back_by_the_same_road(self, microseg: Microseg, repository: Path) -> None:
        first = self.provision(microseg, repository, who="eve")
        edit(repository, "shop.yml", "[postgresql]", "[postgresql, tcp/22]")
        git(repository, "commit", "-qam", "after")
        assert [one["live"] for one in self.asked(microseg)["revisions"]] == [False, True]

        second = self.provision(microseg, repository)
        forward = self.asked(microseg)
        back = self.provision(microseg, repository, "--revision", forward["before"], who="ann")
        found = self.asked(microseg)

        assert [one["live"] for one in forward["revisions"]] == [True, False]
        assert forward["before"] == git(repository, "rev-parse", "HEAD~1")
        assert [one["live"] for one in found["revisions"]] == [False, True]
        assert [(one["plan"], one["by"], one["outcome"]) for one in found["provisioned"]] == [
            (back, "ann", "done"),
            (second, "", "done"),
            (first, "eve", "done"),
        ]
        assert found["before"] == git(repository, "rev-parse", "HEAD")
        assert (repository / "policy" / "shop.yml").read_text().count("tcp/22") == 1, "nothing is checked out"

    def test_screen_fits_and_ends_with_the_way_back(self, microseg: Microseg, repository: Path) -> None:
        self.provision(microseg, repository)
        edit(repository, "shop.yml", "[postgresql]", "[postgresql, tcp/22]")
        git(repository, "commit", "-qam", "a" * 300)
        self.provision(microseg, repository)

        lines = microseg("revisions", inventory=False).stdout.splitlines()

        assert max(map(len, lines)) <= 100
        assert lines[-1] == f"Next   microseg plan --revision {git(repository, 'rev-parse', 'HEAD~1')[:8]}"

    def test_revision_that_cannot_be_read_is_listed_with_the_reason(self, microseg: Microseg, repository: Path) -> None:
        edit(repository, "shop.yml", "{role: web}", "{rolle: web}")
        git(repository, "commit", "-qam", "broken")

        found = self.asked(microseg)

        assert found["revisions"][0]["policy"] == found["working_tree"] == ""
        assert found["revisions"][0]["problem"].startswith("E-LABEL-KEY")
        assert found["revisions"][1]["policy"]

    def test_who_may_provision_is_what_the_policy_says_now(self, microseg: Microseg, repository: Path) -> None:
        path = repository / "policy" / "roles.yml"
        path.write_text(f"{path.read_text()}    provision: {{kinds: [policy]}}\n")
        git(repository, "commit", "-qam", "roles")

        with pytest.raises(PlanError) as caught:
            self.provision(microseg, repository, "--revision", "HEAD~1", who="ann")
        assert caught.value.code == "E-MAY-PROVISION"
        with pytest.raises(PlanError) as caught:
            self.provision(microseg, repository)
        assert "microseg_author" in caught.value.message
        assert self.asked(microseg)["live"] == ""
        self.provision(microseg, repository, "--revision", "HEAD~1", who="EVE")
        assert [one["live"] for one in self.asked(microseg)["revisions"]] == [False, True]
