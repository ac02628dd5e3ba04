# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Steps 6 and 7 of the demo: drift and repair, and two mishaps that do no harm."""

from __future__ import annotations

from extensions.demo.screen import Screen
from extensions.demo.stage import Stage


def drift(screen: Screen, stage: Stage) -> None:
    screen.step("DRIFT")


def safety(screen: Screen, stage: Stage) -> None:
    screen.step("SAFETY")
