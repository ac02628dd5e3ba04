# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every code the product can say has its section in docs/errors.md."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_code_is_explained() -> None:
    said = {
        code
        for path in (ROOT / "plugins").rglob("*.py")
        for code in re.findall(r'"([EW]-[A-Z]+(?:-[A-Z]+)*)"', path.read_text(encoding="utf-8"))
    }
    explained = set(re.findall(r"^## (\S+)$", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert len(said) > 80
    assert said - explained == set()
