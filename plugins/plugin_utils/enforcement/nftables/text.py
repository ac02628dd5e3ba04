# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A live rule as a person would write it, from its JSON. What we cannot write stays JSON: it is quoted, never lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .listing import LiveRule

_LONGEST_SET = 8
_WORDS = ("accept", "drop", "return", "continue", "notrack")


def rule_text(rule: LiveRule) -> str:
    """The statements of a rule in nft's own syntax, without counters' values."""
    try:
        parts = [_statement(expression) for expression in rule.expressions]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return json.dumps(rule.expressions)
    return " ".join(part for part in parts if part) or "(nothing)"


def quote(rule: LiveRule, why: str) -> str:
    """One line that names a rule, quotes it and says what is the matter with it."""
    return f"{rule.family} {rule.table} {rule.chain} handle {rule.handle}: {rule_text(rule)} ({why})"


def _statement(expression: Any) -> str:
    if not isinstance(expression, Mapping) or len(expression) != 1:
        return json.dumps(expression)
    kind, body = next(iter(expression.items()))
    if kind == "match":
        op = str(body.get("op", "=="))
        sign = "" if op in ("==", "in") else f" {op}"
        return f"{_value(body.get('left'))}{sign} {_value(body.get('right'))}"
    if kind in _WORDS:
        return str(kind)
    if kind in ("jump", "goto"):
        return f"{kind} {body.get('target')}"
    if kind == "counter":
        return f"counter name {body}" if isinstance(body, str) else "counter"
    if kind == "vmap":
        return f"{_value(body.get('key'))} vmap {_value(body.get('data'))}"
    if kind == "log":
        return "log" + "".join(f" {key} {json.dumps(value)}" for key, value in (body or {}).items())
    if kind == "limit":
        over = "over " if body.get("inv") else ""
        return f"limit rate {over}{body.get('rate')}/{body.get('per', 'second')}"
    if kind == "reject":
        body = body or {}
        return f"reject with {body['type']} {body.get('expr', '')}".strip() if "type" in body else "reject"
    if kind == "mangle":
        return f"{_value(body.get('key'))} set {_value(body.get('value'))}"
    if kind == "xt":
        return f"xt {body.get('type')} {body.get('name')}"
    if body is None:
        return str(kind)
    return json.dumps(expression)


def _value(value: Any) -> str:
    if isinstance(value, (str, int)):
        return f'"{value}"' if isinstance(value, str) and " " in value else str(value)
    if isinstance(value, Sequence):
        return ",".join(_value(item) for item in value)
    if not isinstance(value, Mapping) or len(value) != 1:
        return json.dumps(value)
    kind, body = next(iter(value.items()))
    if kind == "payload" and "protocol" in body:
        return f"{body['protocol']} {body['field']}"
    if kind in ("meta", "ct") and isinstance(body, Mapping) and set(body) == {"key"}:
        return f"{kind} {body['key']}"
    if kind == "fib":
        flags = body.get("flags", [])
        return f"fib {flags if isinstance(flags, str) else ' . '.join(flags)} {body.get('result')}"
    if kind == "range":
        return f"{_value(body[0])}-{_value(body[1])}"
    if kind == "prefix":
        return f"{body['addr']}/{body['len']}"
    if kind == "concat":
        return " . ".join(_value(item) for item in body)
    if kind in ("&", "|"):
        return f" {kind} ".join(_value(item) for item in body)
    if kind == "elem":
        return _value(body.get("val"))
    if kind == "set" and isinstance(body, Sequence):
        shown = [_element(item) for item in body[:_LONGEST_SET]]
        more = [f"... {len(body) - _LONGEST_SET} more"] if len(body) > _LONGEST_SET else []
        return "{ " + ", ".join(shown + more) + " }"
    return json.dumps(value)


def _element(item: Any) -> str:
    """An element of a set, or `value : verdict` of a map."""
    if isinstance(item, list) and len(item) == 2 and isinstance(item[1], Mapping):
        return f"{_value(item[0])} : {_statement(item[1])}"
    return _value(item)
