# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Make a plan: a bundle against what is live (DESIGN §8.1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from ..model import services as line
from ..model.addresses import show
from ..model.artifact import Artifact, DirectionPolicy
from ..model.bundle import Bundle, WorkloadEntry
from ..model.calendar import Validity
from ..model.compare import Box, Difference
from ..model.estate import Modes
from ..model.flows import Observations
from ..model.forms import Form, of_artifact
from ..model.intervals import size
from ..model.lifting import Lifter, class_text
from ..model.live import ABSENT, PointState
from ..model.redact import redact
from ..model.sharing import Comparer, FormsInTime, beyond_itself
from .between import Stretches, stretches
from .cuts import judged, observed
from .later import later, moments, split
from .pairs import Pairs, PointForms
from .phases import Interim, PointSteps, steps_of
from .planfile import Body, Evidence, Kind, Plan, PointPlan, Sentence, envelope
from .probes import MOST_PROBES, Prober
from .refusals import refuse_foreign_writers, refuse_lockout, refuse_nobody, refuse_own_host, writer_of
from .risks import availability, security, unobserved, worst
from .scheduled import scheduled
from .sentences import Blame
from .statements import class_changes, statements
from .waves import DEFAULT_BATCHES, waves

#: Boxes shown per point and direction of change; the statements say the same for the whole estate.
MOST_BOXES = 3


def _everlasting(artifact: Artifact, at: datetime) -> datetime | None:  # noqa: ARG001
    return None


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
    windows_until: Callable[[Artifact, datetime], datetime | None] = _everlasting
    waivers: tuple[str, ...] = ()


@dataclass
class _Point:
    """One point while the plan is made. `forms` before and after by moment of every stretch of `times`.

    `extended`: where its windows will end, if that is later than where they end now.
    """

    artifact: Artifact
    state: PointState
    times: Stretches
    forms: Mapping[datetime, tuple[Form, Form]]
    difference: Difference
    steps: PointSteps
    policy_digest: str
    extended: datetime | None


class _Forms:
    """What every point means before and after, at any moment. `known` are the points that could be read."""

    def __init__(
        self,
        new: Bundle,
        old: Bundle | None,
        live: Mapping[str, PointState],
        mine: Collection[str],
        comparer: Comparer,
    ) -> None:
        self.new = new
        self.comparer = comparer
        self.known: dict[str, str] = {}
        self._old = old
        self._live = live
        self._mine = mine
        self._desired = FormsInTime(new)

    def state(self, point: str) -> PointState:
        return self._live.get(point, PointState(False, error="not read"))

    def before(self, point: str, moment: datetime) -> Form | None:
        """Behind the end of its windows a point is closed only for want of a refresh: there the old intent counts."""
        state, own = self.state(point), self.new.points[point].own
        if state.windows_until and moment >= state.windows_until and self._old and point in self._old.points:
            return self.comparer.shared(of_artifact(self._old.artifact(point), moment, own))
        form = state.own_at(own, moment)
        return None if form is None else self.comparer.shared(form)

    def after(self, point: str, moment: datetime) -> Form:
        if point in self._mine:
            return self.comparer.shared(self._desired.at(point, moment))
        form = self.before(point, moment)
        assert form is not None
        return form

    def both(self, point: str, moment: datetime) -> tuple[Form, Form]:
        before = self.before(point, moment)
        assert before is not None
        return before, self.after(point, moment)


