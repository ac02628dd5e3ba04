# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host as the operations of this package see it: its rules, its memory, its clocks, its log."""

from __future__ import annotations

import os
import syslog
from typing import Optional

from .clock import Clock
from .nft import Nft
from .state import State


class Machine:
    def __init__(self, state: State, nft: Optional[Nft] = None, clock: Optional[Clock] = None) -> None:
        self.state = state
        self.nft = nft or Nft()
        self.clock = clock or Clock()

    @property
    def name(self) -> str:
        return os.uname().nodename

    def log(self, text: str) -> None:
        """To the system log, where an operator looks when this host behaves strangely."""
        syslog.openlog("microseg", syslog.LOG_PID, syslog.LOG_AUTH)
        syslog.syslog(syslog.LOG_WARNING, text)
        syslog.closelog()
