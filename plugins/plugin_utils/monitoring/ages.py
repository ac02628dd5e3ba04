# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Since when: how long every enforcement point has been in the state it is in."""

from __future__ import annotations

from collections.abc import Mapping

from ..model.errors import StoreError
from ..orchestration.store import Store
from .drift import DriftReport, with_since

NAME = "drift"
_TRIES = 5


def with_ages(store: Store, report: DriftReport) -> DriftReport:
    """Remember the states of this report and say since when each has lasted. Points not asked keep what they had.

    Raises StoreError (E-STORE-CONFLICT) only where others write without end.
    """
    for attempt in range(_TRIES):
        ref = store.ref(NAME)
        before: Mapping[str, Mapping[str, str]] = ref.value if ref is not None else {}
        after = dict(before)
        for point in report.points:
            known = before.get(point.point)
            if known is None or known["state"] != point.state:
                after[point.point] = {"state": point.state, "since": report.at}
        try:
            store.set_ref(NAME, after, ref.version if ref is not None else None)
        except StoreError as error:
            if error.code != "E-STORE-CONFLICT" or attempt == _TRIES - 1:
                raise
            continue
        return with_since(report, {name: entry["since"] for name, entry in after.items()})
    raise AssertionError("unreachable")
