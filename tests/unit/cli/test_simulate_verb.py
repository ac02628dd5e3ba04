# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""simulate on the command line: what a draft does to observed flows, ranked, with who decides."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.visibility.edges_file import read_edges, write_edges

from .conftest import Microseg

WEB, DB, BATCH = "10.0.0.1", "10.0.0.2", "10.0.0.3"


def flow(consumer: str, provider: str, service: str, count: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "consumer": consumer,
        "consumer_zone": "",
        "provider": provider,
        "provider_zone": "",
        "service": service,
        "count": count,
        "first_seen": "2026-06-01T00:00:00+00:00",
        "last_seen": "2026-06-07T00:00:00+00:00",
        "sensor": "db-1",
        "disposition": "allowed",
        **more,
    }


@pytest.fixture
def flows(shop: Path) -> Path:
    path = shop / "flows.json"
    path.write_text(
        json.dumps(
            {
                "format": 1,
                "start": "2026-06-01T00:00:00+00:00",
                "end": "2026-07-01T00:00:00+00:00",
                "reported": ["db-1"],
                "expected": ["db-1", "web-1"],
                "loss": 0.002,
                "source": "conntrack",
                "flows": FLOWS,
            }
        )
    )
    return path


@pytest.fixture
def draft(shop: Path) -> Path:
    """web may no longer use the database, and batch may."""
    shutil.copytree(shop / "policy", shop / "draft")
    text = (shop / "draft" / "all.yml").read_text()
    old = "- {id: web-to-db, from: {role: web}, to: {role: db}, services: [postgresql]}"
    new = """- {id: batch-to-db, from: {app: batch, env: dev}, to: {role: db}, services: [postgresql]}
      - {id: no-web, from: {role: web}, to: {role: db}, services: [postgresql], action: deny}"""
    assert old in text
    text = text.replace(old, new).replace("match: {env: prod}, mode: full", "match: {app: shop}, mode: full")
    (shop / "draft" / "all.yml").write_text(text)
    return shop / "draft"


FLOWS = [
    flow(WEB, DB, "tcp/5432", 1204),
    flow(BATCH, DB, "tcp/5432", 7, disposition="dropped"),
    flow(BATCH, DB, "tcp/22", 3, disposition="dropped"),
    flow(BATCH, "198.51.100.7", "tcp/443", 90),
]


def test_a_draft_that_blocks_is_1_and_names_the_rule(microseg: Microseg, flows: Path, draft: Path) -> None:
    result = microseg("simulate", "draft", "--flows", "flows.json", "--format", "json")

    assert result.code == 1
    data = result.json
    assert data["outcome"] == "findings"
    assert data["flows"] == {
        "unchanged": 93, "newly_blocked": 1204, "newly_allowed": 7, "unknown": 0, "would_block": 0
    }  # fmt: skip
    [blocked] = data["newly_blocked"]
    assert blocked["from"] == "app=shop,env=prod,role=web"
    assert blocked["example"] == {"from": WEB, "to": DB, "service": "tcp/5432"}
    assert (blocked["flows"], blocked["pairs"], blocked["observed_dropped"]) == (1204, 1, 0)
    assert blocked["decided"]["rule"] == "no-web"
    assert blocked["decided"]["file"].endswith("all.yml")
    [allowed] = data["newly_allowed"]
    assert (allowed["decided"]["side"], allowed["decided"]["rule"]) == ("ingress", "batch-to-db")
    assert (data["coverage"]["reported"], data["coverage"]["expected"]) == (1, 2)


def test_sums_in_the_store_change_no_answer(microseg: Microseg, flows: Path, draft: Path, shop: Path) -> None:
    pytest.importorskip("pyarrow")
    write_edges(read_edges(flows), shop / "flows.parquet")
    asked = ("simulate", "draft", "--flows", "flows.parquet", "--format", "json")

    expected = microseg(*asked, "--no-cache")
    assert not (shop / ".microseg").exists()
    assert [microseg(*asked).json for _again in range(2)] == [expected.json] * 2
    [entry] = (shop / ".microseg" / "cache" / "simulate").iterdir()
    for file in entry.iterdir():
        file.write_bytes(b"damaged")
    told = microseg(*asked)
    assert (told.code, told.json["flows"]) == (expected.code, expected.json["flows"])
    assert [item["code"] for item in told.json["findings"]] == ["W-SIMULATE-CACHE"]
    assert microseg(*asked).json == expected.json
    assert microseg("compile").code == 0  # a store with nothing but the cache is one


def test_the_screen_fits_and_ends_with_the_next_command(microseg: Microseg, flows: Path, draft: Path) -> None:
    result = microseg("simulate", "draft", "--flows", "flows.json")

    assert result.code == 1
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert "30 d" in lines[1]
    assert "1 of 2 hosts reported, loss 0.2 %: no data is not no traffic" in " ".join(map(str.strip, lines[1:3]))
    assert any(line.startswith("! app=shop,env=prod,role=web -> ") for line in lines)
    assert any("ingress: deny no-web (all.yml:" in line for line in lines)
    assert lines[-1].startswith(f"Next   microseg explain {WEB} {DB} tcp/5432 -p draft")


def test_the_same_policy_is_0(microseg: Microseg, flows: Path) -> None:
    result = microseg("simulate", "policy", "--flows", "flows.json", "--format", "json")

    assert result.code == 0
    assert result.json["flows"]["unchanged"] == 1304


