# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A lease in the store: one controller at a time provisions, and a dead one does not block the next for ever."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..model.errors import StoreError
from .store import Store


@dataclass(frozen=True, slots=True)
class Lease:
    """`version` is the fence: whoever renews or releases must still hold this version of the ref."""

    name: str
    holder: str
    until: datetime
    version: int


def acquire(store: Store, name: str, holder: str, seconds: int) -> Lease:
    """Take the lease, also over one that has run out. Raises StoreError (E-STORE-LEASED) naming who holds it."""
    current = store.ref(f"lease/{name}")
    now = store.now()
    if current and current.value:
        until = datetime.fromisoformat(current.value["until"])
        if until > now:
            raise _leased(name, current.value["holder"], until)
    return _write(store, name, holder, now + timedelta(seconds=seconds), current.version if current else None)


def renew(store: Store, lease: Lease, seconds: int) -> Lease:
    """Raises StoreError (E-STORE-LEASED) when somebody else took it meanwhile: stop then."""
    return _write(store, lease.name, lease.holder, store.now() + timedelta(seconds=seconds), lease.version)


def release(store: Store, lease: Lease) -> None:
    """Give it back; a lease that somebody else took over meanwhile is left alone."""
    with contextlib.suppress(StoreError):
        store.set_ref(f"lease/{lease.name}", None, lease.version)


@contextlib.contextmanager
def held(store: Store, name: str, holder: str, seconds: int) -> Iterator[Lease]:
    lease = acquire(store, name, holder, seconds)
    try:
        yield lease
    finally:
        release(store, lease)


def _write(store: Store, name: str, holder: str, until: datetime, expected: int | None) -> Lease:
    try:
        ref = store.set_ref(f"lease/{name}", {"holder": holder, "until": until.isoformat()}, expected)
    except StoreError as error:
        if error.code != "E-STORE-CONFLICT":
            raise
        current = store.ref(f"lease/{name}")
        value = current.value if current and current.value else {"holder": "somebody else", "until": until.isoformat()}
        raise _leased(name, value["holder"], datetime.fromisoformat(value["until"])) from error
    return Lease(name, holder, until, ref.version)


def _leased(name: str, holder: str, until: datetime) -> StoreError:
    return StoreError(
        "E-STORE-LEASED",
        f"{holder} holds {name} until {until.isoformat(timespec='seconds')}. Nothing was started.",
        hint="Wait for it to end, or run again after that time.",
    )
