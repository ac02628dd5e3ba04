# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Observed conversations in the store, with the window, the coverage and the losses that give them their weight."""

from __future__ import annotations

from ..model.flows import FORMAT, Observations
from .store import ANYTHING, Store, refuse_newer

LATEST = "observations"


def save_observations(store: Store, observations: Observations) -> str:
    """Keep them and make them the latest; returns their digest."""
    digest = store.put_json(observations.to_dict())
    store.set_ref(LATEST, digest, ANYTHING)
    return digest


def load_observations(store: Store, digest: str | None = None) -> Observations | None:
    """The latest ones, or those of a digest; None when nothing was ever observed."""
    if digest is None:
        ref = store.ref(LATEST)
        if ref is None:
            return None
        digest = str(ref.value)
    data = store.get_json(digest)
    refuse_newer(data["format"], FORMAT, store.path / "blobs" / digest[:2] / digest)
    return Observations.from_dict(data)
