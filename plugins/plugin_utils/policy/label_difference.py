# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The difference of two policies without an inventory: over every label combination, at every moment, as boxes.

Both policies become decision diagrams over the fields of `label_space`, so no combination is enumerated and equal
policies are equal nodes. Only rules that can matter are looked at: where no rule changed, nothing did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..model.artifact import ORDER
from ..model.diagram import BUDGET, HIGHEST, LOWEST, OVERRIDE, WITHOUT, Box, Diagrams, Node
from ..model.estate import DIRECTIONS, Direction
from ..model.intervals import Intervals, union
from ..model.policy import Policy
from .compile import COUNTING, Stage
from .label_space import Ranges, Space, Term, meet
from .moments import Validities, moments_of
from .resolve import ResolvedRule

_VALUES = {"allow": 1, "deny": 2, "pass": 3}
#: A pass ends its tier and decides nothing.
_PASSED = [0, 1, 2, 0]
#: In full mode what nobody allows is denied.
_ALLOWED = [0, 1, 0]
#: Comparing every pair of boxes is worth it up to here.
_MOST_PAIRS = 2_000_000


@dataclass(frozen=True, slots=True)
class LabelBox:
    """`since`: the first moment at which the two policies differ here. `allowed`: newly, or newly denied."""

    space: Space
    box: Box
    allowed: bool
    since: datetime


@dataclass(frozen=True, slots=True)
class LabelDifference:
    """`complete` False: there were more combinations of open schedules than were compared."""

    boxes: tuple[LabelBox, ...]
    complete: bool


def compare_labels(
    rules: Sequence[Sequence[ResolvedRule]],
    policies: Sequence[Policy],
    spaces: Iterable[Space],
    stage: Stage,
    at: datetime,
    budget: int = BUDGET,
) -> LabelDifference:
    """`rules` and `policies`: of the first and the second. Raises Exhausted where the diagrams become too big."""
    found: list[LabelBox] = []
    complete = True
    for space in spaces:
        before, after = (
            space.terms((item for item in mine if item.stage in COUNTING[stage]), policy)
            for mine, policy in zip(rules, policies, strict=True)
        )
        changed = before ^ after
        if not changed:
            continue
        both, first, second = (_relevant(terms, changed) for terms in (before & after, before, after))
        moments = moments_of((term.validity for term in (*first, *second)), at)
        complete &= moments.complete
        comparison = _Comparison(space, both, first - both, second - both, budget)
        found.extend(comparison.boxes(moments.moments))
    return LabelDifference(tuple(found), complete)


def _relevant(terms: set[Term], changed: set[Term]) -> set[Term]:
    """Terms that share a point with a changed one of their direction; elsewhere both policies say the same."""
    found: set[Term] = set()
    for sense in ("egress", "ingress", "name"):
        mine = [term for term in terms if term.sense == sense]
        boxes = {term.ranges for term in changed if term.sense == sense}
        if not boxes:
            continue
        hull = _hull(boxes)
        mine = [term for term in mine if meet(term.ranges, hull)]
        if len(mine) * len(boxes) <= _MOST_PAIRS:
            mine = [term for term in mine if any(meet(term.ranges, box) for box in boxes)]
        found.update(mine)
    return found


def _hull(boxes: Iterable[Ranges]) -> Ranges:
    rows = iter(boxes)
    result: list[Intervals | None] = list(next(rows))
    for row in rows:
        for field, part in enumerate(row):
            known = result[field]
            result[field] = None if part is None or known is None else union(known, part)
    return tuple(result)


