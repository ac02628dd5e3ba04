# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules that run on targets, at their edge: options, results, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import nft, programs
from ansible_collections.bulkhead.microseg.plugins.modules import (
    nftables_policy,
    nftables_policy_info,
    probe,
    workload_facts,
)

Run = Callable[..., dict[str, Any]]
POLICY = {
    "format": 1,
    "ruleset": "table inet microseg {\n}\n",
    "members": {},
    "policy_digest": "ab" * 32,
    "artifact_digest": "cd" * 32,
}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a module's main without a kernel: our table is absent, and nothing may be loaded."""
    monkeypatch.setattr(nft.Nft, "program", "/usr/sbin/nft")
    monkeypatch.setattr(nft.Nft, "table", lambda _self: None)
    monkeypatch.setattr(nft.Nft, "exists", lambda _self: False)
    monkeypatch.setattr(nft.Nft, "preview", lambda _self, _text: None)
    monkeypatch.setattr(nft.Nft, "check", lambda _self, _text: None)
    monkeypatch.setattr(nft.Nft, "text", lambda _self: "")

    def run_module(module: Any, **options: Any) -> dict[str, Any]:
        with patch_module_args(options), pytest.raises(SystemExit):
            module.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return run_module


def test_arming_in_check_mode_changes_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    directory = tmp_path / "state"

    result = run(
        nftables_policy,
        policy=POLICY,
        base="absent",
        plan="p",
        step="1",
        state_dir=str(directory),
        _ansible_check_mode=True,
    )

    assert result["changed"]
    assert result["hash_before"] == "absent"
    assert result["token"] is None
    assert not directory.exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"policy": dict(POLICY, format=7)}, "E-HOST-FORMAT"),
        ({"policy": dict(POLICY, ruleset="flush ruleset")}, "E-HOST-PAYLOAD"),
        ({}, "E-HOST-PAYLOAD"),
        ({"policy": POLICY, "timeout": 29}, "E-HOST-PAYLOAD"),
        ({"policy": POLICY, "timeout": 3601}, "E-HOST-PAYLOAD"),
        ({"policy": POLICY, "warm_seconds": 61.0}, "E-HOST-PAYLOAD"),
        ({"policy": POLICY, "warm_seconds": 20.0, "timeout": 30}, "E-HOST-PAYLOAD"),
        ({"policy": POLICY, "base": "90ab"}, "E-BASE-MOVED"),
        ({"policy": POLICY, "reset": [{"family": "ipv4", "proto": "tcp", "saddr": "x"}]}, "E-HOST-PAYLOAD"),
        ({"commit": "confirm"}, "E-HOST-PAYLOAD"),
        ({"commit": "confirm", "token": "0123"}, "E-REVERTED"),
    ],
)
def test_errors_carry_a_code_and_begin_with_it(run: Run, tmp_path: Path, options: dict[str, Any], code: str) -> None:
    given = dict({"base": "absent", "plan": "p", "step": "1", "state_dir": str(tmp_path)}, **options)

    result = run(nftables_policy, **given)

    assert result["failed"]
    assert result["code"] == code
    assert result["msg"].startswith(code + " ")


def test_arming_needs_to_know_base_plan_and_step(run: Run) -> None:
    assert "base, plan, step" in run(nftables_policy, policy=POLICY)["msg"]


@pytest.mark.parametrize("commit", ["arm", "confirm"])
def test_removing_nothing_changes_nothing(run: Run, tmp_path: Path, commit: str) -> None:
    result = run(
        nftables_policy,
        state="absent",
        commit=commit,
        base="absent",
        plan="p",
        step="1",
        state_dir=str(tmp_path / "none"),
    )

    assert not result["changed"]
    assert result["remains"] == []
    assert not (tmp_path / "none").exists()


def test_reverting_nothing_changes_nothing(run: Run, tmp_path: Path) -> None:
    assert not run(nftables_policy, commit="revert", state_dir=str(tmp_path))["changed"]


def test_info_reads_a_host_with_a_damaged_record(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "record.json").write_text("{", encoding="utf-8")
    foreign = {"table": {"family": "ip", "name": "nat", "handle": 1}}
    monkeypatch.setattr(nft.Nft, "ruleset", lambda _self: {"nftables": [{"metainfo": {}}, foreign]})
    monkeypatch.setattr(nft.Nft, "version", lambda _self: "1.0.6")

    result = run(nftables_policy_info, state_dir=str(tmp_path))

    assert not result["changed"]
    assert result["hash"] == "absent"
    assert result["foreign"] == [foreign]
    assert result["record"] is None
    assert [one["code"] for one in result["findings"]] == ["E-HOST-DISK"]
    assert result["boot_policy"]["state"] == "absent"


def test_a_missing_program_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(programs, "find", lambda _name: None)

    result = run(nftables_policy_info, state_dir=str(tmp_path))

    assert result["code"] == "E-HOST-TOOL"
    assert "nft is not installed" in result["msg"]


def test_bulk_never_becomes_facts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload_facts.facts, "addresses", lambda: {"ipv4": ["10.0.0.1"], "ipv6": []})
    monkeypatch.setattr(workload_facts.conntrack, "entries", lambda: None)

    small, bulk = run(workload_facts), run(workload_facts, bulk=True)

    assert set(small["ansible_facts"]["microseg"]) == {"ipv4", "ipv6", "hostname", "listeners", "nft_version"}
    assert set(bulk["ansible_facts"]["microseg"]) == set(small["ansible_facts"]["microseg"])
    assert bulk["coverage"] == {"tracked": False, "forwarded": 0}
    assert "listeners" not in small


def test_probe_refuses_what_it_cannot_ask(run: Run) -> None:
    result = run(probe, probes=[{"address": "10.0.0.1", "service": "sctp/1"}])

    assert result["code"] == "E-HOST-PAYLOAD"
