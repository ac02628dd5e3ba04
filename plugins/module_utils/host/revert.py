# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take a change back: load the last confirmed policy with the current membership, or open the host if that fails."""

from __future__ import annotations

from typing import Any, Dict, Optional

from . import guard
from .errors import DISK, PENDING, HostError
from .machine import Machine
from .state import RECORD, WAITING, Confirmed, State, add_alarm, expired, machine_identity, settle_confirmed
from .transaction import REMOVE, replace
from .trust import trusted

GUARD_PATIENCE = 60.0  # seconds the guard waits for a call that holds the lock before it acts all the same


def own_confirmed(state: State) -> Optional[Confirmed]:
    """The last confirmed policy of this machine. Refuses one that came here with a copied disk."""
    confirmed = state.confirmed()
    if confirmed is not None and confirmed.machine != machine_identity():
        raise HostError(DISK, "the stored policy belongs to another machine (the machine id differs).")
    return confirmed


def restore(machine: Machine) -> str:
    """Bring back what was last confirmed. Empty, or the reason why the host was opened instead.

    A host that nobody can reach is worse than one that is open and says so: what does not load is not tried again.
    """
    try:
        confirmed = own_confirmed(machine.state)
        machine.nft.load(
            REMOVE if confirmed is None else replace(confirmed.policy, confirmed.members, trusted(machine))
        )
    except HostError as error:
        machine.nft.load(REMOVE)
        return str(error)
    return ""


def take_back(machine: Machine, record: Dict[str, Any], why: str) -> Dict[str, Any]:
    """Undo the pending change of ``record`` and write down when and why; the caller holds the lock."""
    pending = record["pending"]
    problem = restore(machine)
    after = dict(record, pending=None, epoch=record["epoch"] + 1)
    after["reverted"] = {name: pending[name] for name in ("token", "plan", "step")}
    after["reverted"].update(at=machine.clock.wall(), why=why)
    if problem:
        add_alarm(after, machine.clock, "revert-opened", "the last confirmed policy did not load: " + problem)
    machine.log("plan {0} step {1} was taken back: {2}. {3}".format(pending["plan"], pending["step"], why, problem))
    remember(machine, after)
    guard.stop(pending["guard"])
    return after


def end_break_glass(machine: Machine, record: Dict[str, Any], why: str) -> Dict[str, Any]:
    """Close the host again; the caller holds the lock."""
    glass = record["break_glass"]
    problem = restore(machine)
    after = dict(record, break_glass=None, epoch=record["epoch"] + 1)
    add_alarm(after, machine.clock, "break-glass-ended", why if not problem else why + "; stays open: " + problem)
    machine.log("break-glass ended: {0}. {1}".format(why, problem))
    remember(machine, after)
    guard.stop(glass["guard"])
    return after


def remember(machine: Machine, record: Dict[str, Any]) -> None:
    """Write the record after the kernel changed. A full disk must not undo that: a passed deadline says the same."""
    try:
        machine.state.write({RECORD: record})
        machine.state.remove(WAITING)
    except (HostError, OSError) as error:
        machine.log("the record could not be written: {0}".format(error))


def settle(machine: Machine, record: Dict[str, Any]) -> Dict[str, Any]:
    """Do what a guard should have done: after this, whatever still stands in the record is within its time."""
    record = finish_confirmation(machine, record)
    pending, glass = record["pending"], record["break_glass"]
    if pending is not None and expired(pending, machine.clock):
        restarted = pending["boot_id"] != machine.clock.boot_id()
        record = take_back(machine, record, "the host was restarted" if restarted else "the deadline passed, unguarded")
    if glass is not None and expired(glass, machine.clock):
        record = end_break_glass(machine, record, "its time was over")
    return record


def finish_confirmation(machine: Machine, record: Dict[str, Any]) -> Dict[str, Any]:
    """A confirmation that lost power between its two renames has happened: the boot policy is already the new one."""
    pending = record["pending"]
    if pending is None:
        return record
    try:
        confirmed = machine.state.confirmed()
    except HostError:
        return record
    if confirmed is None or confirmed.token != pending["token"]:
        return record
    after = settle_confirmed(record, machine.clock)
    remember(machine, after)
    return after


def expire(machine: Machine, token: str) -> None:
    """The guard's deed at the deadline. A call that never gives the lock back must not keep the host locked out."""
    try:
        with machine.state.locked(GUARD_PATIENCE):
            _expire(machine, token)
    except HostError as error:
        if error.code not in (PENDING, DISK):
            raise
        machine.log("the guard of {0} acts without the lock: {1}".format(token, error))
        _expire(machine, token)


def _expire(machine: Machine, token: str) -> None:
    try:
        record = finish_confirmation(machine, machine.state.record())
    except HostError as error:
        machine.log("the guard of {0} cannot read the record: {1}. {2}".format(token, error, restore(machine)))
        return
    if record["pending"] is not None and record["pending"]["token"] == token:
        take_back(machine, record, "nobody confirmed it before the deadline")
    elif record["break_glass"] is not None and record["break_glass"]["token"] == token:
        end_break_glass(machine, record, "its time was over")


def revert(machine: Machine, token: Optional[str], why: str, check: bool = False) -> Dict[str, Any]:
    """Take the pending change back now. ``changed`` is false if there is none.

    Refuses (E-PENDING) if another change than ``token`` is pending.
    """
    with machine.state.undisturbed() if check else machine.state.locked():
        record = machine.state.record()
        if not check:
            record = finish_confirmation(machine, record)
        pending = record["pending"]
        if pending is None:
            return {"changed": False, "record": record}
        if token is not None and pending["token"] != token:
            raise HostError(
                PENDING,
                "plan {0} step {1} is pending here, not the change to revert. Nothing was changed.".format(
                    pending["plan"], pending["step"]
                ),
                record=record,
            )
        return {"changed": True, "record": record if check else take_back(machine, record, why)}
