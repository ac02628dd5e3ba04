# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fixtures of tests that need hosts."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from extensions.lab.lab import Lab, probe_ability

LabMaker = Callable[..., Lab]


@pytest.fixture(scope="session")
def lab_ability() -> str:
    """ "root-namespaces" or "user-namespaces"; skips with the reason where neither is permitted."""
    word, reason = probe_ability()
    if word == "none":
        pytest.skip(f"no lab here: {reason}")
    return word


@pytest.fixture(scope="session")
def run_directory() -> Iterator[pathlib.Path]:
    """A private place for run directories; removed at the end of the session."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="microseg-lab-"))
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def make_lab(lab_ability: str, run_directory: pathlib.Path) -> Iterator[LabMaker]:
    """``make_lab(spec)`` starts a lab that ends with the module; ``make_lab(spec, rootless=True)`` picks the mode."""
    with contextlib.ExitStack() as stack:
        count = 0

        def make(spec: Mapping[str, Any], **options: Any) -> Lab:
            nonlocal count
            count += 1
            worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
            directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{worker}-{count}-", dir=run_directory))
            return stack.enter_context(Lab(spec, directory, **options))

        yield make


@pytest.fixture(scope="session")
def ansible_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment for ansible commands: nothing of the user's own configuration, nothing in the home directory."""
    home = tmp_path_factory.mktemp("ansible")
    (home / "ansible.cfg").write_text("[defaults]\nforks = 8\nretry_files_enabled = false\nhost_key_checking = false\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return env | {
        "ANSIBLE_CONFIG": str(home / "ansible.cfg"),
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "LC_ALL": "C.UTF-8",
    }
