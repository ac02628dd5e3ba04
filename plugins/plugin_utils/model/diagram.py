# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Decision diagrams over integer ranges: a function of several fields in one normal form, however it was written.

A field is a range of integers from 0. A node asks about one field and leads, range by range, to nodes about later
fields or to a small integer, the value. Nodes are made once (hash-consing) and never ask a question whose answer does
not matter, so two functions are equal iff they are the same node. Which field is asked first decides how big diagrams
become: the one that most boxes leave open belongs last.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from .intervals import Intervals, normalised

#: Values are 0 .. VALUES - 1. As numbers of nodes they stand for themselves; 0 means "nothing said here".
VALUES = 256
#: Fields; deeper diagrams would not fit the stack.
MOST_FIELDS = 300
#: Edges that may be made before giving up: about a minute and a gigabyte.
BUDGET = 20_000_000
_LEAF = 1 << 30
_RECURSE, _OTHER = -1, -2

Node = int
#: One set of numbers per field, in field order.
Box = tuple[Intervals, ...]


class Exhausted(Exception):
    """The budget is spent: nothing is known about the result, least of all that two functions are equal."""


class Operation:
    """A function of two values, with what follows from it: `same`: of equal values it gives that value."""

    def __init__(self, values: int, function: Callable[[int, int], int]) -> None:
        """`values`: both operands lie below."""
        every = range(values)
        self.table = [[function(left, right) for right in every] for left in every]
        self.same = all(self.table[value][value] == value for value in every)
        self.of_left = [_shortcut([self.table[value][other] for other in every]) for value in every]
        self.of_right = [_shortcut([self.table[other][value] for other in every]) for value in every]


def _shortcut(results: list[int]) -> int:
    """With one operand known: is it the other operand, whatever that is, or always one value?"""
    if results == list(range(len(results))):
        return _OTHER
    return results[0] if len(set(results)) == 1 else _RECURSE


#: The first operand where it says something, else the second: a list of rules, first match first.
OVERRIDE = Operation(16, lambda left, right: left or right)
HIGHEST = Operation(16, max)
LOWEST = Operation(16, min)
#: 0 where both values are equal, else both of them: left * 16 + right (16 values each).
_DIFFERENCE = Operation(16, lambda left, right: 0 if left == right else left * 16 + right)
#: The first operand where the second says nothing.
WITHOUT = Operation(16, lambda left, right: 0 if right else left)


@dataclass(frozen=True, slots=True)
class Different:
    """Everywhere in the box the left function has one value and the right one another."""

    box: Box
    left: int
    right: int


