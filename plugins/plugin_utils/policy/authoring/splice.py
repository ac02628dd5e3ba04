# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Changes to a YAML text that leave every other character as it is: comments, order, quotes, line ends.

libyaml tells where each value begins and ends; a change is a replacement of a stretch of the text. Whoever applies
changes compares the data before and after: a text that would not say exactly what was meant is never written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from ...model.errors import Place, PolicyError

#: A rule in flow style that would be longer than this is written in several lines where nothing speaks against it.
LONGEST_LINE = 110
_BLOCK_SCALARS = ("|", ">")


@dataclass(frozen=True, slots=True)
class Change:
    """Replace `text[start:end]`. Positions count characters of the text before any change."""

    start: int
    end: int
    text: str


def applied(text: str, changes: Iterable[Change]) -> str:
    """Changes must not overlap; of two at one position the later one in the list comes first in the text."""
    for change in sorted(changes, key=lambda change: change.start, reverse=True):
        text = text[: change.start] + change.text + text[change.end :]
    return text


class Splicer:
    """Makes changes for one text. All methods raise PolicyError (E-EDIT) where the layout does not allow it."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.newline = "\r\n" if "\r\n" in text else "\n"

    # --- where things are ---------------------------------------------------------------------------------------------

    def line_start(self, position: int) -> int:
        return self.text.rfind("\n", 0, position) + 1

    def line_end(self, position: int) -> int:
        """Just behind the line break of the line that holds the position."""
        found = self.text.find("\n", position)
        return len(self.text) if found < 0 else found + 1

    def content_end(self, node: Node) -> int:
        """Just behind the last character of a value, without the comments that libyaml counts to a block."""
        if isinstance(node, ScalarNode):
            end: int = node.end_mark.index
            return len(self.text[:end].rstrip()) if node.style in _BLOCK_SCALARS else end
        if isinstance(node, CollectionNode) and node.flow_style:
            return int(node.end_mark.index)
        children = node.value if isinstance(node, SequenceNode) else [part for pair in node.value for part in pair]
        return max((self.content_end(child) for child in children), default=int(node.start_mark.index))

    def item_lines(self, items: SequenceNode, position: int) -> tuple[int, int]:
        """The whole lines of an item of a block sequence, with the comments that stand right above it."""
        column = items.start_mark.column
        node = items.value[position]
        if node.start_mark.index < items.start_mark.index:
            raise self._refused(node, "the item is an alias")
        start = self.line_start(node.start_mark.index)
        least = self.line_start(items.start_mark.index)
        while not re.match(rf" {{{column}}}-(?=\s)", self.text[start:]):
            if start <= least or self.text[start : start + column].strip():
                raise self._refused(node, "its list is written in a way that leaves no line of its own to it")
            start = self.line_start(start - 1)
        before = self.content_end(items.value[position - 1]) if position else 0
        while start > 0:
            above = self.line_start(start - 1)
            line = self.text[above:start]
            if above < before or not line.startswith(" " * column + "#"):
                break
            start = above
        return start, self.line_end(self.content_end(node))

    # --- changes ------------------------------------------------------------------------------------------------------

    def remove_items(self, key: Node, items: SequenceNode, positions: Iterable[int]) -> list[Change]:
        """Take items out of a list; a list that would be left without any becomes `[]`."""
        gone = sorted(set(positions))
        if items.flow_style:
            return [self._remove_from_line(items, gone)]
        changes = [Change(*self.item_lines(items, position), "") for position in gone]
        if len(gone) == len(items.value):
            colon = self.text.index(":", key.end_mark.index) + 1
            changes.append(Change(colon, colon, " []"))
        return changes

    def _remove_from_line(self, items: SequenceNode, gone: list[int]) -> Change:
        kept = [node for position, node in enumerate(items.value) if position not in gone]
        if not kept:
            return Change(items.start_mark.index, items.end_mark.index, "[]")
        first, last = items.start_mark.index + 1, items.end_mark.index - 1
        gaps = [self.content_end(node) for node in items.value[:-1]]
        starts = [node.start_mark.index for node in items.value[1:]]
        if any("#" in self.text[end:start] for end, start in zip(gaps, starts, strict=True)):
            raise self._refused(items, "comments stand between its items")
        lead = self.text[first : items.value[0].start_mark.index]
        tail = self.text[self.content_end(items.value[-1]) : last]
        between = self.text[gaps[0] : starts[0]] if gaps else ", "
        body = between.join(self.text[node.start_mark.index : self.content_end(node)] for node in kept)
        return Change(first, last, lead + body + tail)

    def append_item(self, parent: MappingNode, key: Node, items: Node, value: Mapping[str, Any]) -> Change:
        """Add a mapping to a list, in the style of the items that are there."""
        if not isinstance(items, SequenceNode):
            if isinstance(items, ScalarNode) and items.value == "":
                items = SequenceNode(items.tag, [], items.start_mark, items.end_mark, flow_style=True)
            else:
                raise self._refused(items, "a list is expected here")
        if items.start_mark.index < key.start_mark.index:
            raise self._refused(key, "the list is an alias")
        if not items.flow_style:
            last = items.value[-1]
            column = items.start_mark.column
            flow = bool(isinstance(last, CollectionNode) and last.flow_style)
            return self._insert_line(self.content_end(last), self.item(value, column, flow))
        if items.value:
            last = items.value[-1]
            own_line = not self.text[self.line_start(last.start_mark.index) : last.start_mark.index].strip()
            gap = f",{self.newline}{' ' * last.start_mark.column}" if own_line and len(items.value) > 1 else ", "
            end = self.content_end(last)
            return Change(end, end, gap + flow_text(value))
        if parent.flow_style:
            return Change(items.start_mark.index, items.end_mark.index, f"[{flow_text(value)}]")
        column = parent.start_mark.column + self._step(parent, key)
        end = self.line_end(items.end_mark.index)
        start = len(self.text[: items.start_mark.index].rstrip(" "))
        rest = self.text[items.end_mark.index : end]
        line = self.item(value, column, flow=len(flow_text(value)) + column + 2 <= LONGEST_LINE)
        return Change(start, end, (rest if rest.endswith("\n") else rest + self.newline) + line)

    def append_key(self, mapping: MappingNode, key: str, value: Mapping[str, Any]) -> Change:
        """Add `key: [value]` at the end of a mapping that does not have the key."""
        end = self.content_end(mapping)
        if mapping.flow_style:
            comma = "" if not mapping.value else ", "
            last = self.content_end(mapping.value[-1][1]) if mapping.value else end - 1
            return Change(last, last, f"{comma}{key}: [{flow_text(value)}]")
        column = mapping.start_mark.column
        inner = column + self._step(mapping, None)
        text = f"{' ' * column}{key}:{self.newline}{self.item(value, inner, flow=False)}"
        return self._insert_line(end, text)

    def _insert_line(self, position: int, line: str) -> Change:
        end = self.line_end(position)
        broken = end > 0 and self.text[end - 1 : end] == "\n"
        return Change(end, end, line if broken else self.newline + line)

    def _step(self, mapping: MappingNode, key: Node | None) -> int:
        """How far this file indents the items of a list below its key."""
        for other, value in mapping.value:
            if other is not key and isinstance(value, SequenceNode) and value.value and not value.flow_style:
                return int(value.start_mark.column - other.start_mark.column)
        found = re.search(
            r"^( *)[^\s#-][^\n]*:[ \t]*(?:#[^\n]*)?\n(?:[ \t]*(?:#[^\n]*)?\n)*( *)- ", self.text, re.MULTILINE
        )
        return max(0, len(found[2]) - len(found[1])) if found else 2

    def item(self, value: Mapping[str, Any], column: int, flow: bool) -> str:
        """Lines of one item, with its dash at a column."""
        if flow:
            return f"{' ' * column}- {flow_text(value)}{self.newline}"
        lines = _dumped(value, None).rstrip("\n").split("\n")
        head = " " * column
        return "".join(
            f"{head}{'- ' if number == 0 else '  '}{line}{self.newline}" for number, line in enumerate(lines)
        )

    def moved_item(self, items: SequenceNode, position: int, column: int) -> str:
        """The lines of an item, comments included, as they look with the dash at another column."""
        start, end = self.item_lines(items, position)
        old = items.start_mark.column
        text = self.text[start:end]
        if not text.endswith("\n"):
            text += self.newline
        lines = text.splitlines(keepends=True)
        if any(line[:old].strip() for line in lines):
            raise self._refused(items.value[position], "its lines are indented less than its list")
        return "".join(line if not line.strip() else " " * column + line[old:] for line in lines)

    def insert_lines(self, items: SequenceNode, lines: str) -> Change:
        """Lines behind the last item of a block sequence that is not empty."""
        return self._insert_line(self.content_end(items.value[-1]), lines)

    def _refused(self, node: Node, why: str) -> PolicyError:
        return PolicyError(
            "E-EDIT",
            f"this cannot be edited in place: {why}.",
            Place(self.file, node.start_mark.line + 1),
            "Edit the file by hand.",
        )


def flow_text(value: Mapping[str, Any]) -> str:
    """A mapping in one line.

    >>> flow_text({"id": "web-to-db", "from": {"role": "web"}, "expires": "2027-06-30"})
    "{id: web-to-db, from: {role: web}, expires: '2027-06-30'}"
    """
    return _dumped(value, True).strip()


def block_text(value: Mapping[str, Any]) -> str:
    """A mapping in lines of its own, the innermost lists and mappings in one line each."""
    return _dumped(value, None)


class _Dumper(yaml.SafeDumper):
    """Indents lists below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - words of PyYAML
        super().increase_indent(flow, False)


def _dumped(value: Mapping[str, Any], flow: bool | None) -> str:
    return str(
        yaml.dump(
            dict(value), Dumper=_Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=10**6
        )
    )


__all__ = ["Change", "Splicer", "applied", "block_text", "flow_text"]
