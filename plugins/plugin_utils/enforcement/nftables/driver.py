# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The nftables driver: hosts that enforce for themselves, through the agent that travels to them."""

from __future__ import annotations

from .attribute import decide
from .capabilities import CAPABILITIES
from .clock import horizon, unsure
from .read import read
from .render import render


class Nftables:
    """Pure functions behind the driver protocol; see the modules for what they promise."""

    capabilities = CAPABILITIES
    #: Part of what a plan approves: grows whenever equal artifacts are rendered into other rules.
    renderer = "nftables/2"
    render = staticmethod(render)
    windows_until = staticmethod(horizon)
    unsure = staticmethod(unsure)
    read = staticmethod(read)
    decide = staticmethod(decide)
