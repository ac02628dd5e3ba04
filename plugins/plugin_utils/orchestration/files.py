# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files that are either wholly there or not there: write beside, flush to the disk, rename."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..model.errors import StoreError

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600


def make_directory(path: Path) -> None:
    """Create with parents, readable by the owner alone. Raises StoreError (E-STORE-WRITE)."""
    try:
        for part in (*reversed(path.parents), path):
            if not part.exists():
                part.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    except OSError as error:
        raise _not_written(path, error) from error


def write_atomically(path: Path, content: bytes, mode: int = FILE_MODE) -> None:
    """Replace `path` by `content`, durable when this returns; `mode` is narrowed by the umask.

    Raises StoreError (E-STORE-WRITE), with nothing changed.
    """
    make_directory(path.parent)
    beside = path.parent / f".{path.name[:64]}.{secrets.token_hex(6)}.new"
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(beside, path)
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise _not_written(path, error) from error


class Draft:
    """A file that is being written. Without a `name` at the end of the block nothing comes of it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.name = ""


@contextlib.contextmanager
def drafted(directory: Path) -> Iterator[Draft]:
    """Write a file of which the name is known only when it is done; durable when the block ends.

    Raises StoreError (E-STORE-WRITE), with nothing changed.
    """
    make_directory(directory)
    beside = directory / f".{secrets.token_hex(12)}.new"
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            with os.fdopen(descriptor, "wb", buffering=1 << 20) as file:
                draft = Draft(file)
                yield draft
                file.flush()
                os.fsync(descriptor)
            if draft.name:
                os.replace(beside, directory / draft.name)
                sync_directory(directory)
        finally:
            with contextlib.suppress(FileNotFoundError):
                beside.unlink()
    except OSError as error:
        raise _not_written(directory, error) from error


def append_line(path: Path, content: bytes) -> None:
    """Append one line, durable when this returns. A torn line left by a crash is closed first, a failed one undone."""
    make_directory(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            before = os.fstat(descriptor).st_size
            torn = bool(before) and os.pread(descriptor, 1, before - 1) != b"\n"
            view = memoryview((b"\n" if torn else b"") + content + b"\n")
            try:
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)
        if not before:
            sync_directory(path.parent)
    except OSError as error:
        raise _not_written(path, error) from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes for a moment; the kernel drops it if we die."""
    make_directory(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        raise _not_written(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_written(path: Path, error: OSError) -> StoreError:
    return StoreError(
        "E-STORE-WRITE",
        f"Cannot write {path.name}: {error.strerror or error}. Nothing was changed.",
        str(path.parent),
        "Free space or correct the permissions, then run again.",
    )
