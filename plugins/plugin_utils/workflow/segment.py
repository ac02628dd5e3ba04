# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""segment: what one host is to get, out of a bundle or an approved plan in the store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..enforcement.nftables.driver import Nftables
from ..orchestration.bundles import load_artifact
from ..orchestration.planstore import load_plan
from ..orchestration.store import Store
from .provision import slice_for


def segment(store: Path, bundle: str, point: str, at: datetime | None = None) -> dict[str, Any]:
    """What module `nftables_policy` takes as `policy`. Reads only the slice of this point, and verifies it.

    Raises StoreError (E-STORE-MISSING, E-STORE-DAMAGED, E-STORE-FORMAT, E-NO-POINT), EnforcementError (E-INEXACT).
    """
    artifact = load_artifact(Store.open(store), bundle, point)
    return dict(Nftables.render(artifact, artifact.policy_digest(), at or datetime.now(UTC)).payload)


def planned_segment(store: Path, plan: str, workload: str, phase: str) -> dict[str, Any]:
    """The options of `nftables_policy` for one phase of a plan, and the probes that belong to it.

    Raises PlanError (E-NO-PLAN, E-NO-POINT, E-PLAN-BUNDLE), StoreError.
    """
    opened = Store.open(store)
    evidence = load_plan(opened, plan).evidence
    probes = [
        probe.to_dict()
        for some in evidence.probes.values()
        for probe in some
        if probe.phase == phase and workload in (probe.consumer, probe.provider)
    ]
    unique = {tuple(sorted((key, str(value)) for key, value in probe.items())): probe for probe in probes}
    return {**slice_for(opened, plan, workload, phase), "probes": list(unique.values())}
