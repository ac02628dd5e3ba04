# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all tests share: the collection loader, what this machine can do, and when a skip counts as a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache

import pytest

try:
    from ansible.plugins.loader import init_plugin_loader
except ModuleNotFoundError:
    pass  # ansible-test hides all but ansible.module_utils from tests of modules
else:
    # Before the first import of ansible_collections: imported earlier, the plugin loaders find nothing of ours.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="AnsibleCollectionFinder has already been configured")
        init_plugin_loader()

REQUIRE = bool(os.environ.get("MICROSEG_REQUIRE"))
OPTIONAL = "optional:"  # the only reason for a skip that MICROSEG_REQUIRE=1 accepts
SBIN = ":/usr/sbin:/sbin"

os.environ["PATH"] = os.path.dirname(sys.executable) + ":" + os.environ.get("PATH", "/usr/bin:/bin") + SBIN


@dataclass(frozen=True)
class Kernel:
    """How to get a network namespace of one's own here: put ``prefix`` in front of a command.

    >>> subprocess.run([*kernel.prefix, "nft", "-f", "rules.nft"])
    """

    prefix: tuple[str, ...]
    reason: str  # why there is none; empty if there is


@cache
def kernel_ability() -> Kernel:
    """Try for real: a new network namespace in which nft can load a table."""
    for program in ("unshare", "nft", "ip"):
        if shutil.which(program) is None:
            return Kernel((), f"{program} is not installed (make packages)")
    prefix = ("unshare", "-n") if os.geteuid() == 0 else ("unshare", "-Urn")
    rules = "add table inet probe; add chain inet probe c { type filter hook input priority 0; }"
    run = subprocess.run([*prefix, "nft", rules], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if run.returncode:
        return Kernel((), f"no nftables in a new network namespace: {(run.stderr or run.stdout).strip()}")
    return Kernel(prefix, "")


@pytest.fixture(scope="session")
def kernel() -> Kernel:
    """Network namespaces with nftables; skips with the reason where they are not permitted."""
    ability = kernel_ability()
    if ability.reason:
        pytest.skip(ability.reason)
    return ability


@pytest.fixture(scope="session")
def proof_size() -> ProofSize:
    """Scale the size of a long proof: ``proof_size(2000)`` is 2000, or the MICROSEG_PROOF_FRACTION of it."""
    return ProofSize(float(os.environ.get("MICROSEG_PROOF_FRACTION", "1")))


@dataclass(frozen=True)
class ProofSize:
    fraction: float

    def __call__(self, full: int) -> int:
        return max(1, round(full * self.fraction))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kernel") and kernel_ability().reason:
        pytest.skip(kernel_ability().reason)
    if item.get_closest_marker("systemd") and os.geteuid() != 0:
        pytest.skip("booting a real Debian needs root")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if REQUIRE and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not reason.removeprefix("Skipped: ").startswith(OPTIONAL):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: skipped, and MICROSEG_REQUIRE=1 allows no skip: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if REQUIRE and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not reason.removeprefix("Skipped: ").startswith(OPTIONAL):
            report.outcome = "failed"
            report.longrepr = f"{collector.nodeid}: skipped, and MICROSEG_REQUIRE=1 allows no skip: {reason}"  # type: ignore[assignment]
    return report


def pytest_report_header() -> list[str]:
    ability = kernel_ability()
    return [
        "kernel: " + (ability.reason or " ".join(ability.prefix)),
        f"skips: {'failures unless optional' if REQUIRE else 'allowed'}",
    ]
