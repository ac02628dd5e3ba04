# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The callback that makes drift readable, and never loads the engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.loader import callback_loader

RESULT = {
    "outcome": "findings",
    "counts": {"equal": 12, "wider": 1},
    "files": ["/srv/reports/drift.json"],
    "next": ["ansible-playbook bulkhead.microseg.repair"],
    "findings": [
        {
            "code": "W-DRIFT-WIDER",
            "severity": "error",
            "about": "web-1",
            "message": "web-1 lets in | what nobody asked for",
            "file": "shop.yml",
            "line": 14,
            "facts": [{"name": "witness", "text": "batch-1 10.0.0.3 -> web-1 10.0.0.1 tcp/22"}],
        }
    ],
}


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("MICROSEG_DRIFT_REPORT", str(tmp_path / "reports"))
    return []


@pytest.fixture
def callback(lines: list[str]) -> Any:
    plugin = callback_loader.get("bulkhead.microseg.drift_report")
    plugin.set_options()
    plugin._display = SimpleNamespace(display=lines.append)
    return plugin


def result(action: str, answer: dict[str, Any]) -> Any:
    return SimpleNamespace(
        task=SimpleNamespace(resolved_action=action, get_name=lambda: "Look for drift"), result=answer
    )


def test_summary_names_counts_findings_and_the_next_command(callback: Any, lines: list[str]) -> None:
    callback.v2_runner_on_ok(result("bulkhead.microseg.drift", RESULT))
    callback.v2_playbook_on_stats(None)

    assert lines[0] == "DRIFT  FINDINGS  12 equal, 1 wider"
    assert lines[1] == "  W-DRIFT-WIDER  shop.yml:14: web-1 lets in | what nobody asked for"
    assert lines[2] == "      witness: batch-1 10.0.0.3 -> web-1 10.0.0.1 tcp/22"
    assert lines[3] == "Next   ansible-playbook bulkhead.microseg.repair"


def test_files_are_json_and_markdown(callback: Any, tmp_path: Path) -> None:
    callback.v2_runner_on_ok(result("bulkhead.microseg.drift", RESULT))
    callback.v2_playbook_on_stats(None)

    report = json.loads((tmp_path / "reports" / "drift.json").read_text())
    assert report[0]["findings"] == RESULT["findings"]
    assert (
        "| W-DRIFT-WIDER | error | web-1 lets in \\| what nobody asked for |"
        in (tmp_path / "reports/drift.md").read_text()
    )
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == ["drift.json", "drift.md"]


def test_a_drift_task_that_failed_is_reported_as_unable(callback: Any, lines: list[str]) -> None:
    callback.v2_runner_on_failed(result("bulkhead.microseg.drift", {"msg": "E-STORE-MISSING  no bundle"}))
    callback.v2_playbook_on_stats(None)

    assert lines[0] == "DRIFT  UNABLE  E-STORE-MISSING  no bundle"


def test_other_tasks_are_none_of_its_business(callback: Any, lines: list[str], tmp_path: Path) -> None:
    callback.v2_runner_on_ok(result("ansible.builtin.command", {"outcome": "ok"}))
    callback.v2_playbook_on_stats(None)

    assert lines == []
    assert not (tmp_path / "reports").exists()


def test_loading_it_does_not_load_the_engine() -> None:
    code = (
        "import sys\n"
        "from ansible.plugins.loader import init_plugin_loader, callback_loader\n"
        "init_plugin_loader()\n"
        "assert callback_loader.get('bulkhead.microseg.drift_report')\n"
        "assert not [name for name in sys.modules if 'microseg.plugins.plugin_utils' in name or name == 'pydantic']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
