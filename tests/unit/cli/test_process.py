# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command line as a process: exit codes whatever happens, start-up time, collections of other people."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

MAIN = "ansible_collections.bulkhead.microseg.plugins.plugin_utils.cli.main"


def run(shop: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", MAIN, *words],
        cwd=shop,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_help_starts_in_less_than_half_a_cpu_second(shop: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert run(shop, "--help").returncode == 0

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.6


def test_help_speaks_of_microseg(shop: Path) -> None:
    assert run(shop, "--help").stdout.split()[:2] == ["Usage:", "microseg"]


@pytest.mark.parametrize("words", [("bogus",), ("check", "--bogus"), ("check", "--format", "xml"), ("explain", "a")])
def test_usage_errors_are_2(shop: Path, words: tuple[str, ...]) -> None:
    result = run(shop, *words)

    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("check", "-i", "nowhere.yml"), "E-INVENTORY"),
        (("check", "-i", "hosts.yml", "-e", "microseg_labels={}"), "E-EXTRA-VARS"),
        (("check", "-i", "hosts.yml", "--vault-password-file", "nowhere"), "E-VAULT"),
    ],
)
def test_bad_input_is_2_and_one_line_begins_with_the_code(shop: Path, words: tuple[str, ...], code: str) -> None:
    result = run(shop, *words)

    assert result.returncode == 2
    assert result.stdout == ""
    assert any(line.startswith(f"{code}  ") for line in result.stderr.splitlines())


def test_a_fault_of_ours_is_2_and_one_line_that_says_how_to_see_more(shop: Path) -> None:
    code = (
        f"import {MAIN} as main, sys\n"
        "main.Job.inputs = lambda self: 1 / 0\n"
        "sys.argv = ['microseg', 'check']\n"
        "main.run()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=shop, capture_output=True, text=True, check=False)

    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("E-INTERNAL  ZeroDivisionError")
    assert "MICROSEG_TRACEBACK=1" in result.stderr


def test_the_traceback_is_there_on_demand(shop: Path) -> None:
    code = (
        f"import {MAIN} as main, sys\n"
        "main.Job.inputs = lambda self: 1 / 0\n"
        "sys.argv = ['microseg', 'check']\n"
        "main.run()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=shop,
        env={**os.environ, "MICROSEG_TRACEBACK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert "ZeroDivisionError: division by zero" in result.stderr


def test_an_interrupt_is_130(shop: Path) -> None:
    slow = shop / "slow.sh"
    slow.write_text("#!/bin/sh\ntouch started\nexec sleep 60\n")
    slow.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", MAIN, "check", "-i", "slow.sh"],
        cwd=shop,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (shop / "started").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)

    os.killpg(process.pid, signal.SIGINT)

    assert process.wait(60) == 130


def test_a_reader_that_has_seen_enough_is_no_failure(shop: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m {MAIN} reach -i hosts.yml --format json; echo $? >code"
    subprocess.run(["/bin/bash", "-c", f"({command}) | true"], cwd=shop, check=True)

    assert (shop / "code").read_text().strip() == "0"


def test_inventory_plugins_of_other_collections_are_found(shop: Path) -> None:
    plugin = shop / "collections/ansible_collections/other/cloud/plugins/inventory/hosts.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(
        "from ansible.plugins.inventory import BaseInventoryPlugin\n"
        "DOCUMENTATION = 'name: hosts\\nshort_description: x\\ndescription: x\\noptions: {}'\n"
        "class InventoryModule(BaseInventoryPlugin):\n"
        "    NAME = 'other.cloud.hosts'\n"
        "    def verify_file(self, path):\n"
        "        return path.endswith('cloud.yml')\n"
        "    def parse(self, inventory, loader, path, cache=True):\n"
        "        inventory.add_host('cloudy')\n"
        "        inventory.set_variable('cloudy', 'ansible_host', '10.7.0.1')\n"
    )
    (shop / "cloud.yml").write_text("plugin: other.cloud.hosts\n")

    result = run(
        shop,
        "explain",
        "cloudy",
        "db-1",
        "tcp/1",
        "-i",
        "hosts.yml",
        "-i",
        "cloud.yml",
        ANSIBLE_COLLECTIONS_PATH=str(shop / "collections"),
        ANSIBLE_INVENTORY_ENABLED="other.cloud.hosts,yaml",
    )

    assert result.returncode == 0, result.stderr
    assert "10.7.0.1" in result.stdout


def test_version_is_that_of_the_collection(shop: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    version = next(line.split()[1] for line in (root / "galaxy.yml").read_text().splitlines() if line[:8] == "version:")

    assert run(shop, "version").stdout.startswith(f"microseg {version} ")
