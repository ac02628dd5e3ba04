# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which driver serves which platform name of an enforcement point."""

from __future__ import annotations

from ..model.errors import EnforcementError
from .driver import Driver
from .nftables.driver import Nftables

DRIVERS: dict[str, Driver] = {"nftables": Nftables()}


def driver_for(platform: str) -> Driver:
    """Raises EnforcementError (E-PLATFORM) for a platform without a driver."""
    try:
        return DRIVERS[platform]
    except KeyError:
        raise EnforcementError(
            "E-PLATFORM",
            f"There is no driver for platform {platform!r}.",
            hint=f"Known platforms: {', '.join(sorted(DRIVERS))}.",
        ) from None
