# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The store: what must outlive a job, in one directory.

====================  =========================================================================
`format`              the number of the layout; newer than we know is refused
`blobs/HH/DIGEST`     content addressed by its SHA-256, verified whenever it is read
`bundles/DIGEST`      one bundle in one file (`bundles.py`)
`refs/NAME`           a small JSON value that changes, by compare and swap only
`journal.jsonl`       the audit (`journal.py`)
`reports/NAME.json`   the last report of each verb; nothing here depends on them
`cache/`              what can be made again at any time; nothing here depends on it
====================  =========================================================================
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ..model.errors import StoreError
from ..model.pieces import canonical, digest_of
from .files import locked, make_directory, write_atomically

FORMAT = 1
#: Where playbooks leave reports; a check before the first plan makes this folder before there is a store.
REPORTS = "reports"
#: Where verbs keep what they can make again; that folder too may be there before there is a store.
CACHE = "cache"


class _Anything:
    """The writer does not care what was there before."""


#: Swap whatever the ref holds.
ANYTHING: Final = _Anything()


@dataclass(frozen=True, slots=True)
class Ref:
    """A value and its version; `version` grows with every write."""

    value: Any
    version: int


class Store:
    """One directory. `open` is the way to get one; two processes may hold it at the same time."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self.path = path
        self.now = now

    @classmethod
    def open(cls, path: Path | str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Store:
        """Create the directory when it is missing.

        Raises StoreError: E-STORE-FORMAT, E-STORE-DAMAGED, E-STORE-WRITE.
        """
        store = cls(Path(path), now)
        make_directory(store.path)
        marker = store.path / "format"
        if not marker.exists():
            if any(entry.name not in (REPORTS, CACHE) for entry in store.path.iterdir()):
                raise StoreError(
                    "E-STORE-DAMAGED",
                    "The directory is not empty and has no format file, so it is not a store.",
                    str(store.path),
                    "Name another directory, or restore the file.",
                )
            write_atomically(marker, f"{FORMAT}\n".encode())
        text = marker.read_text("utf-8").strip()
        if not text.isdecimal():
            raise StoreError("E-STORE-DAMAGED", f"The format file says {text[:40]!r}.", str(marker))
        refuse_newer(int(text), FORMAT, marker)
        return store

    # -- blobs ------------------------------------------------------------------------------------------------------

    def put(self, content: bytes) -> str:
        """Keep the content; returns its digest. What is already there is not written again."""
        digest = digest_of(content)
        path = self._blob(digest)
        if not path.exists():
            write_atomically(path, content)
        return digest

    def get(self, digest: str) -> bytes:
        """Raises StoreError: E-STORE-MISSING, or E-STORE-DAMAGED where the content is not what its name says."""
        content = read(self._blob(digest))
        if digest_of(content) != digest:
            raise damaged(self._blob(digest))
        return content

    def put_json(self, data: Mapping[str, Any]) -> str:
        return self.put(canonical(data))

    def get_json(self, digest: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.get(digest))
        return result

    def _blob(self, digest: str) -> Path:
        if len(digest) != 64 or not all(character in "0123456789abcdef" for character in digest):
            raise StoreError("E-STORE-MISSING", f"{digest[:80]!r} is not a digest.", str(self.path))
        return self.path / "blobs" / digest[:2] / digest

    # -- refs -------------------------------------------------------------------------------------------------------

    def ref(self, name: str) -> Ref | None:
        """Raises StoreError (E-STORE-DAMAGED)."""
        path = self._ref(name)
        if not path.exists():
            return None
        try:
            data = json.loads(read(path))
            return Ref(data["value"], int(data["version"]))
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(path) from error

    def set_ref(self, name: str, value: Any, expected: int | _Anything | None) -> Ref:
        """Compare and swap: `expected` is the version the caller read, None for "not there yet", or ANYTHING.

        Raises StoreError: E-STORE-CONFLICT when somebody else was faster, E-STORE-WRITE.
        """
        with locked(self.path / "lock"):
            current = self.ref(name)
            version = current.version if current else None
            if not isinstance(expected, _Anything) and version != expected:
                raise StoreError(
                    "E-STORE-CONFLICT",
                    f"{name} was changed by somebody else (version {version}, expected {expected}). "
                    "Nothing was written.",
                    str(self.path),
                    "Read it again and decide again.",
                )
            changed = Ref(value, (version or 0) + 1)
            write_atomically(self._ref(name), canonical({"value": changed.value, "version": changed.version}))
            return changed

    def refs(self, folder: str) -> Iterator[str]:
        """Names of refs in a folder, sorted: `refs("status")` gives `status/web-1` …"""
        path = self._ref(folder)
        if path.is_dir():
            names = (entry.name for entry in path.iterdir() if not entry.name.startswith("."))
            yield from sorted(f"{folder}/{urllib.parse.unquote(name)}" for name in names)

    def _ref(self, name: str) -> Path:
        parts = [urllib.parse.quote(part, safe="").replace(".", "%2E") for part in name.split("/", 1)]
        return (self.path / "refs").joinpath(*parts)


def read(path: Path) -> bytes:
    """Raises StoreError (E-STORE-MISSING)."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise missing(path, error) from error


def missing(path: Path, error: OSError | None = None) -> StoreError:
    why = f": {error.strerror}" if error and not isinstance(error, FileNotFoundError) else ""
    return StoreError(
        "E-STORE-MISSING",
        f"The store has no {path.parent.name}/{path.name[:16]}{why}.",
        str(path.parent),
        "Check microseg_store, or compile and plan again.",
    )


def damaged(path: Path) -> StoreError:
    return StoreError(
        "E-STORE-DAMAGED",
        f"{path.name[:16]} is not what was written: its content does not match its digest.",
        str(path),
        "Remove the file and compile or plan again; nothing of it was used.",
    )


def refuse_newer(found: int, known: int, path: Path) -> None:
    """Raises StoreError (E-STORE-FORMAT)."""
    if found > known:
        raise other_format(found, known, path)


def other_format(found: int, known: int, path: Path) -> StoreError:
    """For what is neither converted nor guessed at: a newer format as well as an older one."""
    if found > known:
        return StoreError(
            "E-STORE-FORMAT",
            f"Written in format {found}; this version knows up to {known}.",
            str(path),
            "Upgrade bulkhead.microseg here.",
        )
    return StoreError(
        "E-STORE-FORMAT",
        f"Written in format {found}; this version reads format {known}.",
        str(path),
        "Compile and plan again; a bundle is made anew from policy and inventory.",
    )
