# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Unit files and the program they run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import install, systemd, units
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.state import State


def test_units_run_the_installed_program_and_come_after_their_neighbours() -> None:
    texts = units.texts(State("/var/lib/microseg"))

    assert set(texts) == {"microseg.service", "microseg-check.service", "microseg-check.timer"}
    assert re.search(r"ExecStart=(\S+|'.+') -I /var/lib/microseg/lib/microseg-host boot\n", texts["microseg.service"])
    for neighbour in ("nftables.service", "firewalld.service", "ufw.service"):
        assert neighbour in re.search(r"After=(.*)", texts["microseg.service"])[1]  # type: ignore[index]


def test_odd_directories_survive_systemds_quoting() -> None:
    text = units.texts(State("/srv/100% mine/$x"))["microseg.service"]

    assert "'/srv/100%% mine/$$x/lib/microseg-host' boot" in text


def test_without_systemd_nothing_is_installed_and_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "usable", lambda: False)

    answer = units.install(State("/nonexistent"))

    assert answer["installed"] is False
    assert "systemd" in answer["reason"]


def test_the_program_on_the_host_needs_no_other_file_of_the_collection(tmp_path: Path) -> None:
    texts = install.sources()

    for name, text in texts.items():
        for line in text.splitlines():
            found = re.match(r"\s*from \.(\w*) import (.*)", line)
            if found:
                names = [found[1]] if found[1] else [one.strip() for one in found[2].split("#")[0].split(",")]
                assert {one + ".py" for one in names if one.isidentifier()} <= set(texts), (name, line)
            assert "ansible" not in line or not line.lstrip().startswith(("import", "from")), (name, line)
