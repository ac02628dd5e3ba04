# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Make a plan: a bundle against what is live (DESIGN §8.1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..model import services as line
from ..model.addresses import show
from ..model.artifact import Artifact, DirectionPolicy
from ..model.bundle import Bundle, WorkloadEntry
from ..model.compare import Box, Difference
from ..model.estate import Modes
from ..model.flows import Observations
from ..model.forms import Form
from ..model.intervals import size
from ..model.lifting import Lifter, class_text
from ..model.live import ABSENT, PointState
from ..model.redact import redact
from ..model.sharing import BundleForms, Comparer, beyond_itself
from .cuts import judged, observed
from .pairs import Pairs, PointForms
from .phases import Interim, PointSteps, steps_of
from .planfile import Body, Evidence, Kind, Plan, PointPlan, envelope
from .probes import MOST_PROBES, Prober
from .refusals import refuse_foreign_writers, refuse_lockout, refuse_nobody, refuse_own_host, writer_of
from .risks import availability, security, unobserved
from .scheduled import scheduled
from .sentences import Blame
from .statements import class_changes, statements
from .waves import DEFAULT_BATCHES, waves

#: Boxes shown per point and direction of change; the statements say the same for the whole estate.
MOST_BOXES = 3


@dataclass(frozen=True)
class PlanOptions:
    """`renderer` is the version of what renders the rules. `rollout`: points that may be touched, None for all.

    `controller` are points of the host this runs on; they are touched only if `controller_named_twice`. `places` says
    where a rule id is written, `settings_place` where settings.controllers is.
    """

    renderer: str
    rollout: frozenset[str] | None = None
    batches: tuple[str, ...] = DEFAULT_BATCHES
    controller: frozenset[str] = frozenset()
    controller_named_twice: bool = False
    places: Mapping[str, str] = field(default_factory=dict)
    settings_place: str = ""
    waivers: tuple[str, ...] = ()


@dataclass
class _Point:
    """One point while the plan is made."""

    artifact: Artifact
    state: PointState
    before: Form
    after: Form
    difference: Difference
    steps: PointSteps
    policy_digest: str


def make_plan(
    new: Bundle,
    old: Bundle | None,
    live: Mapping[str, PointState],
    at: datetime,
    options: PlanOptions,
    observations: Observations | None = None,
) -> Plan:
    """`old` is the provisioned bundle (None before the first time); `live` what was read from each point.

    Raises PlanError: E-NO-TARGET, E-WRITER, E-CONTROLLER-HOST, E-CONTROL-PATH, E-BATCH. Points that could not be read
    are left out and named; nothing else is.
    """
    asked = options.rollout
    rollout = set(new.points) if asked is None else {name for name in asked if name in new.points}
    refuse_nobody(rollout, asked)
    if asked is not None:
        refuse_foreign_writers(new, rollout)
    mine = {name for name in rollout if new.points[name].writer == "driver"}
    left_out: dict[str, str] = {}
    comparer, desired = Comparer(), BundleForms(new, at)
    forms: list[PointForms] = []
    points: dict[str, _Point] = {}
    for name, entry in new.points.items():
        state = live.get(name, PointState(False, error="not read"))
        before = state.own(entry.own)
        if before is None:
            if name in mine:
                left_out[name] = redact(state.error) or "its rules could not be read"
            continue
        before = comparer.shared(before)
        after = comparer.shared(desired[name]) if name in mine else before
        forms.append(PointForms(name, entry.workload, before, after))
        if name in mine:
            points[name] = _point(new.artifact(name), state, before, after, comparer)
    changed = {name: points[name] for name in sorted(points) if not points[name].steps.idle}
    refuse_own_host(changed, options.controller, options.controller_named_twice)
    refuse_lockout((one.artifact for one in changed.values()), live, at, options.settings_place)

    workloads: Mapping[str, WorkloadEntry] = new.workloads
    lifter = Lifter(workloads)
    pairs = Pairs(workloads, forms, lifter)
    everything = tuple(pairs.changes())
    found = statements(everything, workloads, lifter)
    changes = tuple(change for change in everything if change.services)
    blame = Blame(new, old, at, options.places, frozenset(changed))
    watched = judged(observations, pairs, workloads) if observations else None
    cut = watched.by_statement(found) if watched else {}
    sentences = tuple(blame.sentence(one, cut.get(index, ())) for index, one in enumerate(found))
    denies = any(one.verdict != "allowed" for one in found)

    interim = Interim(new, at)
    for name, one in changed.items():
        if one.difference.wider or one.difference.unknown:
            interim.add(name, one.before, one.after)
    interim_bundle = interim.bundle()
    old_digests = _policy_digests(old, changed)
    previous = old.policy_digest if old else ""
    sets = {**(dict(old.sets) if old else {}), **dict(new.sets)}
    order = waves({name: _class(workloads[new.points[name].workload]) for name in changed}, options.batches)
    moved: dict[str, tuple[str, ...]] = {}
    for name in changed:
        workload = new.points[name].workload
        moved[workload] = (*moved.get(workload, ()), name)
    present = {new.points[name].workload for name in live if name in new.points and live[name].reachable}
    probes = Prober(pairs, moved, present).choose(
        [change for one in found for change in one.changes], observations.flows if observations else ()
    )
    body = Body(
        kind=_kind(new, old, changed, old_digests),
        policy=new.policy_digest,
        previous_policy=previous,
        renderer=options.renderer,
        points={
            name: PointPlan(
                modes=Modes(one.artifact.ingress.mode, one.artifact.egress.mode),
                policy=one.policy_digest,
                base=one.state.hash,
                steps=one.steps,
                inverse=old_digests.get(name, ABSENT),
            )
            for name, one in changed.items()
        },
        changes=class_changes(changes, sets.values()),
        batches=options.batches,
        probes=MOST_PROBES,
        waivers=options.waivers,
        classes=envelope(new),
    )
    evidence = Evidence(
        at=at.astimezone(UTC).isoformat(timespec="seconds"),
        bundle=new.digest,
        previous_bundle=old.digest if old else "",
        interim=interim_bundle.digest if interim_bundle.points else "",
        workloads=len(workloads),
        gained=len(set(workloads) - set(old.workloads)) if old else 0,
        lost=len(set(old.workloads) - set(workloads)) if old else 0,
        counts=_counts(new, changed, points, rollout),
        statements=sentences,
        security=security(changes, pairs, workloads),
        availability=availability(watched.denied_before, watched.denied_after) if watched else unobserved(denies),
        observed=observed(observations) if observations else None,
        waves=order,
        probes=probes,
        scheduled=scheduled((one.artifact for one in points.values()), at),
        left_out={name: left_out[name] for name in sorted(left_out)},
        others={name: writer_of(new.points[name].writer, new.points[name].stack) for name in sorted(rollout - mine)},
        foreign=tuple(name for name, one in changed.items() if _foreign(one)),
        boxes={name: _boxes(one.difference) for name, one in changed.items()},
    )
    return Plan(body, evidence, interim_bundle if interim_bundle.points else None)


