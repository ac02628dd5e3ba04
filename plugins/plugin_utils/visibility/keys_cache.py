# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The key store as a cache: observed flows summed up once, in a directory that anybody may delete.

An entry is a directory that appears as a whole: `keys.parquet`, `ends.parquet`, `edges.parquet`, and `sums.json` with
the digests of the three. Its name is a digest of the content of the flows and of what they were summed up by. Nothing
of it is believed before its digest was looked at; the newest few entries are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..model.edges import Edges, taken
from ..model.errors import Finding, FlowsError, Place
from ..model.keys import Keys
from .edges_file import files_of
from .edges_parquet import coverage_from, coverage_text
from .keys_file import ENDS, KEYS, read_keys, write_keys
from .ordered_edges import DamagedEdgesError, read_ordered, write_ordered

#: Grows when an entry has other files, or flows are read in another way.
FORMAT = 2
#: Entries that are kept: as many policies or files of flows can be asked about in turn.
MOST = 4
EDGES, SUMS = "edges.parquet", "sums.json"
#: Seconds after which somebody who began to write an entry is taken for dead.
ABANDONED = 3600


class DamagedKeysError(Exception):
    """The entry is not what was written."""


@dataclass(frozen=True)
class Kept:
    """Keys, what was told when their flows were read, and the edges of a mask of keys in the order of the file.

    `edges` raises DamagedKeysError.
    """

    keys: Keys
    findings: tuple[Finding, ...]
    edges: Callable[[npt.NDArray[np.bool_]], Edges]


def content_digest(path: Path) -> str:
    """SHA-256 over the files that `read_edges` would read, about a second per gigabyte. Raises FlowsError."""
    digest = hashlib.sha256()
    try:
        for item in files_of(path) if path.is_dir() else [path]:
            with item.open("rb") as file:
                digest.update(f"{item}\0".encode(errors="surrogateescape"))
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise FlowsError("E-FLOW-FILE", f"it cannot be read: {error.strerror}.", Place(str(path))) from error
    return digest.hexdigest()


class KeysCache:
    """The entries of one directory. Several processes may use it at the same time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @staticmethod
    def name(*parts: str) -> str:
        return hashlib.sha256(json.dumps([FORMAT, *parts]).encode()).hexdigest()[:32]

    def find(self, name: str) -> Kept | None:
        """None where there is no such entry, or no longer. Raises DamagedKeysError."""
        entry = self.directory / name
        try:
            sums = _sums(entry)
            for file in (KEYS, ENDS):
                if _digest((entry / file).read_bytes()) != sums["digests"][file]:
                    raise DamagedKeysError
        except OSError as error:
            if entry.is_dir():
                raise DamagedKeysError from error
            return None
        keys = read_keys(entry)
        if keys is None:
            raise DamagedKeysError
        coverage = coverage_from(sums["coverage"], Place(str(entry)))
        keys = replace(keys, edges=replace(keys.edges, coverage=coverage))
        with suppress(OSError):
            os.utime(entry)

        def edges(wanted: npt.NDArray[np.bool_]) -> Edges:
            try:
                return read_ordered(entry / EDGES, keys, wanted, sums["digests"][EDGES])
            except DamagedEdgesError as error:
                raise DamagedKeysError from error

        return Kept(keys, tuple(_finding(item) for item in sums["findings"]), edges)

    def remove(self, name: str) -> None:
        """An entry goes as a whole: nobody finds half of it."""
        aside = self._aside(name)
        with suppress(OSError):
            os.rename(self.directory / name, aside)
            shutil.rmtree(aside, ignore_errors=True)

    def keep(self, name: str, keys: Keys, edges: Edges, order: npt.NDArray[np.int64], told: Sequence[Finding]) -> None:
        """Writes an entry, and removes the oldest ones; what somebody else wrote in the meantime stays.

        `order`: positions of the edges in the order of the keys. Raises FlowsError (E-FLOW-WRITE).
        """
        import pyarrow as pa

        beside = self._aside(name)
        try:
            beside.mkdir(parents=True)
            write_keys(keys, beside)
            digests: dict[str, Any] = {file: _digest((beside / file).read_bytes()) for file in (KEYS, ENDS)}
            digests[EDGES] = write_ordered(edges, order, beside / EDGES)
            about = {
                "digests": digests,
                "findings": [item.to_dict() for item in told],
                "coverage": coverage_text(edges.coverage),
            }
            text = json.dumps(about)
            (beside / SUMS).write_text(f"{_digest(text.encode())}\n{text}", "utf-8")
            os.rename(beside, self.directory / name)
        except (OSError, FlowsError, pa.ArrowException) as error:
            shutil.rmtree(beside, ignore_errors=True)
            if not (self.directory / name / SUMS).is_file():
                raise FlowsError(
                    "E-FLOW-WRITE", f"the sums cannot be kept: {error}.", Place(str(self.directory))
                ) from error
        self._prune()

    def _aside(self, name: str) -> Path:
        return self.directory / f".{name}.{secrets.token_hex(6)}.new"

    def _prune(self) -> None:
        ages: list[tuple[float, str]] = []
        with suppress(OSError):
            for entry in list(self.directory.iterdir()):
                with suppress(OSError):
                    age = entry.stat().st_mtime
                    if not entry.name.startswith("."):
                        ages.append((age, entry.name))
                    elif entry.name.endswith(".new") and age < time.time() - ABANDONED:
                        shutil.rmtree(entry, ignore_errors=True)
        for _age, name in sorted(ages, reverse=True)[MOST:]:
            self.remove(name)


def kept_in_memory(keys: Keys, edges: Edges, order: npt.NDArray[np.int64], told: Sequence[Finding]) -> Kept:
    """The same as an entry, of edges that are there."""

    def picked(wanted: npt.NDArray[np.bool_]) -> Edges:
        return taken(edges, np.sort(order[np.repeat(wanted, keys.rows)]))

    return Kept(keys, tuple(told), picked)


def _sums(entry: Path) -> dict[str, Any]:
    digest, _line, content = (entry / SUMS).read_bytes().partition(b"\n")
    if _digest(content).encode() != digest:
        raise DamagedKeysError
    found: dict[str, Any] = json.loads(content)
    return found


def _finding(item: dict[str, Any]) -> Finding:
    return Finding(item["code"], item["severity"], item["message"], Place(item["file"], item["line"]), item["hint"])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


__all__ = ["MOST", "DamagedKeysError", "Kept", "KeysCache", "content_digest", "kept_in_memory"]
