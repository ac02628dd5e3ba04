# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The store of a job, opened by the path that faces know."""

from __future__ import annotations

from ..orchestration.planstore import load_plan
from ..orchestration.store import Store

open_store = Store.open


def whole_digest(store: Store, digest: str) -> str:
    """The digest of a plan from its beginning. Raises PlanError (E-NO-PLAN), StoreError."""
    return load_plan(store, digest).digest
