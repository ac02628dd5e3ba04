# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the demo prints: one readable screen a step, and at the end what each step proved."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field

WIDTH = 100
MOST_LINES = 24


class NotProvedError(Exception):
    """A step did not show what it claims. The demo goes on where it can, and ends with 1."""


@dataclass
class Step:
    title: str
    began: float
    proved: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Screen:
    """Everything goes to standard output; colour only on a terminal."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    # -- one step -------------------------------------------------------------------------------------------------

    def step(self, title: str) -> None:
        self.close()
        self.steps.append(Step(title, time.monotonic()))
        head = f"── {len(self.steps)} {title} "
        self._print("\n" + self._paint("1", head + "─" * (WIDTH - len(head))))

    def close(self) -> None:
        if self.steps and not self.steps[-1].seconds:
            self.steps[-1].seconds = time.monotonic() - self.steps[-1].began

    def say(self, text: str) -> None:
        self._print(fit(text))

    def command(self, text: str) -> None:
        self._print(self._paint("36", fit("$ " + text)))

    def body(self, text: str, most: int = MOST_LINES, last: int = 0) -> None:
        """Output of a command, at most so many lines of it: the first ones, and the ``last`` ones."""
        lines = text.rstrip("\n").splitlines()
        hidden = len(lines) - most
        if hidden > 0:
            lines[most - last : len(lines) - last] = [f"… {hidden} more lines …"]
        for line in lines:
            self._print(fit(line))

    def table(self, rows: list[tuple[str, ...]], most: int = MOST_LINES) -> None:
        """Rows of equal length, the first one the head."""
        if not rows:
            return
        widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
        text = "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )
        self.body(text, most)

    def prove(self, claim: str, true: bool, otherwise: str = "") -> bool:
        """A claim of this step, with what was seen instead where it does not hold."""
        step = self.steps[-1]
        if true:
            step.proved.append(claim)
            self._print(self._paint("32", "ok  ") + fit(claim, WIDTH - 4))
        else:
            step.failed.append(claim + (f": {otherwise}" if otherwise else ""))
            self._print(self._paint("31", "NO  ") + fit(step.failed[-1], 4 * WIDTH))
        return true

    def insist(self, claim: str, true: bool, otherwise: str = "") -> None:
        """A claim without which the rest of the story makes no sense."""
        if not self.prove(claim, true, otherwise):
            raise NotProvedError(claim)

    # -- the end --------------------------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        return not any(step.failed for step in self.steps)

    def summary(self, facts: list[tuple[str, str]]) -> None:
        self.close()
        head = "── SUMMARY "
        self._print("\n" + self._paint("1", head + "─" * (WIDTH - len(head))))
        for number, step in enumerate(self.steps, 1):
            word = "proved" if not step.failed else "FAILED"
            shown = f"{len(step.proved)} of {len(step.proved) + len(step.failed)}"
            line = f"  {number} {step.title:<58.58} {word:<7} {shown:>8}   {step.seconds:6.1f} s"
            self._print(line if not step.failed else self._paint("31", line))
        seconds = sum(step.seconds for step in self.steps)
        proved = sum(len(step.proved) for step in self.steps)
        failed = sum(len(step.failed) for step in self.steps)
        word = "proved" if not failed else "FAILED"
        self._print(f"    {'all':<58} {word:<7} {f'{proved} of {proved + failed}':>8}   {seconds:6.1f} s")
        for name, value in facts:
            self._print(fit(f"  {name:<10} {value}"))

    # -- parts ----------------------------------------------------------------------------------------------------

    def _paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    @staticmethod
    def _print(text: str) -> None:
        print(text, flush=True)


def fit(text: str, width: int = WIDTH) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
