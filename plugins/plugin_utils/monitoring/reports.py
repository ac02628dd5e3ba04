# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Reports: one JSON document, and every other format made from it (docs/reports.md).

A report is a plain structure: what was looked at, totals, findings, and the next command. Writers know nothing of
drift or plans, so all formats say the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..model.errors import StoreError
from ..model.redact import redact
from ..orchestration.files import write_atomically
from .drift import Outcome
from .writers import html, junit, markdown, prometheus, sarif

FORMAT = 1
#: Reports are read by others than the one who made them; the umask still counts.
READABLE = 0o644
Severity = Literal["error", "warning", "info"]

#: Format name -> (file name ending, writer). The writer turns the JSON document into text.
WRITERS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "json": (".json", lambda data: json.dumps(data, indent=2, sort_keys=True) + "\n"),
    "markdown": (".md", markdown.render),
    "html": (".html", html.render),
    "junit": (".junit.xml", junit.render),
    "sarif": (".sarif", sarif.render),
    "prometheus": (".prom", prometheus.render),
}


@dataclass(frozen=True, slots=True)
class ReportFinding:
    """`about` is what it concerns (an enforcement point, a pair of ends); `facts` are (name, text) in reading order."""

    code: str
    severity: Severity
    about: str
    message: str
    place: str = ""
    since: str = ""
    facts: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        file, _colon, number = self.place.rpartition(":")
        return {
            "code": self.code,
            "severity": self.severity,
            "about": self.about,
            "message": self.message,
            "file": file if number.isdecimal() else self.place,
            "line": int(number) if number.isdecimal() else 0,
            "since": self.since,
            "facts": [{"name": name, "text": text} for name, text in self.facts if text],
        }


@dataclass(frozen=True)
class Report:
    """`checked` names everything that was looked at, findings or not; `totals` and `subject` are in reading order."""

    kind: Literal["drift", "plan"]
    title: str
    outcome: Outcome
    at: str
    subject: Mapping[str, str]
    totals: Mapping[str, float]
    checked: tuple[str, ...]
    findings: tuple[ReportFinding, ...]
    next: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Without secrets, whatever the parts carried."""
        data = {
            "format": FORMAT,
            "kind": self.kind,
            "title": self.title,
            "outcome": self.outcome,
            "at": self.at,
            "subject": [{"name": name, "text": text} for name, text in self.subject.items() if text],
            "totals": [{"name": name, "value": value} for name, value in self.totals.items()],
            "checked": list(self.checked),
            "findings": [finding.to_dict() for finding in self.findings],
            "next": list(self.next),
        }
        result: dict[str, Any] = redact(data)
        return result


def write_reports(report: Report, directory: Path, formats: Collection[str]) -> tuple[Path, ...]:
    """One file per format, each replaced atomically. Raises StoreError: E-REPORT-FORMAT, E-STORE-WRITE."""
    unknown = sorted(set(formats) - set(WRITERS))
    if unknown:
        raise StoreError("E-REPORT-FORMAT", f"There is no report format {unknown[0]}.", hint=", ".join(WRITERS))
    data = report.to_dict()
    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError("E-STORE-WRITE", f"Cannot make the directory: {error.strerror}.", str(directory)) from error
    for name in formats:
        ending, render = WRITERS[name]
        path = directory / f"{report.kind}{ending}"
        write_atomically(path, render(data).encode(), READABLE)
        written.append(path)
    return tuple(written)
