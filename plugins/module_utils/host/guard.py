# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guard of a change: something outside the session that takes the change back at the deadline.

Where systemd runs this host it is a transient timer; elsewhere a detached process (`watchdog.py`). Both are started
before the change, and proven alive before it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, Mapping, Optional

from . import systemd
from .clock import Clock
from .errors import TOOL, HostError
from .state import State

SYSTEMD = "systemd-timer"
WATCHDOG = "watchdog"
HANDSHAKE = 15.0  # seconds for a Python to start on a busy host


class Guard:
    """A guard that was started and waits to be told that the change is on record."""

    def __init__(self, info: Dict[str, Any], process: Optional[subprocess.Popen[bytes]] = None) -> None:
        self.info = info
        self._process = process

    def prove(self) -> None:
        """Return only if the guard is alive and knows its change; the record must name the change by now."""
        if self._process is None:
            if not systemd.active(self.info["unit"] + ".timer"):
                raise HostError(TOOL, "the revert timer {0} is not active.".format(self.info["unit"]))
            return
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"go\n")
            self._process.stdin.close()
        except OSError as error:
            raise HostError(TOOL, "the watchdog died before the change: {0}".format(error)) from error
        answer = _line(self._process)
        self._close()
        if answer != "armed":
            raise HostError(TOOL, "the watchdog does not stand guard: {0}".format(answer or "no answer"))

    def abandon(self) -> None:
        """The change will not happen."""
        self._close()
        stop(self.info)

    def _close(self) -> None:
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None and not pipe.closed:
                    pipe.close()


def command(state: State, *words: str) -> List[str]:
    """The installed program with this interpreter, deaf to the environment (PYTHONPATH and the like)."""
    return [sys.executable or "/usr/bin/python3", "-I", state.entry, *words]


def start(state: State, clock: Clock, token: str, deadline: float) -> Guard:
    """Start the guard of the change named ``token``; ``deadline`` is a boot time in seconds.

    A systemd that will not start a timer (a manager that is shutting down or broken) leaves the work to the watchdog.
    """
    if systemd.usable():
        unit = "microseg-revert-" + token
        with contextlib.suppress(HostError):
            systemd.start_timer(unit, deadline - clock.boottime(), command(state, "revert", token))
            return Guard({"kind": SYSTEMD, "unit": unit})
    process = subprocess.Popen(
        command(state, "watchdog", token, repr(deadline)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    words = _line(process).split()
    process.wait(HANDSHAKE)  # the first process leaves at once: the one that stays is nobody's child
    if len(words) != 3 or words[0] != "ready":
        raise HostError(TOOL, "the watchdog does not start: {0}".format(" ".join(words) or "no answer"))
    return Guard({"kind": WATCHDOG, "pid": int(words[1]), "started": words[2]}, process)


def alive(info: Optional[Mapping[str, Any]]) -> bool:
    if info is None:
        return False
    if info["kind"] == SYSTEMD:
        return systemd.active(info["unit"] + ".timer") or systemd.active(info["unit"] + ".service")
    return bool(started(info["pid"]) == info["started"])


def stop(info: Optional[Mapping[str, Any]]) -> None:
    """End a guard that is no longer needed; never the asking process, for the guard itself reverts by the same code."""
    if info is None:
        return
    if info["kind"] == SYSTEMD:
        systemd.systemctl(["stop", info["unit"] + ".timer"])
    elif info["pid"] != os.getpid() and started(info["pid"]) == info["started"]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(info["pid"], signal.SIGTERM)


def started(pid: int) -> str:
    """Start time of a process in clock ticks: with the pid it names one process for ever. Empty if there is none."""
    try:
        with open("/proc/{0}/stat".format(pid), encoding="ascii", errors="replace") as source:
            fields = source.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    until = time.monotonic() + HANDSHAKE
    text = b""
    while not text.endswith(b"\n"):
        readable, _w, _x = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
        part = os.read(descriptor, 200) if readable else b""
        if not part:
            break
        text += part
    return text.decode("ascii", "replace").strip()
