# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The journal: an append-only audit of every step, one JSON line each, on the disk before the step goes on.

Nothing is decided from it. Where a rollout stands is read from the enforcement points; the journal says who did what
and when, and can be rebuilt from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..model.pieces import canonical
from ..model.redact import redact
from .files import append_line
from .store import Store

NAME = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """`outcome` in a word (started, done, skipped, failed, reverted); `detail` holds what else should be kept."""

    time: datetime
    plan: str
    point: str
    step: str
    outcome: str
    detail: Mapping[str, Any]


class Journal:
    """`hook` is called with "before" and "after" around every line: the place to interrupt a rollout in tests."""

    def __init__(self, store: Store, hook: Callable[[str, Entry], None] = lambda _when, _entry: None) -> None:
        self._store = store
        self._hook = hook

    def record(self, plan: str, point: str, step: str, outcome: str, **detail: Any) -> Entry:
        """Durable when this returns. Raises StoreError (E-STORE-WRITE)."""
        entry = Entry(self._store.now().astimezone(UTC), plan, point, step, outcome, redact(detail))
        self._hook("before", entry)
        data = {
            "time": entry.time.isoformat(),
            "plan": entry.plan,
            "point": entry.point,
            "step": entry.step,
            "outcome": entry.outcome,
            "detail": entry.detail,
        }
        append_line(self._store.path / NAME, canonical(data))
        self._hook("after", entry)
        return entry

    def entries(self) -> Iterator[Entry]:
        """All readable lines in order; a line torn by a crash is passed over."""
        path = self._store.path / NAME
        if not path.exists():
            return
        with path.open("rb") as file:
            for line in file:
                try:
                    data = json.loads(line)
                    yield Entry(
                        datetime.fromisoformat(data["time"]),
                        data["plan"],
                        data["point"],
                        data["step"],
                        data["outcome"],
                        data["detail"],
                    )
                except (ValueError, KeyError, TypeError):
                    continue
