# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""rule add, remove, move and grant: what is written, what is refused, and that a refusal leaves the files alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import Microseg

LINE = "allow app=shop,role=db -> role=web : tcp/5433"


def rules(shop: Path) -> str:
    return (shop / "policy" / "all.yml").read_text()


def test_add_writes_the_rule_and_the_policy_still_loads(microseg: Microseg, shop: Path) -> None:
    before = rules(shop)
    result = microseg("rule", "add", LINE, "--reason", "reports: nightly", "--owner", "team-batch", "--format", "json")

    assert result.code == 0, result.stderr
    assert result.json["written"]
    assert result.json["rules"] == ["shop-db-to-web-tcp-5433"]
    assert rules(shop) != before
    assert set(before.splitlines()) <= set(rules(shop).splitlines())
    verdict = microseg("explain", "db-1", "web-1", "tcp/5433", "--format", "json").json
    assert verdict["verdict"] == "allowed"


def test_dry_run_shows_and_writes_nothing(microseg: Microseg, shop: Path) -> None:
    before = rules(shop)
    result = microseg("rule", "add", LINE, "--dry-run")

    assert result.code == 0
    assert "NOT WRITTEN" in result.stdout
    assert "+" in result.stdout
    assert rules(shop) == before
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[-1].startswith("Next   microseg check")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("rule", "add", "allow role=bach -> role=db"), "E-SHORT-FORM"),
        (("rule", "add", "allow role=batch -> role=db : postgresqll"), "E-SERVICE"),
        (("rule", "add", "allow rolle=batch -> role=db : tcp/1"), "E-LABEL-KEY"),
        (("rule", "add", LINE, "--scope", "shops"), "E-SCOPE"),
        (("rule", "add", LINE, "--ruleset", "cores"), "E-RULESET"),
        (("rule", "add", LINE, "--stage", "live"), "E-STAGE"),
        (("rule", "add", LINE, "--ruleset", "core", "--stage", "draft"), "E-RULESET"),
        (("rule", "add", LINE, "--expires", "soon"), "E-DATE"),
        (("rule", "add", "allow role=nobody -> role=db : tcp/1"), "E-NO-PAIR"),
        (("rule", "remove", "nothing"), "E-RULE"),
        (("rule", "move", "web-to-db", "--ruleset", "elsewhere"), "E-RULESET"),
        (("grant", LINE, "--for", "PT4H", "--owner", "me"), "E-GRANT"),
        (("grant", LINE, "--owner", "me", "--reason", "x"), "E-GRANT"),
        (("grant", LINE, "--owner", "me", "--reason", "x", "--for", "four hours"), "E-GRANT"),
        (("grant", LINE, "--owner", "me", "--reason", " ", "--for", "PT4H"), "E-GRANT"),
        (("grant", LINE, "--owner", "me", "--reason", "x", "--for", f"PT{'9' * 30}H"), "E-GRANT"),
        (("grant", LINE, "--owner", "me", "--reason", "x", "--for", "PT\u0664H"), "E-GRANT"),
        (("grant", LINE, "--owner", "me", "--reason", "x", "--until", "2020-01-01"), "E-GRANT"),
        (("grant", LINE, "--owner", "me", "--reason", "x", "--until", "9000-01-01"), "E-GRANT"),
        (("grant", LINE, "--owner", "me", "--reason", "x", "--for", "PT4H", "--at", "9000-01-01T00:00:00Z"), "E-GRANT"),
        (("grant", LINE.replace("allow", "deny"), "--owner", "me", "--reason", "x", "--for", "PT1H"), "E-GRANT"),
    ],
)
def test_what_is_wrong_is_said_once_and_nothing_is_written(
    microseg: Microseg, shop: Path, words: tuple[str, ...], code: str
) -> None:
    before = rules(shop)
    result = microseg(*words)

    assert result.code == 2
    assert result.stderr.startswith(f"{code}  ")
    assert len(result.stderr.splitlines()) == 1
    assert rules(shop) == before


UNNAMED = {
    "a rule without an id": "rulesets: [{name: core, rules: [{from: scope, to: scope, services: [any]}]}]",
    "a rule that is nothing": "rulesets: [{name: core, rules: [null]}]",
    "a number as an id": "rulesets: [{name: core, rules: [{id: 5, from: scope, to: scope, services: [any]}]}]",
    "rules that are a text": "rulesets: [{name: core, rules: hello}]",
    "rules that are a mapping": "rulesets: [{name: core, rules: {a: b}}]",
    "a ruleset without a name": "rulesets: [{stage: active, rules: []}]",
    "a number as a name": "rulesets: [{name: 7, rules: []}]",
    "a ruleset that is nothing": "rulesets: [null]",
    "rulesets that are a mapping": "rulesets: {name: core}",
    "a scope that is a list": "rulesets: []\nscope: [s]",
    "a scope that is a number": "rulesets: []\nscope: 5",
}


