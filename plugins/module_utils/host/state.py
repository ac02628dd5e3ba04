# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host remembers: the files of the state directory, one lock, and writes that are whole or did not happen.

``record.json`` is the record of this enforcement point, ``confirmed.json`` the last confirmed policy (also the boot
policy), ``members.json`` the current membership of that policy, ``pending.json`` the policy waiting for confirmation.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from typing import Any, Dict, FrozenSet, Iterator, List, Mapping, Optional

from .clock import Clock
from .errors import DISK, FORMAT, PENDING, HostError
from .payload import Policy, sorted_members

DEFAULT = "/var/lib/microseg"
RECORD_FORMAT = 1
RECORD = "record.json"
CONFIRMED = "confirmed.json"
MEMBERS = "members.json"
WAITING = "pending.json"
LOCK = "lock"
LIBRARY = "lib"
MOST_ALARMS = 50
PATIENCE = 20.0  # seconds to wait for another call on this host


def blank_record() -> Dict[str, Any]:
    """The record of a host that was never provisioned."""
    return {
        "format": RECORD_FORMAT,
        "policy_digest": None,
        "artifact_digest": None,
        "hash": None,  # of the last confirmed table
        "plan": None,
        "step": None,
        "epoch": 0,  # how often the record was written
        "pending": None,
        "confirmed_at": None,
        "confirmed_token": None,
        "reverted": None,  # the last change that was taken back: token, plan, step, at, why
        "break_glass": None,
        "clock_boot": None,  # identity of the last boot in which the clock was synchronised
        "clock_kept": False,  # the operator says that something the kernel does not see keeps the clock right
        "alarms": [],
    }


class Confirmed:
    """The last confirmed policy, as stored: bound to one machine, with the membership that belongs to it."""

    def __init__(self, policy: Policy, members: Dict[str, FrozenSet[str]], token: str, machine: str) -> None:
        self.policy = policy
        self.members = members
        self.token = token
        self.machine = machine


class State:
    """The state directory. Everything that changes it or our table holds ``locked()``."""

    def __init__(self, directory: str = DEFAULT) -> None:
        self.directory = directory

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    @property
    def entry(self) -> str:
        """The program that watchdog, boot units and administrators run."""
        return self.path(os.path.join(LIBRARY, "microseg-host"))

    # -- the lock ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self, patience: float = PATIENCE) -> Iterator[None]:
        """Hold the host's only lock, or refuse after ``patience`` seconds."""
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
        except OSError as error:
            raise _disk(self.directory, error) from error
        handle = self._take(os.O_RDWR | os.O_CREAT, patience)
        try:
            yield
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def undisturbed(self, patience: float = PATIENCE) -> Iterator[None]:
        """Hold the lock for reading without leaving a trace; a host without state has nothing to disturb."""
        handle = -1
        if os.path.exists(self.path(LOCK)):
            handle = self._take(os.O_RDONLY, patience)
        try:
            yield
        finally:
            if handle >= 0:
                os.close(handle)

    def _take(self, flags: int, patience: float) -> int:
        until = time.monotonic() + patience
        while True:
            try:
                handle = os.open(self.path(LOCK), flags | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise _disk(self.path(LOCK), error) from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(handle)
                if time.monotonic() > until:
                    raise HostError(
                        PENDING,
                        "another call is at work on this host ({0} is held). Run again.".format(self.path(LOCK)),
                    ) from None
                time.sleep(0.05)
                continue
            if self._is_current(handle):
                return handle
            os.close(handle)  # the previous holder removed the state directory: take the lock of the new one
            os.makedirs(self.directory, mode=0o700, exist_ok=True)

    def _is_current(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), os.stat(self.path(LOCK)))
        except FileNotFoundError:
            return False

    # -- reading -------------------------------------------------------------------------------------------------------

    def record(self) -> Dict[str, Any]:
        """The record; a blank one if there is none. Refuses a newer format and a damaged file."""
        raw = self._read(RECORD)
        if raw is None:
            return blank_record()
        version = raw.get("format")
        if not isinstance(version, int):
            raise HostError(DISK, "{0} is damaged.".format(self.path(RECORD)))
        if version > RECORD_FORMAT:
            raise HostError(
                FORMAT,
                "{0} has format {1}, this code knows {2}; nothing was changed. Update bulkhead.microseg.".format(
                    self.path(RECORD), version, RECORD_FORMAT
                ),
            )
        return dict(blank_record(), **raw)

    def confirmed(self) -> Optional[Confirmed]:
        """The last confirmed policy with its current membership; None if nothing was ever confirmed."""
        raw = self._read(CONFIRMED)
        if raw is None:
            return None
        policy = Policy.parse(raw.get("policy"))
        members = dict(policy.members)
        current = self._read(MEMBERS)
        # Membership of another policy is useless here: its sets may have the same names and other meanings.
        if current is not None and current.get("text_digest") == policy.text_digest:
            members = Policy.parse(dict(policy.as_dict(), members=current.get("members"))).members
        return Confirmed(policy, members, str(raw.get("token")), str(raw.get("machine")))

    def waiting(self) -> Optional[Policy]:
        """The policy of the pending change; None for a pending removal."""
        raw = self._read(WAITING)
        return None if raw is None or raw.get("policy") is None else Policy.parse(raw["policy"])

    def _read(self, name: str) -> Optional[Dict[str, Any]]:
        try:
            with open(self.path(name), encoding="utf-8") as source:
                value = json.load(source)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _disk(self.path(name), error) from error
        except ValueError as error:
            raise HostError(DISK, "{0} is damaged: {1}".format(self.path(name), error)) from error
        if not isinstance(value, dict):
            raise HostError(DISK, "{0} is damaged: not a mapping".format(self.path(name)))
        return value

    # -- writing -------------------------------------------------------------------------------------------------------

    def stage(self, files: Mapping[str, Mapping[str, Any]]) -> Staged:
        """Bring new contents safely to the disk beside the old ones. What can fail for want of space fails here."""
        names: List[str] = []
        try:
            for name, content in files.items():
                names.append(name)
                write_durably(_temporary(self.path(name)), json.dumps(content, indent=1, sort_keys=True) + "\n")
        except HostError:
            for name in names:
                _remove(_temporary(self.path(name)))
            raise
        return Staged(self, names)

    def write(self, files: Mapping[str, Mapping[str, Any]]) -> None:
        self.stage(files).commit()

    def remove(self, name: str) -> None:
        _remove(self.path(name))


