# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What verdicts mean for a person: what a draft blocks or opens, and what was observed against what is intended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from .simulate_questions import ALLOWED, DENIED, UNKNOWN

Change = Literal["unchanged", "newly_blocked", "newly_allowed", "unknown", "would_block"]
#: `would_block`: passes with the draft only because a side enforces nothing today; passed in full mode before.
CHANGES: tuple[Change, ...] = ("unchanged", "newly_blocked", "newly_allowed", "unknown", "would_block")
VerdictClass = Literal["permitted", "escaped", "rejected", "misdropped", "unknown"]
CLASSES: tuple[VerdictClass, ...] = ("permitted", "escaped", "rejected", "misdropped", "unknown")


def change_of(code: int, dropped: bool) -> Change:
    """From the answers before, after, before in full and after in full, two bits each.

    Where nothing certain is known about before, what was observed stands for it.
    """
    before, after, full_before, full_after = (code >> shift & 3 for shift in (0, 2, 4, 6))
    if after == UNKNOWN:
        return "unknown"
    if before == UNKNOWN:
        before = DENIED if dropped else ALLOWED
    if before != after:
        return "newly_blocked" if after == DENIED else "newly_allowed"
    if after == ALLOWED and (full_before, full_after) == (ALLOWED, DENIED):
        return "would_block"
    return "unchanged"


def class_of(code: int, dropped: bool) -> VerdictClass:
    """Observed against intended, from the answer of one question in the lowest bits (DESIGN §1)."""
    if code & 3 == UNKNOWN:
        return "unknown"
    if code & 3 == ALLOWED:
        return "misdropped" if dropped else "permitted"
    return "rejected" if dropped else "escaped"


def sorted_into(
    names: tuple[str, ...],
    judge: Callable[[int, bool], str],
    codes: npt.NDArray[np.uint8],
    dropped: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint8]:
    """For every flow the position of its name; the judge is asked once per possible answer."""
    table = np.array([[names.index(judge(code, seen)) for seen in (False, True)] for code in range(256)], np.uint8)
    if table[:, 0].tolist() == table[:, 1].tolist():
        return table[:, 0].take(codes)
    return table.ravel().take((codes.astype(np.int64) << 1) | dropped)


__all__ = ["CHANGES", "CLASSES", "Change", "VerdictClass", "change_of", "class_of", "sorted_into"]