class Diagrams:
    """All functions over the same fields. Nodes of two instances have nothing to do with each other."""

    def __init__(self, highest: Sequence[int], budget: int = BUDGET) -> None:
        """`highest`: the last number of each field. Raises Exhausted for more than MOST_FIELDS."""
        if len(highest) > MOST_FIELDS:
            raise Exhausted
        self.highest = tuple(highest)
        self._budget = budget
        self._level = [_LEAF] * VALUES
        self._bounds: list[tuple[int, ...]] = [()] * VALUES
        self._children: list[tuple[Node, ...]] = [()] * VALUES
        self._unique: dict[tuple[int, tuple[int, ...], tuple[Node, ...]], Node] = {}
        self._memo: dict[Operation, dict[tuple[Node, Node], Node]] = {}
        self._groups: dict[Node, tuple[tuple[Intervals, Node], ...]] = {}

    def box(self, ranges: Sequence[Intervals | None], value: int) -> Node:
        """`value` inside, 0 outside. One entry per field; None leaves the field open."""
        node = value
        for level in range(len(self.highest) - 1, -1, -1):
            intervals = ranges[level]
            if intervals is not None:
                node = self._inside(level, intervals, node)
        return node

    def _inside(self, level: int, intervals: Intervals, child: Node) -> Node:
        bounds: list[int] = []
        children: list[Node] = []
        start = 0
        for low, high in intervals:
            if low > start:
                bounds.append(low - 1)
                children.append(0)
            bounds.append(high)
            children.append(child)
            start = high + 1
        if start <= self.highest[level]:
            bounds.append(self.highest[level])
            children.append(0)
        return self._node(level, bounds, children)

    def _node(self, level: int, bounds: list[int], children: list[Node]) -> Node:
        """Neighbours must already differ, but for a field that leads to one child only."""
        if len(children) == 1 or not any(child != children[0] for child in children):
            return children[0]
        key = (level, tuple(bounds), tuple(children))
        found = self._unique.get(key)
        if found is None:
            self._spend(len(bounds))
            found = self._unique[key] = len(self._level)
            self._level.append(level)
            self._bounds.append(key[1])
            self._children.append(key[2])
        return found

    def _spend(self, edges: int) -> None:
        self._budget -= edges
        if self._budget < 0:
            raise Exhausted

    def all_of(self, operation: Operation, nodes: Iterable[Node]) -> Node:
        """The operation, which must be associative, over nodes in their order; 0 for none. Pairs first, then pairs of
        those: neighbours meet while both are small."""
        row = list(nodes)
        while len(row) > 1:
            joined = [self.apply(operation, row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
            if len(row) % 2:
                joined.append(row[-1])
            row = joined
        return row[0] if row else 0

    def apply(self, operation: Operation, left: Node, right: Node) -> Node:
        """The operation at every point. Raises Exhausted."""
        level_of, bounds_of, children_of = self._level, self._bounds, self._children
        memo = self._memo.setdefault(operation, {})
        table, same = operation.table, operation.same
        of_left, of_right = operation.of_left, operation.of_right
        make, spend = self._node, self._spend

        def meet(a: Node, b: Node) -> Node:
            if a < VALUES:
                if b < VALUES:
                    return table[a][b]
                known = of_left[a]
                if known != _RECURSE:
                    return b if known == _OTHER else known
            elif b < VALUES:
                known = of_right[b]
                if known != _RECURSE:
                    return a if known == _OTHER else known
            elif a == b and same:
                return a
            pair = (a, b)
            result = memo.get(pair)
            if result is not None:
                return result
            bounds: list[int] = []
            children: list[Node] = []
            last = -1
            level_a, level_b = level_of[a], level_of[b]
            if level_a != level_b:
                level = min(level_a, level_b)
                upper = bounds_of[a] if level_a < level_b else bounds_of[b]
                lower = (
                    [meet(child, b) for child in children_of[a]]
                    if level_a < level_b
                    else [meet(a, child) for child in children_of[b]]
                )
                for bound, child in zip(upper, lower, strict=True):
                    if child == last:
                        bounds[-1] = bound
                    else:
                        bounds.append(bound)
                        children.append(child)
                        last = child
            else:
                level = level_a
                bounds_a, bounds_b = bounds_of[a], bounds_of[b]
                children_a, children_b = children_of[a], children_of[b]
                highest = bounds_a[-1]
                i = j = 0
                bound_a, bound_b = bounds_a[0], bounds_b[0]
                one, two = children_a[0], children_b[0]
                while True:
                    if one == two and same:
                        child = one
                    elif one < VALUES and two < VALUES:
                        child = table[one][two]
                    else:
                        child = meet(one, two)
                    bound = bound_a if bound_a < bound_b else bound_b
                    if child == last:
                        bounds[-1] = bound
                    else:
                        bounds.append(bound)
                        children.append(child)
                        last = child
                    if bound == highest:
                        break
                    if bound == bound_a:
                        i += 1
                        bound_a, one = bounds_a[i], children_a[i]
                    if bound == bound_b:
                        j += 1
                        bound_b, two = bounds_b[j], children_b[j]
            spend(len(bounds))
            result = memo[pair] = make(level, bounds, children)
            return result

        return meet(left, right)

    def mapped(self, node: Node, values: Sequence[int]) -> Node:
        """Every value replaced by the one that stands at its place in `values`."""
        known: dict[Node, Node] = {}

        def through(here: Node) -> Node:
            if here < VALUES:
                return values[here]
            if here not in known:
                bounds: list[int] = []
                children: list[Node] = []
                for bound, below in zip(self._bounds[here], self._children[here], strict=True):
                    child = through(below)
                    if children and child == children[-1]:
                        bounds[-1] = bound
                    else:
                        bounds.append(bound)
                        children.append(child)
                known[here] = self._node(self._level[here], bounds, children)
            return known[here]

        return through(node)

    def difference(self, left: Node, right: Node) -> Iterator[Different]:
        """Disjoint boxes that hold exactly the points where two functions differ; values must be below 16."""
        for box, value in self.boxes(self.apply(_DIFFERENCE, left, right)):
            yield Different(box, value // 16, value % 16)

    def boxes(self, node: Node) -> Iterator[tuple[Box, int]]:
        """Disjoint boxes of equal value that hold exactly the points whose value is not 0."""
        whole: list[Intervals] = [((0, highest),) for highest in self.highest]

        def below(here: Node) -> Iterator[int]:
            if here < VALUES:
                if here:
                    yield here
                return
            level = self._level[here]
            kept = chosen[level]
            for intervals, child in self._by_child(here):
                if child:
                    chosen[level] = intervals
                    yield from below(child)
            chosen[level] = kept

        chosen = list(whole)
        for value in below(node):
            yield tuple(chosen), value

    def _by_child(self, node: Node) -> tuple[tuple[Intervals, Node], ...]:
        """The ranges that lead to each child, in the order of the first of them."""
        found = self._groups.get(node)
        if found is None:
            ranges: dict[Node, list[tuple[int, int]]] = {}
            low = 0
            for bound, child in zip(self._bounds[node], self._children[node], strict=True):
                ranges.setdefault(child, []).append((low, bound))
                low = bound + 1
            found = self._groups[node] = tuple((normalised(parts), child) for child, parts in ranges.items())
        return found

    def count(self, node: Node) -> int:
        """How many points have a value other than 0."""
        sizes = [1]
        for highest in reversed(self.highest):
            sizes.append(sizes[-1] * (highest + 1))
        sizes.reverse()  # sizes[level]: points of all fields from this one on
        known: dict[Node, int] = {}

        def points(here: Node) -> int:
            """Over the fields from that of the node on."""
            if here < VALUES:
                return 1 if here else 0
            if here not in known:
                level, total, low = self._level[here], 0, 0
                for bound, child in zip(self._bounds[here], self._children[here], strict=True):
                    total += (bound - low + 1) * points(child) * (sizes[level + 1] // sizes[self._from(child)])
                    low = bound + 1
                known[here] = total
            return known[here]

        return points(node) * (sizes[0] // sizes[self._from(node)])

    def _from(self, node: Node) -> int:
        return min(self._level[node], len(self.highest))

    def value(self, node: Node, point: Sequence[int]) -> int:
        """The value at one point."""
        while node >= VALUES:
            number = point[self._level[node]]
            node = self._children[node][bisect_left(self._bounds[node], number)]
        return node


def pick(box: Box, prefer: Sequence[Callable[[Intervals], int]]) -> tuple[int, ...]:
    """One point of a box, chosen field by field."""
    return tuple(choose(intervals) for choose, intervals in zip(prefer, box, strict=True))


__all__ = [
    "BUDGET",
    "HIGHEST",
    "LOWEST",
    "OVERRIDE",
    "WITHOUT",
    "Box",
    "Diagrams",
    "Different",
    "Exhausted",
    "Node",
    "Operation",
    "pick",
]
