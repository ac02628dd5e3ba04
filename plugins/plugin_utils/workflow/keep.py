# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""keep: compile into the store, where plans, hosts and agents take slices of the bundle by its digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..orchestration.bundles import guard_shrink, put_bundle
from ..orchestration.planstore import provisioned
from ..orchestration.store import Store
from ..policy.compile import Stage
from .compile import compile_bundle
from .inputs import Inputs


@dataclass(frozen=True, slots=True)
class KeptBundle:
    """`new`: the store did not have it before. `path` is where it lies, or would lie."""

    digest: str
    policy_digest: str
    points: int
    workloads: int
    path: Path
    new: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "digest": self.digest,
            "policy_digest": self.policy_digest,
            "points": self.points,
            "workloads": self.workloads,
            "path": str(self.path),
        }


def keep(
    inputs: Inputs, store: Path, stage: Stage = "active", allowed_shrink: int | None = None, write: bool = True
) -> KeptBundle:
    """`allowed_shrink`: how many workloads may have vanished since the last provisioned bundle.

    Raises Rejected for a policy in error, EstateError (E-ESTATE-SHRANK), StoreError.
    """
    bundle = compile_bundle(inputs, stage)
    opened = Store.open(store)
    before = provisioned(opened)
    if before is not None:
        guard_shrink(before, bundle, inputs.policy.settings.max_shrink, allowed_shrink)
    if write:
        digest, new = put_bundle(opened, bundle)
    else:
        digest = bundle.digest
        new = not (opened.path / "bundles" / digest).exists()
    path = opened.path / "bundles" / digest
    return KeptBundle(digest, bundle.policy_digest, len(bundle.points), len(bundle.workloads), path, new)
