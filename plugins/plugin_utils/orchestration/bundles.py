# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Bundles in the store: one file each, with an index, so that the slice of one point is a few small reads.

Layout: magic line; length and content of the manifest; length and content of the index (section -> offset, length);
the sections. Everything after the magic line is zlib-compressed piece by piece. The name of the file is the digest
of the manifest, the manifest holds the digest of every section: whatever is read is verified, also a slice.
"""

from __future__ import annotations

import glob
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..model.artifact import Artifact
from ..model.bundle import FORMAT as BUNDLE_FORMAT
from ..model.bundle import Bundle
from ..model.errors import EstateError, StoreError
from ..model.sections import FORMAT as MANIFEST_FORMAT
from ..model.sections import canonical, digest_of, joined, manifest, sections, slice_of
from .files import write_atomically
from .store import Store, damaged, missing, refuse_newer

MAGIC = b"microseg bundle 1\n"


def save_bundle(store: Store, bundle: Bundle) -> str:
    """Returns the digest of the bundle. Raises StoreError (E-STORE-WRITE), with nothing half-written."""
    path = store.path / "bundles" / bundle.digest
    if path.exists():
        return bundle.digest
    data = bundle.to_dict()
    parts = sections(data)
    packed = {name: zlib.compress(content, 6) for name, content in parts.items()}
    index: dict[str, tuple[int, int]] = {}
    offset = 0
    for name, content in packed.items():
        index[name] = (offset, len(content))
        offset += len(content)
    pieces = [MAGIC]
    for content in (zlib.compress(manifest(data, parts)), zlib.compress(canonical(index))):
        pieces += [len(content).to_bytes(8, "big"), content]
    write_atomically(path, b"".join((*pieces, *packed.values())))
    return bundle.digest


def load_bundle(store: Store, digest: str) -> Bundle:
    """Raises StoreError: E-STORE-MISSING, E-STORE-DAMAGED, E-STORE-FORMAT."""
    with _Packed(store, digest) as packed:
        return Bundle.from_dict(joined(packed.listing, packed.section))


def whole_bundle_digest(store: Store, beginning: str) -> str:
    """The only bundle of the store whose digest begins so (six characters or more); "" where there is none."""
    found = [path.name for path in (store.path / "bundles").glob(f"{glob.escape(beginning)}*") if len(path.name) == 64]
    return found[0] if len(beginning) >= 6 and len(found) == 1 else ""


def load_artifact(store: Store, digest: str, point: str) -> Artifact:
    """The slice of one point, reading only what it needs.

    Raises StoreError as `load_bundle`, and E-NO-POINT for a point the bundle does not have.
    """
    with _Packed(store, digest) as packed:
        try:
            return Artifact.from_dict(slice_of(point, packed.listing, packed.section))
        except KeyError as error:
            raise StoreError(
                "E-NO-POINT",
                f"Bundle {digest[:8]} has no enforcement point {point}.",
                hint="It joined the estate after the compile, or its name changed: compile and plan again.",
            ) from error


def guard_shrink(previous: Bundle, new: Bundle, max_shrink: float, allowed: int | None) -> None:
    """Refuse a bundle that lost more workloads than `max_shrink` (share of the previous estate, 0 to 1).

    A failed inventory source or a sliced job looks exactly like that. `allowed` is the number of vanished workloads
    somebody has confirmed. Raises EstateError (E-ESTATE-SHRANK) naming the vanished.
    """
    vanished = sorted(set(previous.workloads) - set(new.workloads))
    if len(vanished) <= max_shrink * len(previous.workloads) or allowed == len(vanished):
        return
    names = ", ".join(vanished[:10]) + (f" and {len(vanished) - 10} more" if len(vanished) > 10 else "")
    told = f", told {allowed}" if allowed is not None else ""
    raise EstateError(
        "E-ESTATE-SHRANK",
        f"{len(vanished)} of {len(previous.workloads)} workloads vanished "
        f"(max_shrink {max_shrink:.1%}{told}): {names}.",
        hint="Look for a failed inventory source or a sliced job; "
        f"if they are really gone, allow exactly {len(vanished)}.",
    )


class _Packed:
    """An open bundle file whose manifest has been verified."""

    def __init__(self, store: Store, digest: str) -> None:
        if not digest.isalnum():
            raise missing(Path("bundles") / digest.replace("/", "_"))
        self.path = store.path / "bundles" / digest
        self.digest = digest

    def __enter__(self) -> _Packed:
        try:
            self._file: BinaryIO = self.path.open("rb")
        except OSError as error:
            raise missing(self.path, error) from error
        try:
            magic = self._file.read(len(MAGIC))
            if magic != MAGIC:
                raise damaged(self.path)
            content = self._piece()
            if digest_of(content) != self.digest:
                raise damaged(self.path)
            self.listing: Mapping[str, Any] = json.loads(content)
            refuse_newer(self.listing["format"], min(MANIFEST_FORMAT, BUNDLE_FORMAT), self.path)
            self._index: Mapping[str, tuple[int, int]] = json.loads(self._piece())
            self._start = self._file.tell()
        except (ValueError, zlib.error) as error:
            self._file.close()
            raise damaged(self.path) from error
        except StoreError:
            self._file.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def _piece(self) -> bytes:
        length = int.from_bytes(self._file.read(8), "big")
        return zlib.decompress(self._file.read(min(length, self.path.stat().st_size)))

    def section(self, name: str) -> Any:
        """A parsed section. Raises KeyError for one the bundle does not have, StoreError (E-STORE-DAMAGED)."""
        expected = self.listing["sections"][name]
        try:
            offset, length = self._index[name]
            self._file.seek(self._start + offset)
            content = zlib.decompress(self._file.read(length))
        except (zlib.error, KeyError, TypeError, ValueError) as error:
            raise damaged(self.path) from error
        if digest_of(content) != expected:
            raise damaged(self.path)
        return json.loads(content)
