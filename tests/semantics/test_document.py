# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""docs/semantics.md is the page the cases make, and no case is missing in it."""

from __future__ import annotations

import pathlib

from . import document
from .fixtures import load_cases

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "semantics.md"


def test_the_published_page_is_the_one_the_cases_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == document.text(), "run python -m tests.semantics.document"


def test_every_case_and_every_question_is_on_the_page_once() -> None:
    lines = document.text().splitlines()
    for case in load_cases():
        assert lines.count(f"# {case.id.replace('-', ' ')}") == 1
        for question in case.questions:
            asked = f"{question.consumer} -> {question.provider} {question.service} "
            assert any(line.startswith(asked) and f" {question.answer}" in line for line in lines)


def test_every_sentence_of_a_case_has_words() -> None:
    assert {number for case in load_cases() for number in case.sentences} <= set(document.SENTENCES)
    assert sorted(document.SENTENCES) == [number for numbers in document.SECTIONS.values() for number in numbers]
