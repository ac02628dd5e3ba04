# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Break-glass: a local administrator opens the host for a bounded time; it closes by itself, and it shows."""

from __future__ import annotations

import os
import secrets
import time
from typing import Any, Dict

from . import guard, revert
from .errors import DISK, PAYLOAD, PENDING, HostError
from .listing import ABSENT
from .machine import Machine
from .state import RECORD, add_alarm
from .transaction import replace_open

LONGEST = 24 * 60  # minutes


def open_host(machine: Machine, minutes: float, reason: str) -> Dict[str, Any]:
    """Let everything through our table for ``minutes``. Returns the entry of the record.

    A pending change is taken back first. Refuses where there is nothing to open, and beyond a day.
    """
    if not 0 < minutes <= LONGEST:
        raise HostError(PAYLOAD, "minutes must be more than 0 and at most {0}.".format(LONGEST))
    if not reason.strip() or not reason.isprintable():
        raise HostError(PAYLOAD, "a reason is needed: it stands in the record and in the log.")
    with machine.state.locked():
        record = revert.settle(machine, machine.state.record())
        if record["break_glass"] is not None:
            raise HostError(PENDING, "break-glass is in force until {0}.".format(record["break_glass"]["until"]))
        if record["pending"] is not None:
            record = revert.take_back(machine, record, "break-glass: " + reason)
        if not machine.nft.exists():
            raise HostError(PAYLOAD, "our table is {0}: there is nothing to open.".format(ABSENT))
        if revert.own_confirmed(machine.state) is None:
            raise HostError(DISK, "no policy is stored here: the host could not close again.")
        seconds = minutes * 60.0
        token = secrets.token_hex(8)
        glass: Dict[str, Any] = {
            "token": token,
            "reason": reason[:500],
            "by": _who(),
            "at": machine.clock.wall(),
            "until": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds)),
            "deadline_boottime": machine.clock.boottime() + seconds,
            "boot_id": machine.clock.boot_id(),
        }
        watch = guard.start(machine.state, machine.clock, token, glass["deadline_boottime"])
        glass["guard"] = watch.info
        after = dict(record, break_glass=glass, epoch=record["epoch"] + 1)
        add_alarm(
            after, machine.clock, "break-glass", "{0}, {1:g} minutes: {2}".format(glass["by"], minutes, reason[:500])
        )
        try:
            machine.state.write({RECORD: after})
            watch.prove()
            machine.nft.load(replace_open())
        except HostError:
            watch.abandon()
            revert.remember(machine, record)
            raise
        machine.log("break-glass by {0} until {1}: {2}".format(glass["by"], glass["until"], reason))
        return glass


def close_host(machine: Machine) -> bool:
    """End break-glass now. False if it is not in force."""
    with machine.state.locked():
        record = machine.state.record()
        if record["break_glass"] is None:
            return False
        revert.end_break_glass(machine, record, "closed by {0}".format(_who()))
        return True


def _who() -> str:
    """Who sits at the keyboard: the login user where the kernel kept it, for ``sudo`` changes the user id."""
    user = os.environ.get("SUDO_USER", "")
    try:
        with open("/proc/self/loginuid", encoding="ascii") as source:
            login = source.read().strip()
    except OSError:
        login = ""
    words = ["uid {0}".format(os.getuid())]
    if login and login != "4294967295":
        words.append("login uid {0}".format(login))
    if user.isprintable() and user:
        words.append("sudo by {0}".format(user))
    return ", ".join(words)
