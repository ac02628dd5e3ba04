# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What rules refer to by name: services, address lists and label keys, each known before the first rule is read."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ...model import services as notation
from ...model.addresses import Prefix, parse_prefix
from ...model.errors import PolicyError
from ...model.intervals import Intervals, normalised
from ...model.policy import LabelDeclaration
from ...model.selectors import Selector
from .nodes import Spot
from .problems import Problems, nearest
from .words import NAME

_NAME = re.compile(NAME)
_PROTOCOLS = (*notation.BASES, "proto", "any")
_SWAPPED = re.compile(r"^(\d+(?:-\d+)?)(?:/(tcp|udp|sctp))?$")


@dataclass
class ServiceTable:
    """Services by name. `broken` names were wrong themselves; using them is no second error."""

    problems: Problems
    known: dict[str, Intervals] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    _read: dict[tuple[str, ...], Intervals] = field(default_factory=dict)

    def define(self, written: Sequence[tuple[Mapping[Any, Any], Spot]]) -> None:
        entries = _entries(written, "service", self.problems, self.broken)
        uses = {name: [item for item in items if item in entries] for name, (items, _spot) in entries.items()}
        for name in _in_order(uses, entries, "service", self.problems, self.broken):
            items, spot = entries[name]
            if name in _PROTOCOLS:
                self.problems.error(
                    "E-SERVICE", f"{name} is a protocol and cannot name a service.", spot.place, "Choose another name."
                )
                continue
            self.known[name] = self.read(items, spot)

    def read(self, texts: Sequence[str], spot: Spot) -> Intervals:
        """The union of terms and names; wrong terms are reported and left out."""
        key = tuple(texts)
        result = self._read.get(key)
        if result is None:
            before = len(self.problems.errors)
            result = normalised(
                interval for number, text in enumerate(texts) for interval in self.term(text, spot[number])
            )
            if len(self.problems.errors) == before:
                self._read[key] = result
        return result

    def term(self, text: str, spot: Spot) -> Intervals:
        if text in self.known:
            return self.known[text]
        if text in self.broken:
            return ()
        with self.problems.collecting():
            swapped = _SWAPPED.match(text)
            if not swapped and ("/" in text or text in _PROTOCOLS):
                return notation.parse(text, spot.place)
            raise self._unknown(text, swapped, spot)
        return ()

    def _unknown(self, text: str, swapped: re.Match[str] | None, spot: Spot) -> PolicyError:
        hint = (
            f"Did you mean {swapped[2] or 'tcp'}/{swapped[1]}?"
            if swapped
            else nearest(text, [*self.known, *_PROTOCOLS], listed=False)
        )
        return PolicyError(
            "E-SERVICE",
            f"there is no service {text!r}.",
            spot.place,
            hint or "Define it in services, or write it as tcp/443.",
        )