def test_without_a_draft_staged_rulesets_are_tried(microseg: Microseg, flows: Path, shop: Path) -> None:
    (shop / "policy" / "staged.yml").write_text(
        "scope: later\nmatch: {app: shop}\nowners: [t]\nrulesets:\n"
        "  - {name: s, stage: staged, rules: [{id: stop, action: deny, from: {role: web}, to: {role: db}, "
        "services: [tcp/5432]}]}\n"
    )

    result = microseg("simulate", "--flows", "flows.json", "--format", "json")

    assert result.code == 1
    assert result.json["flows"]["newly_blocked"] == 1204
    assert result.json["newly_blocked"][0]["decided"]["rule"] == "stop"


def test_sides_that_enforce_nothing_are_told_apart(microseg: Microseg, flows: Path, draft: Path) -> None:
    """Today db-1 is only watched: the draft drops nothing, and would in full mode."""
    for directory in ("policy", "draft"):
        path = Path(directory) / "all.yml"
        path.write_text(path.read_text().replace("mode: full", "mode: visibility"))

    as_it_is = microseg("simulate", "draft", "--flows", "flows.json", "--format", "json")
    by_intent = microseg("simulate", "draft", "--flows", "flows.json", "--intent", "--format", "json")

    assert (as_it_is.code, by_intent.code) == (0, 1)
    assert as_it_is.json["flows"]["would_block"] == 1204
    assert as_it_is.json["would_block"][0]["decided"]["rule"] == "no-web"
    assert by_intent.json["flows"]["newly_blocked"] == 1204


def committed(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "t")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "t@example.com")
    for command in (["init", "-q"], ["add", "policy"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=shop, check=True)


def test_a_revision_is_compared_with_what_was_observed(
    microseg: Microseg, flows: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(shop, monkeypatch)
    text = (shop / "policy" / "all.yml").read_text()
    (shop / "policy" / "all.yml").write_text(text.replace("{id: web-to-db", "{id: web-to-db, action: deny"))

    result = microseg("simulate", "--revision", "HEAD", "--flows", "flows.json", "--format", "json")

    assert result.code == 0
    assert result.json["flows"] == {"permitted": 1294, "escaped": 0, "rejected": 10, "misdropped": 0, "unknown": 0}
    subprocess.run(["git", "commit", "-q", "-a", "-m", "second"], cwd=shop, check=True)
    result = microseg("simulate", "--revision", "HEAD", "--flows", "flows.json", "--format", "json")
    assert result.code == 1
    assert result.json["flows"]["escaped"] == 1204
    screen = microseg("simulate", "--revision", "HEAD", "--flows", "flows.json").stdout.splitlines()
    assert max(map(len, screen)) <= 100
    assert any(line.startswith("ESCAPED") for line in screen)


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (("--from", "2026-06-10"), [2, 3, 4]),
        (("--until", "2026-06-10"), [1, 2, 3]),
        (("--from", "2026-06-10", "--until", "2026-06-10"), [2, 3]),
        (("--from", "2026-06-10", "--until", "2026-06-09T22:00:01Z"), [2]),
    ],
)
@pytest.mark.parametrize("asked", [(), ("--revision", "HEAD"), ("policy",)])
def test_a_date_is_meant_in_the_zone_of_the_policy(
    microseg: Microseg,
    flows: Path,
    shop: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    seen: list[int],
    asked: tuple[str, ...],
) -> None:
    """From its beginning, until its end: 10 June in Berlin is from 22:00 to 22:00 UTC. `seen`: counts 1, 10, 100, …"""
    text = (shop / "policy" / "all.yml").read_text()
    (shop / "policy" / "all.yml").write_text(text.replace("settings:\n", "settings:\n  timezone: Europe/Berlin\n", 1))
    committed(shop, monkeypatch)
    moments = ["2026-06-09T21:59:59", "2026-06-09T22:00:00", "2026-06-10T21:59:59", "2026-06-10T22:00:00"]
    data = json.loads(flows.read_text())
    data["flows"] = [
        flow(WEB, DB, "tcp/5432", 10**number, first_seen=f"{moment}+00:00", last_seen=f"{moment}+00:00")
        for number, moment in enumerate(moments)
    ]
    flows.write_text(json.dumps(data))
    result = microseg("simulate", *asked, "--flows", "flows.json", *words, "--format", "json")
    assert sum(result.json["flows"].values()) == sum(10 ** (number - 1) for number in seen)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--from", "2026-06-02", "--until", "2026-06-01"), "E-SIMULATE"),
        (("--from", "2026-06-31"), "E-TIME"),
        (("--until", "9999-12-31"), "E-TIME"),
        (("--from", "2026-06-02T00:00:00"), "E-TIME"),
        (("policy", "--revision", "HEAD"), "E-SIMULATE"),
        (("--from", "2026-06-02T00:00:00Z", "--until", "2026-06-01T00:00:00Z"), "E-SIMULATE"),
        (("--from", "yesterday"), "E-TIME"),
        (("--from", "2027-06-02T00:00:00Z"), "E-FLOW-WINDOW"),
        (("--flows", "nowhere.parquet"), "E-FLOW-FILE"),
    ],
)
def test_wrong_questions_are_2(microseg: Microseg, flows: Path, words: tuple[str, ...], code: str) -> None:
    result = microseg("simulate", "--flows", "flows.json", *words)

    assert result.code == 2
    assert result.stderr.startswith(code)
    assert result.stdout == ""
