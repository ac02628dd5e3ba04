# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Membership: the addresses of the workloads of any set of classes.

Addresses are ranked once per family. A set of them is then a set of small integers whatever the family, and neighbours
in rank that are neighbours in number too are one interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from ..model.addresses import FAMILIES, Family
from ..model.estate import Estate
from ..model.intervals import EMPTY, Intervals, normalised
from .classes import Classes, positions_of

#: From this many addresses on, arrays are faster than plain lists.
_MANY = 200


class Membership:
    def __init__(self, estate: Estate, classes: Classes) -> None:
        self._families = {family: _Ranked(estate, classes, family) for family in FAMILIES}

    def addresses(self, bits: int) -> Mapping[Family, Intervals]:
        positions = list(positions_of(bits))
        return {family: ranked.intervals(positions) for family, ranked in self._families.items()}


class _Ranked:
    def __init__(self, estate: Estate, classes: Classes, family: Family) -> None:
        import numpy as np

        of_class: list[list[int]] = [[] for _ in classes.items]
        for name, workload in estate.workloads.items():
            for address in workload.addresses:
                if address.family == family:
                    of_class[classes.of[name]].append(address.number)
        self._of_class = of_class
        self._numbers = sorted(set(chain.from_iterable(of_class)))
        rank = {number: index for index, number in enumerate(self._numbers)}
        self._ranks = np.fromiter((rank[number] for one in of_class for number in one), np.int32)
        self._starts = [0, *np.cumsum([len(one) for one in of_class], dtype=np.int64).tolist()]
        #: Does an interval end after this rank, whoever is in the set?
        gaps = [following - number > 1 for number, following in zip(self._numbers, self._numbers[1:], strict=False)]
        self._gap_after = np.array([*gaps, True], dtype=bool)

    def intervals(self, positions: list[int]) -> Intervals:
        starts = self._starts
        count = sum([starts[position + 1] - starts[position] for position in positions])
        if not count:
            return EMPTY
        if count < _MANY:
            return normalised([(number, number) for position in positions for number in self._of_class[position]])
        import numpy as np

        ranks = np.concatenate([self._ranks[starts[position] : starts[position + 1]] for position in positions])
        ranks = np.unique(ranks)
        ends = (np.diff(ranks) > 1) | self._gap_after[ranks[:-1]]
        lows = ranks[np.concatenate(([True], ends))].tolist()
        highs = ranks[np.concatenate((ends, [True]))].tolist()
        number = self._numbers.__getitem__
        return tuple(zip(map(number, lows), map(number, highs), strict=True))
