# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""All moments from now on, as bits: one bit for every combination of conditions of time that ever holds.

Ends are exact however far away they are. Schedules are worked out for a year after every end, in which a yearly one
has been open and closed, and after what happens less often (`Validity.turns`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np

from ...model.calendar import HORIZON, Validity


class Times:
    """`bits(validity)` is the set of moments; `moment(bits)` the first of them. A moment is one bit."""

    def __init__(self, validities: Iterable[Validity], at: datetime) -> None:
        self._at = at.astimezone(UTC)
        timed = [one for one in dict.fromkeys(validities) if one.timed]
        self._known: dict[Validity, int] = {}
        self._moments: tuple[datetime, ...] = (self._at,)
        if timed:
            self._work_out(timed)
        self.always = (1 << len(self._moments)) - 1

    def _work_out(self, timed: list[Validity]) -> None:
        epochs = sorted({self._at, *(moment for one in timed for moment in one.turns(self._at))})
        schedules = {one.schedule for one in timed if one.schedule is not None}
        cuts = set(epochs)
        for index, start in enumerate(epochs):
            end = min(start + HORIZON, epochs[index + 1]) if index + 1 < len(epochs) else start + HORIZON
            for schedule in schedules:
                cuts.update(edge for window in schedule.windows(start, end) for edge in window if start < edge < end)
        moments = sorted(cuts)
        open_in = {}
        for schedule in schedules:
            column = np.zeros(len(moments), np.bool_)
            for low, high in schedule.windows(moments[0], moments[-1] + HORIZON):
                column[bisect_left(moments, low) : bisect_left(moments, high)] = True
            open_in[schedule] = column
        table = np.ones((len(timed), len(moments)), np.bool_)
        for row, one in zip(table, timed, strict=True):
            if one.schedule is not None:
                np.logical_and(row, open_in[one.schedule], out=row)
            if one.starts is not None:
                row[: bisect_left(moments, one.starts)] = False
            if one.expires is not None:
                row[bisect_left(moments, one.expires) :] = False
        _columns, first = np.unique(table, axis=1, return_index=True)
        kept = np.sort(first)
        self._moments = tuple(moments[index] for index in kept)
        packed = np.packbits(table[:, kept], axis=1, bitorder="little")
        for one, row in zip(timed, packed, strict=True):
            self._known[one] = int.from_bytes(row.tobytes(), "little")

    def bits(self, validity: Validity) -> int:
        return self._known[validity] if validity.timed else self.always

    def moment(self, bits: int) -> datetime:
        return self._moments[(bits & -bits).bit_length() - 1]


__all__ = ["Times"]
