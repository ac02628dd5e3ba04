# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Prometheus text for the textfile collector: totals only, so the number of series does not grow with the estate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

OUTCOMES = ("ok", "findings", "unable")


def render(data: Mapping[str, Any]) -> str:
    kind = re.sub(r"[^a-z0-9]+", "_", data["kind"].lower())
    by_code: dict[tuple[str, str], int] = {}
    for finding in data["findings"]:
        key = (finding["code"], finding["severity"])
        by_code[key] = by_code.get(key, 0) + 1
    moment = datetime.fromisoformat(data["at"]).timestamp()
    lines = [
        f"# HELP microseg_{kind}_total Numbers of the report by name.",
        f"# TYPE microseg_{kind}_total gauge",
        *(f'microseg_{kind}_total{{name="{_label(one["name"])}"}} {one["value"]:g}' for one in data["totals"]),
        f"# HELP microseg_{kind}_findings Findings by code and severity.",
        f"# TYPE microseg_{kind}_findings gauge",
        *(
            f'microseg_{kind}_findings{{code="{_label(code)}",severity="{_label(severity)}"}} {count}'
            for (code, severity), count in sorted(by_code.items())
        ),
        f"# HELP microseg_{kind}_outcome 1 for the outcome of the report, 0 for the others.",
        f"# TYPE microseg_{kind}_outcome gauge",
        *(f'microseg_{kind}_outcome{{outcome="{name}"}} {int(name == data["outcome"])}' for name in OUTCOMES),
        f"# HELP microseg_{kind}_timestamp_seconds When the report was made.",
        f"# TYPE microseg_{kind}_timestamp_seconds gauge",
        f"microseg_{kind}_timestamp_seconds {moment:.0f}",
    ]
    return "\n".join(lines) + "\n"


def _label(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
