# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The frame itself: one version, one action group that names every module, headers where Ansible wants them."""

from __future__ import annotations

import pathlib
import re
import subprocess
import tomllib

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py") if path.stem != "__init__")


def test_every_module_is_in_the_action_group_exactly_once() -> None:
    group = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["action_groups"]["microseg"]
    assert len(group) == len(set(group))
    assert set(MODULES) <= set(group)


def test_wheel_takes_its_version_from_galaxy_yml() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    pattern = project["tool"]["hatch"]["version"]["pattern"]
    found = re.search(pattern, (ROOT / "galaxy.yml").read_text(), re.MULTILINE)
    assert found is not None
    assert found["version"] == version


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_collection_file_has_header_and_future_import(path: pathlib.Path) -> None:
    text = path.read_text()
    if path.name == "__init__.py" and not text.strip():
        return
    head = text[:600]
    assert "Copyright: (c) 2026, bulkhead.microseg contributors" in head
    assert "GNU General Public License v3.0+" in head
    assert "from __future__ import annotations" in text


def test_checkout_setup_names_what_is_missing_when_it_may_not_install(tmp_path: pathlib.Path) -> None:
    script = ROOT / "extensions/setup/os-packages"
    run = subprocess.run(
        ["/bin/sh", script, "no-such-package=no-such-program"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "MICROSEG_NO_INSTALL": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0
    assert len(run.stderr.splitlines()) == 1
    assert "no-such-package" in run.stderr
