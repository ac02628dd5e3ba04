# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether this host knows what time it is: rules that depend on the time are withheld until it does.

At boot the clock is often wrong until a time server was heard, and a wrong clock would open what is closed now. A clock
that was synchronised once since boot is trusted until the next one: without its server it drifts by seconds a day,
while to withhold rules then would cut traffic for want of a neighbour. Where something keeps the clock that the kernel
knows nothing of (a hypervisor, the host of a container), the operator says so with the policy.
"""

from __future__ import annotations

from .errors import HostError
from .machine import Machine
from .state import RECORD
from .transaction import TRUST


def trusted(machine: Machine) -> bool:
    """Was the clock synchronised since this boot, or is it kept otherwise? Not being able to tell is a no."""
    if machine.clock.synchronised():
        return True
    try:
        record = machine.state.record()
    except HostError:
        return False
    return bool(record["clock_kept"] or record["clock_boot"] == machine.clock.boot_id())


def settle(machine: Machine) -> str:
    """Remember that the clock is right, and put the timed rules of the live table in force; the caller holds the lock.

    Returns what was done, empty if nothing.
    """
    if not trusted(machine):
        return ""
    record = machine.state.record()
    if machine.clock.synchronised() and record["clock_boot"] != machine.clock.boot_id():
        machine.state.write({RECORD: dict(record, clock_boot=machine.clock.boot_id(), epoch=record["epoch"] + 1)})
    if machine.nft.trusting() is not False:
        return ""
    machine.nft.load(TRUST)
    text = "the clock is right: rules that depend on the time are in force"
    machine.log(text)
    return text
