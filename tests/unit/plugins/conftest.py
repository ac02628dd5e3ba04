# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plugins are run as Ansible runs them: found by name, given a task and the variables of a real inventory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.plugins.loader import action_loader, lookup_loader
from ansible.template import Templar

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.sources import Sources, open_inventory
from tests.support.shop import HOSTS as SHOP_HOSTS
from tests.support.shop import POLICY

HOSTS = (
    SHOP_HOSTS
    + """\
  children:
    enforced: {hosts: {web-1: {}, db-1: {}}}
    nobody: {}
"""
)
#: What nftables_policy_info returns on a host that has nothing of ours, reached from the controller of the policy.
FRESH = {
    "changed": False,
    "hash": "absent",
    "listing": [],
    "foreign": [],
    "record": {"policy_digest": None, "artifact_digest": None, "epoch": 0},
    "control_path": {
        "client_address": "10.0.0.5",
        "client_port": 40000,
        "server_address": "10.0.0.2",
        "server_port": 22,
    },
}

RunAction = Callable[..., dict[str, Any]]
RunLookup = Callable[..., list[Any]]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "all.yml").write_text(POLICY)
    (tmp_path / "hosts.yml").write_text(HOSTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def results() -> dict[str, dict[str, Any]]:
    """Host to what tasks have registered there."""
    return {}


@pytest.fixture
def register(results: dict[str, dict[str, Any]]) -> Callable[[str, dict[str, Any]], None]:
    """register("microseg_live", {"db-1": RESULT}): a task has registered that on db-1."""

    def register(variable: str, answers: dict[str, Any]) -> None:
        for host, answer in answers.items():
            results.setdefault(host, {})[variable] = answer

    return register


@pytest.fixture
def variables(shop: Path, results: dict[str, dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """The variables of a task on the first host."""

    def variables() -> dict[str, Any]:
        hostvars = open_inventory(Sources((str(shop / "hosts.yml"),)))._hostvars
        for host, answers in results.items():
            hostvars._variable_manager.set_nonpersistent_facts(host, answers)
        return {"hostvars": hostvars, "groups": hostvars._inventory.get_groups_dict(), "inventory_hostname": "web-1"}

    return variables


@pytest.fixture
def run_action(variables: Callable[[], dict[str, Any]]) -> RunAction:
    """run_action("check", policy="policy") returns the result, which must survive JSON unchanged."""

    def run(name: str, *, check_mode: bool = False, diff: bool = False, **arguments: Any) -> dict[str, Any]:
        loader = DataLoader()
        full = f"bulkhead.microseg.{name}"
        task = Task.load({full: loader.load(json.dumps(arguments)), "check_mode": check_mode, "diff": diff})
        action = action_loader.get(
            full,
            task=task,
            connection=MagicMock(),
            play_context=MagicMock(check_mode=check_mode, diff=diff),
            loader=loader,
            templar=Templar(loader=loader),
            shared_loader_obj=None,
        )
        result = action.run(task_vars=variables())
        assert json.loads(json.dumps(result)) == result
        return result

    return run


@pytest.fixture
def run_lookup(variables: Callable[[], dict[str, Any]]) -> RunLookup:
    def run(name: str, *terms: str, **options: Any) -> list[Any]:
        loader = DataLoader()
        lookup = lookup_loader.get(f"bulkhead.microseg.{name}", loader=loader, templar=Templar(loader=loader))
        result = lookup.run(loader.load(json.dumps(terms)), variables(), **options)
        assert json.loads(json.dumps(result)) == result
        return result

    return run
