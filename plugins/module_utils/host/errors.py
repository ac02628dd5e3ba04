# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one exception of this package. Modules turn it into ``fail_json``, the command line into exit 2."""

from __future__ import annotations

from typing import Any, Dict

BASE_MOVED = "E-BASE-MOVED"
PENDING = "E-PENDING"
REVERTED = "E-REVERTED"
FORMAT = "E-HOST-FORMAT"
DISK = "E-HOST-DISK"
NFT = "E-HOST-NFT"
TOOL = "E-HOST-TOOL"
PAYLOAD = "E-HOST-PAYLOAD"
DEPENDENCY = "E-DEPENDENCY"


class HostError(Exception):
    """A refusal or a failure on this host: a stable code, a sentence that says what to do, and details as data."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__("{0} {1}".format(code, message))
        self.code = code
        self.message = message
        self.details: Dict[str, Any] = details
