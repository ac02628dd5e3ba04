# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Delta: exactly what one edit changes, with policy and membership apart.

A wide rule concerns thousands of enforcement points, so a delta keeps what is needed to name them and names them when
somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Literal

from ..model.addresses import Family, show
from ..model.artifact import ArtifactRule
from ..model.errors import Finding
from ..model.estate import DIRECTIONS, Direction, Mode
from .classes import positions_of


class ByClass:
    """The points of every class. A change gives another one and costs little, so that a delta can keep the old one."""

    _SIZE = 128

    def __init__(self, points: Sequence[tuple[str, ...]] = ()) -> None:
        self._chunks = [list(points[low : low + self._SIZE]) for low in range(0, len(points), self._SIZE)]

    def __getitem__(self, position: int) -> tuple[str, ...]:
        chunk, index = divmod(position, self._SIZE)
        if chunk >= len(self._chunks) or index >= len(self._chunks[chunk]):
            return ()
        return self._chunks[chunk][index]

    def replaced(self, position: int, points: tuple[str, ...]) -> ByClass:
        chunk, index = divmod(position, self._SIZE)
        other = ByClass()
        other._chunks = list(self._chunks)
        other._chunks.extend([] for _ in range(chunk + 1 - len(other._chunks)))
        changed = list(other._chunks[chunk])
        changed.extend(() for _ in range(index + 1 - len(changed)))
        changed[index] = points
        other._chunks[chunk] = changed
        return other


@dataclass(frozen=True)
class PointsOf:
    """The enforcement points of some classes, as they were at one moment."""

    bits: int
    by_class: ByClass

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self.by_class[position] for position in positions_of(self.bits))


@dataclass(frozen=True)
class PolicyChange:
    """Points that lose and get these rules in one direction; the other rules stay. `modes`: before and after.

    Rules of a point are in blame order, which is total: the list after is the list before without the `removed` and
    with the `added`.
    """

    direction: Direction
    points: PointsOf | tuple[str, ...]
    removed: tuple[ArtifactRule, ...]
    added: tuple[ArtifactRule, ...]
    modes: tuple[Mode, Mode] | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "direction": self.direction,
            "points": sorted(self.points),
            "removed": [rule.to_dict() for rule in self.removed],
            "added": [rule.to_dict() for rule in self.added],
            "modes": None if self.modes is None else {"before": self.modes[0], "after": self.modes[1]},
        }


@dataclass(frozen=True, slots=True)
class SetChange:
    """A peer set that appeared or vanished with all its addresses, gained and lost some, or is said in other words."""

    id: str
    meaning: str
    kind: Literal["appeared", "vanished", "changed", "renamed"]
    gained: tuple[tuple[Family, int], ...] = ()
    lost: tuple[tuple[Family, int], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "meaning": self.meaning,
            "kind": self.kind,
            "gained": _shown(self.gained),
            "lost": _shown(self.lost),
        }


@dataclass(frozen=True)
class Delta:
    """`policies`: points that were there before and after, and what changes in their rules.

    `readdressed`: points whose own addresses, zone or platform changed. `rebuilt`: the edit changed which labels tell
    workloads apart, so everything was compiled again. `findings`: what the scope of an edited rule does not let it say.
    """

    policies: tuple[PolicyChange, ...] = ()
    sets: tuple[SetChange, ...] = ()
    points_added: tuple[str, ...] = ()
    points_removed: tuple[str, ...] = ()
    readdressed: tuple[str, ...] = ()
    naming: tuple[tuple[Direction, PointsOf], ...] = ()
    rebuilt: bool = False
    findings: tuple[Finding, ...] = ()

    @cached_property
    def policy_points(self) -> frozenset[str]:
        """Points whose policy changes."""
        return frozenset(chain.from_iterable(change.points for change in self.policies))

    @cached_property
    def membership_points(self) -> frozenset[str]:
        """Points whose policy stays, and which name a set that gained or lost addresses."""
        naming = chain.from_iterable(points for _direction, points in self.naming)
        return frozenset(naming) - self.policy_points - frozenset(self.points_added)

    def __bool__(self) -> bool:
        return bool(self.policies or self.sets or self.points_added or self.points_removed or self.readdressed)

    def to_dict(self) -> dict[str, Any]:
        return {
            "policies": [change.to_dict() for change in self.policies],
            "sets": [change.to_dict() for change in self.sets],
            "points_added": list(self.points_added),
            "points_removed": list(self.points_removed),
            "readdressed": list(self.readdressed),
            "policy_points": sorted(self.policy_points),
            "membership_points": sorted(self.membership_points),
            "rebuilt": self.rebuilt,
            "findings": [finding.to_dict() for finding in self.findings],
        }


#: A copy of a rule in one direction, with the classes it binds.
Bound = tuple[ArtifactRule, Direction, int]


def changes_between(
    before: Sequence[Bound],
    after: Sequence[Bound],
    points_of: Mapping[Direction, ByClass],
    counting: Mapping[Direction, int],
) -> Iterator[PolicyChange]:
    """What a change of copies means for the classes that count (a bitset per direction), grouped by equal change."""
    for direction in DIRECTIONS:
        known: dict[ArtifactRule, list[int]] = {}
        for index, copies in enumerate((before, after)):
            for rule, side, bits in copies:
                if side == direction:
                    known.setdefault(rule, [0, 0])[index] |= bits
        parts: list[tuple[int, list[ArtifactRule], list[ArtifactRule]]] = []
        for rule, (old, new) in known.items():
            for number, mask in ((0, old & ~new & counting[direction]), (1, new & ~old & counting[direction])):
                if mask:
                    parts = _refined(parts, mask, rule, number)
        for bits, removed, added in parts:
            yield PolicyChange(direction, PointsOf(bits, points_of[direction]), tuple(removed), tuple(added))


def _refined(
    parts: list[tuple[int, list[ArtifactRule], list[ArtifactRule]]], mask: int, rule: ArtifactRule, number: int
) -> list[tuple[int, list[ArtifactRule], list[ArtifactRule]]]:
    result = []
    for bits, removed, added in parts:
        inside, outside = bits & mask, bits & ~mask
        if outside:
            result.append((outside, removed, added))
        if inside:
            lists = (removed, added) if not outside else (list(removed), list(added))
            lists[number].append(rule)
            result.append((inside, *lists))
        mask &= ~bits
    if mask:
        lists = ([], [])
        lists[number].append(rule)
        result.append((mask, *lists))
    return result


def _shown(numbers: Sequence[tuple[Family, int]]) -> list[str]:
    return [show(family, number) for family, number in sorted(numbers)]


__all__ = ["Bound", "ByClass", "Delta", "PointsOf", "PolicyChange", "SetChange", "changes_between"]
