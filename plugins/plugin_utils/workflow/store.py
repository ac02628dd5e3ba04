# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The store as faces see it: opened by its path, and the plans in it."""

from __future__ import annotations

from ..orchestration.planfile import Plan
from ..orchestration.planstore import load_plan
from ..orchestration.store import Store

__all__ = ["Plan", "Store", "load_plan", "open_store"]

open_store = Store.open
