# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""recommend on the command line: what it writes, what it refuses, how it ends."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import StoreError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow import authoring as authoring_workflow
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow import recommend as recommend_workflow

from .conftest import Microseg

START = dt.datetime(2026, 10, 5, tzinfo=dt.UTC)


def flows(path: Path, days: int = 35) -> None:
    rows = []
    for day in range(days):
        at = (START + dt.timedelta(days=day, hours=9)).isoformat()
        for consumer, provider, service in (
            ("10.0.0.1", "10.0.0.2", "tcp/5432"),
            ("10.0.0.1", "10.0.0.2", "tcp/9100"),
            ("203.0.113.7", "10.0.0.1", "tcp/443"),
        ):
            rows.append(
                {
                    "consumer": consumer, "consumer_zone": "", "provider": provider, "provider_zone": "",
                    "service": service, "count": 3, "first_seen": at, "last_seen": at, "sensor": "s",
                    "disposition": "allowed",
                }
            )  # fmt: skip
    data = {
        "format": 1, "flows": rows, "start": START.isoformat(), "end": (START + dt.timedelta(days=days)).isoformat(),
        "reported": ["web-1", "db-1"], "expected": ["web-1", "db-1"], "loss": 0.0, "source": "test",
    }  # fmt: skip
    path.write_text(json.dumps(data))


@pytest.fixture
def observed(shop: Path) -> Path:
    flows(shop / "flows.json")
    return shop


def test_it_writes_the_policy_with_its_proposals_and_the_review(observed: Path, microseg: Microseg) -> None:
    result = microseg("recommend", "--flows", "flows.json", "--tests", "--out", "proposed")
    assert result.code == 0, result.stdout + result.stderr
    assert "COMPLETE" in result.stdout
    assert "web-to-db-tcp-9100" in result.stdout
    assert all(len(line) <= 100 for line in result.stdout.splitlines())
    assert "TESTS  0 tests mined" in result.stdout, "the tests of the policy cover what is approved"
    assert sorted(path.name for path in (observed / "proposed").iterdir()) == ["REVIEW.md", "all.yml", "learned.yml"]
    assert "**Complete.**" in (observed / "proposed" / "REVIEW.md").read_text()
    checked = microseg("check", "-p", "proposed")
    assert checked.code == 0, checked.stdout
    assert microseg("check", "-p", "policy").code == 0, "the policy itself is as it was"


def test_into_the_policy_itself_and_again_after_approval(observed: Path, microseg: Microseg) -> None:
    before = (observed / "policy" / "all.yml").read_text()
    assert microseg("recommend", "--flows", "flows.json", "--out", "policy").code == 0
    after = (observed / "policy" / "all.yml").read_text()
    assert after != before
    again = microseg("recommend", "--flows", "flows.json", "--out", "policy")
    assert again.code == 0
    assert (observed / "policy" / "all.yml").read_text() == after, "a draft is replaced by itself"
    assert not (observed / "policy" / "learned-2.yml").exists()
    (observed / "policy" / "all.yml").write_text(after.replace("stage: draft", "stage: active"))
    approved = microseg("recommend", "--flows", "flows.json", "--format", "json")
    assert approved.json["rules"] == []
    assert approved.json["files"] == {}
    assert approved.json["left_out"]["approved"]["distinct"] == 3


def test_not_complete_ends_with_1_and_says_why(observed: Path, microseg: Microseg) -> None:
    flows(observed / "flows.json", days=5)
    result = microseg("recommend", "--flows", "flows.json", "--format", "json")
    assert result.code == 1
    assert (result.json["outcome"], result.json["verdict"]) == ("findings", "not complete")
    assert any("no month end" in reason for gate in result.json["gates"] for reason in gate["reasons"])
    assert "Do not enforce on this alone" in result.json["review"]
    screen = microseg("recommend", "--flows", "flows.json")
    assert "NOT COMPLETE" in screen.stdout
    assert screen.stdout.splitlines()[-1].startswith("Next   microseg recommend")


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("--flows", "none.json"), "E-FLOW-FILE", "none.json"),
        (("--flows", "flows.json", "--scope", "shp"), "E-SCOPE", "Did you mean shop?"),
        (("--flows", "flows.json", "--settings", "none.yml"), "E-FILE", "none.yml"),
        (("--flows", "flows.json", "--settings", "bad.yml"), "E-KEY", "Did you mean isolation?"),
        (("--flows", "flows.json", "--out", "full"), "E-OUT", "full"),
        (("--flows", "flows.json", "--out", "hosts.yml"), "E-OUT", "hosts.yml"),
    ],
)
def test_bad_input_is_one_message_and_nothing_is_written(
    observed: Path, microseg: Microseg, words: tuple[str, ...], code: str, part: str
) -> None:
    (observed / "bad.yml").write_text("isolaton: role\n")
    (observed / "full").mkdir()
    (observed / "full" / "mine.txt").write_text("mine")
    before = sorted(path.relative_to(observed) for path in observed.rglob("*") if ".ansible" not in path.parts)
    result = microseg("recommend", *words)
    assert result.code == 2
    assert result.stderr.startswith(code)
    assert part in result.stderr
    assert sorted(path.relative_to(observed) for path in observed.rglob("*") if ".ansible" not in path.parts) == before


def test_a_disk_that_refuses_leaves_everything_as_it_was(
    observed: Path, microseg: Microseg, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in (observed / "policy").iterdir()}

    def full(path: Path, content: bytes, mode: int = 0o600) -> None:
        if path.name == "all.yml":
            raise StoreError("E-STORE-WRITE", "the disk is full.", str(path))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)

    monkeypatch.setattr(recommend_workflow, "write_atomically", full)
    monkeypatch.setattr(authoring_workflow, "write_atomically", full)
    for out in ("policy", "proposed"):
        result = microseg("recommend", "--flows", "flows.json", "--out", out)
        assert (result.code, result.stderr.split()[0]) == (2, "E-STORE-WRITE")
    assert {path: path.read_bytes() for path in (observed / "policy").iterdir()} == before
    assert sorted(path.name for path in observed.iterdir() if path.name != ".ansible") == [
        "flows.json", "hosts.yml", "policy",
    ]  # fmt: skip


def test_marks_and_modes_of_files_stay(observed: Path, microseg: Microseg) -> None:
    file = observed / "policy" / "all.yml"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    file.chmod(0o640)
    assert microseg("recommend", "--flows", "flows.json", "--out", "policy").code == 0
    assert file.read_bytes().startswith(b"\xef\xbb\xbfsettings") or file.read_bytes().startswith(b"\xef\xbb\xbf\n")
    assert file.stat().st_mode & 0o777 == 0o640
    assert b"learned" in file.read_bytes()


def test_isolation_on_the_command_line_counts_before_the_settings(observed: Path, microseg: Microseg) -> None:
    (observed / "learning.yml").write_text("isolation: role\nleast_confidence: 0%\n")
    words = ("recommend", "--flows", "flows.json", "--settings", "learning.yml", "--format", "json")
    narrow = microseg(*words).json["rules"]
    wide = microseg(*words, "--isolation", "application").json["rules"]
    assert {"role": "db"} in [rule["rule"]["to"] for rule in narrow]
    assert "scope" in [rule["rule"]["to"] for rule in wide]
