# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
name: drift_report
type: notification
short_description: Print a readable summary of drift, and write the report files
version_added: 0.1.0
description:
  - Collects the results of M(bulkhead.microseg.drift) and, at the end of the play run, prints what differs and from
    where, and writes it as JSON and as Markdown.
  - It reports only. It cannot fail a job nor add to its artifacts; the action is the authority, and its result and the
    assertion after it decide.
options:
  directory:
    description: Directory for the files C(drift.json) and C(drift.md), which are replaced atomically. Empty for none.
    type: path
    default: ''
    env:
      - name: MICROSEG_DRIFT_REPORT
    ini:
      - section: callback_microseg_drift_report
        key: directory
  lines:
    description: Findings on the screen; the files have all the result carried.
    type: int
    default: 20
    env:
      - name: MICROSEG_DRIFT_LINES
    ini:
      - section: callback_microseg_drift_report
        key: lines
author:
  - bulkhead.microseg contributors (@bulkhead)
requirements:
  - enabled in configuration, as C(callbacks_enabled=bulkhead.microseg.drift_report)
seealso:
  - module: bulkhead.microseg.drift
"""

EXAMPLES = r"""
---
# ansible.cfg
# [defaults]
# callbacks_enabled = bulkhead.microseg.drift_report
# [callback_microseg_drift_report]
# directory = reports
"""

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

ACTION = "bulkhead.microseg.drift"
#: What the report says of a result that the action could not give.
UNABLE = "unable"


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "bulkhead.microseg.drift_report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, display: Any = None, options: Any = None) -> None:
        super().__init__(display=display, options=options)
        self.results: list[dict[str, Any]] = []

    def v2_runner_on_ok(self, result: Any) -> None:
        self._collect(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._collect(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if not self.results:
            return
        for line in summary(self.results, int(self.get_option("lines"))):
            self._display.display(line)
        directory = self.get_option("directory")
        if directory:
            os.makedirs(directory, exist_ok=True)
            replace(os.path.join(directory, "drift.json"), json.dumps(self.results, indent=2, sort_keys=True) + "\n")
            replace(os.path.join(directory, "drift.md"), markdown(self.results))
            self._display.display("drift report: " + os.path.join(directory, "drift.md"))

    def _collect(self, result: Any) -> None:
        if result.task.resolved_action != ACTION:
            return
        answer = json.loads(json.dumps(result.result, default=str))
        self.results.append(
            {
                "task": result.task.get_name(),
                "outcome": answer.get("outcome", UNABLE),
                "counts": answer.get("counts", {}),
                "findings": answer.get("findings", []),
                "files": answer.get("files", []),
                "next": answer.get("next", []),
                "message": answer.get("msg", ""),
            }
        )


def summary(results: list[dict[str, Any]], lines: int) -> list[str]:
    """What a person reads below the recap."""
    text = []
    for result in results:
        counts = ", ".join(f"{number} {name}" for name, number in sorted(result["counts"].items()) if number)
        text.append(f"DRIFT  {result['outcome'].upper()}  {counts or result['message']}")
        for finding in result["findings"][:lines]:
            text.append("  " + line_of(finding))
            text.extend(f"      {fact['name']}: {fact['text']}" for fact in finding.get("facts", ()))
        if len(result["findings"]) > lines:
            text.append(f"  ... and {len(result['findings']) - lines} more")
        text.extend(f"Next   {command}" for command in result["next"][:1])
    return text


def line_of(finding: dict[str, Any]) -> str:
    """`CODE  file:line: message`"""
    place = finding.get("file") or ""
    if place:
        place += f":{finding['line']}: " if finding.get("line") else ": "
    return f"{finding.get('code', '')}  {place}{finding.get('message', '')}"


def markdown(results: list[dict[str, Any]]) -> str:
    """One section for each drift task, one table row for each finding."""
    parts = ["# Drift"]
    for result in results:
        counts = ", ".join(f"{number} {name}" for name, number in sorted(result["counts"].items()))
        parts.append(f"\n## {result['task']}: {result['outcome']}\n\n{counts or result['message']}")
        if result["findings"]:
            parts.append("\n| code | severity | what |\n| --- | --- | --- |")
            parts.extend(
                f"| {finding.get('code', '')} | {finding.get('severity', '')} | {_cell(finding.get('message', ''))} |"
                for finding in result["findings"]
            )
    return "\n".join(parts) + "\n"


def _cell(text: Any) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def replace(path: str, content: str) -> None:
    """Readers see the old file or the new one."""
    beside = path + ".new"
    with open(beside, "w", encoding="utf-8") as file:
        file.write(content)
    os.replace(beside, path)
