# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An inventory is written as a user would write it, and read as the product reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.inventory import Inventory
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.sources import Sources, open_inventory

Read = Callable[..., Inventory]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """read(TEXT, **options of Sources) reads TEXT as hosts.yml of an otherwise empty directory."""
    monkeypatch.chdir(tmp_path)

    def read(text: str, **options: tuple[str, ...]) -> Inventory:
        (tmp_path / "hosts.yml").write_text(text)
        return open_inventory(Sources(("hosts.yml",), **options))

    return read
