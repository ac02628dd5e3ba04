# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Work done once per class of enforcement points instead of once per point.

Thousands of points carry few hundred distinct policies. Forms of points that differ only in their own addresses share
their cells, and what was compared once is not compared again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from .addresses import Family
from .bundle import Bundle
from .compare import Box, Difference, difference
from .estate import DIRECTIONS
from .forms import Cell, Form, Slice, Unsure, of_artifact
from .intervals import Intervals, subtraction

_ANYWHERE: Intervals = ((0, 0),)


def beyond_itself(difference: Difference, own: Mapping[Family, Intervals]) -> Difference:
    """Without what a workload says to itself: that never leaves it, and the failsafe allows it (DESIGN §3.6)."""

    def trimmed(boxes: tuple[Box, ...]) -> tuple[Box, ...]:
        parts = ((box, subtraction(box.peers, own.get(box.family, ()))) for box in boxes)
        return tuple(box if peers == box.peers else replace(box, peers=peers) for box, peers in parts if peers)

    return Difference(trimmed(difference.wider), trimmed(difference.narrower), trimmed(difference.unknown))


class BundleForms:
    """The desired form of every point of a bundle at one moment; `unsure` as in `of_artifact`."""

    def __init__(self, bundle: Bundle, at: datetime, unsure: Unsure = lambda _rule: False) -> None:
        self._bundle = bundle
        self._unsure = unsure
        self._at = at
        self._by_policy: dict[str, Form | None] = {}

    def __getitem__(self, point: str) -> Form:
        """Raises KeyError for a point the bundle does not have."""
        entry = self._bundle.points[point]
        if entry.policy not in self._by_policy:
            rules = [rule for policy in self._bundle.policies[entry.policy] for rule in policy.rules]
            alike = all(rule.own is None for rule in rules)
            artifact = self._bundle.artifact(point)
            self._by_policy[entry.policy] = (
                of_artifact(artifact, self._at, {4: _ANYWHERE, 6: _ANYWHERE}, self._unsure) if alike else None
            )
        shared = self._by_policy[entry.policy]
        if shared is None:
            return of_artifact(self._bundle.artifact(point), self._at, unsure=self._unsure)
        return Form(
            {
                (direction, family): (Slice(entry.own[family], parts[0].cells),) if entry.own.get(family) else ()
                for (direction, family), parts in shared.slices.items()
            }
        )


class FormsInTime:
    """The desired form of every point of a bundle at any moment."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._at: dict[datetime, BundleForms] = {}

    def at(self, point: str, moment: datetime) -> Form:
        """Raises KeyError for a point the bundle does not have."""
        if moment not in self._at:
            self._at[moment] = BundleForms(self._bundle, moment)
        return self._at[moment][point]


class Comparer:
    """Shares equal cells between forms, and differences between forms that differ only in their own addresses."""

    def __init__(self) -> None:
        self._cells: dict[tuple[Cell, ...], tuple[Cell, ...]] = {}
        self._known: dict[tuple[object, ...], Difference] = {}

    def shared(self, form: Form) -> Form:
        """The same form, made of cells that are the same object wherever they are equal."""
        slices = {
            key: tuple(Slice(part.own, self._cells.setdefault(part.cells, part.cells)) for part in parts)
            for key, parts in form.slices.items()
        }
        return Form(slices, form.reasons)

    def difference(self, first: Form, second: Form) -> Difference:
        """As `compare.difference`; both forms must come from `shared`."""
        own = self._same_own(first, second)
        if own is None:
            return difference(first, second)
        key = tuple(
            tuple(id(part.cells) for part in form.slices.get((direction, family), ()))
            for form in (first, second)
            for direction in DIRECTIONS
            for family in own
        )
        if key not in self._known:
            self._known[key] = difference(first, second)
        found = self._known[key]

        def here(boxes: tuple[Box, ...]) -> tuple[Box, ...]:
            return tuple(replace(box, own=own[box.family]) for box in boxes)

        return Difference(here(found.wider), here(found.narrower), here(found.unknown))

    @staticmethod
    def _same_own(first: Form, second: Form) -> dict[Family, Intervals] | None:
        """The local addresses per family where both forms say the same about all of them, else None."""
        result: dict[Family, Intervals] = {}
        for form in (first, second):
            for (_direction, family), parts in form.slices.items():
                if len(parts) > 1:
                    return None
                own = parts[0].own if parts else ()
                if result.setdefault(family, own) != own:
                    return None
        return result


__all__ = ["BundleForms", "Comparer", "FormsInTime", "beyond_itself"]
