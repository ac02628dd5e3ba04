# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Text from outside in Markdown. In a code span every sign is shown as it is: no link, no mention, no HTML."""

from __future__ import annotations

import re
from typing import Any

#: Longest text from outside; what is longer ends in an ellipsis.
LONGEST = 300
_BACKTICKS = re.compile(r"`+")


def code(value: Any, most: int = LONGEST) -> str:
    """Text from outside as a code span, on one line.

    >>> code("a`b"), code("@everyone <img>")
    ('``a`b``', '`@everyone <img>`')
    """
    text = " ".join(str(value).split())
    text = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
    if len(text) > most:
        text = f"{text[: most - 1]}…"
    if not text:
        return "(nothing)"
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{fence}{pad}{text}{pad}{fence}"


__all__ = ["LONGEST", "code"]
