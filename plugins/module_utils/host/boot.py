# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the units run: load the boot policy, restore a table somebody took away, trust a clock that became right."""

from __future__ import annotations

from typing import Any, Dict

from . import revert, trust
from .errors import HostError
from .machine import Machine
from .state import RECORD, add_alarm, blank_record


def boot(machine: Machine) -> str:
    """Load the last confirmed policy with the current membership. Returns what was done, for the log of the unit.

    Raises if the stored policy cannot be used, after the record has the alarm: a failed unit is seen.
    """
    with machine.state.locked():
        record = revert.settle(machine, _record(machine))
        if record["pending"] is not None and machine.nft.exists():
            return "a change is pending and guarded: nothing to do"
        if record["break_glass"] is not None and machine.nft.exists():
            return "break-glass is in force: nothing to do"
        return _restore(machine, record)


def check(machine: Machine) -> str:
    """Settle what lost its guard; restore a missing table and raise an alarm; trust a clock that became right."""
    with machine.state.locked():
        record = revert.settle(machine, _record(machine))
        if machine.nft.exists():
            return trust.settle(machine) or "the table is there"
        if record["pending"] is not None:
            if record["pending"]["kind"] == "removal":
                return "the table is gone by a pending removal"
            record = revert.take_back(machine, record, "somebody removed the table while it waited")
            return _alarm(machine, record)
        if record["break_glass"] is not None:
            return "break-glass is in force: nothing to do"
        if record["confirmed_at"] is None:
            return "nothing was ever confirmed: nothing to do"
        if _unusable(record):
            return "the boot policy cannot be used, as the record says: nothing to do"
        _restore(machine, record)
        return _alarm(machine, machine.state.record())


def _alarm(machine: Machine, record: Dict[str, Any]) -> str:
    text = "the table was missing and was restored"
    add_alarm(record, machine.clock, "table-missing", text)
    machine.log(text)
    revert.remember(machine, dict(record, epoch=record["epoch"] + 1))
    return text


def _restore(machine: Machine, record: Dict[str, Any]) -> str:
    problem = revert.restore(machine)
    if not problem:
        return "the last confirmed policy is loaded" if machine.nft.exists() else "no policy was ever confirmed"
    add_alarm(record, machine.clock, "boot-policy-unusable", problem)
    machine.log("the boot policy cannot be used, the host is open: " + problem)
    revert.remember(machine, dict(record, epoch=record["epoch"] + 1))
    raise HostError(problem.split(" ", 1)[0], problem.split(" ", 1)[-1])


def _unusable(record: Dict[str, Any]) -> bool:
    """Was the last thing that went wrong the boot policy? Every minute is too often to say it again."""
    return bool(record["alarms"]) and record["alarms"][-1]["code"] == "boot-policy-unusable"


def _record(machine: Machine) -> Dict[str, Any]:
    """A damaged record must not keep a host from its policy."""
    try:
        return machine.state.record()
    except HostError as error:
        record = blank_record()
        add_alarm(record, machine.clock, "record-damaged", str(error))
        machine.log(str(error))
        machine.state.write({RECORD: record})
        return record
