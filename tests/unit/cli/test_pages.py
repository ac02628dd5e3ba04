# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pages about the command line and about errors name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.cli.main import app

ROOT = Path(__file__).resolve().parents[3]
VERBS = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
SOURCES = [path for room in ("boundary", "cli") for path in (ROOT / "plugins/plugin_utils" / room).glob("*.py")]
CODES = sorted({code for path in SOURCES for code in re.findall(r'"([EW]-[A-Z-]+)"', path.read_text())})


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_on_the_page(verb: str) -> None:
    assert re.search(rf"^\| `{verb}[ `]", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("code", CODES)
def test_every_error_code_has_a_section(code: str) -> None:
    assert f"\n## {code}\n" in (ROOT / "docs" / "errors.md").read_text()
