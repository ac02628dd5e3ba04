# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Keep secrets out of everything that is written down: reports, plans, the journal.

Values under a telling key and texts that look like a credential become `MASK`. Structure and everything else stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "(redacted)"

_WORDS = (
    r"pass(?:word|wd|phrase)|(?<=[_-])pass|pwd|secret|token|credentials?|authorization"
    r"|api[_-]?key|private[_-]?key|access[_-]?key"
)
_KEY = re.compile(rf"(?:^|[_\-.])(?:[a-z0-9]*(?:{_WORDS}))(?:$|[_\-.])", re.IGNORECASE)
_TEXTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        MASK,
    ),
    (re.compile(r"\$ANSIBLE_VAULT;[0-9.]+;[^\n]*(?:\n[ \t]*[0-9a-f]+)*"), MASK),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MASK),
    (re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}\b|\bgithub_pat_[A-Za-z0-9_]{20,}\b|\bhvs\.[A-Za-z0-9_-]{20,}"), MASK),
    (re.compile(r"(?P<keep>[a-z][a-z0-9+.\-]*://)[^/\s@\"']+@", re.IGNORECASE), rf"\g<keep>{MASK}@"),
    (re.compile(r"(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9+/._=\-]{8,}", re.IGNORECASE), rf"\g<keep>{MASK}"),
    (
        re.compile(
            rf"(?P<keep>[A-Za-z0-9_\-]*(?:{_WORDS})[\"']?\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s,;&)\]}}]+)",
            re.IGNORECASE,
        ),
        rf"\g<keep>{MASK}",
    ),
    (re.compile(r"(?P<keep>--(?:password|token|secret)\s+)\S+", re.IGNORECASE), rf"\g<keep>{MASK}"),
)


def redact(value: Any) -> Any:
    """A copy without secrets; mappings, lists and tuples are walked, other values stay as they are.

    >>> redact({"db_password": "hunter2", "note": "see https://me:hunter2@example.org/x"})
    {'db_password': '(redacted)', 'note': 'see https://(redacted)@example.org/x'}
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {
            _text(key) if isinstance(key, str) else key: MASK if _telling(key) and _secret(item) else redact(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redact(item) for item in value]
    return value


def _telling(key: Any) -> bool:
    return isinstance(key, str) and bool(_KEY.search(key))


def _secret(item: Any) -> bool:
    """Numbers and truth values under a telling key are counts and switches."""
    return item is not None and not isinstance(item, (bool, int, float))


def _text(text: str) -> str:
    for pattern, replacement in _TEXTS:
        text = pattern.sub(replacement, text)
    return text
