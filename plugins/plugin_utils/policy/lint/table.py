# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The products of all rules in one direction and family, and which of them meet a given one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...model.artifact import ORDER
from ...model.estate import Direction
from ..classes import positions_of, to_bits
from ..compile import Compiled
from .space import Product, Space

#: Tier positions are those of ORDER; the failsafe is 0.
ACTIONS = ("pass", "deny", "allow")


class Row(NamedTuple):
    """`rule`: position in the list of rules; -1 for the failsafe."""

    product: Product
    rule: int
    tier: int
    action: str


class Table:
    """Sets of rows are bitsets over their positions."""

    def __init__(self, space: Space, direction: Direction, rows: Sequence[Row], levels: Sequence[int]) -> None:
        """`levels[rule]`: the rule counts for rules of this level and above; the failsafe for all."""
        self.space = space
        self.direction = direction
        self.rows = rows
        self.of_rule: dict[int, int] = {}
        self._kind = {(tier, action): 0 for tier in range(len(ORDER)) for action in ACTIONS}
        kinds: dict[tuple[int, str], list[int]] = {}
        rules: dict[int, list[int]] = {}
        counted: dict[int, list[int]] = {}
        for position, row in enumerate(rows):
            kinds.setdefault((row.tier, row.action), []).append(position)
            rules.setdefault(row.rule, []).append(position)
            counted.setdefault(levels[row.rule] if row.rule >= 0 else 0, []).append(position)
        self._kind.update((kind, to_bits(positions)) for kind, positions in kinds.items())
        self.of_rule = {rule: to_bits(positions) for rule, positions in rules.items()}
        self._levels = {level: to_bits(positions) for level, positions in counted.items()}
        self._own = _Index([row.product[0] for row in rows], space.everywhere)
        self._far = _Index([row.product[1] for row in rows], space.everywhere)

    def kind(self, tier: int, action: str) -> int:
        return self._kind[tier, action]

    def upto(self, level: int) -> int:
        bits = 0
        for one, positions in self._levels.items():
            if one <= level:
                bits |= positions
        return bits

    def meeting(self, product: Product) -> int:
        """Rows that share a pair of groups with the product."""
        return self._own.meeting(product[0]) & self._far.meeting(product[1])


class _Index:
    """Which rows hold which group."""

    def __init__(self, sets: Sequence[int], everywhere: int) -> None:
        held: dict[int, list[int]] = {}
        anywhere: list[int] = []
        alike: dict[int, list[int]] = {}
        for position, bits in enumerate(sets):
            if bits == everywhere:
                anywhere.append(position)
            else:
                alike.setdefault(bits, []).append(position)
        for bits, positions in alike.items():
            for group in positions_of(bits):
                held.setdefault(group, []).extend(positions)
        self._held = {group: to_bits(sorted(positions)) for group, positions in held.items()}
        self._anywhere = to_bits(anywhere)
        self._everything = (1 << len(sets)) - 1
        self._everywhere = everywhere
        self._known: dict[int, int] = {}

    def meeting(self, groups: int) -> int:
        if groups == self._everywhere:
            return self._everything
        if groups not in self._known:
            bits = self._anywhere
            for group in positions_of(groups):
                bits |= self._held.get(group, 0)
            self._known[groups] = bits
        return self._known[groups]


def rows_of(compiled: Compiled, space: Space, direction: Direction, position_of: dict[str, int]) -> list[Row]:
    """`position_of`: rule id to its position."""
    rows: list[Row] = []
    if not space.enforceable:
        return rows
    for copy, bound in zip(compiled.copies[direction], bound_classes(compiled, direction), strict=True):
        artifact = copy.artifact
        rule = position_of[artifact.id] if copy.origin is not None else -1
        tier = ORDER.index(artifact.tier)
        rows.extend(Row(product, rule, tier, artifact.action) for product in space.products(copy, bound))
    return rows


def bound_classes(compiled: Compiled, direction: Direction) -> list[int]:
    """The classes each copy binds, as bitsets."""
    found: list[list[int]] = [[] for _ in compiled.copies[direction]]
    for position, indices in enumerate(compiled.of_class[direction]):
        for index in indices:
            found[index].append(position)
    known: dict[tuple[int, ...], int] = {}
    bound = []
    for positions in map(tuple, found):
        if positions not in known:
            known[positions] = to_bits(positions)
        bound.append(known[positions])
    return bound


def sorted_rows(table: Table, rows: Iterable[int], product: Product) -> list[int]:
    """Those that share the most with the product first: few cuts then cover much."""
    own, far, services, moments = product

    def shared(position: int) -> int:
        other = table.rows[position].product
        return -(
            (own & other[0]).bit_count()
            * (far & other[1]).bit_count()
            * (services & other[2]).bit_count()
            * (moments & other[3]).bit_count()
        )

    return sorted(rows, key=shared)


__all__ = ["ACTIONS", "Row", "Table", "bound_classes", "rows_of", "sorted_rows"]
