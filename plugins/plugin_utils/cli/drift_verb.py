# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""drift: recorded live state against what was provisioned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .job import FINDINGS, OK, UNABLE, Answer, Job
from .recorded import recorded
from .screen import ROWS, Screen, plural, shortened

_CODES = {"ok": OK, "findings": FINDINGS, "unable": UNABLE}
_ORDER = {"error": 0, "warning": 1, "info": 2}


def drift(job: Job, live: Path | None, bundle: str) -> Answer:
    from ..workflow.drift import DriftRequest, report_of
    from ..workflow.drift import drift as run
    from ..workflow.store import open_store

    store = open_store(job.store)
    read, answers = recorded(store, live)
    judged = run(store, DriftRequest(answers, bundle, record=False), job.moment())
    data = report_of(judged).to_dict()
    return Answer(data, lambda: _screen(data, read), _CODES[judged.outcome])


def _screen(data: dict[str, Any], read: str) -> str:
    screen = Screen()
    subject = "  ".join(f"{one['name']} {one['text']}" for one in data["subject"])
    screen.line(f"DRIFT  {subject}", str(data["outcome"]).upper())
    totals = ", ".join(f"{one['value']:g} {one['name']}" for one in data["totals"] if one["value"])
    screen.line(f"  {plural(len(data['checked']), 'EP')}: {totals or 'none'}  (live state of {read})")
    findings = sorted(data["findings"], key=lambda finding: _ORDER[finding["severity"]])
    for finding in findings[:ROWS]:
        place = f"{finding['file']}:{finding['line']}: " if finding["file"] else ""
        since = f" since {finding['since'][:16]}" if finding["since"] else ""
        screen.line(f"{finding['code']}  {place}{finding['message']}{since}")
        for fact in finding["facts"]:
            screen.line(f"    {fact['name']:10} {shortened(fact['text'], 80)}")
    screen.more(len(findings))
    screen.next(data["next"][0] if data["next"] else "microseg status")
    return screen.text()
