# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Screens of at most 100 columns: a heading, aligned rows, and the next command at the end."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from ..model.errors import Finding

WIDTH = 100
#: Rows of one list on a screen; the rest is counted, and JSON has it.
ROWS = 40
#: Widest column that is not the last one, and what the last one keeps before the others have to give way.
MOST = 44
LAST = 16


class Screen:
    """Collects lines. User text is never read as markup."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def line(self, text: str = "", right: str = "") -> None:
        """One line, wrapped at the width; `right` stands at its right edge."""
        text = visible(text)
        if right:
            room = WIDTH - len(right) - 2
            text = f"{shortened(text, room).ljust(room)}  {right}"
            self._lines.append(text)
            return
        indent = " " * (len(text) - len(text.lstrip()) + 2)
        self._lines.extend(wrapped(text, indent))

    def rows(self, rows: Iterable[Sequence[str]], indent: int = 2, most: int = ROWS) -> None:
        """Aligned columns; the last one is shortened to fit. What is more than `most` is only counted."""
        rows = [tuple(visible(cell) for cell in row) for row in rows]
        shown = rows[:most]
        if shown:
            self._lines.extend(_aligned(shown, indent))
        self.more(len(rows), most, indent)

    def more(self, count: int, most: int = ROWS, indent: int = 2) -> None:
        """Say what a list left out, if it did."""
        if count > most:
            self._lines.append(f"{' ' * indent}… and {count - most} more (--format json has all of them)")

    def findings(self, findings: Sequence[Finding], most: int = ROWS) -> None:
        """Every finding as `CODE  file:line: message hint`, errors first."""
        order = {"error": 0, "warning": 1, "info": 2}
        for finding in sorted(findings, key=lambda item: order[item.severity])[:most]:
            place = f"{finding.where}: " if str(finding.where) else ""
            hint = f" {finding.hint}" if finding.hint else ""
            self._lines.extend(wrapped(visible(f"{finding.code}  {place}{finding.message}{hint}"), "    "))
        self.more(len(findings), most, 0)

    def next(self, command: str) -> None:
        """The last line of a screen. A command is not wrapped: it is there to be copied."""
        self._lines.append(visible(f"Next   {command}"))

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._lines) + "\n"


def visible(text: str) -> str:
    r"""What a terminal would obey instead of show, and line breaks inside a name, in a form that only reads.

    >>> print(visible("web\x1b[2J"))
    web\x1b[2J
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def shortened(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(0, room - 1)] + "…"


def wrapped(text: str, indent: str) -> list[str]:
    """Words that are longer than a line (a path, a digest) stay whole."""
    import textwrap

    if len(text) <= WIDTH:
        return [text]
    return textwrap.wrap(
        text,
        WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    )


def _aligned(rows: Sequence[Sequence[str]], indent: int) -> list[str]:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    columns = max(len(row) for row in rows)
    room = WIDTH - indent
    for index in range(columns):
        last = index == columns - 1
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=None, max_width=max(room, LAST) if last else MOST)
        room -= min(MOST, max((cell_len(row[index]) for row in rows if index < len(row)), default=0)) + 2
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    buffer = io.StringIO()
    Console(file=buffer, width=WIDTH - indent, color_system=None, legacy_windows=False).print(table)
    return [" " * indent + line for line in buffer.getvalue().splitlines()]


def plural(count: int, word: str) -> str:
    """`1 error`, `2 errors`, `3,012 workloads`"""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
