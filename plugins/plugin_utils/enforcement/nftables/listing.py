# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A `nft -j list ...` document as tables, chains and rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .capabilities import FAMILY, TABLE


@dataclass(frozen=True, slots=True)
class LiveRule:
    family: str
    table: str
    chain: str
    handle: int | None
    expressions: tuple[Any, ...]
    comment: str


@dataclass(slots=True)
class LiveChain:
    family: str
    table: str
    name: str
    hook: str = ""
    type: str = ""
    priority: int = 0
    policy: str = "accept"
    rules: list[LiveRule] = field(default_factory=list)

    @property
    def ours(self) -> bool:
        return (self.family, self.table) == (FAMILY, TABLE)


@dataclass(slots=True)
class LiveTable:
    """`sets` holds sets and maps as listed, but for those that packets fill.

    `flags` is anything but empty only for odd tables (dormant, owned).
    """

    family: str
    name: str
    flags: Any = None
    sets: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    chains: dict[str, LiveChain] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        return (self.family, self.name) == (FAMILY, TABLE)


def tables(document: Mapping[str, Any] | None) -> list[LiveTable]:
    """Every table of a listing, ours included. Objects of kinds we do not need are left out."""
    found: dict[tuple[str, str], LiveTable] = {}

    def home(body: Mapping[str, Any], name: str) -> LiveTable:
        key = (str(body.get("family", "")), str(body.get(name, "")))
        return found.setdefault(key, LiveTable(*key))

    for kind, body in _objects(document):
        if kind == "table":
            home(body, "name").flags = body.get("flags")
        elif kind in ("set", "map"):
            home(body, "table").sets[str(body["name"])] = body
        elif kind == "chain":
            table = home(body, "table")
            name = str(body["name"])
            table.chains[name] = LiveChain(
                table.family,
                table.name,
                name,
                str(body.get("hook", "")),
                str(body.get("type", "")),
                int(body.get("prio", 0)),
                str(body.get("policy", "accept")),
            )
        elif kind == "rule":
            table = home(body, "table")
            chain = table.chains.setdefault(str(body["chain"]), LiveChain(table.family, table.name, str(body["chain"])))
            chain.rules.append(
                LiveRule(
                    table.family,
                    table.name,
                    chain.name,
                    body.get("handle"),
                    tuple(body.get("expr", ())),
                    str(body.get("comment", "")),
                )
            )
    for table in found.values():
        for name in set(_filled_by_packets(table)):
            table.sets.pop(name, None)
    return list(found.values())


def _filled_by_packets(table: LiveTable) -> Iterator[str]:
    """Sets whose elements are of this moment: the next packet may add itself. With or without the flag `dynamic`."""
    for name, body in table.sets.items():
        if "dynamic" in body.get("flags", ()):
            yield name
    for chain in table.chains.values():
        for rule in chain.rules:
            for expression in rule.expressions:
                for kind in ("set", "map"):
                    filled = expression.get(kind) if isinstance(expression, Mapping) else None
                    if isinstance(filled, Mapping):
                        yield str(filled.get(kind, "")).removeprefix("@")


def _objects(document: Mapping[str, Any] | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for item in (document or {}).get("nftables", ()):
        for kind, body in item.items():
            if isinstance(body, Mapping) and kind != "metainfo":
                yield kind, body
