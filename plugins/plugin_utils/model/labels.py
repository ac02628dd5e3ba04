# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Labels: facts about a workload that policy may use, each with a source and perhaps an end.

Matching is three-valued. A fact past its end is *unknown*, which is not the same as absent: an allow rule does not
match on it, a deny rule does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Truth(IntEnum):
    """Ordered so that `min` is "and" and `max` is "or"."""

    NO = 0
    UNKNOWN = 1
    YES = 2


@dataclass(frozen=True, slots=True)
class Fact:
    """One label value. `expires` is an aware datetime; the fact holds strictly before it."""

    value: str
    source: str = "inventory"
    expires: datetime | None = None

    def known(self, at: datetime | None) -> bool:
        """Does the fact hold at `at`? With None the last known value counts, as in the match of scopes and modes."""
        return at is None or self.expires is None or at < self.expires


Labels = Mapping[str, Fact]
