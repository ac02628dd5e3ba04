# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""provision: an approved plan made live, in two phases with a barrier, resumable at any point.

The controller decides who is next and what each point gets; hosts are driven by the playbook between these calls.
Where a point stands is read from the point itself; the store only remembers what was agreed on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ..enforcement.nftables.driver import Nftables
from ..model import services as line
from ..model.addresses import FAMILIES, FAMILY_NAMES, cidrs
from ..model.artifact import Artifact
from ..model.bundle import Bundle
from ..model.errors import PlanError
from ..model.estate import DIRECTIONS
from ..model.intervals import intersection
from ..model.live import ABSENT
from ..orchestration.bundles import load_artifact, load_bundle, save_bundle
from ..orchestration.holdback import HeldBack, held_back
from ..orchestration.journal import Journal
from ..orchestration.lease import Lease, acquire, release
from ..orchestration.partial import PartialBundle
from ..orchestration.phases import PHASES
from ..orchestration.planfile import Plan
from ..orchestration.planstore import load_plan, set_provisioned, target_artifact, verify_bundle, verify_within
from ..orchestration.store import ANYTHING, Store
from .dependencies import dependencies_of
from .provisioners import refuse_provisioning

LEASE = "provision"
LAST_PLAN = "provisioned-plan"
#: A port range of a rule that cuts sessions is spelt out to this length; conntrack deletes by single ports.
MOST_PORTS = 256
Outcome = Literal["confirmed", "unchanged", "skipped", "unreachable", "failed", "reverted"]
#: Outcomes after which a point is where the phase wanted it.
ARRIVED: frozenset[str] = frozenset({"confirmed", "unchanged"})


@dataclass(frozen=True)
class Rollout:
    """`waves[phase]` are workload names in the order they are touched; `points[workload]` its enforcement point."""

    plan: Plan
    waves: Mapping[str, tuple[tuple[str, ...], ...]]
    points: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {
            "plan": self.plan.digest,
            "kind": self.plan.body.kind,
            "empty": self.plan.empty,
            "waves": {phase: [list(wave) for wave in waves] for phase, waves in self.waves.items()},
            "points": dict(self.points),
            "left_out": dict(self.plan.evidence.left_out),
        }


def begin(
    store: Store, digest: str, only: Collection[str] | None = None, who: str = "", change_author: str = ""
) -> Rollout:
    """Check the approved plan against its bundle and say who is touched when.

    `only` narrows the workloads that are touched (`--limit`), never what was planned; who is not touched counts as
    having missed phase 1. `who` asks for it, and must be allowed to where roles say who is; `change_author` wrote the
    change. Raises PlanError (E-NO-PLAN, E-PLAN-BUNDLE, E-PLAN-MEMBERSHIP, E-MAY-PROVISION, E-OWN-CHANGE), StoreError.
    """
    plan = load_plan(store, digest)
    refuse_provisioning(store, plan, who, change_author)
    bundle = load_bundle(store, plan.evidence.bundle)
    verify_bundle(plan, bundle)
    points = {bundle.points[name].workload: name for name in plan.body.points}
    waves = {phase: tuple(_waves(plan, bundle, phase, only)) for phase in PHASES}
    return Rollout(plan, waves, points)


def _waves(plan: Plan, bundle: Bundle, phase: str, only: Collection[str] | None) -> Iterator[tuple[str, ...]]:
    for wave in plan.evidence.waves:
        names = tuple(
            bundle.points[point].workload
            for point in wave
            if plan.body.points[point].steps.of(phase) != "none"
            and (only is None or bundle.points[point].workload in only)
        )
        if names:
            yield names


def record_begin(store: Store, digest: str, who: str) -> None:
    """Who made a plan live, where somebody was named."""
    if who:
        Journal(store).record(digest, "*", "begin", "started", by=who)


def take_lease(store: Store, holder: str, seconds: int) -> Lease:
    """One rollout at a time; a dead controller's lease runs out. Raises StoreError (E-STORE-LEASED)."""
    return acquire(store, LEASE, holder, seconds)


def give_back(store: Store, holder: str) -> None:
    """Release the lease that this holder has; somebody else's is left alone."""
    ref = store.ref(f"lease/{LEASE}")
    if ref is not None and ref.value and ref.value["holder"] == holder:
        release(store, Lease(LEASE, holder, datetime.fromisoformat(ref.value["until"]), ref.version))


