# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where a rollout stands, read from the enforcement points themselves, and how it goes on or back.

Apply goes on when what is live is the base of the plan, its target, or a state the plan itself has written; anything
else was moved by somebody (E-BASE-MOVED), and that point waits for a new plan. The EP record on the point says which
step it took; its hash, or the meaning of what is live, proves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ..model.bundle import Bundle
from ..model.errors import PlanError
from ..model.forms import Form, of_artifact
from ..model.live import ABSENT, PointState
from .holdback import HeldBack
from .partial import idle_bundle
from .phases import PHASES
from .plan import PlanOptions, make_plan
from .planfile import Plan
from .store import ANYTHING, Store

#: `old`: as planned on. `interim`: phase 1 is done here. `new`: all is done. `pending`: a change waits for its
#: confirmation. `moved`: somebody changed it since. `lost`: it cannot be read.
Stand = Literal["old", "interim", "new", "pending", "moved", "lost"]


@dataclass(frozen=True, slots=True)
class Where:
    """`expect` is the hash the next step is based on; `wrong` the E-BASE-MOVED error of a point that moved."""

    stand: Stand
    expect: str
    wrong: PlanError | None = None


def where(
    plan: Plan, point: str, state: PointState, target: Callable[[str], Form | None], receipt: Mapping[str, Any] | None
) -> Where:
    """Where one point of the plan is.

    `target(phase)` gives the form a phase writes, None where it writes nothing or removes ours. `receipt` is what this
    store remembers of the point's last step (`remembered`), or None.
    """
    steps = plan.body.points[point].steps
    if not state.reachable:
        return Where("lost", "")
    record = state.record or {}
    if record.get("pending"):
        return Where("pending", state.hash)
    if _is(plan, PHASES[1], record, receipt, state, target) or (
        steps.second == "none" and _is(plan, PHASES[0], record, receipt, state, target)
    ):
        return Where("new", state.hash)
    if steps.second == "remove" and state.hash == ABSENT:
        return Where("new", state.hash)
    if steps.first != "none" and _is(plan, PHASES[0], record, receipt, state, target):
        return Where("interim", state.hash)
    base = plan.body.points[point].base
    if state.hash == base:
        return Where("interim" if steps.first == "none" else "old", base)
    return Where("moved", state.hash, _moved(point, state.hash, base))


def _is(
    plan: Plan,
    phase: str,
    record: Mapping[str, Any],
    receipt: Mapping[str, Any] | None,
    state: PointState,
    target: Callable[[str], Form | None],
) -> bool:
    """Did this phase of this plan write what is live? The record claims it, a hash or the meaning proves it."""
    for claim in (record, receipt or {}):
        if claim.get("plan") == plan.digest and claim.get("step") == phase and claim.get("hash") == state.hash:
            return True
    if record.get("plan") != plan.digest or record.get("step") != phase or state.own_form is None:
        return False
    return state.own_form == target(phase)


def _moved(point: str, found: str, base: str) -> PlanError:
    return PlanError(
        "E-BASE-MOVED",
        f"{point} live {found[:8]}, plan expects {base[:8]}. Skipped.",
        hint=f"Plan {point} again.",
    )


@dataclass(frozen=True)
class Progress:
    """The whole rollout. `missed`: points that must not enter phase 2, and for which others hold back."""

    points: Mapping[str, Where]
    left_out: Mapping[str, str]

    def of(self, stand: Stand) -> tuple[str, ...]:
        return tuple(name for name in sorted(self.points) if self.points[name].stand == stand)

    @property
    def counts(self) -> dict[str, int]:
        """The report of a stopped rollout: how many are at old, between, at new; and how many nobody knows."""
        stands: tuple[Stand, ...] = ("old", "interim", "new", "pending", "moved", "lost")
        return {stand: len(self.of(stand)) for stand in stands} | {"left_out": len(self.left_out)}

    @property
    def missed(self) -> tuple[str, ...]:
        here = {name for stand in ("old", "pending", "moved", "lost") for name in self.of(stand)}
        return tuple(sorted(here | set(self.left_out)))

    @property
    def done(self) -> bool:
        return len(self.of("new")) == len(self.points)

    def todo(self, plan: Plan, phase: str) -> tuple[str, ...]:
        """Points whose step of this phase is still to take, in the order of the waves."""
        wanted: Stand = "old" if phase == PHASES[0] else "interim"
        return tuple(
            name
            for wave in plan.evidence.waves
            for name in wave
            if self.points[name].stand == wanted and plan.body.points[name].steps.of(phase) != "none"
        )


