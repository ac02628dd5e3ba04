# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""drift: recorded live state against what was provisioned."""

from __future__ import annotations

from pathlib import Path

from .job import FINDINGS, OK, UNABLE, Answer, Job
from .recorded import recorded

_CODES = {"ok": OK, "findings": FINDINGS, "unable": UNABLE}


def drift(job: Job, live: Path | None, bundle: str) -> Answer:
    from ..workflow.drift import REPAIR, DriftRequest, drift_screen, report_of
    from ..workflow.drift import drift as run
    from ..workflow.store import open_store

    store = open_store(job.store)
    read, answers = recorded(store, live)
    judged = run(store, DriftRequest(answers, bundle, record=False), job.moment())
    report = report_of(judged).to_dict()
    data = {**judged.to_dict(), "findings": report["findings"], "next": report["next"]}
    return Answer(data, lambda: f"live state of {read}\n{drift_screen(judged, REPAIR)}", _CODES[judged.outcome])
