# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""YAML text to plain data, with the line of every value at hand.

libyaml composes nodes; from them we build plain data and keep the nodes for their lines. Of YAML 1.1 we leave out what
surprises people: dates, octal and base-60 numbers stay the text that was written, and merge keys are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ...model.errors import Place, PolicyError
from .problems import Problems

#: How many nodes aliases may add to those that were written.
MOST_ALIASED = 250_000

_TAG = "tag:yaml.org,2002:"
_STR = f"{_TAG}str"
_TRUE = frozenset({"yes", "true", "on"})
_FALSE = frozenset({"no", "false", "off"})
_BUILDING = object()


class _Loader(yaml.CSafeLoader):
    pass


_Loader.yaml_implicit_resolvers = {}
_BOOL = "yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF"
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(rf"^(?:{_BOOL})$"), list("yYnNtTfFoO"))
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(r"^-?(?:0|[1-9][0-9]*)$"), list("-0123456789"))
_Loader.add_implicit_resolver(f"{_TAG}float", re.compile(r"^-?[0-9]+\.[0-9]+$"), list("-0123456789"))
_Loader.add_implicit_resolver(f"{_TAG}null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])


class Spot:
    """A value's place in its document: `spot["rules"][3]` is the place of that value.

    What is not written (a default) is taken to be where its parent is.
    """

    __slots__ = ("__dict__", "file", "node")

    def __init__(self, file: str, node: Node) -> None:
        self.file = file
        self.node = node

    @property
    def place(self) -> Place:
        return Place(self.file, self.node.start_mark.line + 1)

    @property
    def written(self) -> str:
        """The text of a scalar as it stands in the file; other values by their kind."""
        if isinstance(self.node, ScalarNode):
            return str(self.node.value)
        return "a list" if isinstance(self.node, SequenceNode) else "a mapping"

    @cached_property
    def _index(self) -> dict[str, tuple[Node, Node]]:
        if not isinstance(self.node, MappingNode):
            return {}
        return {str(key.value): (key, value) for key, value in reversed(self.node.value)}  # of twice the first counts

    def written_keys(self) -> tuple[str, ...]:
        """The keys of a mapping as they are written."""
        return tuple(reversed(self._index))

    def odd_key(self) -> Spot:
        """The first key that YAML does not read as text."""
        return next((Spot(self.file, key) for key, _value in self.node.value if key.tag != _STR), self)

    def has(self, key: str) -> bool:
        return key in self._index

    def __getitem__(self, key: Any) -> Spot:
        node = self.node
        if isinstance(node, MappingNode):
            found = self._index.get(str(key))
            return Spot(self.file, found[1]) if found else self
        if isinstance(node, SequenceNode) and isinstance(key, int) and key < len(node.value):
            return Spot(self.file, node.value[key])
        return self

    def __iter__(self) -> Iterator[Spot]:
        return (Spot(self.file, node) for node in self.node.value)

    def key(self, key: Any) -> Spot:
        """The place of a key instead of its value."""
        found = self._index.get(str(key))
        return Spot(self.file, found[0]) if found else self


#: Far more than any document needs, and far less than Python's own limit, which differs between versions.
MOST_LEVELS = 50


def nowhere() -> Spot:
    """The place of what no document says."""
    start = yaml.Mark("", 0, 0, 0, None, 0)
    return Spot("", MappingNode(f"{_TAG}map", [], start, start))


def documents(text: str, file: str, problems: Problems) -> Iterator[tuple[Any, Spot]]:
    """Plain data and spot of every YAML document in a text that is not empty; a broken text ends early (E-YAML)."""
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            builder = _Builder(file, problems)
            with problems.collecting():
                data = builder.build(node)
                if builder.aliased:
                    builder.refuse_bombs(node)
                if data is not None:
                    yield data, Spot(file, node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = " ".join(
            str(part) for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part
        )
        problems.error(
            "E-YAML",
            f"this is not YAML: {what or error}.",
            Place(file, mark.line + 1 if mark else 0),
            "The rest of the file was not read.",
        )
    except RecursionError:
        problems.error(
            "E-YAML", "values are nested too deeply.", Place(file), "No document needs more than a few levels."
        )


class _Builder:
    """Builds one document. Aliased collections become one shared object, so data and nodes stay one to one."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.file = file
        self.problems = problems
        self.built: dict[int, Any] = {}
        self.aliased = False
        self.depth = 0

    def build(self, node: Node) -> Any:
        if isinstance(node, ScalarNode):
            return node.value if node.tag == _STR else self._scalar(node)
        if self.depth == MOST_LEVELS:
            raise self._bad(node, "values are nested too deeply", "No document needs more than a few levels.")
        self.depth += 1
        data = self._collection(node)
        self.depth -= 1
        return data

    def _collection(self, node: Node) -> Any:
        known = self.built.get(id(node))
        if known is not None:
            if known is _BUILDING:
                raise self._bad(node, "an alias stands inside its own anchor")
            self.aliased = True
            return known
        self.built[id(node)] = _BUILDING
        data: Any
        if isinstance(node, SequenceNode):
            if node.tag != f"{_TAG}seq":
                raise self._tag(node)
            data = [item.value if item.tag == _STR else self.build(item) for item in node.value]
        else:
            data = self._mapping(node)
        self.built[id(node)] = data
        return data

    def _mapping(self, node: Node) -> dict[Any, Any]:
        if node.tag != f"{_TAG}map":
            raise self._tag(node)
        data: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                raise self._bad(key_node, "a key is a list or a mapping", "Keys are words.")
            if key_node.value == "<<" and not key_node.style:
                raise self._bad(
                    key_node, "merge keys (<<) are not supported", "Repeat the keys, or alias a whole value: to: *name."
                )
            key = key_node.value if key_node.tag == _STR else self._scalar(key_node)
            if key in data:
                first = next(item for item, _value in node.value if item.value == key_node.value)
                self.problems.error(
                    "E-DUPLICATE-KEY",
                    f"{key_node.value!r} stands twice in one mapping (first in line {first.start_mark.line + 1}).",
                    Spot(self.file, key_node).place,
                    "YAML would silently keep only one of them; remove one, or write a list.",
                )
                continue
            data[key] = value_node.value if value_node.tag == _STR else self.build(value_node)
        return data

    def _scalar(self, node: Node) -> Any:
        text: str = node.value
        try:
            if node.tag == _STR:
                return text
            if node.tag == f"{_TAG}int":
                return int(text)
            if node.tag == f"{_TAG}float":
                return float(text)
        except ValueError:
            raise self._bad(node, f"{text[:40]!r} cannot be read as a number", "Put quotes around it.") from None
        if node.tag == f"{_TAG}bool" and text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        if node.tag == f"{_TAG}null":
            return None
        raise self._tag(node)

    def refuse_bombs(self, root: Node) -> None:
        """Aliases may not blow a small text up into a huge policy."""
        sizes: dict[int, int] = {}

        def size(node: Node) -> int:
            if isinstance(node, ScalarNode):
                return 1
            known = sizes.get(id(node))
            if known is None:
                children = node.value if isinstance(node, SequenceNode) else (value for _key, value in node.value)
                known = sizes[id(node)] = 1 + sum(size(child) for child in children)
            return known

        whole = size(root)
        if whole > MOST_ALIASED + sum(1 + len(node) for node in self.built.values()):
            raise self._bad(root, f"aliases blow this document up to {whole} values", "Write out what they stand for.")

    def _tag(self, node: Node) -> PolicyError:
        return self._bad(node, f"the tag {node.tag.replace(_TAG, '!!')} has no meaning here", "Write plain text.")

    def _bad(self, node: Node, what: str, hint: str = "") -> PolicyError:
        return PolicyError("E-YAML", f"{what}.", Spot(self.file, node).place, hint)