class Staged:
    """New contents of some files, on the disk and not yet in force."""

    def __init__(self, state: State, names: List[str]) -> None:
        self._state = state
        self._names = names

    def commit(self) -> None:
        try:
            for name in self._names:
                os.replace(_temporary(self._state.path(name)), self._state.path(name))
            _sync_directory(self._state.directory)
        except OSError as error:
            raise _disk(self._state.directory, error) from error

    def abandon(self) -> None:
        for name in self._names:
            _remove(_temporary(self._state.path(name)))


def confirmed_file(policy: Policy, token: str, machine: str) -> Dict[str, Any]:
    return {"format": RECORD_FORMAT, "policy": policy.as_dict(), "token": token, "machine": machine}


def members_file(policy: Policy, members: Mapping[str, FrozenSet[str]]) -> Dict[str, Any]:
    return {"format": RECORD_FORMAT, "text_digest": policy.text_digest, "members": sorted_members(members)}


def waiting_file(policy: Optional[Policy]) -> Dict[str, Any]:
    return {"format": RECORD_FORMAT, "policy": None if policy is None else policy.as_dict()}


def settle_confirmed(record: Dict[str, Any], clock: Clock) -> Dict[str, Any]:
    """The record after its pending change was confirmed."""
    pending = record["pending"]
    return dict(
        record,
        policy_digest=pending["policy_digest"],
        artifact_digest=pending["artifact_digest"],
        hash=pending["hash_after"],
        plan=pending["plan"],
        step=pending["step"],
        epoch=record["epoch"] + 1,
        pending=None,
        confirmed_at=clock.wall(),
        confirmed_token=pending["token"],
    )


def expired(change: Mapping[str, Any], clock: Clock) -> bool:
    """Has the deadline of a pending change or a break-glass passed? A restart of the host passes every deadline."""
    return bool(change["boot_id"] != clock.boot_id() or clock.boottime() >= change["deadline_boottime"])


def add_alarm(record: Dict[str, Any], clock: Clock, code: str, detail: str) -> None:
    """Remember something an operator must see; the oldest make room."""
    record["alarms"] = (record["alarms"] + [{"at": clock.wall(), "code": code, "detail": detail}])[-MOST_ALARMS:]


def machine_identity() -> str:
    """Digest of the machine id, which itself is not to be told. Empty where the machine has none."""
    try:
        with open("/etc/machine-id", encoding="ascii") as source:
            text = source.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return hashlib.sha256(("microseg:" + text).encode("ascii")).hexdigest() if text else ""


def write_durably(path: str, text: str, mode: int = 0o600) -> None:
    """Create or replace a file and wait until the disk has it."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(handle, "w", encoding="utf-8") as target:
            target.write(text)
            target.flush()
            os.fsync(target.fileno())
    except OSError as error:
        _remove(path)
        raise _disk(path, error) from error


def _sync_directory(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _temporary(path: str) -> str:
    return path + ".new"


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _disk(path: str, error: OSError) -> HostError:
    return HostError(DISK, "{0}: {1}. Nothing was changed.".format(path, error.strerror or error), path=path)
