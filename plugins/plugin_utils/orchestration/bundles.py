# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Bundles in the store: one file each (`pack.py`), of which the slice of one point is a few small reads.

The name of the file is the digest of the manifest, and the manifest leads to the digest of everything else: whatever is
read is verified, also a slice.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..model.allocation import allocating
from ..model.artifact import Artifact
from ..model.bundle import Bundle
from ..model.errors import EstateError, StoreError
from ..model.opened import OpenedBundle, UnknownFormat
from ..model.sections import FORMAT
from .files import drafted
from .pack import Pack, write_pack
from .store import Store, missing, other_format


def save_bundle(store: Store, bundle: Bundle) -> str:
    """Returns the digest of the bundle. Raises StoreError (E-STORE-WRITE), with nothing half-written."""
    return put_bundle(store, bundle)[0]


def put_bundle(store: Store, bundle: Bundle) -> tuple[str, bool]:
    """Also says whether the store did not have it before. Raises as `save_bundle`."""
    directory = store.path / "bundles"
    with drafted(directory) as draft, allocating():
        digest = write_pack(draft.file, bundle.pieces())
        new = not (directory / digest).exists()
        if new:
            draft.name = digest
    return digest, new


def load_bundle(store: Store, digest: str) -> Bundle:
    """Raises StoreError: E-STORE-MISSING, E-STORE-DAMAGED, E-STORE-FORMAT."""
    with open_bundle(store, digest) as opened:
        return opened.whole()


@contextmanager
def open_bundle(store: Store, digest: str) -> Iterator[OpenedBundle]:
    """To read slices. Raises StoreError as `load_bundle`, when it is opened and whenever something is read."""
    if not digest.isalnum():
        raise missing(Path("bundles") / digest.replace("/", "_"))
    path = store.path / "bundles" / digest
    with Pack(path) as pack:
        try:
            opened = OpenedBundle(digest, pack.read)
        except UnknownFormat as error:
            raise other_format(error.found, FORMAT, path) from error
        yield opened


def whole_bundle_digest(store: Store, beginning: str) -> str:
    """The only bundle of the store whose digest begins so (six characters or more); "" where there is none."""
    found = [path.name for path in (store.path / "bundles").glob(f"{glob.escape(beginning)}*") if len(path.name) == 64]
    return found[0] if len(beginning) >= 6 and len(found) == 1 else ""


def load_artifact(store: Store, digest: str, point: str) -> Artifact:
    """The slice of one point, reading only what it needs.

    Raises StoreError as `load_bundle`, and E-NO-POINT for a point the bundle does not have.
    """
    with open_bundle(store, digest) as opened:
        try:
            return opened.artifact(point)
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
