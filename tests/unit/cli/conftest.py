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
from tests.support.shop import HOSTS, POLICY


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
