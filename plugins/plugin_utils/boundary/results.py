# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Results that stay small: a task carries at most 50 findings, a file the rest."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..model.errors import StoreError

#: Findings in one task result (and in what playbooks publish).
MOST = 50
_ORDER = {"error": 0, "warning": 1, "info": 2}


def worst(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The first 50, errors before warnings before notes."""
    return [dict(finding) for finding in sorted(findings, key=lambda item: _ORDER[item["severity"]])[:MOST]]


def numbers(findings: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many of each severity there are in all."""
    return {name: sum(finding["severity"] == name for finding in findings) for name in _ORDER}


def write_report(path: str, data: Mapping[str, Any]) -> None:
    """The whole report as JSON, by an atomic rename. Raises StoreError (E-REPORT-WRITE)."""
    target = Path(path)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(beside, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise StoreError("E-REPORT-WRITE", f"the report cannot be written: {error.strerror}.", path) from None
