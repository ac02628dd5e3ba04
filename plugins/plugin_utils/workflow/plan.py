# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""plan: the bundle against what is live, kept in the store under its digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..enforcement.nftables.driver import Nftables
from ..model.bundle import Bundle
from ..model.errors import EnforcementError, PlanError
from ..orchestration.bundles import guard_shrink, load_bundle
from ..orchestration.observations import load_observations
from ..orchestration.partial import idle_bundle
from ..orchestration.plan import PlanOptions, make_plan
from ..orchestration.planfile import Plan
from ..orchestration.planstore import load_plan, provisioned, save_plan
from ..orchestration.store import Store
from ..orchestration.waves import DEFAULT_BATCHES
from .compile import compile_bundle
from .dependencies import keep_dependencies
from .inputs import Inputs
from .live import Answer, keep_answers, understand
from .provisioners import keep_roles


@dataclass(frozen=True)
class PlanRequest:
    """`answers`: live state by workload. `rollout`: workloads that may be touched (None: all that were asked).

    `controller`: workloads that are the host this runs on. `allowed_shrink`: how many workloads may have vanished.
    """

    answers: Mapping[str, Answer]
    rollout: frozenset[str] | None = None
    batches: tuple[str, ...] = DEFAULT_BATCHES
    controller: frozenset[str] = frozenset()
    controller_named_twice: bool = False
    allowed_shrink: int | None = None
    record: bool = True


@dataclass(frozen=True)
class PlanResult:
    plan: Plan
    bundle: Bundle
    digest: str = field(default="")


def plan(inputs: Inputs, store: Store, request: PlanRequest) -> PlanResult:
    """Raises Rejected for a policy in error; EstateError (E-ESTATE-SHRANK); EnforcementError (E-INEXACT); PlanError."""
    bundle = compile_bundle(inputs)
    before = provisioned(store)
    if before is not None:
        guard_shrink(before, bundle, inputs.policy.settings.max_shrink, request.allowed_shrink)
    return _planned(inputs, store, bundle, before, request)


def plan_rollback(inputs: Inputs, store: Store, digest: str, request: PlanRequest) -> PlanResult:
    """The inverse of a provisioned plan ("" is the one provisioned last): back to what was before it.

    Raises PlanError (E-NO-PLAN, E-NOT-PROVISIONED).
    """
    forward = load_plan(store, digest or _last(store))
    current = load_bundle(store, forward.evidence.bundle)
    now = provisioned(store)
    if now is None or now.digest != current.digest:
        raise PlanError(
            "E-NOT-PROVISIONED",
            f"Plan {forward.digest[:8]} is not what was provisioned last, so its inverse would undo something else.",
            hint="Plan the policy revision you want instead.",
        )
    previous = forward.evidence.previous_bundle
    target = load_bundle(store, previous) if previous else idle_bundle(current)
    return _planned(inputs, store, target, current, request)


def plan_repair(inputs: Inputs, store: Store, request: PlanRequest) -> PlanResult:
    """Back to what is provisioned, whatever policy and inventory say by now. Raises PlanError (E-NOT-PROVISIONED)."""
    now = provisioned(store)
    if now is None:
        raise PlanError(
            "E-NOT-PROVISIONED",
            "Nothing was provisioned from this store, so there is nothing to go back to.",
            str(store.path),
            "Name the store that enforce used, or enforce a plan first.",
        )
    return _planned(inputs, store, now, now, request)


def _last(store: Store) -> str:
    ref = store.ref("provisioned-plan")
    if ref is None:
        raise PlanError("E-NO-PLAN", "No plan was ever provisioned here.", hint="There is nothing to roll back.")
    return str(ref.value)


def _planned(inputs: Inputs, store: Store, bundle: Bundle, before: Bundle | None, request: PlanRequest) -> PlanResult:
    if request.record:
        keep_answers(store, request.answers, inputs.at)
    live = understand(bundle, request.answers, inputs.at)
    result = make_plan(
        bundle,
        before,
        live.states,
        inputs.at,
        PlanOptions(
            renderer=Nftables.renderer,
            rollout=_points(bundle, request.rollout),
            batches=request.batches,
            controller=_points(bundle, request.controller) or frozenset(),
            controller_named_twice=request.controller_named_twice,
            places=places(inputs),
            settings_place=str(inputs.policy.settings.place),
            windows_until=Nftables.windows_until,
        ),
        load_observations(store),
    )
    _refuse_names(inputs, bundle, result)
    for point in result.body.points:  # what cannot be said exactly must not get as far as a host
        artifact = bundle.artifact(point)
        if not artifact.idle:
            Nftables.render(artifact, artifact.policy_digest(), inputs.at)
    digest = save_plan(store, result, bundle)
    keep_dependencies(store, result, inputs)
    keep_roles(store, result, inputs.policy.roles)
    return PlanResult(result, bundle, digest)


def _refuse_names(inputs: Inputs, bundle: Bundle, made: Plan) -> None:
    """nftables cannot match a name; leaving it out is narrower than asked, which only the rule itself may permit."""
    touched = {bundle.points[point].workload for point in made.body.points}
    for peer in inputs.active.by_name:
        rule = peer.origin.rule
        if rule.on_inexact == "narrow" or not peer.valid(inputs.at):
            continue
        bound = next((name for name in inputs.active.classes.names(peer.bits) if name in touched), None)
        if bound is not None:
            raise EnforcementError(
                "E-INEXACT",
                f"rule {rule.id} opens {', '.join(peer.names)} for {bound}, and nftables cannot match names.",
                rule.place,
                "Name addresses, or say on_inexact: narrow on the rule to leave the name closed.",
            )


def _points(bundle: Bundle, workloads: frozenset[str] | None) -> frozenset[str] | None:
    if workloads is None:
        return None
    return frozenset(name for name, entry in bundle.points.items() if entry.workload in workloads)


def places(inputs: Inputs) -> dict[str, str]:
    """Rule id of artifacts -> file:line."""
    return {
        f"{rule.id}@{scope.name}/{ruleset.name}": str(rule.place)
        for scope in inputs.policy.scopes
        for ruleset in scope.rulesets
        for rule in ruleset.rules
    }