def slice_for(store: Store, digest: str, workload: str, phase: str, at: datetime | None = None) -> dict[str, Any]:
    """What `nftables_policy` is to arm on one host in one phase: one small read of the store.

    Returns {"do": "nothing"} or {"do": "arm", "state", "policy", "base", "plan", "step", "warm_up", "reset"}. `at`: the
    moment of rendering, now if None. In phase 2 the base is what phase 1 left behind; `base` is only right where phase
    1 did nothing here.
    """
    plan = load_plan(store, digest)
    point = _point_of(store, plan, workload)
    planned = plan.body.points[point]
    step = planned.steps.of(phase)
    if step == "none":
        return {"do": "nothing", "plan": plan.digest, "step": phase}
    common = {"do": "arm", "base": planned.base, "plan": plan.digest, "step": phase, "warm_up": planned.base == ABSENT}
    held = _held(store, plan) if phase == PHASES[1] else None
    waits = held is not None and point in held.waits
    if step == "remove" and not waits:
        return {**common, "state": "absent", "policy": None, "warm_up": False, "reset": []}
    if held and waits:
        artifact: Artifact | None = held.bundle.artifact(point)
        verify_within(plan, held.bundle.artifact(point), load_artifact(store, plan.evidence.bundle, point))
    else:
        artifact = target_artifact(store, plan, point, phase)
    if artifact is None:
        raise PlanError(
            "E-NO-POINT", f"Plan {plan.digest[:8]} has no rules for {point} in {phase}.", hint="Plan again."
        )
    payload = dict(Nftables.render(artifact, artifact.policy_digest(), at or datetime.now(UTC)).payload)
    own = frozenset(text for family in FAMILIES for text in cidrs(family, artifact.own.get(family, ())))
    needs = dependencies_of(store, plan, own)
    return {**common, "state": "present", "policy": payload, "reset": list(_cuts(artifact)), "dependencies": needs}


def _point_of(store: Store, plan: Plan, workload: str) -> str:
    if workload in plan.body.points:
        return workload
    bundle = load_bundle(store, plan.evidence.bundle)
    for name in plan.body.points:
        if bundle.points[name].workload == workload:
            return name
    raise PlanError("E-NO-POINT", f"Plan {plan.digest[:8]} does not touch {workload}.", hint="Plan again.")


def _cuts(artifact: Artifact) -> Iterator[dict[str, Any]]:
    """Connections whose tracking ends with the change, from deny rules that say reset_established."""
    for direction in DIRECTIONS:
        for rule in artifact.of(direction).rules:
            if rule.action != "deny" or not rule.reset_established:
                continue
            for family in FAMILIES:
                for own in cidrs(family, artifact.own.get(family, ())):
                    for peer in _peer_blocks(artifact, rule.peers, family):
                        source, target = (peer, own) if direction == "ingress" else (own, peer)
                        for part in _protocols(rule.services, family):
                            ends = {"saddr": source, "daddr": target}
                            yield {
                                "family": FAMILY_NAMES[family],
                                **{key: value for key, value in ends.items() if value},
                                **part,
                            }


def _peer_blocks(artifact: Artifact, names: tuple[str, ...] | None, family: Any) -> list[str]:
    if names is None:
        return [""]
    return [block for name in names for block in cidrs(family, artifact.sets[name].addresses.get(family, ()))]


def _protocols(services: Any, family: int) -> Iterator[dict[str, Any]]:
    for protocol in ("tcp", "udp", "sctp", "icmp", "icmpv6"):
        part = intersection(intersection(services, line.WHOLE[protocol]), line.UNIVERSE[family])
        if not part:
            continue
        if part == line.WHOLE[protocol] or protocol in line.ICMP_PROTOCOLS:
            yield {"proto": protocol}
            continue
        ports = [
            point - line.BASES[protocol] for low, high in part for point in range(low, min(high, low + MOST_PORTS) + 1)
        ]
        for port in ports[:MOST_PORTS]:
            yield {"proto": protocol, "dport": port}


@dataclass(frozen=True)
class Barrier:
    """Between the phases: who missed phase 1, and what waits for whom."""

    missed: Mapping[str, str]
    waits: Mapping[str, tuple[str, ...]]
    services: Mapping[str, tuple[str, ...]]

    def to_dict(self) -> dict[str, Any]:
        return {
            "missed": dict(self.missed),
            "waits": {name: list(names) for name, names in self.waits.items()},
            "services": {name: list(names) for name, names in self.services.items()},
        }


def barrier(store: Store, digest: str, outcomes: Mapping[str, Outcome], at: datetime | None = None) -> Barrier:
    """`outcomes` of phase 1 by workload. Everything a missing point shares with others is held back in phase 2.

    Judged at the moment of the plan, as everything that is written on the way (`verify_within`).
    """
    plan = load_plan(store, digest)
    bundle = load_bundle(store, plan.evidence.bundle)
    journal = Journal(store)
    missed: dict[str, str] = dict(plan.evidence.left_out)
    for point, planned in plan.body.points.items():
        if planned.steps.first == "none":
            continue
        outcome = outcomes.get(bundle.points[point].workload, "skipped")
        if outcome not in ARRIVED:
            missed[point] = outcome
    if not missed or not plan.evidence.interim:
        store.set_ref(f"held/{plan.digest}", None, ANYTHING)
        journal.record(plan.digest, "*", "barrier", "done", missed=sorted(missed))
        return Barrier(missed, {}, {})
    interim = load_bundle(store, plan.evidence.interim)
    held = held_back(bundle, interim, set(missed), at or datetime.fromisoformat(plan.evidence.at))
    _keep_held(store, plan, bundle, held)
    journal.record(plan.digest, "*", "barrier", "done", missed=sorted(missed), waits=sorted(held.waits))
    return Barrier(missed, held.waits, held.services)


