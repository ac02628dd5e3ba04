# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Plans in the store, by the digest of what they approve; and which bundle is provisioned."""

from __future__ import annotations

from datetime import datetime

from ..model.addresses import FAMILIES
from ..model.artifact import Artifact
from ..model.bundle import Bundle
from ..model.compare import difference
from ..model.errors import PlanError, StoreError
from ..model.forms import of_artifact
from ..model.intervals import intersection
from .between import stretches
from .bundles import load_artifact, load_bundle, save_bundle
from .holdback import HeldBack
from .phases import PHASES
from .planfile import FORMAT, Plan, envelope
from .store import ANYTHING, Store, damaged, refuse_newer

LATEST = "latest"
PROVISIONED = "provisioned"
#: The shortest abbreviation of a digest that is looked up.
SHORTEST = 6


def save_plan(store: Store, plan: Plan, new: Bundle) -> str:
    """Keep the plan, its bundle and its interim states, and make it the latest. Returns the digest of its body."""
    save_bundle(store, new)
    if plan.interim_bundle is not None:
        save_bundle(store, plan.interim_bundle)
    document = store.put_json(plan.to_dict())
    store.set_ref(f"plans/{plan.digest}", document, ANYTHING)
    store.set_ref(LATEST, plan.digest, ANYTHING)
    return plan.digest


def load_plan(store: Store, digest: str = "") -> Plan:
    """The plan of a digest (a unique beginning is enough), or the latest one.

    Raises PlanError (E-NO-PLAN) for one that is not there, StoreError: E-STORE-DAMAGED, E-STORE-FORMAT.
    """
    name = f"plans/{_whole(store, digest)}"
    ref = store.ref(name)
    if ref is None:
        raise _no_plan(digest)
    data = store.get_json(str(ref.value))
    refuse_newer(data["format"], FORMAT, store.path / "refs" / name)
    plan = Plan.from_dict(data)
    if f"plans/{plan.digest}" != name:
        raise damaged(store.path / "refs" / name)
    return plan


def _whole(store: Store, digest: str) -> str:
    if not digest:
        latest = store.ref(LATEST)
        if latest is None:
            raise _no_plan("")
        return str(latest.value)
    if len(digest) < SHORTEST:
        raise _no_plan(digest)
    found = [name.removeprefix("plans/") for name in store.refs("plans") if name.startswith(f"plans/{digest}")]
    if len(found) != 1:
        raise _no_plan(digest)
    return found[0]


def _no_plan(digest: str) -> PlanError:
    what = f"no plan, or more than one, begins with {digest}" if digest else "no plan was made yet"
    return PlanError("E-NO-PLAN", f"The store has no such plan: {what}.", hint="Make one: bulkhead.microseg.plan.")


def verify_bundle(plan: Plan, bundle: Bundle) -> None:
    """Does the bundle carry what was approved? Evidence names the bundle, but only the body is approved.

    Raises PlanError: E-PLAN-BUNDLE where a point's policy is another one, E-PLAN-MEMBERSHIP where classes appeared
    that the approval does not know.
    """
    wrong = [
        name
        for name, point in plan.body.points.items()
        if name not in bundle.points or bundle.artifact(name).policy_digest() != point.policy
    ]
    if wrong or bundle.policy_digest != plan.body.policy:
        where = f" at {', '.join(wrong[:5])}" if wrong else ""
        raise PlanError(
            "E-PLAN-BUNDLE",
            f"Bundle {bundle.digest[:8]} is not what plan {plan.digest[:8]} approves{where}. Nothing was sent.",
            hint="Plan again and have that approved.",
        )
    verify_membership(plan, bundle)


def verify_membership(plan: Plan, bundle: Bundle) -> None:
    """Raises PlanError (E-PLAN-MEMBERSHIP)."""
    unknown = sorted(set(envelope(bundle)) - set(plan.body.classes))
    if unknown:
        raise PlanError(
            "E-PLAN-MEMBERSHIP",
            f"{len(unknown)} classes are new since plan {plan.digest[:8]}: {'; '.join(unknown[:3])}.",
            hint="Plan again: an approval covers members of the classes it knows.",
        )


def target_artifact(store: Store, plan: Plan, point: str, phase: str, held: HeldBack | None = None) -> Artifact | None:
    """What a phase writes at a point: one small read. None where it writes nothing or removes ours.

    `held` from `held_back` replaces the targets of phase 2 of the points that wait for others. Raises PlanError
    (E-NO-POINT) for a point that is not in the plan, and E-PLAN-BUNDLE where the store's artifact is not the approved.
    """
    if point not in plan.body.points:
        raise PlanError("E-NO-POINT", f"Plan {plan.digest[:8]} does not touch {point}.", hint="Plan again.")
    step = plan.body.points[point].steps.of(phase)
    waits = held is not None and phase == PHASES[1] and point in held.waits
    if step == "none" or (step == "remove" and not waits):
        return None
    artifact = load_artifact(store, plan.evidence.bundle, point)
    if artifact.policy_digest() != plan.body.points[point].policy:
        raise PlanError(
            "E-PLAN-BUNDLE",
            f"The artifact of {point} in the store is not what plan {plan.digest[:8]} approves. Nothing was sent.",
            hint="Plan again and have that approved.",
        )
    if step == "interim":
        interim = load_artifact(store, plan.evidence.interim, point)
        verify_within(plan, interim, artifact)
        return interim
    return held.bundle.artifact(point) if held is not None and waits else artifact


def verify_within(plan: Plan, between: Artifact, approved: Artifact) -> None:
    """What is written on the way names no approval of its own, so it may open nothing that the approved rules do not.

    Both are judged from the moment of the plan on, at every moment at which either changes by itself. Raises PlanError
    (E-PLAN-BUNDLE).
    """
    at = datetime.fromisoformat(plan.evidence.at)
    times = stretches((*between.validities, *approved.validities), at)
    own = {family: intersection(approved.own.get(family, ()), between.own.get(family, ())) for family in FAMILIES}
    same = own == {family: approved.own.get(family, ()) for family in FAMILIES}
    if not same or any(
        difference(of_artifact(approved, part.moment), of_artifact(between, part.moment)).wider for part in times.parts
    ):
        raise PlanError(
            "E-PLAN-BUNDLE",
            f"What the store has for {approved.point} on the way to plan {plan.digest[:8]} opens more than the plan "
            "approves. Nothing was sent.",
            hint="Plan again and have that approved.",
        )


def provisioned(store: Store) -> Bundle | None:
    """The bundle that was last provisioned as a whole."""
    ref = store.ref(PROVISIONED)
    return load_bundle(store, str(ref.value)) if ref is not None else None


def set_provisioned(store: Store, digest: str, expected: int | None) -> None:
    """`expected`: the version of the ref read before the rollout began. Raises StoreError (E-STORE-CONFLICT)."""
    try:
        store.set_ref(PROVISIONED, digest, expected)
    except StoreError as error:
        if error.code == "E-STORE-CONFLICT":
            current = store.ref(PROVISIONED)
            if current is not None and current.value == digest:
                return
        raise