@dataclass
class ListTable:
    """`ip_lists` by name."""

    problems: Problems
    known: dict[str, tuple[Prefix, ...]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def define(self, written: Sequence[tuple[Mapping[Any, Any], Spot]]) -> None:
        entries = _entries(written, "ip_list", self.problems, self.broken)
        uses = {
            name: [item for item in items if isinstance(item, str) and item in entries]
            for name, (items, _spot) in entries.items()
        }
        for name in _in_order(uses, entries, "ip_list", self.problems, self.broken):
            items, spot = entries[name]
            blocks = [block for number, item in enumerate(items) for block in self._blocks(item, spot[number])]
            self.known[name] = tuple(dict.fromkeys(blocks))

    def _blocks(self, item: Any, spot: Spot) -> tuple[Prefix, ...]:
        with self.problems.collecting():
            if isinstance(item, dict):
                return (zoned_block(item, spot),)
            if not isinstance(item, str):
                raise PolicyError("E-IP-LIST", f"{spot.written!r} is not an address block.", spot.place, "Write text.")
            if item in self.known:
                return self.known[item]
            if item in self.broken:
                return ()
            if _NAME.match(item) and not re.match(r"^[0-9]", item):
                raise self._unknown(item, spot)
            return (parse_prefix(item, None, spot.place),)
        return ()

    def blocks_of(self, name: str, spot: Spot) -> tuple[Prefix, ...]:
        """Raises PolicyError (E-IP-LIST)."""
        if name in self.known:
            return self.known[name]
        if name in self.broken:
            return ()
        raise self._unknown(name, spot)

    def _unknown(self, name: str, spot: Spot) -> PolicyError:
        hint = nearest(name, self.known) or "Define it in ip_lists, or write {cidr: BLOCK}."
        return PolicyError("E-IP-LIST", f"there is no ip_list {name!r}.", spot.place, hint)


def zoned_block(written: Mapping[Any, Any], spot: Spot) -> Prefix:
    """`{cidr: BLOCK, zone: ZONE}`. Raises PolicyError (E-KEY, E-CIDR)."""
    for key in written:
        if key not in ("cidr", "zone"):
            raise PolicyError(
                "E-KEY", f"{key!r} does not go with cidr.", spot.key(key).place, "Write {cidr: …, zone: …}."
            )
    cidr, zone = written.get("cidr"), written.get("zone")
    if not isinstance(cidr, str):
        raise PolicyError("E-CIDR", "cidr must be an address block.", spot["cidr"].place, "Write {cidr: 10.0.0.0/24}.")
    if "zone" in written and not isinstance(zone, str):
        raise PolicyError("E-VALUE", "zone must be text.", spot["zone"].place, "Put quotes around it.")
    return parse_prefix(cidr, zone, spot["cidr"].place)


@dataclass
class LabelTable:
    """Declared label keys. Every selector of every stage is held against them."""

    problems: Problems
    declared: Mapping[str, LabelDeclaration]
    _good: set[Selector] = field(default_factory=set)

    def check(self, selector: Selector, spot: Spot) -> None:
        if selector in self._good:
            return
        before = len(self.problems.errors)
        for requirement in selector.requirements:
            self.check_pair(requirement.key, requirement.values, spot)
        if len(self.problems.errors) == before:
            self._good.add(selector)

    def check_pair(self, key: str, values: Collection[str], spot: Spot) -> None:
        """`spot` is the mapping or string that names them."""
        declaration = self.declared.get(key)
        if declaration is None:
            hint = nearest(key, self.declared) or "Declare it in settings.labels."
            if not values and not hint.startswith("Did you mean"):
                hint += f" One workload is written {{workload: {key}}}."
            self.problems.error("E-LABEL-KEY", f"the label key {key!r} is not declared.", spot.key(key).place, hint)
            return
        for value in values:
            if declaration.values and value not in declaration.values:
                self.problems.error(
                    "E-LABEL-VALUE",
                    f"{key} is never {value!r}: settings.labels lists its values.",
                    spot[key].place,
                    nearest(value, declaration.values) or f"Valid: {', '.join(declaration.values)}.",
                )


def _entries(
    written: Sequence[tuple[Mapping[Any, Any], Spot]], what: str, problems: Problems, broken: set[str]
) -> dict[str, tuple[list[Any], Spot]]:
    """All definitions by name; `broken` gets the names whose definition was no list."""
    code = "E-SERVICE" if what == "service" else "E-IP-LIST"
    entries: dict[str, tuple[list[Any], Spot]] = {}
    for mapping, spot in written:
        broken.update(name for name in spot.written_keys() if name not in mapping)
        for name, items in mapping.items():
            if not isinstance(name, str) or not _NAME.match(name):
                problems.error(code, f"{name!r} cannot name a {what}.", spot.key(name).place, f"Names match {NAME}")
            elif name in entries:
                problems.error(
                    f"{code}-TWICE",
                    f"{what} {name} is defined twice (first at {entries[name][1].place}).",
                    spot.key(name).place,
                    "Keep one of them; lists may name other lists.",
                )
            else:
                entries[name] = (items, spot[name])
    return entries


def _in_order(
    uses: dict[str, list[str]],
    entries: Mapping[str, tuple[list[Any], Spot]],
    what: str,
    problems: Problems,
    broken: set[str],
) -> list[str]:
    """Names so that each comes after those it uses; names of a circle are reported and left out."""
    while True:
        try:
            return list(TopologicalSorter(uses).static_order())
        except CycleError as error:
            circle: list[str] = error.args[1]
            problems.error(
                "E-SERVICE-CYCLE" if what == "service" else "E-IP-LIST-CYCLE",
                f"{what} definitions go round in a circle: {' -> '.join(reversed(circle))}.",
                entries[circle[0]][1].place,
                "One of them must list what it means itself.",
            )
            broken.update(circle)
            uses = {
                name: [item for item in items if item not in circle]
                for name, items in uses.items()
                if name not in circle
            }