def _keep_held(store: Store, plan: Plan, bundle: Bundle, held: HeldBack) -> None:
    partial = PartialBundle(bundle)
    for point in held.waits:
        partial.add(held.bundle.artifact(point))
    digest = save_bundle(store, partial.bundle())
    waits = {point: list(names) for point, names in held.waits.items()}
    services = {point: list(texts) for point, texts in held.services.items()}
    store.set_ref(f"held/{plan.digest}", {"bundle": digest, "waits": waits, "services": services}, ANYTHING)


def _held(store: Store, plan: Plan) -> HeldBack | None:
    ref = store.ref(f"held/{plan.digest}")
    if ref is None or not ref.value:
        return None
    kept = ref.value
    return HeldBack(
        load_bundle(store, kept["bundle"]),
        {point: tuple(names) for point, names in kept["waits"].items()},
        {point: tuple(texts) for point, texts in kept["services"].items()},
    )


def record_wave(store: Store, digest: str, phase: str, outcomes: Mapping[str, Mapping[str, Any]]) -> None:
    """Journal what one wave did: workload -> {"outcome", "hash", "detail"}."""
    journal = Journal(store)
    for workload in sorted(outcomes):
        result = outcomes[workload]
        journal.record(
            digest,
            workload,
            phase,
            str(result.get("outcome", "failed")),
            hash=result.get("hash"),
            detail=str(result.get("detail") or "")[:500],
        )


@dataclass(frozen=True)
class Finish:
    """`at_new`, `waiting` and `elsewhere` are workloads. Only a rollout without the last two is a new base."""

    at_new: tuple[str, ...]
    waiting: Mapping[str, tuple[str, ...]]
    elsewhere: Mapping[str, str]

    @property
    def complete(self) -> bool:
        return not self.waiting and not self.elsewhere

    def to_dict(self) -> dict[str, Any]:
        return {
            "complete": self.complete,
            "at_new": list(self.at_new),
            "waiting": {name: list(names) for name, names in self.waiting.items()},
            "elsewhere": dict(self.elsewhere),
        }


def finish(store: Store, digest: str, phases: Mapping[str, Mapping[str, Outcome]]) -> Finish:
    """`phases`: outcomes by phase and workload. Makes the bundle the provisioned one.

    Points that did not arrive are named; the next plan finds them by reading them, so the bundle becomes the intent
    even then. Raises StoreError (E-STORE-CONFLICT) where somebody else provisioned meanwhile.
    """
    plan = load_plan(store, digest)
    bundle = load_bundle(store, plan.evidence.bundle)
    waits = held.waits if (held := _held(store, plan)) else {}
    at_new: list[str] = []
    waiting: dict[str, tuple[str, ...]] = {}
    elsewhere: dict[str, str] = dict(plan.evidence.left_out)
    for point, planned in plan.body.points.items():
        workload = bundle.points[point].workload
        bad = [
            outcome
            for phase in PHASES
            if planned.steps.of(phase) != "none"
            and (outcome := phases.get(phase, {}).get(workload, "skipped")) not in ARRIVED
        ]
        if bad:
            elsewhere[workload] = bad[0]
        elif point in waits:
            waiting[workload] = waits[point]
        else:
            at_new.append(workload)
    if at_new or waiting or plan.empty:
        ref = store.ref("provisioned")
        set_provisioned(store, plan.evidence.bundle, ref.version if ref else None)
        if plan.body.kind != "repair":  # the way back from a repair is the way back from what it repaired
            store.set_ref(LAST_PLAN, plan.digest, ANYTHING)
    Journal(store).record(plan.digest, "*", "finish", "done" if not elsewhere else "partial", elsewhere=elsewhere)
    return Finish(tuple(sorted(at_new)), waiting, elsewhere)


def status_of(store: Store) -> dict[str, Any]:
    """What is provisioned, and the last plan."""
    try:
        plan = load_plan(store)
    except PlanError:
        plan = None
    ref, last = store.ref("provisioned"), store.ref(LAST_PLAN)
    return {
        "provisioned_bundle": ref.value if ref else None,
        "provisioned_plan": last.value if last else None,
        "latest_plan": plan.digest if plan else None,
    }
