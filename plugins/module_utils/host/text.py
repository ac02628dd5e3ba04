# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Our table as people read it in a diff: without the members of its sets, and not longer than a screen can take."""

from __future__ import annotations

import re

LINES = 400

_MEMBERSHIP_SET = re.compile(r"(\tset m[46]_\w+ \{\n(?:\t\t(?!elements)[^\n]*\n)*)\t\telements = \{[^}]*\}\n")


def readable(text: str) -> str:
    """Listing text of ``nft list``: membership elements left out, at most 400 lines."""
    lines = _MEMBERSHIP_SET.sub(r"\1", text).splitlines(True)
    if len(lines) > LINES:
        lines = [*lines[:LINES], "... {0} more lines\n".format(len(lines) - LINES)]
    return "".join(lines)
