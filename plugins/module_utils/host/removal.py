# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Leave a host: remove our table, units and files, and say what, if anything, remains."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import List

from . import units
from .machine import Machine
from .state import CONFIRMED, LIBRARY, LOCK, MEMBERS, RECORD, WAITING
from .transaction import REMOVE

# The record goes last but for the lock: whoever finds half a removal still finds what it was.
_FILES = (WAITING, CONFIRMED, MEMBERS, RECORD, LOCK)


def erase(machine: Machine) -> List[str]:
    """Remove everything of ours; the caller holds the lock. Returns what is still there, which should be nothing."""
    units.remove()
    machine.nft.load(REMOVE)
    shutil.rmtree(machine.state.path(LIBRARY), ignore_errors=True)
    for name in _FILES:
        for path in (machine.state.path(name + ".new"), machine.state.path(name)):
            with contextlib.suppress(OSError):
                os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(machine.state.directory)  # stays, and is reported, if somebody put a file of his own there
    return remains(machine)


def remains(machine: Machine) -> List[str]:
    """Everything of ours this host still has: table, unit files, state directory."""
    found = ["table inet microseg"] if machine.nft.exists() else []
    found += units.present()
    if os.path.lexists(machine.state.directory):
        found.append(machine.state.directory)
    return found
