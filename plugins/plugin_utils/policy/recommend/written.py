# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Selectors in the words of documents, and which of them documents cannot say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...model import selectors
from ...model.errors import PolicyError
from ...model.selectors import Requirement, Selector


def written_selector(requirements: tuple[Requirement, ...]) -> Any:
    """As a mapping, which is what people read best, or as text where a mapping cannot say it."""
    if any(one.operator == "absent" for one in requirements):
        return str(Selector(requirements))
    return {
        one.key: "*" if one.operator == "exists" else one.values[0] if len(one.values) == 1 else list(one.values)
        for one in requirements
    }


def sayable(requirements: Iterable[Requirement]) -> bool:
    """Is it, as written, read again as the same? Labels come from inventories and clouds: a value with a comma has no
    words, and the value `*` would be read as any.
    """
    some = tuple(sorted(requirements))
    written = written_selector(some)
    return readable(written) and selectors.parse(written) == Selector(some)


def readable(written: Any) -> bool:
    """Can documents have this peer? As text, beside the lack of another key, fewer values have words."""
    if written == "scope" or (isinstance(written, dict) and "workload" in written):
        return True
    try:
        selectors.parse(written)
    except PolicyError:
        return False
    return True


__all__ = ["readable", "sayable", "written_selector"]
