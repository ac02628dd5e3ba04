# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Time on a host. Deadlines live on the boot-time clock, which no one can set and which counts suspended time."""

from __future__ import annotations

import time


class Clock:
    """The clocks of this machine. Tests pass their own; the product has no option to bend time."""

    def boottime(self) -> float:
        """Seconds since boot, suspended time included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot_id(self) -> str:
        """Identity of this boot: a deadline of another boot has always passed."""
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as source:
            return source.read().strip()

    def wall(self) -> str:
        """UTC wall clock for people to read; nothing is ever decided by it."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
