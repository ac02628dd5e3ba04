# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who provisions from a store. A run takes the lease in one task, renews it in others and gives it back in the last."""

from __future__ import annotations

import contextlib
import os
import socket

from ..orchestration.store import Store
from .provision import LEASE, give_back, take_lease


def hold(store: Store, run: int, seconds: int) -> None:
    """Take the lease for the process `run` of this machine, or renew it.

    A lease of a process of this machine that is no more is taken over, so that a killed run can be resumed at once.
    Raises StoreError (E-STORE-LEASED) naming who holds it.
    """
    ref = store.ref(f"lease/{LEASE}")
    present = str(ref.value["holder"]) if ref is not None and ref.value else ""
    mine = _holder(run)
    if present == mine or _dead(present):
        give_back(store, present)
    take_lease(store, mine, seconds)


def let_go(store: Store, run: int) -> None:
    """Somebody else's lease is left alone."""
    give_back(store, _holder(run))


def _holder(run: int) -> str:
    return f"{socket.gethostname()} process {run}"


def _dead(holder: str) -> bool:
    """Is it a process of this machine that does not run any more? Of other machines nobody knows."""
    name, _word, run = holder.rpartition(" process ")
    if name != socket.gethostname() or not run.isdecimal():
        return False
    with contextlib.suppress(PermissionError):
        try:
            os.kill(int(run), 0)
        except ProcessLookupError:
            return True
    return False
