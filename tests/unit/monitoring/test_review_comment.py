# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The comment on a pull request: nothing from outside is markup, and it stays below the limit of the forges."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.markdown import LONGEST, code
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.monitoring.writers.review import (
    LIMIT,
    MARKER,
    refused,
    render,
)

RISK = {"before": None, "after": 3.0, "level": "HIGH"}
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "@everyone please",
    "[click](https://evil.example)",
    "https://evil.example/x",
    "``` \n# heading",
    "` **bold** `",
    "`` ` ``",
    "| a | b |",
    "</details><script>",
    "-->\n<b>",
    "a\u202eb\x1b[2J",
    "\\`x\\`",
    "#1 owner/repo#2",
)


def finding(text: str, severity: str = "error") -> dict[str, Any]:
    return {"code": "E-TEST", "severity": severity, "message": text, "file": text, "line": 3, "hint": text}


def review(text: str, many: int = 1) -> dict[str, Any]:
    """A review that says the same text wherever something comes from outside."""
    witness = {"from": text, "to": text, "service": text}
    box = {"from": text, "to": text, "services": [text], "family": "ipv4", "pairs": 1, "witness": witness}
    place = {"file": text, "line": 3}
    flows = {"conversations": 12, "dropped": 1, "last": text, "breaks": 2, "strength": "JUSTIFIED"}
    rule = {
        "rule": text, "what": "removed", "by_name": True, "action": "allow", "stage": "active", "was": "draft",
        "reason": text, "evidence": flows, **place,
    }  # fmt: skip
    test = {"text": text, "expect": text, "because": text, "detail": text, "new": True, **place}
    return {
        "outcome": "findings",
        "basis": text,
        "pairs_allowed": 1,
        "pairs_denied": 1,
        "today": {"newly_allowed": 1, "newly_denied": 0},
        "security": RISK,
        "availability": RISK,
        "observed": {"start": text, "end": text, "conversations": 5, "coverage": 0.5, "loss": 0.01},
        "findings": [finding(text), finding(text, "warning")] * many,
        "guardrails": [{"id": text, "severity": "high", "new": True, "pairs": 2, "witness": witness}] * many,
        "tests": [test] * many,
        "tests_lost": [{**test, "services": [text], "conversations": 3}] * many,
        "approvals": [{"subject": text, "parties": [text], "why": [text] * 5, "given": False}] * many,
        "newly_allowed": [box] * many,
        "newly_denied": [box] * many,
        "rules": [rule] * many,
        "documents": [{"kind": "tests", "what": "removed", "name": text, **place}] * many,
        "scheduled": [{"rule": text, "moment": text, "event": "ends"}] * many,
    }


def tokens(text: str) -> Iterator[Token]:
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        yield token
        yield from token.children or ()


def outside_code(text: str) -> str:
    """All that a forge would look for mentions and links in."""
    return "\n".join(token.content for token in tokens(text) if token.type == "text")


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_outside_is_shown_and_never_obeyed(text: str) -> None:
    made = render(review(text))
    found = list(tokens(made))

    html = [token.content.strip() for token in found if token.type in ("html_block", "html_inline")]
    allowed = r"<!-- microseg review -->|</?details>|</?summary>|<details><summary>[A-Za-z ()0-9]+</summary>"
    assert all(re.fullmatch(allowed, one) for one in html), html
    assert not [token for token in found if token.type in ("link_open", "image", "fence", "code_block")]
    assert not re.search(r"evil|everyone|owner/|onerror|@", outside_code(made))
    headings = [line for line in made.splitlines() if line.startswith("#")]
    assert all(re.fullmatch(r"#{2,3} [A-Za-z :0-9()]+", line) for line in headings)
    assert "\x1b" not in made
    assert "\u202e" not in made


@given(st.text(min_size=1, max_size=60))
def test_a_code_span_gives_back_what_was_put_in(text: str) -> None:
    shown = [token.content for token in tokens(f"- {code(text)} end") if token.type == "code_inline"]
    words = " ".join(text.split())
    clean = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in words)

    assert shown == ([clean] if clean else [])


def test_long_text_ends_in_an_ellipsis() -> None:
    assert code("a" * 5000) == f"`{'a' * (LONGEST - 1)}…`"


@pytest.mark.parametrize("many", [1, 40, 3000])
def test_it_stays_below_the_limit_and_is_never_cut_in_a_line(many: int) -> None:
    data = review("ü" * 200, many)
    made = render(data, "review.json")
    whole = set(render(review("ü" * 200, 1)).splitlines())

    assert len(made.encode()) <= LIMIT
    assert made.startswith(MARKER)
    assert made.count("<details>") == made.count("</details>") == 1
    items = [line for line in made.splitlines() if line.startswith("- ") and "more" not in line]
    assert {item for item in items if item.startswith("- **E-TEST")} <= whole
    if many == 3000:
        assert "more: see review.json" in made
        assert len(made.encode()) > LIMIT * 0.6
        assert all(title in made for title in ("Errors (3,000)", "Rules (3,000)", "Newly denied (3,000)"))


def test_of_documents_that_cannot_be_read() -> None:
    made = refused([finding("<b>")] * 5000, "the log")

    assert len(made.encode()) <= LIMIT
    assert "more: see the log" in made
    assert "cannot be read" in made
