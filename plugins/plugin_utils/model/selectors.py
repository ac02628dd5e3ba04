# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Selectors: which workloads a rule, scope or mode speaks about.

Two written forms, one meaning: a mapping (`{app: shop, env: [prod, stage], pci: "*"}`) or a string in the style of
Kubernetes (`app=shop,env in (prod,stage),!legacy`). As there, `notin` and `!=` also match workloads without the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from .errors import NOWHERE, Place, PolicyError
from .labels import Fact, Labels, Truth

Operator = Literal["in", "notin", "exists", "absent"]

_KEY = r"[A-Za-z0-9](?:[A-Za-z0-9_.\-/]*[A-Za-z0-9])?"
_VALUE = r"[A-Za-z0-9](?:[A-Za-z0-9_.:\-/@ ]*[A-Za-z0-9_.\-])?"
_TERM = re.compile(
    rf"^(?:(?P<absent>!\s*(?P<absent_key>{_KEY}))"
    rf"|(?P<key>{_KEY})\s*(?:(?P<op>==|=|!=)\s*(?P<value>{_VALUE})"
    rf"|\s(?P<set_op>in|notin)\s*\((?P<values>[^()]*)\))?)$"
)
#: What would make the printed form of one selector that of another.
_SYNTAX = re.compile(r"[,=!()*\x00-\x1f\x7f]|^\s|\s$")
#: Words of the peer grammar; they cannot be label keys.
RESERVED_KEYS = frozenset({"workload", "ip_list", "cidr", "zone", "fqdn", "users", "scope", "all-workloads", "any"})


@dataclass(frozen=True, slots=True, order=True)
class Requirement:
    """One condition on one key. `values` are sorted and only used by `in` and `notin`."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, fact: Fact | None, at: datetime | None) -> Truth:
        if fact is not None and not fact.known(at):
            return Truth.UNKNOWN
        if self.operator == "exists":
            holds = fact is not None
        elif self.operator == "absent":
            holds = fact is None
        elif self.operator == "in":
            holds = fact is not None and fact.value in self.values
        else:
            holds = fact is None or fact.value not in self.values
        return Truth.YES if holds else Truth.NO

    def implied_by(self, others: Iterable[Requirement]) -> bool:
        """Does every workload that satisfies `others` (on this key) satisfy this one?"""
        return any(self._follows_from(other) for other in others if other.key == self.key)

    def _follows_from(self, other: Requirement) -> bool:
        mine, theirs = set(self.values), set(other.values)
        if self.operator == "in":
            return other.operator == "in" and theirs <= mine
        if self.operator == "exists":
            return other.operator in ("in", "exists")
        if self.operator == "absent":
            return other.operator == "absent"
        if other.operator == "in":
            return not theirs & mine
        return other.operator == "absent" or (other.operator == "notin" and mine <= theirs)

    def __str__(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "absent":
            return f"!{self.key}"
        if len(self.values) == 1:
            return f"{self.key}{'=' if self.operator == 'in' else '!='}{self.values[0]}"
        return f"{self.key} {self.operator} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True)
class Selector:
    """A conjunction of requirements, sorted. No requirement at all matches every workload."""

    requirements: tuple[Requirement, ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(requirement.key for requirement in self.requirements)

    def matches(self, labels: Labels, at: datetime | None) -> Truth:
        """Three-valued match at a moment; `at=None` takes last known values and never answers UNKNOWN."""
        result = Truth.YES
        for requirement in self.requirements:
            result = min(result, requirement.matches(labels.get(requirement.key), at))
            if result is Truth.NO:
                break
        return result

    def implies(self, other: Selector) -> bool:
        return all(requirement.implied_by(self.requirements) for requirement in other.requirements)

    def inheriting(self, parent: Selector) -> Selector:
        """Add every requirement of `parent` on keys this selector does not mention (DESIGN §3.8)."""
        own = self.keys
        extra = tuple(requirement for requirement in parent.requirements if requirement.key not in own)
        return Selector(tuple(sorted((*self.requirements, *extra)))) if extra else self

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


def parse(written: Any, where: Place = NOWHERE) -> Selector:
    """Either written form. Raises PolicyError: E-SELECTOR, or E-EMPTY-SELECTOR for `{}` and `""`.

    >>> str(parse({"app": "shop", "env": ["stage", "prod"], "pci": "*"}))
    'app=shop,env in (prod,stage),pci'
    >>> parse("app=shop,env in (prod,stage),pci") == parse({"app": "shop", "env": ["stage", "prod"], "pci": "*"})
    True
    """
    if isinstance(written, str):
        requirements = list(_parse_string(written, where))
    elif isinstance(written, Mapping):
        requirements = [_parse_pair(key, value, where) for key, value in written.items()]
    else:
        raise _bad(written, "expected a mapping or a string", where)
    if not requirements:
        raise PolicyError(
            "E-EMPTY-SELECTOR",
            "An empty selector would match everything.",
            where,
            "Write the word scope for the whole scope, or all-workloads in an estate scope.",
        )
    for requirement in requirements:
        if requirement.key in RESERVED_KEYS:
            raise _bad(written, f"{requirement.key!r} is a word of the peer grammar and cannot be a label key", where)
    return Selector(tuple(sorted(set(requirements))))


def _bad(written: Any, why: str, where: Place) -> PolicyError:
    return PolicyError("E-SELECTOR", f"{written!r} is not a selector: {why}.", where)


def _parse_pair(key: Any, value: Any, where: Place) -> Requirement:
    key = _scalar(key, where)
    if value == "*":
        return Requirement(key, "exists")
    if isinstance(value, (list, tuple)):
        if not value:
            raise _bad({key: value}, "an empty list matches nothing", where)
        return Requirement(key, "in", tuple(sorted({_scalar(item, where) for item in value})))
    return Requirement(key, "in", (_scalar(value, where),))


def _scalar(value: Any, where: Place) -> str:
    if isinstance(value, bool) or value is None or not isinstance(value, (str, int, float)):
        raise _bad(value, "label keys and values are text; put quotes around it", where)
    text = str(value)
    if not text:
        raise _bad(value, "empty text is not a label value", where)
    if _SYNTAX.search(text):
        raise _bad(value, "label keys and values have no , = ! ( ) * and no blank at either end", where)
    return text


def _parse_string(text: str, where: Place) -> Iterable[Requirement]:
    for term in _split(text):
        found = _TERM.match(term.strip())
        if not found:
            raise _bad(text, f"cannot read {term.strip()!r}", where)
        if found["absent"]:
            yield Requirement(found["absent_key"], "absent")
        elif found["op"]:
            yield Requirement(found["key"], "notin" if found["op"] == "!=" else "in", (found["value"],))
        elif found["set_op"]:
            written = {value.strip() for value in found["values"].split(",") if value.strip()}
            values = tuple(sorted(_scalar(value, where) for value in written))
            if not values:
                raise _bad(text, f"{term.strip()!r} lists no value", where)
            yield Requirement(found["key"], "in" if found["set_op"] == "in" else "notin", values)
        else:
            yield Requirement(found["key"], "exists")


def _split(text: str) -> list[str]:
    """Split at commas outside parentheses; blank text has no terms."""
    terms, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            terms.append(text[start:index])
            start = index + 1
    terms.append(text[start:])
    return [] if not text.strip() else terms
