# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""segment: the rendered rules of one enforcement point, out of a bundle in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..enforcement.nftables.render import render
from ..orchestration.bundles import load_artifact
from ..orchestration.store import Store


def segment(store: Path, bundle: str, point: str) -> dict[str, Any]:
    """What module `nftables_policy` takes as `policy`. Reads only the slice of this point, and verifies it.

    Raises StoreError (E-STORE-MISSING, E-STORE-DAMAGED, E-STORE-FORMAT, E-NO-POINT), EnforcementError (E-INEXACT).
    """
    artifact = load_artifact(Store.open(store), bundle, point)
    return dict(render(artifact, artifact.policy_digest()).payload)
