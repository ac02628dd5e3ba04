# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The files of a policy as texts, and where their scopes, rulesets and rules are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml.nodes import MappingNode, Node

from ...model.errors import Place, PolicyError
from ..documents import loads, nodes
from ..documents.files import read_directory
from ..documents.nodes import Spot
from ..documents.problems import Problems, nearest


@dataclass(frozen=True, slots=True)
class WrittenRuleset:
    """`data` and `spot` are those of the ruleset; `document` is the position of the scope's document in its file."""

    file: str
    scope: str
    name: str
    document: int
    position: int
    data: Mapping[str, Any]
    spot: Spot

    @property
    def rules(self) -> list[Mapping[str, Any]]:
        return list(self.data.get("rules") or [])


@dataclass(frozen=True, slots=True)
class WrittenScope:
    file: str
    name: str
    document: int
    data: Mapping[str, Any]
    spot: Spot

    @property
    def rulesets(self) -> list[WrittenRuleset]:
        return [
            WrittenRuleset(self.file, self.name, item["name"], self.document, position, item, spot)
            for position, (item, spot) in enumerate(
                zip(self.data.get("rulesets") or [], self.spot["rulesets"], strict=False)
            )
        ]


@dataclass(frozen=True)
class PolicyFiles:
    """Texts by path below the directory, as they are on disk (without a byte order mark)."""

    texts: Mapping[str, str]

    def documents(self, file: str) -> list[tuple[Any, Spot]]:
        return documents_of(self.texts[file], file)

    def scopes(self) -> Iterator[WrittenScope]:
        for file in self.texts:
            for position, (data, spot) in enumerate(self.documents(file)):
                if isinstance(data, dict) and "scope" in data:
                    yield WrittenScope(file, data["scope"], position, data, spot)

    def scope(self, name: str) -> WrittenScope:
        """Raises PolicyError (E-SCOPE)."""
        known = {scope.name: scope for scope in self.scopes()}
        if name not in known:
            hint = nearest(name, known) or "Write a document with scope: and match: first."
            raise PolicyError("E-SCOPE", f"there is no scope {name!r}.", hint=hint)
        return known[name]

    def only_scope(self) -> WrittenScope:
        """Raises PolicyError (E-SCOPE) where there are several."""
        found = list(self.scopes())
        if len(found) != 1:
            names = ", ".join(scope.name for scope in found) or "none"
            raise PolicyError(
                "E-SCOPE", f"the policy has {len(found)} scopes ({names}).", hint="Name one with --scope."
            )
        return found[0]

    def ruleset(self, scope: WrittenScope, name: str) -> WrittenRuleset | None:
        return next((ruleset for ruleset in scope.rulesets if ruleset.name == name), None)

    def rules_named(self, rule: str, scope: str = "") -> list[tuple[WrittenRuleset, int]]:
        """Where rules of this id stand; ids are unique in a scope, not beyond it."""
        return [
            (ruleset, position)
            for written in self.scopes()
            if scope in ("", written.name)
            for ruleset in written.rulesets
            for position, data in enumerate(ruleset.rules)
            if data.get("id") == rule
        ]

    def one_rule(self, rule: str, scope: str = "") -> tuple[WrittenRuleset, int]:
        """Raises PolicyError (E-RULE)."""
        found = self.rules_named(rule, scope)
        if len(found) == 1:
            return found[0]
        if found:
            homes = ", ".join(ruleset.scope for ruleset, _position in found)
            raise PolicyError("E-RULE", f"rule {rule} stands in the scopes {homes}.", hint="Name one with --scope.")
        known = [data["id"] for one in self.scopes() for ruleset in one.rulesets for data in ruleset.rules]
        where = f" in scope {scope}" if scope else ""
        raise PolicyError("E-RULE", f"there is no rule {rule!r}{where}.", hint=nearest(rule, known, listed=False))


def read_files(directory: Path) -> PolicyFiles:
    """Every file of a policy directory. Raises PolicyError or Rejected for what cannot be read.

    What is wrong in a rule may be repaired by taking the rule out; scopes, rulesets and rules without a name may not.
    """
    problems = Problems()
    texts = dict(read_directory(directory, problems))
    problems.give_up()
    files = PolicyFiles(texts)
    if not all(_named(data) for file in texts for data, _spot in files.documents(file)):
        loads(texts)
    return files


def _named(document: Any) -> bool:
    """Can rules be found in it by name?"""
    if not isinstance(document, dict) or "scope" not in document:
        return True
    rulesets = document.get("rulesets") or []
    if not isinstance(document["scope"], str) or not isinstance(rulesets, list):
        return False
    for ruleset in rulesets:
        if not isinstance(ruleset, dict) or not isinstance(ruleset.get("name"), str):
            return False
        rules = ruleset.get("rules") or []
        if not isinstance(rules, list):
            return False
        if not all(isinstance(rule, dict) and isinstance(rule.get("id"), str) for rule in rules):
            return False
    return True


def documents_of(text: str, file: str) -> list[tuple[Any, Spot]]:
    """Raises Rejected (E-YAML)."""
    problems = Problems()
    found = list(nodes.documents(text, file, problems))
    problems.give_up()
    return found


def entry(spot: Spot, key: str) -> tuple[MappingNode, Node, Node] | None:
    """The mapping, the key and the value as they are written; None where the mapping lacks the key."""
    node = spot.node
    if isinstance(node, MappingNode):
        for key_node, value_node in node.value:
            if key_node.value == key:
                return node, key_node, value_node
    return None


def place(ruleset: WrittenRuleset, position: int) -> Place:
    return ruleset.spot["rules"][position].place


__all__ = ["PolicyFiles", "WrittenRuleset", "WrittenScope", "documents_of", "entry", "place", "read_files"]