class _Comparison:
    def __init__(self, space: Space, both: set[Term], before: set[Term], after: set[Term], budget: int) -> None:
        """`before` and `after`: what only one of them says."""
        self._space = space
        self._terms = (both, before, after)
        self._diagrams = Diagrams(space.highest, budget)
        highest = [self._diagrams.box(ranges, 1) for ranges in space.impossible()]
        self._impossible = self._diagrams.all_of(HIGHEST, highest)
        self._to_a_name = self._diagrams.box(space.to_a_name(), 1) if space.nameable else 0
        self._unenforced = {sense: self._diagrams.box(space.unenforced(sense), 1) for sense in DIRECTIONS}

    def boxes(self, moments: Sequence[datetime]) -> Iterator[LabelBox]:
        diagrams = self._diagrams
        known = {True: 0, False: 0}
        for moment in moments:
            valid = Validities(moment)
            parts = [[term for term in terms if valid.holds(term.validity)] for terms in self._terms]
            before, after = ([*self._allowed(parts[0], mine)] for mine in parts[1:])
            for allowed, (less, more) in ((True, (before, after)), (False, (after, before))):
                gained = [diagrams.apply(WITHOUT, new, old) for new, old in zip(more, less, strict=True)]
                connections = diagrams.apply(WITHOUT, gained[0], self._to_a_name)
                change = diagrams.apply(HIGHEST, connections, gained[1])
                change = diagrams.apply(WITHOUT, change, self._impossible)
                fresh = diagrams.apply(WITHOUT, change, known[allowed])
                known[allowed] = diagrams.apply(HIGHEST, known[allowed], change)
                for box in compact(box for box, _value in diagrams.boxes(fresh)):
                    if not self._space.only_itself(box):
                        yield LabelBox(self._space, box, allowed, moment)

    def _allowed(self, both: list[Term], mine: list[Term]) -> tuple[Node, Node]:
        """What is allowed end to end, and what is opened to names."""
        sides = [self._side(direction, both, mine) for direction in DIRECTIONS]
        names = [term for term in (*both, *mine) if term.sense == "name"]
        return self._diagrams.apply(LOWEST, *sides), self._union(names)

    def _side(self, direction: Direction, both: list[Term], mine: list[Term]) -> Node:
        diagrams = self._diagrams
        tiers = []
        for tier in ORDER:
            common = self._union(term for term in both if (term.sense, term.tier) == (direction, tier))
            own = self._union(term for term in mine if (term.sense, term.tier) == (direction, tier))
            tiers.append(diagrams.mapped(diagrams.apply(HIGHEST, common, own), _PASSED))
        decided = diagrams.mapped(diagrams.all_of(OVERRIDE, tiers), _ALLOWED)
        return diagrams.apply(HIGHEST, decided, self._unenforced[direction])

    def _union(self, terms: Iterable[Term]) -> Node:
        """In one order for both policies and all moments, so that equal parts are met again. Pass beats deny beats
        allow (DESIGN §3.2)."""
        boxes = sorted({(_order(term.ranges), term.ranges, _VALUES[term.action]) for term in terms}, key=_first)
        return self._diagrams.all_of(HIGHEST, [self._diagrams.box(ranges, value) for _key, ranges, value in boxes])


def _order(ranges: Ranges) -> tuple[Intervals, ...]:
    return tuple(part or () for part in ranges)


def _first(entry: tuple[tuple[Intervals, ...], Ranges, int]) -> tuple[tuple[Intervals, ...], int]:
    return entry[0], entry[2]


def compact(boxes: Iterable[Box]) -> list[Box]:
    """Fewer boxes for the same points: those that differ in one field only become one, field by field, until none do.
    Disjoint boxes stay disjoint."""
    found = list(boxes)
    fields = range(len(found[0])) if found else range(0)
    while True:
        size = len(found)
        for field in fields:
            merged: dict[Box, Intervals] = {}
            for box in found:
                rest = (*box[:field], *box[field + 1 :])
                merged[rest] = union(merged.get(rest, ()), box[field])
            found = [(*rest[:field], part, *rest[field:]) for rest, part in merged.items()]
        if len(found) == size:
            return sorted(found)


__all__ = ["LabelBox", "LabelDifference", "compact", "compare_labels"]
