# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The two phases of a change (DESIGN §8.2).

Every enforcement point first goes to old ∩ new; when all are there, every point goes to new. So at any moment each end
of a connection allows either at most what it allowed before, or at most what it will allow, and never less than what
both allow: every intermediate state lies within old ∩ new … old ∪ new, in whatever order the points move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from ..model.artifact import FAILSAFE, Artifact, DirectionPolicy
from ..model.bundle import Bundle
from ..model.compare import Difference, combine, intersect
from ..model.forms import Form, of_artifact
from ..model.intervals import union
from ..model.live import ABSENT
from .between import Stretches
from .partial import PartialBundle

#: What a phase does at one point. `interim` writes old ∩ new, `new` the desired rules, `remove` takes ours away.
Step = Literal["none", "interim", "new", "remove"]
PHASES: tuple[str, str] = ("phase-1", "phase-2")
TAG = "interim"


@dataclass(frozen=True, slots=True)
class PointSteps:
    """What each phase does at one point; both `none` where nothing is to do."""

    first: Step
    second: Step

    @property
    def idle(self) -> bool:
        return self.first == self.second == "none"

    def of(self, phase: str) -> Step:
        return self.first if phase == PHASES[0] else self.second


def steps_of(base: str, difference: Difference, artifact: Artifact, outdated: bool) -> PointSteps:
    """`base` is the hash of what is there, `difference` compares its meaning with the artifact's.

    `outdated`: the rules there come from another policy, so they are written anew even where they mean the same, else
    counters and log lines would name rules that no longer exist.
    """
    if artifact.idle:
        return PointSteps("none", "none" if base == ABSENT else "remove")
    if difference.unknown:
        return PointSteps("interim", "new")
    if difference.wider and difference.narrower:
        return PointSteps("interim", "new")
    if difference.narrower:
        return PointSteps("new", "none")
    if difference.wider or outdated or base == ABSENT:
        return PointSteps("none", "new")
    return PointSteps("none", "none")


class Interim:
    """Collects the old ∩ new of every point that gains something, as one bundle.

    Points that skip phase 1 because they lose nothing are in it too: the difference between the two bundles is what
    each point gains in phase 2, which is what a missing neighbour makes it hold back (`holdback.py`).
    """

    def __init__(self, new: Bundle) -> None:
        self._new = new
        self._partial = PartialBundle(new)
        self._known: dict[tuple[object, ...], str] = {}

    def add(self, point: str, times: Stretches, forms: Mapping[datetime, tuple[Form, Form]]) -> None:
        """`forms` before and after at the moment of every stretch, made of shared cells, so that points of one class
        are worked out once.
        """
        parts = [_alike(*forms[part.moment], self._new.points[point].policy) for part in times.parts]
        key = None if None in parts else (times, *parts)
        if key is not None and key in self._known:
            self._partial.add_alike(point, self._known[key])
            return
        artifact = self._new.artifact(point)

        def between(moment: datetime) -> Form:
            return combine(intersect(*forms[moment]), failsafe_form(artifact, moment), union)

        policy = self._partial.add(times.artifact(between, artifact, TAG))
        if key is not None:
            self._known[key] = policy

    def bundle(self) -> Bundle:
        return self._partial.bundle()


def failsafe_form(artifact: Artifact, at: datetime) -> Form:
    """What the failsafe of the desired rules lets through: no state on the way closes it."""

    def only(policy: DirectionPolicy) -> DirectionPolicy:
        return DirectionPolicy("full", tuple(rule for rule in policy.rules if rule.tier == FAILSAFE))

    return of_artifact(replace(artifact, ingress=only(artifact.ingress), egress=only(artifact.egress)), at)


def _alike(before: Form, after: Form, policy: str) -> tuple[object, ...] | None:
    """Equal for points that differ in their own addresses only; None where that cannot be told from the forms."""
    parts: list[object] = [policy]
    for form in (before, after):
        for key in sorted(form.slices):
            slices = form.slices[key]
            if len(slices) > 1:
                return None
            parts.append(id(slices[0].cells) if slices else None)
    return tuple(parts)
