# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Groups of workloads by labels, from wide to single: what rules are tried with, in this order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from ...model.estate import Estate
from ...model.policy import Policy
from .learning import Learning
from .observed import Party
from .words import Isolation

#: (key, value) of every key of a level; None where the workloads lack it. A level without keys is single workloads.
Cell = tuple[tuple[str, str | None], ...]
ALONE = "\0workload"
_WIDE: Mapping[Isolation, tuple[tuple[str, ...], ...]] = {
    "environment": (("env",), ("app", "env"), ("app", "env", "role")),
    "application": (("app", "env"), ("app", "env", "role")),
    "role": (("app", "env", "role"),),
}
_USUAL = ("app", "env", "role")


@dataclass(frozen=True)
class Levels:
    """`keys` of each level, the last one is single workloads. `members` of every cell of every level."""

    keys: tuple[tuple[str, ...], ...]
    cells: tuple[Mapping[str, Cell], ...]
    members: tuple[Mapping[Cell, frozenset[str]], ...]

    @cached_property
    def everyone(self) -> Mapping[Cell, frozenset[str]]:
        """The members of every cell, whatever its level."""
        return {cell: names for level in self.members for cell, names in level.items()}

    @property
    def last(self) -> int:
        return len(self.keys) - 1


def levels_of(policy: Policy, estate: Estate, learning: Learning) -> Levels:
    usable = usable_keys(policy, estate, learning)
    wanted = [tuple(key for key in keys if key in usable) for keys in _WIDE[learning.isolation]]
    extras = [key for key in usable if key not in _USUAL]
    grown = list(wanted[-1])
    for key in extras:
        grown.append(key)
        wanted.append(tuple(sorted(grown)))
    keys = (*dict.fromkeys(level for level in wanted if level), (ALONE,))
    cells = tuple({name: _cell(name, level, estate) for name in sorted(estate.workloads)} for level in keys)
    return Levels(keys, cells, tuple(_turned(level) for level in cells))


def usable_keys(policy: Policy, estate: Estate, learning: Learning) -> tuple[str, ...]:
    """Declared keys that describe groups: no fact of theirs ends, and they do not name single workloads."""
    found = []
    for key in sorted(learning.labels or policy.settings.labels):
        facts = [workload.labels[key] for workload in estate.workloads.values() if key in workload.labels]
        if not facts or any(fact.expires is not None for fact in facts):
            continue
        values = {fact.value for fact in facts}
        if key in _USUAL or len(values) * 2 <= len(facts):
            found.append(key)
    return tuple(found)


def _cell(name: str, keys: tuple[str, ...], estate: Estate) -> Cell:
    if keys == (ALONE,):
        return ((ALONE, name),)
    labels = estate.workloads[name].labels
    return tuple((key, labels[key].value if key in labels else None) for key in keys)


def _turned(cells: Mapping[str, Cell]) -> dict[Cell, frozenset[str]]:
    found: dict[Cell, set[str]] = {}
    for name, cell in cells.items():
        found.setdefault(cell, set()).add(name)
    return {cell: frozenset(names) for cell, names in found.items()}


def finest_labels(policy: Policy, estate: Estate) -> Mapping[str, Cell]:
    """Application, environment and role of every workload, whatever rules are to be made of."""
    keys = tuple(key for key in _USUAL if key in policy.settings.labels)
    return {name: _cell(name, keys, estate) if keys else ((ALONE, name),) for name in estate.workloads}


def group_of(cells: Mapping[str, Cell], party: Party) -> object:
    """For counting: the group of a workload; all of the outside is one."""
    return cells.get(party, "outside") if isinstance(party, str) else "outside"


def in_order(cells: Iterable[Cell]) -> list[Cell]:
    """None sorts first; the order is the same on every machine."""
    return sorted(cells, key=lambda cell: [(key, value is not None, value or "") for key, value in cell])


__all__ = ["ALONE", "Cell", "Levels", "finest_labels", "group_of", "in_order", "levels_of", "usable_keys"]
