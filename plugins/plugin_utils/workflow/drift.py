# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""drift: what hosts answered against what was provisioned, by meaning."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from ..model.bundle import Bundle
from ..model.errors import MicrosegError, StoreError
from ..monitoring.ages import with_ages
from ..monitoring.drift import DriftReport
from ..monitoring.drift import drift as judge
from ..monitoring.drift_report import of_drift
from ..monitoring.reports import Report, write_reports
from ..monitoring.screens import drift_screen
from ..orchestration.bundles import load_bundle
from ..orchestration.planstore import provisioned
from ..orchestration.store import Store
from .inputs import Inputs
from .live import Answer, keep_answers, understand
from .plan import places

__all__ = ["REPAIR", "DriftRequest", "drift", "drift_screen", "report_of", "summary", "write_reports", "written_at"]

#: Points named one by one in a summary.
MOST = 50
REPAIR = "ansible-playbook bulkhead.microseg.repair"
#: What to do about each cause of drift, most urgent first.
_NEXT = {
    "missing": REPAIR,
    "tampered": REPAIR,
    "pending": "ansible-playbook bulkhead.microseg.enforce",
    "policy": "ansible-playbook bulkhead.microseg.plan",
    "membership": "ansible-playbook bulkhead.microseg.sync",
    "windows": "ansible-playbook bulkhead.microseg.plan",
    "clock": "let the hosts synchronise their clocks, or say microseg_nftables_clock_kept where something else does",
    "foreign": "ask the owner of the foreign rules",
    "unread": "make the unread hosts reachable, then: ansible-playbook bulkhead.microseg.drift",
}


@dataclass(frozen=True, slots=True)
class DriftRequest:
    """`bundle`: digest of what is intended ("" is the provisioned bundle). `only`: workloads to judge.

    `places`: rule id to file:line. `record`: keep the answers as the last reading, and since when states last.
    """

    answers: Mapping[str, Answer]
    bundle: str = ""
    only: Collection[str] | None = None
    places: Mapping[str, str] | None = None
    record: bool = True


def drift(store: Store, request: DriftRequest, at: datetime | None = None) -> DriftReport:
    """Workloads that did not answer are unknown. Raises StoreError (E-NOT-PROVISIONED, E-STORE-MISSING …)."""
    moment = at or datetime.now(UTC)
    bundle = _intended(store, request.bundle)
    live = understand(bundle, request.answers, moment)
    report = judge(bundle, live.states, moment, live.attribute, request.places, only=_points(bundle, request.only))
    if not request.record:
        return report
    keep_answers(store, request.answers, moment)
    return with_ages(store, report)


def _intended(store: Store, digest: str) -> Bundle:
    bundle = load_bundle(store, digest) if digest else provisioned(store)
    if bundle is None:
        raise StoreError(
            "E-NOT-PROVISIONED",
            "nothing was provisioned from this store, so there is nothing to compare with.",
            str(store.path),
            "Name the store that enforce used, or enforce a plan first.",
        )
    return bundle


def _points(bundle: Bundle, only: Collection[str] | None) -> frozenset[str] | None:
    if only is None:
        return None
    return frozenset(name for name, entry in bundle.points.items() if entry.workload in only)


def written_at(inputs: Callable[[], Inputs]) -> Mapping[str, str]:
    """Where the rules of a policy are written. One that cannot be read costs the places and nothing else."""
    try:
        return places(inputs())
    except MicrosegError:
        return {}


def report_of(judged: DriftReport) -> Report:
    """For people and machines, with what to do next."""
    causes = {point.cause for point in judged.points if point.state != "equal" or point.cause == "pending"}
    return of_drift(judged, tuple(dict.fromkeys(text for cause, text in _NEXT.items() if cause in causes)))


def summary(report: DriftReport) -> dict[str, Any]:
    """The size of a task result: totals, and the first 50 points that are not equal."""
    bad = [point for point in report.points if point.state != "equal"]
    ending = [point for point in report.points if point.ending]
    return {
        "outcome": report.outcome,
        "at": report.at,
        "bundle": report.bundle,
        "counts": dict(report.totals),
        "points": {point.point: {"state": point.state, "cause": point.cause} for point in islice(bad, MOST)},
        "windows_ending": {point.point: point.windows_until for point in islice(ending, MOST)},
        "unread": len(report.unread),
    }
