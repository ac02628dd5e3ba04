# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Print what this checkout runs with; exit 1 if another copy of the collection would be used instead of it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = {
    "nft": ["nft", "--version"],
    "ip": ["ip", "-V"],
    "ssh": ["ssh", "-V"],
    "sshd": ["sshd", "-V"],
    "conntrack": ["conntrack", "--version"],
    "terraform": ["terraform", "version"],
    "git": ["git", "--version"],
}


def first_line(command: list[str]) -> str:
    """What a program says about its version, or that it is not there."""
    path = shutil.which(command[0], path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if path is None:
        return "not found"
    run = subprocess.run([path, *command[1:]], capture_output=True, text=True, check=False)
    lines = [line for line in (run.stdout + run.stderr).splitlines() if re.search(r"\d\.\d", line)]
    return lines[0].strip() if lines else path


def copies() -> list[pathlib.Path]:
    """Every place where Ansible finds this collection, in its search order."""
    run = subprocess.run(
        [
            pathlib.Path(sys.executable).parent / "ansible-galaxy",
            "collection",
            "list",
            "bulkhead.microseg",
            "--format",
            "json",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        return []
    return [pathlib.Path(root) / "bulkhead" / "microseg" for root in json.loads(run.stdout)]


def main() -> int:
    print(f"system      {platform.platform()}, {os.cpu_count()} cpus, {'root' if os.geteuid() == 0 else 'not root'}")
    print(f"python      {platform.python_version()}  {sys.executable}")
    for name in (
        "ansible-core",
        "pydantic",
        "PyYAML",
        "jmespath",
        "numpy",
        "typer",
        "rich",
    ):
        try:
            print(f"  {name:17} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            print(f"  {name:17} not installed")
    for name, command in PROGRAMS.items():
        print(f"{name:11} {first_line(command)}")
    ability = subprocess.run(
        [sys.executable, ROOT / "extensions/lab/lab.py", "probe-ability"], capture_output=True, text=True, check=False
    )
    print(f"lab         {ability.stdout.strip() or ability.stderr.strip()}")
    found = copies()
    for place in found:
        print(f"collection  {place} -> {place.resolve()}")
    strangers = [place for place in found if place.resolve() != ROOT]
    if not found:
        print("PROBLEM     Ansible does not find bulkhead.microseg; run: make setup")
    for place in strangers:
        print(f"PROBLEM     {place} is another copy and may shadow this checkout; remove it")
    return 1 if strangers or not found else 0


if __name__ == "__main__":
    sys.exit(main())