def _point(artifact: Artifact, state: PointState, before: Form, after: Form, comparer: Comparer) -> _Point:
    difference = beyond_itself(comparer.difference(before, after), artifact.own)
    digest = artifact.policy_digest()
    outdated = not artifact.idle and (state.record or {}).get("policy_digest") != digest
    return _Point(
        artifact, state, before, after, difference, steps_of(state.hash, difference, artifact, outdated), digest
    )


def _policy_digests(old: Bundle | None, names: Collection[str]) -> dict[str, str]:
    """What each point carried by intent before: the policy to return to."""
    if old is None:
        return {}
    artifacts = (old.artifact(name) for name in names if name in old.points)
    return {artifact.point: ABSENT if artifact.idle else artifact.policy_digest() for artifact in artifacts}


def _kind(new: Bundle, old: Bundle | None, changed: Mapping[str, _Point], old_digests: Mapping[str, str]) -> Kind:
    """What an approval in advance may be about (settings.standing_approvals)."""
    if old is None or new.policy_digest != old.policy_digest:
        return "policy"
    if new.digest == old.digest:
        return "repair"
    if any(name not in old.points for name in changed):
        return "policy"
    if any(
        [one.artifact.ingress.mode, one.artifact.egress.mode] != [part.mode for part in _policies(old, name)]
        for name, one in changed.items()
    ):
        return "mode"
    same = all(old_digests[name] in (one.policy_digest, ABSENT) for name, one in changed.items())
    return "membership" if same and not set(envelope(new)) - set(envelope(old)) else "policy"


def _policies(bundle: Bundle, name: str) -> tuple[DirectionPolicy, DirectionPolicy]:
    return bundle.policies[bundle.points[name].policy]


def _counts(
    new: Bundle, changed: Collection[str], read: Collection[str], rollout: Collection[str]
) -> dict[str, dict[str, int]]:
    """Per platform; `unknown` could not be read, `writer` belongs to somebody else."""
    result: dict[str, dict[str, int]] = {}
    for name in sorted(rollout):
        entry = new.points[name]
        numbers = result.setdefault(entry.platform, {"change": 0, "equal": 0, "unknown": 0, "writer": 0})
        if name in changed:
            numbers["change"] += 1
        elif name in read:
            numbers["equal"] += 1
        else:
            numbers["unknown" if entry.writer == "driver" else "writer"] += 1
    return result


def _foreign(point: _Point) -> bool:
    """Does somebody else's rule drop what ours let through?"""
    form = point.state.form
    return form is not None and point.state.own_form is not None and form != point.state.own_form


def _boxes(difference: Difference) -> dict[str, object]:
    kinds = {"wider": difference.wider, "narrower": difference.narrower, "unknown": difference.unknown}
    return {
        name: {"count": len(boxes), "first": [_box(box) for box in boxes[:MOST_BOXES]]}
        for name, boxes in kinds.items()
        if boxes
    }


def _box(box: Box) -> dict[str, object]:
    """Without its addresses: a set of peers may have thousands, and one of each kind is a witness."""
    own, peer, _service = box.witness()
    return {
        "direction": box.direction,
        "services": line.show(box.services, box.family),
        "own": show(box.family, own),
        "peer": show(box.family, peer),
        "peers": size(box.peers),
    }


def _class(entry: WorkloadEntry) -> str:
    return class_text(entry.labels, entry.zone)