class _Look:
    """The plan at one moment."""

    def __init__(
        self,
        moment: datetime,
        forms: _Forms,
        workloads: Mapping[str, WorkloadEntry],
        lifter: Lifter,
        observations: Observations | None,
    ) -> None:
        self.moment = moment
        points = [PointForms(name, workload, *forms.both(name, moment)) for name, workload in forms.known.items()]
        self.pairs = Pairs(workloads, points, lifter)
        everything = tuple(self.pairs.changes())
        self.statements = statements(everything, workloads, lifter)
        self.changes = tuple(change for change in everything if change.services)
        watched = judged(observations, self.pairs, workloads) if observations else None
        self.cut = watched.by_statement(self.statements) if watched else {}
        self.security = security(self.changes, self.pairs, workloads)
        denies = any(one.verdict != "allowed" for one in self.statements)
        self.availability = availability(watched.denied_before, watched.denied_after) if watched else unobserved(denies)


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
    comparer = Comparer()
    forms = _Forms(new, old, live, mine, comparer)
    points: dict[str, _Point] = {}
    for name, entry in new.points.items():
        state = forms.state(name)
        if forms.before(name, at) is None:
            if name in mine:
                left_out[name] = redact(state.error) or "its rules could not be read"
            continue
        forms.known[name] = entry.workload
        if name in mine:
            points[name] = _point(new.artifact(name), forms, at, options)
    changed = {name: points[name] for name in sorted(points) if not points[name].steps.idle}
    refuse_own_host(changed, options.controller, options.controller_named_twice)
    refuse_lockout((one.artifact for one in changed.values()), live, at, options.settings_place)

    workloads: Mapping[str, WorkloadEntry] = new.workloads
    lifter = Lifter(workloads)
    validities = _validities(new, old, points)
    times = moments((*validities, *(one for name in forms.known for one in forms.state(name).times)), at)
    looks = {moment: _Look(moment, forms, workloads, lifter, observations) for moment in times.moments}
    look = looks[at]
    pairs, found = look.pairs, look.statements
    sets = {**(dict(old.sets) if old else {}), **dict(new.sets)}
    always, timed = split(
        {moment: class_changes(one.changes, sets.values()) for moment, one in looks.items()}, validities
    )

    def said(one: _Look) -> tuple[Sentence, ...]:
        blame = Blame(new, old, one.moment, options.places, frozenset(changed))
        return tuple(blame.sentence(each, one.cut.get(index, ())) for index, each in enumerate(one.statements))

    sentences = said(look)
    afterwards = later(
        {moment: partial(said, one) for moment, one in looks.items() if moment != at}, sentences, validities, at
    )

    interim = Interim(new)
    for name, one in changed.items():
        if one.difference.wider or one.difference.unknown:
            interim.add(name, one.times, one.forms)
    interim_bundle = interim.bundle()
    old_digests = _policy_digests(old, changed)
    previous = old.policy_digest if old else ""
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
        changes=always,
        batches=options.batches,
        probes=MOST_PROBES,
        waivers=options.waivers,
        classes=envelope(new),
        timed=timed,
        all_times=times.complete,
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
        security=worst(one.security for one in looks.values()),
        availability=worst(one.availability for one in looks.values()),
        observed=observed(observations) if observations else None,
        waves=order,
        probes=probes,
        scheduled=scheduled((one.artifact for one in points.values()), at),
        left_out={name: left_out[name] for name in sorted(left_out)},
        others={name: writer_of(new.points[name].writer, new.points[name].stack) for name in sorted(rollout - mine)},
        foreign=tuple(name for name, one in changed.items() if _foreign(one)),
        boxes={name: _boxes(one.difference) for name, one in changed.items()},
        later=afterwards,
        extended={name: f"{one.extended:%Y-%m-%d}" for name, one in changed.items() if one.extended},
    )
    return Plan(body, evidence, interim_bundle if interim_bundle.points else None)


def _point(artifact: Artifact, forms: _Forms, at: datetime, options: PlanOptions) -> _Point:
    name, state = artifact.point, forms.state(artifact.point)
    times = stretches((*artifact.validities, *state.times), at)
    both = {moment: forms.both(name, moment) for moment in (at, *(part.moment for part in times.parts))}
    found = [beyond_itself(forms.comparer.difference(*pair), artifact.own) for pair in both.values()]
    # A point changes where it changes at any moment; what changes now is shown first.
    difference = Difference(
        next((one.wider for one in found if one.wider), ()),
        next((one.narrower for one in found if one.narrower), ()),
        next((one.unknown for one in found if one.unknown), ()),
    )
    digest = artifact.policy_digest()
    until = None if artifact.idle else options.windows_until(artifact, at)
    extended = until if until and state.windows_until and state.windows_until < until else None
    outdated = not artifact.idle and (state.record or {}).get("policy_digest") != digest
    steps = steps_of(state.hash, difference, artifact, outdated or extended is not None)
    return _Point(artifact, state, times, both, difference, steps, digest, extended)


def _validities(new: Bundle, old: Bundle | None, names: Iterable[str]) -> tuple[Validity, ...]:
    """Conditions on time of the old and the new policy of some points."""
    bundles = [bundle for bundle in (old, new) if bundle is not None]
    found = {bundle.points[name].policy: bundle for name in names for bundle in bundles if name in bundle.points}
    rules = (rule for key, bundle in found.items() for part in bundle.policies[key] for rule in part.rules)
    return tuple(dict.fromkeys(rule.validity for rule in rules if rule.timed))


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
