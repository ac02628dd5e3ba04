# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The digest of a policy: over what it says, not over how, where and in which order it is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from ...model.policy import Policy

#: Where something stands, in which words, what was observed when it was proposed, and the digest itself.
_NOT_CONTENT = frozenset({"place", "digest", "evidence", "written_services"})


def digest(policy: Policy) -> str:
    """SHA-256 of the canonical form; equal content gives an equal digest on any machine."""
    return hashlib.sha256(_text(canonical(policy)).encode()).hexdigest()


def canonical(noun: Any) -> Any:
    """Plain data of a policy noun.

    A tuple that is a field of a noun is a set (rules, peers, owners …): order means nothing, so it is sorted. A tuple
    inside such a set is a pair (an interval, a port and its target), which stays.
    """
    if is_dataclass(noun) and not isinstance(noun, type):
        kind = type(noun)
        form: dict[str, Any] = {"is": kind.__name__}
        for name in _content(kind):
            value = getattr(noun, name)
            form[name] = _set(value) if isinstance(value, tuple) else canonical(value)
        return form
    if isinstance(noun, Mapping):
        return {key: _set(value) if isinstance(value, tuple) else canonical(value) for key, value in noun.items()}
    if isinstance(noun, datetime):
        return noun.astimezone(UTC).isoformat()
    return noun


def _set(items: tuple[Any, ...]) -> list[Any]:
    forms = [canonical(item) for item in items]
    return sorted(forms, key=_text) if len(forms) > 1 else forms


def _text(form: Any) -> str:
    return json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@cache
def _content(kind: type[Any]) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind) if item.name not in _NOT_CONTENT)
