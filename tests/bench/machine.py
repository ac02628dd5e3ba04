# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What figures depend on: the class of the machine and the versions of everything that took part."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ansible-core", "numpy", "pydantic", "PyYAML")


def describe() -> dict[str, str]:
    """Words for the head of a table: when, on what, with which versions."""
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores {_processor()}, {_memory():.0f} GB, {platform.system()} "
        f"{'.'.join(platform.release().split('.')[:2])}",
        "load": f"{os.getloadavg()[0]:.1f} when it began",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
        "nft": _said("nft", "--version").split(" (")[0].replace("nftables v", "") or "not installed",
        "revision": _said("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD") or "not a checkout",
    }


def _processor() -> str:
    """The maker's name says more than the architecture, where the kernel knows it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _said(*command: str) -> str:
    environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    try:
        run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except OSError:
        return ""
    return run.stdout.strip()
