# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What leaves the boundary is made of built-in types, whatever Ansible handed in."""

from __future__ import annotations

import datetime
import enum
import json
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.plain import (
    VaultedValueError,
    is_vaulted,
    place_of,
    plain,
)

VAULTED = EncryptedString(ciphertext="$ANSIBLE_VAULT;1.1;AES256\n3030\n")


def types_in(value: Any) -> set[type]:
    if isinstance(value, dict):
        return {type(value)}.union(*(types_in(part) for pair in value.items() for part in pair))
    if isinstance(value, list):
        return {type(value)}.union(*(types_in(part) for part in value))
    return {type(value)}


def test_tagged_values_become_built_in_types() -> None:
    tagged = DataLoader().load("{a: [x, 1, 1.5, true, null], b: {c: d}}", file_name="/tmp/file.yml")
    assert type(tagged) is not dict

    result = plain(tagged)

    assert result == {"a": ["x", 1, 1.5, True, None], "b": {"c": "d"}}
    assert types_in(result) == {dict, list, str, int, float, bool, type(None)}


def test_dates_of_yaml_become_iso_text() -> None:
    assert plain(DataLoader().load("[2027-06-30, 2027-06-30T12:00:00Z]")) == ["2027-06-30", "2027-06-30T12:00:00+00:00"]


def test_tuples_become_lists() -> None:
    assert plain(("a", ("b",))) == ["a", ["b"]]


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    "value", [{1, 2}, b"bytes", object(), datetime.timedelta(1), {"k": {1}}, {1: "int key"}, Colour.RED]
)
def test_values_without_a_json_form_are_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        plain(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_without_a_json_form_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="no JSON form"):
        plain([number])


def test_result_survives_json() -> None:
    value = {"text": "ü", "deep": [{"n": None}], "big": 2**70}
    assert json.loads(json.dumps(plain(value))) == value


def test_vaulted_values_are_refused_wherever_they_hide() -> None:
    for value in (VAULTED, [VAULTED], {"key": {"deep": [VAULTED]}}):
        with pytest.raises(VaultedValueError):
            plain(value)


def test_a_plain_text_is_not_taken_for_a_secret() -> None:
    assert not is_vaulted("$ANSIBLE_VAULT;1.1;AES256")
    assert is_vaulted(VAULTED)


def test_place_is_file_and_line() -> None:
    value = DataLoader().load("a: 1\nb:\n  c: 2\n", file_name="/tmp/file.yml")

    assert str(place_of(value["b"])) == "/tmp/file.yml:3"
    assert str(place_of("from nowhere")) == ""
