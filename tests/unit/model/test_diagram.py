# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Decision diagrams against functions written out point by point."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.diagram import (
    HIGHEST,
    LOWEST,
    OVERRIDE,
    WITHOUT,
    Box,
    Diagrams,
    Exhausted,
    Operation,
    pick,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import Intervals, normalised

Term = tuple[tuple[Intervals | None, ...], int]
FUNCTIONS = {
    OVERRIDE: lambda left, right: left or right,
    HIGHEST: max,
    LOWEST: min,
    WITHOUT: lambda left, right: 0 if right else left,
    Operation(4, lambda left, right: (left + right) % 4): lambda left, right: (left + right) % 4,
}


@st.composite
def universes(draw: st.DrawFn) -> tuple[tuple[int, ...], list[Term], list[Term]]:
    highest = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)))

    def terms() -> list[Term]:
        count = draw(st.integers(0, 7))
        return [(tuple(ranges(top) for top in highest), draw(st.integers(1, 3))) for _ in range(count)]

    def ranges(top: int) -> Intervals | None:
        if draw(st.booleans()):
            return None
        chosen = draw(st.sets(st.integers(0, top), max_size=top + 1))
        return normalised((number, number) for number in chosen)

    return highest, terms(), terms()


def points(highest: Sequence[int]) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(top + 1) for top in highest)))


def holds(box: Sequence[Intervals | None], point: Sequence[int]) -> bool:
    return all(
        part is None or any(low <= number <= high for low, high in part)
        for part, number in zip(box, point, strict=True)
    )


def first_match(terms: Sequence[Term], point: Sequence[int]) -> int:
    return next((value for box, value in terms if holds(box, point)), 0)


def built(diagrams: Diagrams, terms: Sequence[Term]) -> int:
    return diagrams.all_of(OVERRIDE, [diagrams.box(box, value) for box, value in terms])


@settings(max_examples=120, deadline=None)
@given(universes())
def test_a_list_has_the_value_of_its_first_match_at_every_point(universe: tuple) -> None:
    highest, terms, _others = universe
    diagrams = Diagrams(highest)
    node = built(diagrams, terms)
    wanted = {point: first_match(terms, point) for point in points(highest)}
    assert {point: diagrams.value(node, point) for point in wanted} == wanted
    assert diagrams.count(node) == sum(value != 0 for value in wanted.values())


@settings(max_examples=120, deadline=None)
@given(universes())
def test_the_difference_is_every_point_with_two_values_and_no_other(universe: tuple) -> None:
    highest, terms, others = universe
    diagrams = Diagrams(highest)
    left, right = built(diagrams, terms), built(diagrams, others)
    found: dict[tuple[int, ...], tuple[int, int]] = {}
    for item in diagrams.difference(left, right):
        for point in itertools.product(*(_members(part) for part in item.box)):
            assert point not in found, "boxes overlap"
            found[point] = item.left, item.right
    wanted = {point: (first_match(terms, point), first_match(others, point)) for point in points(highest)}
    assert found == {point: pair for point, pair in wanted.items() if pair[0] != pair[1]}
    assert (left == right) == (not found), "equal functions are one node, and only they"


@settings(max_examples=80, deadline=None)
@given(universes())
def test_one_number_past_every_side_of_a_box_both_functions_agree_or_another_box_begins(universe: tuple) -> None:
    highest, terms, others = universe
    diagrams = Diagrams(highest)
    left, right = built(diagrams, terms), built(diagrams, others)
    boxes = [item.box for item in diagrams.difference(left, right)]
    for box in boxes:
        corners = [sorted({low for low, _ in part} | {high for _, high in part}) for part in box]
        for corner in itertools.product(*corners):
            assert first_match(terms, corner) != first_match(others, corner)
            for field, step in itertools.product(range(len(highest)), (-1, 1)):
                beside = (*corner[:field], corner[field] + step, *corner[field + 1 :])
                if 0 <= beside[field] <= highest[field]:
                    differs = first_match(terms, beside) != first_match(others, beside)
                    assert differs == any(holds(one, beside) for one in boxes)


def _members(part: Intervals) -> list[int]:
    return [number for low, high in part for number in range(low, high + 1)]


@settings(max_examples=80, deadline=None)
@given(universes())
@pytest.mark.parametrize("operation", FUNCTIONS, ids=["override", "highest", "lowest", "without", "sum"])
def test_an_operation_is_its_function_at_every_point(operation: Operation, universe: tuple) -> None:
    highest, terms, others = universe
    diagrams = Diagrams(highest)
    node = diagrams.apply(operation, built(diagrams, terms), built(diagrams, others))
    for point in points(highest):
        wanted = FUNCTIONS[operation](first_match(terms, point), first_match(others, point))
        assert diagrams.value(node, point) == wanted


@settings(max_examples=80, deadline=None)
@given(universes())
def test_mapped_values_and_boxes(universe: tuple) -> None:
    highest, terms, _others = universe
    diagrams = Diagrams(highest)
    node = diagrams.mapped(built(diagrams, terms), [0, 2, 2, 0])
    wanted = {point: [0, 2, 2, 0][first_match(terms, point)] for point in points(highest)}
    assert {point: diagrams.value(node, point) for point in wanted} == wanted
    held = [point for box, _value in diagrams.boxes(node) for point in itertools.product(*map(_members, box))]
    assert sorted(held) == [point for point, value in wanted.items() if value]


@settings(max_examples=50, deadline=None)
@given(universes(), st.randoms(use_true_random=False))
def test_one_function_is_one_node_however_it_is_written(universe: tuple, chooser: random.Random) -> None:
    """Cut into points, joined in any order: the node is that of the boxes."""
    highest, terms, _others = universe
    diagrams = Diagrams(highest)
    node = built(diagrams, terms)
    cut = [
        diagrams.box([((number, number),) for number in point], first_match(terms, point)) for point in points(highest)
    ]
    chooser.shuffle(cut)
    again = 0
    for piece in cut:
        again = diagrams.apply(HIGHEST, piece, again)
    assert again == node == diagrams.all_of(HIGHEST, cut)


def test_a_witness_is_chosen_field_by_field() -> None:
    box: Box = (((0, 3), (7, 9)), ((5, 5),))
    assert pick(box, (lambda part: part[-1][0], lambda part: part[0][0])) == (7, 5)


def test_a_spent_budget_is_said_and_never_taken_for_equality() -> None:
    chooser = random.Random(1)
    diagrams = Diagrams((2**16,) * 6, budget=2_000)

    def term() -> int:
        lows = [chooser.randrange(2**15) for _ in range(6)]
        return diagrams.box([((low, low + chooser.randrange(2**15)),) for low in lows], 1)

    with pytest.raises(Exhausted):
        diagrams.all_of(HIGHEST, [term() for _ in range(200)])
    with pytest.raises(Exhausted):
        Diagrams((1,) * 5_000)


def test_numbers_may_be_as_big_as_addresses() -> None:
    diagrams = Diagrams((2**128 - 1, 1))
    node = diagrams.box((((5, 2**128 - 1),), None), 1)
    assert diagrams.count(node) == 2 * (2**128 - 5)
    assert [item.box for item in diagrams.difference(node, 1)] == [(((0, 4),), ((0, 1),))]
