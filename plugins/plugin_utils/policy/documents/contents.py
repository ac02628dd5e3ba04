# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the files of a policy directory are about, file by file, without reading what it means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...model.policy import DOCUMENT_KINDS
from . import nodes
from .files import read_directory
from .problems import Problems


@dataclass(frozen=True, slots=True)
class Contents:
    """`scopes` by name; `kinds` are the shared documents (settings, guardrails …) that the file holds."""

    file: str
    scopes: tuple[str, ...]
    kinds: tuple[str, ...]


def contents(directory: Path) -> tuple[Contents, ...]:
    """Every policy file, by path below the directory. Raises Rejected and PolicyError as `load` does."""
    problems = Problems()
    found = []
    for file, text in read_directory(directory, problems):
        scopes: dict[str, None] = {}
        kinds: set[str] = set()
        for data, _spot in nodes.documents(text, file, problems):
            if isinstance(data, dict) and "scope" in data:
                scopes[str(data["scope"])] = None
            elif isinstance(data, dict):
                kinds |= data.keys() & set(DOCUMENT_KINDS)
        found.append(Contents(file, tuple(scopes), tuple(kind for kind in DOCUMENT_KINDS if kind in kinds)))
    problems.give_up()
    return tuple(found)