@pytest.mark.parametrize("text", UNNAMED.values(), ids=UNNAMED)
@pytest.mark.parametrize(
    "words",
    [
        ("rule", "add", LINE, "--scope", "shop"),
        ("rule", "remove", "x"),
        ("rule", "move", "x", "--ruleset", "b"),
        ("grant", LINE, "--for", "PT4H", "--owner", "me", "--reason", "x"),
    ],
    ids=" ".join,
)
def test_documents_in_which_no_rule_can_be_found_are_told_as_check_tells_them(
    microseg: Microseg, shop: Path, text: str, words: tuple[str, ...]
) -> None:
    name = "" if "scope:" in text else "scope: other\n"
    (shop / "policy" / "other.yml").write_text(f"{name}match: {{app: batch}}\nowners: [me]\n{text}\n")
    result = microseg(*words)

    assert result.code == 2
    assert result.stderr == microseg("check").stderr
    assert result.stderr.startswith(("E-VALUE  other.yml:", "E-MISSING  other.yml:", "E-KEY  other.yml:"))


def test_a_rule_that_cannot_be_understood_can_be_taken_out(microseg: Microseg, shop: Path) -> None:
    before = rules(shop)
    broken = "      - {id: broken, from: {role: web}, to: {role: db}, services: [postgresqll]}\n"
    (shop / "policy" / "all.yml").write_text(before.replace("---\nguardrails", f"{broken}---\nguardrails"))

    assert microseg("check").code == 2
    assert microseg("rule", "remove", "broken").code == 0
    assert rules(shop) == before


def test_a_grant_ends_by_itself_and_can_be_cleared_away(microseg: Microseg, shop: Path) -> None:
    before = rules(shop)
    made = microseg(
        "grant", LINE, "--for", "PT4H", "--owner", "ops", "--reason", "repair", "--at", "2026-11-25T08:00:30Z",
        "--format", "json",
    ).json  # fmt: skip
    rule = made["rule"]
    assert (rule["expires"], rule["owner"], rule["reason"]) == ("2026-11-25T12:01:00Z", "ops", "repair")
    assert rule["id"].startswith("grant-20261125-")

    def verdict(at: str) -> str:
        return str(microseg("explain", "db-1", "web-1", "tcp/5433", "--at", at, "--format", "json").json["verdict"])

    assert verdict("2026-11-25T12:00:59Z") == "allowed"
    assert verdict("2026-11-25T12:01:00Z") == "denied"
    kept = microseg("rule", "remove", "--expired", "--at", "2026-11-25T12:00:00Z", "--format", "json").json
    assert not kept["written"]
    gone = microseg("rule", "remove", "--expired", "--at", "2026-11-25T12:01:00Z", "--format", "json").json
    assert gone["written"]
    assert gone["rules"] == [rule["id"]]
    assert rule["id"] not in rules(shop)
    assert set(before.splitlines()) <= set(rules(shop).splitlines())


@pytest.mark.parametrize("stage", ["draft", "staged"])
def test_a_grant_that_nobody_would_enforce_is_refused(microseg: Microseg, shop: Path, stage: str) -> None:
    before = rules(shop).replace(
        "  - name: core\n", f"  - {{name: grants, stage: {stage}, rules: []}}\n  - name: core\n"
    )
    (shop / "policy" / "all.yml").write_text(before)
    result = microseg("grant", LINE, "--for", "PT4H", "--owner", "me", "--reason", "x")

    assert result.code == 2
    assert result.stderr.startswith(f"E-GRANT  ruleset grants of scope shop is {stage}: ")
    assert rules(shop) == before


def test_move_and_remove(microseg: Microseg, shop: Path) -> None:
    assert microseg("rule", "add", LINE, "--id", "x", "--ruleset", "later", "--stage", "staged").code == 0
    name = microseg("rule", "move", "x", "--ruleset", "core", "--format", "json").json
    assert (name["ruleset"], name["written"]) == ("core", True)
    assert microseg("rule", "remove", "x").code == 0
    assert "id: x" not in rules(shop)


def test_modes_marks_and_links_of_files_stay(microseg: Microseg, shop: Path) -> None:
    file = shop / "policy" / "all.yml"
    target = shop / "policy" / "real.yaml"
    target.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    target.chmod(0o640)
    file.unlink()
    os.symlink("real.yaml", file)
    assert microseg("rule", "add", LINE).code == 0
    assert file.is_symlink()
    assert target.read_bytes().startswith(b"\xef\xbb\xbf")
    assert target.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("failure", ["full", "interrupt"])
def test_a_file_that_cannot_be_written_leaves_all_files_as_they_were(
    microseg: Microseg, shop: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import StoreError
    from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow import authoring

    second = shop / "policy" / "other.yml"
    second.write_text("scope: batch-prod\nmatch: {app: batch, env: prod}\nrulesets:\n  - {name: own, rules: []}\n")
    before = rules(shop), second.read_text()
    real, calls = authoring.write_atomically, []

    def broken(path: Path, content: bytes, mode: int) -> None:
        calls.append(path)
        if len(calls) == 2:
            if failure == "interrupt":
                raise KeyboardInterrupt
            raise StoreError("E-STORE-WRITE", "Cannot write: disk full. Nothing was changed.")
        real(path, content, mode)

    monkeypatch.setattr(authoring, "write_atomically", broken)
    result = microseg("rule", "move", "web-to-db", "--ruleset", "own", "--to-scope", "batch-prod")
    assert result.code != 0
    assert (rules(shop), second.read_text()) == before
