# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small shop in a directory, and the command line run in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.cli.main import app

POLICY = """
settings:
  labels: {app: {required: true}, role: {}, env: {values: [prod, dev]}}
  controllers: [10.0.0.5]
---
services: {postgresql: [tcp/5432]}
---
modes: [{match: {env: prod}, mode: full}]
---
scope: shop
match: {app: shop, env: prod}
owners: [team-shop]
rulesets:
  - name: core
    stage: active
    rules:
      - {id: web-to-db, from: {role: web}, to: {role: db}, services: [postgresql]}
---
guardrails: [{id: dev-never-to-prod, never: {from: {env: dev}, to: {env: prod}}}]
---
tests:
  - {allow: "web-1 -> db-1 tcp/5432"}
  - {deny: "batch-1 -> db-1 tcp/5432"}
"""
HOSTS = """
all:
  hosts:
    web-1: {ansible_host: 10.0.0.1, microseg_labels: {app: shop, role: web, env: prod}}
    db-1: {ansible_host: 10.0.0.2, microseg_labels: {app: shop, role: db, env: prod}}
    batch-1: {ansible_host: 10.0.0.3, microseg_labels: {app: batch, role: job, env: dev}}
"""


@dataclass(frozen=True)
class Result:
    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


Microseg = Callable[..., Result]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "all.yml").write_text(POLICY)
    (tmp_path / "hosts.yml").write_text(HOSTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def microseg(shop: Path) -> Microseg:
    """microseg("check", "--format", "json"): the inventory of the shop is added unless the words name one."""

    def run(*words: str, inventory: bool = True) -> Result:
        sources = ["-i", "hosts.yml"] if inventory else []
        result = CliRunner().invoke(app, [*words, *sources])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return Result(result.exit_code, result.stdout, result.stderr)

    return run
