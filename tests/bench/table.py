# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Results as a table for a terminal, and as the page docs/performance.md."""

from __future__ import annotations

from typing import Any

from .measuring import Figure

#: Machine words in the order they are printed.
HEAD = ("date", "machine", "load", "python", "packages", "nft", "revision")


def value(figure: Figure) -> str:
    """Three significant digits; a count stays whole."""
    return f"{figure.value:,.0f}" if figure.value >= 100 or figure.unit == "tasks" else f"{figure.value:.3g}"


def target(figure: Figure) -> str:
    return "" if figure.target is None else f"<= {figure.target:g}"


def verdict(figure: Figure) -> str:
    return {None: "", True: "ok", False: "OVER"}[figure.ok]


def text(results: list[dict[str, Any]]) -> str:
    """Columns: name, value, unit, target, verdict; the detail and the comparison stand below where they are long."""
    lines = [f"{key:9} {item[key]}" for item in results if item["kind"] == "machine" for key in HEAD]
    figures = [Figure.from_dict(item) for item in results if item["kind"] == "figure"]
    width = max((len(figure.name) for figure in figures), default=4)
    lines.append("")
    for figure in figures:
        cells = f"{figure.name:{width}}  {value(figure):>9} {figure.unit:6} {target(figure):>8}  {verdict(figure):4}"
        lines.append(f"{cells}  {figure.detail}".rstrip())
        if figure.peer:
            lines.append(f"{'':{width}}  {figure.peer}")
    lines += [f"{item['name']:{width}}  {item['why']}: {item['reason']}" for item in _missing(results)]
    return "\n".join(lines)


def page(results: list[dict[str, Any]]) -> str:
    """docs/performance.md: nothing in it is written by hand but the words around the table."""
    machine = next(item for item in results if item["kind"] == "machine")
    figures = [Figure.from_dict(item) for item in results if item["kind"] == "figure"]
    rows = [
        f"| `{figure.name}` | {value(figure)} {figure.unit} | {target(figure).replace('<=', '≤')} | {verdict(figure)} "
        f"| {'; '.join(filter(None, (figure.detail, f'**{figure.peer}**' if figure.peer else '')))} |"
        for figure in figures
    ]
    over = [f"`{figure.name}`" for figure in figures if figure.ok is False]
    absent = [f"- `{item['name']}`, {item['why']}: {item['reason']}" for item in _missing(results)]
    words = {item["measurement"]: item["says"] for item in results if item["kind"] == "figure"}
    return "\n".join(
        [
            PREFACE,
            *(f"| {key} | {machine[key]} |" for key in HEAD),
            "",
            "| figure | measured | target | | of what |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"Over their target in this run: {', '.join(over)}." if over else "Every target was met in this run.",
            *(["", "Not measured in this run:", "", *absent] if absent else []),
            "",
            "## What each measurement does",
            "",
            "| measurement | |",
            "|---|---|",
            *(f"| `{name}` | {says} |" for name, says in words.items()),
            "",
            AFTERWORD,
        ]
    )


def _missing(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**item, "why": "left out" if item["kind"] == "left-out" else "could not run"}
        for item in results
        if item["kind"] in ("left-out", "could-not-run")
    ]


PREFACE = """\
# Performance

<!-- Written by `python -m tests.bench --write-docs` from tests/bench/measured.jsonl; edit tests/bench/table.py. -->

One run of `make bench`. Time is CPU seconds, user and system; memory is the peak of the whole process, Python and all
its libraries included. Each measurement has a process of its own.

| | |
|---|---|"""

AFTERWORD = """\
## Repeat it

```sh
make bench                            # all of it
make bench ARGS="compile-L plan"      # some; --list names them
make bench ARGS="--quick"             # small sizes of what needs nothing but Python
make bench ARGS="--write-docs"        # this page, from the last results
```

Every input is generated from a seed (`tests/bench`), so two runs differ only in what the machine did. The results are
JSON lines in `.cache/bench.jsonl`. A slow machine never fails the run; a measurement that could not run does, and says
what was missing. Peers are installed into their own environments under `.cache/peers` and left out where that fails.

## What the figures do not say

- CPU seconds of a busy machine are higher than those of an idle one: caches and memory are shared with the neighbours.
  The load average is printed for that reason. Compare runs of one machine, or the ratios to a peer of the same run.
- The estates are synthetic. The number of classes decides: where every workload carries a label value of its own that
  policy refers to, classes are as many as workloads and a compile costs more.
- Nothing here includes the network, SSH, or how long `ansible-playbook` waits for hosts.
- The cost of a packet is that of one that opens a connection. Packets of established connections are accepted by the
  first rule and never reach the maps and sets.
- Peers were not built for the same purpose. aerleon writes one ordered list of terms for a device and knows neither
  workloads nor membership; only what both can do was compared, after both rule sets were shown to mean the same.
"""
