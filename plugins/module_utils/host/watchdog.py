# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The detached process that takes a change back where no systemd can do it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Iterator

from . import revert
from .errors import HostError
from .guard import started
from .machine import Machine

LOOK = 1.0  # seconds between looks at the record and the clock
TRIES = 600


def stand_guard(machine: Machine, token: str, deadline: float) -> int:
    """Detach, say ``ready``, wait for ``go``, say ``armed``; then wait for confirmation or the deadline."""
    if os.fork() != 0:
        os._exit(0)  # the parent need not wait for us, and we are nobody's child
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    _leave_control_groups()
    with contextlib.suppress(OSError):
        _write("/proc/self/oom_score_adj", "-1000")  # the last process to die when memory is short
    os.write(1, "ready {0} {1}\n".format(os.getpid(), started(os.getpid())).encode("ascii"))
    if sys.stdin.readline() != "go\n":
        return 0  # the change was given up before it happened
    if not _on_record(machine, token):
        os.write(1, b"the record does not name this change\n")
        return 1
    os.write(1, b"armed\n")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    while True:
        left = deadline - machine.clock.boottime()
        if left <= 0:
            return _take_back(machine, token)
        if not _on_record(machine, token):
            return 0
        machine.clock.sleep(min(left, LOOK))


def _take_back(machine: Machine, token: str) -> int:
    for _attempt in range(TRIES):
        try:
            revert.expire(machine, token)
        except HostError as error:
            machine.log("revert of {0} failed and is tried again: {1}".format(token, error))
            machine.clock.sleep(LOOK)
        else:
            return 0
    return 1


def _on_record(machine: Machine, token: str) -> bool:
    """An unreadable record counts as pending: to take back what was confirmed is better than to lock out for ever."""
    try:
        record = machine.state.record()
    except HostError:
        return True
    return any(one is not None and one["token"] == token for one in (record["pending"], record["break_glass"]))


def _leave_control_groups() -> None:
    """Move to the root of every control group hierarchy, so that ending the session does not end the guard."""
    for root in _hierarchies():
        with contextlib.suppress(OSError):
            _write(os.path.join(root, "cgroup.procs"), str(os.getpid()))


def _hierarchies() -> Iterator[str]:
    with contextlib.suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as source:
        for line in source:
            before, _dash, after = line.partition(" - ")
            if after.split(" ", 1)[0] in ("cgroup", "cgroup2"):
                yield before.split()[4].replace("\\040", " ")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as target:
        target.write(text)
