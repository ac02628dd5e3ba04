# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""owners, check --author, review and revisions in a git repository as a team has it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .conftest import Microseg

ROLES = """
roles:
  - name: team-shop
    members: [ann@example.org, "@ann"]
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
