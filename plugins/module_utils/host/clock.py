# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Time on a host. Deadlines live on the boot-time clock, which no one can set and which counts suspended time."""

from __future__ import annotations

import ctypes
import time
from typing import Optional

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_SIZE = 512  # larger than struct timex of any architecture


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

    def synchronised(self) -> Optional[bool]:
        """Does the kernel believe its wall clock is synchronised? None where it cannot be asked."""
        try:
            status = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_SIZE))
        except (OSError, AttributeError):
            return None
        return None if status < 0 else status != _TIME_ERROR

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
