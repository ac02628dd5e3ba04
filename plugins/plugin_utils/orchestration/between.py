# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""States between two policies at every moment of a rollout, not only at the one it was planned at.

A rollout may pause while a window opens or a rule ends, and the rules on the way must be right on both sides of that
moment. So times with equal conditions, old and new, become one piece: its form is worked out once and holds in its
windows. For `PAUSE` the pieces are exact. After it only what all pieces of a year have in common is open, and after
that year the failsafe alone: narrower than meant for who forgets a rollout that long, and never wider.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from ..model.artifact import Artifact
from ..model.calendar import HORIZON, Timed, combinations
from ..model.forms import Form
from ..model.interim import Piece, artifact_of_form, artifact_of_forms
from ..model.schedule import TimeWindow
from ..model.windows import Windows

#: How long a rollout may pause with every moment exact.
PAUSE = timedelta(days=92)
#: Clocks of hosts are not the one a plan is made by.
_EARLY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
#: Later than any rollout; kernels count nanoseconds until 2262.
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Times at which the same conditions hold. `moment` stands for all of them; `windows` are those within `PAUSE`."""

    moment: datetime
    windows: Windows


@dataclass(frozen=True, slots=True)
class Stretches:
    """`parts` cover the time until `until`, their windows that until `exact`; a single part without either where
    nothing depends on the time.
    """

    parts: tuple[Stretch, ...]
    exact: datetime | None = None
    until: datetime | None = None

    def outside(self, moments: Collection[datetime]) -> Windows | None:
        """All the time of the parts with these moments, and whatever comes after the windows; None is always."""
        chosen = [part for part in self.parts if part.moment in moments]
        if self.exact is None or len(chosen) == len(self.parts):
            return None
        spans = sorted(span for part in chosen for span in part.windows.spans)
        return Windows(tuple(_merged([*spans, (self.exact, _LATEST)])))

    def artifact(self, form_at: Callable[[datetime], Form], template: Artifact, tag: str) -> Artifact:
        """What `form_at` says, as rules: exactly that in the windows, and never wider out of them."""
        if self.until is None:
            return artifact_of_form(form_at(self.parts[0].moment), template, tag)
        pieces = [Piece(form_at(part.moment), part.windows) for part in self.parts]
        return artifact_of_forms(pieces, self.until, template, tag)


def stretches(conditions: Iterable[Timed], at: datetime) -> Stretches:
    """Of everything that may change between old and new."""
    return _stretches(tuple(dict.fromkeys(condition for condition in conditions if condition.timed)), at)


@lru_cache(maxsize=1024)
def _stretches(timed: tuple[Timed, ...], at: datetime) -> Stretches:
    """Thousands of points carry few hundred distinct policies."""
    if not timed:
        return Stretches((Stretch(at, Windows(())),))
    start = at.astimezone(UTC).replace(microsecond=0)
    found, end = combinations(timed, start - _EARLY, start + HORIZON)
    exact = min(end, start + PAUSE)
    parts = tuple(Stretch(one.first, Windows(tuple(_whole(one.windows, exact)))) for one in found)
    return Stretches(parts, _floor(exact), _floor(end))


def _merged(spans: Iterable[TimeWindow]) -> list[TimeWindow]:
    result: list[TimeWindow] = []
    for low, high in spans:
        if result and result[-1][1] == low:
            result[-1] = (result[-1][0], high)
        else:
            result.append((low, high))
    return result


def _whole(windows: Iterable[TimeWindow], end: datetime) -> Iterator[TimeWindow]:
    """In whole seconds, inwards, up to the end."""
    for low, high in windows:
        first, last = _floor(low), _floor(min(high, end))
        if first != low:
            first += _SECOND
        if first < last:
            yield first, last


def _floor(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


__all__ = ["PAUSE", "Stretch", "Stretches", "stretches"]
