# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Markdown, for pull requests and chat."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Findings shown in full; a comment on a pull request has a limit of length.
MOST = 200
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~])")


def render(data: Mapping[str, Any]) -> str:
    """One document. Text from outside cannot add markup, links or table cells."""
    lines = [f"# {_text(data['title'])}: {_text(data['outcome'])}", ""]
    lines += [f"{_text(data['at'])}", ""]
    lines += [f"- **{_text(one['name'])}**: {_text(one['text'])}" for one in data["subject"]]
    lines += ["", "| what | number |", "|---|---:|"]
    lines += [f"| {_text(one['name'])} | {one['value']:,} |" for one in data["totals"]]
    findings = data["findings"]
    if findings:
        lines += ["", "## Findings", ""]
    for finding in findings[:MOST]:
        place = f" ({_text(finding['file'])}:{finding['line']})" if finding["file"] else ""
        since = f", since {_text(finding['since'])}" if finding["since"] else ""
        lines.append(
            f"- **{_text(finding['code'])}** {_text(finding['severity'])}{since}: {_text(finding['message'])}{place}"
        )
        lines += [f"  - {_text(fact['name'])}: {_text(fact['text'])}" for fact in finding["facts"]]
    if len(findings) > MOST:
        lines.append(f"- … and {len(findings) - MOST} more")
    if data["next"]:
        lines += ["", "## Next", "", *(f"    {_line(command)}" for command in data["next"])]
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    return _SPECIAL.sub(r"\\\1", _line(value))


def _line(value: Any) -> str:
    return " ".join(str(value).split())
