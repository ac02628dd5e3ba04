# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Selectors: two forms, three values, implication and inheritance."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import selectors
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import PolicyError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.labels import Fact, Truth

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
PAST = NOW - dt.timedelta(days=1)
KEYS, VALUES = ["a", "b"], ["x", "y", "z"]
TERMS = st.one_of(
    st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)).map("=".join),
    st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)).map("!=".join),
    st.tuples(
        st.sampled_from(KEYS), st.sampled_from(["in", "notin"]), st.sets(st.sampled_from(VALUES), min_size=1)
    ).map(lambda t: f"{t[0]} {t[1]} ({','.join(sorted(t[2]))})"),
    st.sampled_from(["a", "b", "!a", "!b"]),
)
SELECTORS = st.lists(TERMS, min_size=1, max_size=3).map(",".join).map(selectors.parse)
WORLDS = [
    {key: Fact(value) for key, value in zip(KEYS, values, strict=True) if value}
    for values in itertools.product([None, *VALUES, "other"], repeat=2)
]


@given(SELECTORS)
def test_a_selector_reads_back_as_it_is_written(selector) -> None:
    assert selectors.parse(str(selector)) == selector


@given(SELECTORS, SELECTORS)
def test_implication_is_never_claimed_wrongly(left, right) -> None:
    matching = [world for world in WORLDS if left.matches(world, NOW) is Truth.YES]
    if left.implies(right):
        assert all(right.matches(world, NOW) is Truth.YES for world in matching)


@given(SELECTORS, SELECTORS)
def test_inheriting_adds_only_keys_that_are_not_mentioned(own, parent) -> None:
    result = own.inheriting(parent)
    for world in WORLDS:
        foreign = [r for r in parent.requirements if r.key not in own.keys]
        expected = own.matches(world, NOW) is Truth.YES and all(
            r.matches(world.get(r.key), NOW) is Truth.YES for r in foreign
        )
        assert (result.matches(world, NOW) is Truth.YES) == expected


@pytest.mark.parametrize("text", ["a=x", "a!=x", "a", "!a", "a in (x,y)", "a notin (x)"])
def test_an_expired_fact_is_unknown_to_every_operator_and_known_to_the_last_known_value(text: str) -> None:
    selector = selectors.parse(text)
    labels = {"a": Fact("x", expires=PAST)}
    assert selector.matches(labels, NOW) is Truth.UNKNOWN
    assert selector.matches(labels, None) is selector.matches({"a": Fact("x")}, NOW)


def test_both_forms_mean_the_same() -> None:
    assert selectors.parse({"a": "x", "b": ["z", "y"], "c": "*"}) == selectors.parse("a=x,b in (y,z),c")
    assert selectors.parse({"port": 8080}) == selectors.parse("port=8080")


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ({}, "E-EMPTY-SELECTOR"), ("", "E-EMPTY-SELECTOR"), ("  ", "E-EMPTY-SELECTOR"), ({"a": []}, "E-SELECTOR"),
        ({"a": True}, "E-SELECTOR"), ({"a": None}, "E-SELECTOR"), ({"a": {"b": "c"}}, "E-SELECTOR"),
        ("a in ()", "E-SELECTOR"),
        ("a=", "E-SELECTOR"), ("=x", "E-SELECTOR"), ("a in x", "E-SELECTOR"), ("a,,b", "E-SELECTOR"),
        ("workload=x", "E-SELECTOR"),
        (["a"], "E-SELECTOR"), (7, "E-SELECTOR"), ("a in (x", "E-SELECTOR"),
    ],
)  # fmt: skip
def test_what_is_no_selector_is_refused(written: object, code: str) -> None:
    with pytest.raises(PolicyError) as refused:
        selectors.parse(written)
    assert refused.value.code == code
