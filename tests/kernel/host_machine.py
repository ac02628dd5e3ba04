# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host for tests: a network namespace of its own, a state directory of its own, a clock that can be moved."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils import probing
from ansible_collections.bulkhead.microseg.plugins.module_utils.host import arm, confirm, guard
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.clock import Clock
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.listing import canonical_hash, members
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.machine import Machine
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.payload import Policy
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.state import State

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)

Ruleset = str


def ruleset(port: int, policy: str = "drop") -> Ruleset:
    """A table that lets the members of one set, and everybody on one port, in."""
    return f"""table inet microseg {{
    set m4_web {{
        type ipv4_addr
    }}
    set a4_office {{
        type ipv4_addr
        flags interval
        elements = {{ 192.0.2.0/25, 198.51.100.7 }}
    }}
    chain input {{
        type filter hook input priority 0; policy {policy};
        ct state established,related accept
        ip saddr @m4_web counter accept
        ip saddr @a4_office tcp dport 443 accept
        tcp dport {port} counter accept
        counter reject with icmpx type admin-prohibited
    }}
}}
"""


def payload(text: Ruleset, members: Mapping[str, list[str]] | None = None, digest: str = "aa") -> dict[str, Any]:
    return {
        "format": 1,
        "ruleset": text,
        "members": dict(members or {}),
        "policy_digest": digest * 32,
        "artifact_digest": digest * 32,
    }


class MovableClock(Clock):
    """The real clocks, moved. ``boot`` is the number of a restart that was played, ``right`` whether the wall clock is
    synchronised.
    """

    def __init__(self) -> None:
        self.ahead = 0.0
        self.boot = 0
        self.shown: str | None = None
        self.right: bool | None = False

    def boottime(self) -> float:
        return super().boottime() + self.ahead

    def boot_id(self) -> str:
        return f"{super().boot_id()}{'' if self.boot == 0 else self.boot}"

    def wall(self) -> str:
        return self.shown or super().wall()

    def synchronised(self) -> bool | None:
        return self.right


class TestedHost:
    __test__ = False

    def __init__(self, directory: Path) -> None:
        self.clock = MovableClock()
        self.machine = Machine(State(str(directory)), clock=self.clock)
        self.state = self.machine.state

    def wish(
        self,
        raw: dict[str, Any] | None,
        *,
        base: str | None = None,
        plan: str = "7f3a",
        step: str = "1",
        timeout: float = 60.0,
        check: bool = False,
        warm_up: float = 0.0,
        clock_kept: bool = False,
    ) -> arm.Wish:
        policy = None if raw is None else Policy.parse(raw)
        wanted = self.hash() if base is None else base
        return arm.Wish(policy, wanted, plan, step, timeout, warm_up, True, check, clock_kept)

    def arm(self, raw: dict[str, Any] | None, **options: Any) -> dict[str, Any]:
        return arm.arm(self.machine, self.wish(raw, **options))

    def provision(self, raw: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Arm and confirm."""
        armed = self.arm(raw, **options)
        return confirm.confirm(self.machine, armed["token"])

    def hash(self) -> str:
        return canonical_hash(self.machine.nft.table())

    def members(self) -> dict[str, list[str]]:
        return {name: sorted(found) for name, found in members(self.machine.nft.table()).items()}

    def record(self) -> dict[str, Any]:
        return self.state.record()

    def nft(self, *words: str) -> str:
        done = subprocess.run([self.machine.nft.program, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def program(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the installed program as an administrator would."""
        return subprocess.run(
            guard.command(self.state, *words), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )

    def reach(self, port: int, seconds: float = 0.5) -> str:
        """Verdict of a real connection to ourselves."""
        return str(probing.run([probing.Probe("127.0.0.1", f"tcp/{port}", None)], seconds)[0]["verdict"])

    def watchdogs(self) -> list[int]:
        """Guards of this host that run, found by the path of its own program."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.fsencode(self.state.entry) in words and b"watchdog" in words:
                found.append(int(pid))
        return found


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something that must happen."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"did not happen within {seconds} s"
        time.sleep(0.02)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[TestedHost]:
    """A host that was never provisioned, in a network namespace of its own."""
    if os.geteuid() != 0:
        pytest.skip("a host is changed by root only")
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    tested = TestedHost(tmp_path / "state")
    try:
        assert _LIBC.unshare(_CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield tested
    finally:
        for pid in tested.watchdogs():
            os.kill(pid, signal.SIGKILL)
        assert _LIBC.setns(before, _CLONE_NEWNET) == 0
        os.close(before)