def progress(
    plan: Plan, live: Mapping[str, PointState], new: Bundle, interim: Bundle | None, held: HeldBack | None,
    store: Store, at: datetime,
) -> Progress:  # fmt: skip
    """Judge every point of the plan. `held` is what phase 2 was told to hold back, where it ran already."""

    def target(point: str) -> Callable[[str], Form | None]:
        def of(phase: str) -> Form | None:
            step = plan.body.points[point].steps.of(phase)
            if step == "interim" and interim is not None:
                return of_artifact(interim.artifact(point), at)
            if phase == PHASES[1] and held is not None and point in held.waits:
                return of_artifact(held.bundle.artifact(point), at)
            return of_artifact(new.artifact(point), at) if step == "new" else None

        return of

    lost = PointState(False, error="not read")
    points = {
        name: where(plan, name, live.get(name, lost), target(name), remembered(store, name))
        for name in plan.body.points
    }
    return Progress(points, plan.evidence.left_out)


def remember(store: Store, plan: str, point: str, step: str, hash_after: str) -> None:
    """Keep what a point returned after a step, for reports and as a second witness beside its own record."""
    value = {"plan": plan, "step": step, "hash": hash_after, "at": store.now().isoformat(timespec="seconds")}
    store.set_ref(f"status/{point}", value, ANYTHING)


def remembered(store: Store, point: str) -> Mapping[str, Any] | None:
    """The last `remember` of a point."""
    ref = store.ref(f"status/{point}")
    return ref.value if ref is not None else None


def rollback(
    plan: Plan, new: Bundle, previous: Bundle | None, live: Mapping[str, PointState], at: datetime, options: PlanOptions
) -> Plan:
    """The inverse of a plan: every point it names goes back to what it carried by intent before.

    The approval of the plan covers it, because the plan's body names the policy to return to for every point. `new` is
    the plan's bundle, `previous` the one before (None: there was none, so our rules are removed). Raises PlanError
    (E-PLAN-BUNDLE) where `previous` is not what the plan names.
    """
    back = previous if previous is not None else idle_bundle(new)
    for name, point in plan.body.points.items():
        if name not in back.points:
            back = _with_removed(back, new, name)
        artifact = back.artifact(name)
        if (ABSENT if artifact.idle else artifact.policy_digest()) != point.inverse:
            raise PlanError(
                "E-PLAN-BUNDLE",
                f"Bundle {back.digest[:8]} is not what plan {plan.digest[:8]} names as the way back at {name}.",
                hint="Take the bundle the plan's evidence names as previous_bundle.",
            )
    limited = PlanOptions(
        renderer=options.renderer,
        rollout=frozenset(plan.body.points),
        batches=options.batches,
        controller=options.controller,
        controller_named_twice=options.controller_named_twice,
        places=options.places,
        settings_place=options.settings_place,
        waivers=options.waivers,
    )
    return make_plan(back, new, live, at, limited)


def _with_removed(back: Bundle, new: Bundle, name: str) -> Bundle:
    """A point that the previous bundle did not have yet carries nothing of ours."""
    idle = idle_bundle(new)
    workload = new.points[name].workload
    return Bundle(
        back.policy_digest,
        {**back.points, name: idle.points[name]},
        {**back.policies, **idle.policies},
        back.sets,
        {**back.workloads, workload: back.workloads.get(workload, new.workloads[workload])},
    )
