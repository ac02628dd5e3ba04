# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One self-contained HTML page: nothing is fetched, no script runs, everything from outside is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: #c8ccd1; --soft: #f3f4f6;
  --error: #a4161a; --warning: #7a4b00; --info: #1d4e79; }
@media (prefers-color-scheme: dark) {
  :root { --line: #454b54; --soft: #22262c; --error: #ff8a8a; --warning: #ffc266; --info: #8cc4ff; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { border: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
th { background: var(--soft); }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .75rem; margin: .25rem 0 0; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
code, pre { font-family: ui-monospace, monospace; font-size: .95em; }
pre { background: var(--soft); padding: .6rem; overflow-x: auto; }
.error { color: var(--error); font-weight: 600; }
.warning { color: var(--warning); font-weight: 600; }
.info { color: var(--info); }
""".strip()


def render(data: Mapping[str, Any]) -> str:
    title = f"{data['title']}: {data['outcome']}"
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style></head><body><main>",
        f"<h1>{escape(title)}</h1>",
        f'<p><time datetime="{escape(data["at"])}">{escape(data["at"])}</time></p>',
        _facts(data["subject"]),
        "<table><caption>Totals</caption><thead>",
        '<tr><th scope="col">what</th><th scope="col">number</th></tr></thead><tbody>',
        *(
            f'<tr><th scope="row">{escape(one["name"])}</th><td class="number">{one["value"]:,}</td></tr>'
            for one in data["totals"]
        ),
        "</tbody></table>",
        _findings(data["findings"]),
        _next(data["next"]),
        "</main></body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _findings(findings: list[Mapping[str, Any]]) -> str:
    if not findings:
        return "<p>No findings.</p>"
    head = "".join(f'<th scope="col">{name}</th>' for name in ("severity", "code", "about", "finding"))
    rows = "\n".join(_finding(finding) for finding in findings)
    caption = f"<caption>{len(findings)} findings</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>"


def _finding(finding: Mapping[str, Any]) -> str:
    facts = list(finding["facts"])
    if finding["file"]:
        facts.append({"name": "written in", "text": f"{finding['file']}:{finding['line']}"})
    if finding["since"]:
        facts.append({"name": "since", "text": finding["since"]})
    severity = escape(finding["severity"])
    return (
        f'<tr><td class="{severity}">{severity}</td><td><code>{escape(finding["code"])}</code></td>'
        f"<td>{escape(finding['about'])}</td><td>{escape(finding['message'])}{_facts(facts)}</td></tr>"
    )


def _facts(facts: list[Mapping[str, Any]]) -> str:
    if not facts:
        return ""
    rows = "".join(f"<dt>{escape(one['name'])}</dt><dd>{escape(one['text'])}</dd>" for one in facts)
    return f"<dl>{rows}</dl>"


def _next(commands: list[str]) -> str:
    if not commands:
        return ""
    return f"<h2>Next</h2><pre>{escape(chr(10).join(commands))}</pre>"
