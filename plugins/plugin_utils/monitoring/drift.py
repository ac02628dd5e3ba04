# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Drift: what is live against what is intended, by meaning, with a packet for every difference.

Never a false "equal": what could not be read is unknown, and so is what a rule that cannot be judged may touch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from ..enforcement.driver import Decision, Packet
from ..enforcement.registry import driver_for
from ..model import services as line
from ..model.addresses import show
from ..model.artifact import Artifact, ArtifactRule
from ..model.bundle import Bundle, PointEntry
from ..model.calendar import Moments
from ..model.compare import Box, Difference, State
from ..model.deciding import decide
from ..model.flows import Observations
from ..model.forms import Form, Unsure
from ..model.intervals import intersection
from ..model.lifting import Lifter, say_services
from ..model.live import ABSENT, PointState
from ..model.redact import redact
from ..model.sharing import BundleForms, Comparer, FormsInTime, beyond_itself
from .times import MOST_MOMENTS, Then, Times
from .verdicts import Verdicts, verdicts

#: When a point differs that is as intended as long as its clock is trusted.
UNTRUSTED = "while the clock is not trusted"
#: Why a point is not equal. `foreign`: somebody else's rules; `membership`: our rules are untouched, their members
#: are not up to date; `policy`: it carries another policy version; `pending`: a change waits for confirmation;
#: `missing`: nothing of ours is there; `tampered`: our rules were changed; `unread`: it could not be read; `clock`: the
#: host withholds timed rules until its clock is synchronised; `windows`: the windows of its schedules have ended.
Cause = Literal["", "foreign", "membership", "policy", "pending", "missing", "tampered", "unread", "clock", "windows"]
Outcome = Literal["ok", "findings", "unable"]
Attribute = Callable[[str, Packet], Decision | None]
#: Boxes described per point; all are counted.
MOST_BOXES = 20
#: Windows that end within this time are a finding: a refresh is due.
SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class DriftBox:
    """`kind` wider: live lets through what is not intended. `peers`, `own` and `said` (the services) in words.

    `witness` is one packet, `live_rule` the live rule that decides it, `intended` what should decide it, with the rule
    id and where it is written.
    """

    kind: Literal["wider", "narrower", "unknown"]
    direction: str
    own: str
    peers: str
    workloads: int
    services: tuple[str, ...]
    said: str
    witness: str
    live_rule: str
    foreign: bool
    intended: str
    rule: str
    place: str

    def to_dict(self) -> dict[str, Any]:
        return {name: list(v) if isinstance(v := getattr(self, name), tuple) else v for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class PointDrift:
    """`since` is when the point was first seen in this state. `boxes_total` counts also those not described.

    `moment`: the point is as intended now and differs from then on, by the clock alone; "" where it differs now.
    `untrusted`: it is as intended on a host that trusts its clock, and differs while the clock is not trusted.
    `windows_until`: where the windows of its schedules end, "" where none are missing; `ending`: that is soon.
    """

    point: str
    workload: str
    platform: str
    state: State
    cause: Cause
    foreign: bool
    boxes: tuple[DriftBox, ...] = ()
    boxes_total: int = 0
    reasons: tuple[str, ...] = ()
    error: str = ""
    since: str = ""
    moment: str = ""
    untrusted: bool = False
    windows_until: str = ""
    ending: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "point": self.point,
            "workload": self.workload,
            "platform": self.platform,
            "state": self.state,
            "cause": self.cause,
            "foreign": self.foreign,
            "boxes": [box.to_dict() for box in self.boxes],
            "boxes_total": self.boxes_total,
            "reasons": list(self.reasons),
            "error": self.error,
            "since": self.since,
            "moment": self.moment,
            "untrusted": self.untrusted,
            "windows_until": self.windows_until,
            "ending": self.ending,
        }


@dataclass(frozen=True)
class DriftReport:
    """`outcome`: ok, findings, or unable where a point could not be read (the findings of the others still stand)."""

    at: str
    bundle: str
    policy: str
    points: tuple[PointDrift, ...]
    verdicts: Verdicts | None = None

    @property
    def totals(self) -> dict[str, int]:
        states: tuple[State, ...] = ("equal", "wider", "narrower", "mixed", "unknown")
        return {state: sum(point.state == state for point in self.points) for state in states}

    @property
    def unread(self) -> tuple[PointDrift, ...]:
        return tuple(point for point in self.points if point.cause == "unread")

    @property
    def outcome(self) -> Outcome:
        if not self.points or self.unread:
            return "unable"
        bad = self.verdicts is not None and self.verdicts.bad
        different = any(point.state != "equal" or point.ending for point in self.points)
        return "findings" if bad or different else "ok"

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": 1,
            "at": self.at,
            "bundle": self.bundle,
            "policy": self.policy,
            "outcome": self.outcome,
            "totals": self.totals,
            "points": [point.to_dict() for point in self.points],
            "verdicts": self.verdicts.to_dict() if self.verdicts else None,
        }


def drift(
    bundle: Bundle,
    live: Mapping[str, PointState],
    at: datetime,
    attribute: Attribute | None = None,
    places: Mapping[str, str] | None = None,
    observations: Observations | None = None,
    only: Collection[str] | None = None,
) -> DriftReport:
    """Judge every point of the bundle (or `only` some), also those nobody could read.

    `attribute(point, packet)` names the live rule that decides a packet, `places` says where a rule id is written.
    """
    judge = _Judge(bundle, at, attribute, places or {})
    names = [name for name in bundle.points if only is None or name in only]
    points = tuple(judge.point(name, live.get(name, PointState(False, error="not read"))) for name in sorted(names))
    seen = verdicts(bundle, judge.desired, observations) if observations is not None else None
    moment = at.astimezone(UTC).isoformat(timespec="seconds")
    return DriftReport(moment, bundle.digest, bundle.policy_digest, points, seen)


class _Judge:
    def __init__(self, bundle: Bundle, at: datetime, attribute: Attribute | None, places: Mapping[str, str]) -> None:
        self.desired = BundleForms(bundle, at)
        self._bundle = bundle
        self._at = at
        self._attribute = attribute
        self._places = places
        self._comparer = Comparer()
        self._lifter = Lifter(bundle.workloads)
        self._desired_then = FormsInTime(bundle)
        self._times = Times(at)
        self._unsure: dict[tuple[object, ...], BundleForms] = {}

    def point(self, name: str, state: PointState) -> PointDrift:
        entry = self._bundle.points[name]
        artifact = self._bundle.artifact(name)
        own = state.own(entry.own)
        # Where we touch nothing, rules of others are none of our business.
        form = own if artifact.idle else state.effective(entry.own)
        if not state.reachable or own is None or form is None:
            error = str(redact(state.error)) or "its rules could not be read"
            return PointDrift(
                name, entry.workload, entry.platform, "unknown", "unread", False,
                reasons=_texts(state.reasons), error=error,
            )  # fmt: skip
        found = self._looked(entry, artifact, state, Then(self._at), own, form)
        if found.state == "equal" or found.cause in ("clock", "windows"):
            found = self._then(entry, artifact, state, own, form) or found
        until = state.windows_until
        return replace(
            found,
            windows_until=f"{until:%Y-%m-%d}" if until else "",
            ending=until is not None and until - self._at < SOON and not artifact.idle,
        )

    def _then(
        self, entry: PointEntry, artifact: Artifact, state: PointState, own: Form, form: Form
    ) -> PointDrift | None:
        """The first difference at other times, and while the clock is not trusted."""
        moments = self._times.later(entry.policy, artifact, state)
        # Rules that are withheld until the clock is right will be there then.
        thens = [Then(moment, True if state.withheld else None) for moment in moments.moments]
        if artifact.validities or state.times_untrusted is not None:
            doubted = self._times.untrusted(state)
            thens.extend(Then(moment, False) for moment in doubted.moments)
            moments = Moments(moments.moments, moments.complete and doubted.complete)
        for then in thens:
            forms = state.again(then.moment, then.trusting) if state.again else (own, form)
            found = self._looked(entry, artifact, state, then, *forms)
            if found.state != "equal":
                untrusted = then.trusting is False
                moment = "" if untrusted or then.moment == self._at else _utc(then.moment)
                return replace(found, moment=moment, untrusted=untrusted)
        if moments.complete:
            return None
        reason = (
            f"more than {MOST_MOMENTS} combinations of times at which its rules begin and end; the rest was not judged"
        )
        return PointDrift(
            entry.point, entry.workload, entry.platform, "unknown", "", False,
            reasons=(*_texts(state.reasons), reason),
        )  # fmt: skip

    def _wanted(self, entry: PointEntry, state: PointState, then: Then) -> Form:
        """What is intended then. Now it is the policy; later what its rendering is able to say."""
        if then.trusting is False or (then.moment != self._at and self._behind(state, then)):
            return self._rendered(entry, state, then)
        if then.moment == self._at:
            return self._comparer.shared(self.desired[entry.point])
        return self._comparer.shared(self._desired_then.at(entry.point, then.moment))

    def _rendered(self, entry: PointEntry, state: PointState, then: Then) -> Form:
        """What our rules let through, without windows behind their end and without a clock to trust."""
        # Without a clock no moment changes the answer.
        moment = self._at if then.trusting is False else then.moment
        key = (entry.platform, moment, state.windows_until, then.trusting is False)
        if key not in self._unsure:
            self._unsure[key] = BundleForms(self._bundle, moment, _unsure(entry, state, then))
        return self._comparer.shared(self._unsure[key][entry.point])

    @staticmethod
    def _behind(state: PointState, then: Then) -> bool:
        return state.windows_until is not None and then.moment >= state.windows_until

    def _looked(
        self, entry: PointEntry, artifact: Artifact, state: PointState, then: Then, own: Form, form: Form
    ) -> PointDrift:
        """The point at one moment."""
        name = entry.point
        wanted = self._wanted(entry, state, then)
        found = self._difference(entry, wanted, form)
        if found.state == "equal":
            pending = bool((state.record or {}).get("pending"))
            return PointDrift(name, entry.workload, entry.platform, "equal", "pending" if pending else "", False)
        ours = self._difference(entry, wanted, own)
        now = then == Then(self._at)
        return PointDrift(
            name,
            entry.workload,
            entry.platform,
            found.state,
            (self._timed_cause(entry, state, wanted, own) if now else "") or _cause(state, artifact, ours.state),
            foreign=ours.state == "equal" or _more(found, ours),
            boxes=tuple(self._box(entry, artifact, state, kind, box, then) for kind, box in _boxes(found)[:MOST_BOXES]),
            boxes_total=len(_boxes(found)),
            reasons=_texts(dict.fromkeys((*state.reasons, *form.reasons))),
        )

    def _timed_cause(
        self, entry: PointEntry, state: PointState, wanted: Form, own: Form
    ) -> Literal["", "clock", "windows"]:
        """Does the point differ now for want of a clock, or of windows, and for nothing else?"""
        then = Then(self._at, False if state.withheld else None)
        if not state.withheld and not self._behind(state, then):
            return ""
        if self._difference(entry, self._rendered(entry, state, then), own).state != "equal":
            return ""
        if self._behind(state, then):
            return "windows"
        if state.again is None:
            return ""
        trusting = state.again(self._at, True)[0]
        return "clock" if self._difference(entry, wanted, trusting).state == "equal" else ""

    def _difference(self, entry: PointEntry, wanted: Form, form: Form) -> Difference:
        return beyond_itself(self._comparer.difference(wanted, self._comparer.shared(form)), entry.own)

    def _box(
        self,
        entry: PointEntry,
        artifact: Artifact,
        state: PointState,
        kind: Literal["wider", "narrower", "unknown"],
        box: Box,
        then: Then,
    ) -> DriftBox:
        own, peer, service = box.witness()
        packet = Packet(box.direction, box.family, own, self._known_peer(entry, box, peer), service)
        now, untrusted = then == Then(self._at), then.trusting is False
        unsure = _unsure(entry, state, then) if untrusted or (not now and self._behind(state, then)) else _sure
        asked = (artifact, packet.direction, packet.family, own, packet.peer, service)
        intended = decide(*asked, then.moment, unsure)
        # The live rules are known as of now: at another moment another rule may decide.
        live = self._attribute(entry.point, packet) if self._attribute and now else None
        rule = intended.rule.id if intended.rule else ""
        parts = self._lifter.parts(entry.zone, box.family, box.peers)
        whole = box.own == entry.own.get(box.family, ())
        return DriftBox(
            kind=kind,
            direction=box.direction,
            own=entry.workload if whole else f"{entry.workload} at {show(box.family, own)}",
            peers=self._lifter.say(entry.zone, box.family, box.peers),
            workloads=len(parts.whole | {name for name, _number in parts.single}),
            services=tuple(line.show(box.services, box.family)),
            said=say_services(box.services, box.family),
            witness=self._witness(entry, packet),
            live_rule=str(redact(live.text)) if live else "",
            foreign=live.foreign if live else False,
            intended=f"{intended}, {UNTRUSTED}" if untrusted else str(intended),
            rule=rule,
            place=self._places.get(rule, ""),
        )

    def _known_peer(self, entry: PointEntry, box: Box, peer: int) -> int:
        """A peer somebody knows makes a better witness than the first address of a block."""
        for low, _high in intersection(box.peers, self._lifter.inhabited(entry.zone, box.family)):
            if self._lifter.holders(entry.zone, box.family, low) != (entry.workload,):
                return low
        return peer

    def _witness(self, entry: PointEntry, packet: Packet) -> str:
        names = self._lifter.holders(entry.zone, packet.family, packet.peer)
        peer = f"{names[0]} " if names else ""
        own_text = f"{entry.workload} {show(packet.family, packet.own)}"
        peer_text = f"{peer}{show(packet.family, packet.peer)}"
        service = line.show(((packet.service, packet.service),))[0]
        if packet.direction == "ingress":
            return f"{peer_text} -> {own_text} {service}"
        return f"{own_text} -> {peer_text} {service}"


def _unsure(entry: PointEntry, state: PointState, then: Then) -> Unsure:
    """What our rendering of a point cannot say then."""
    driver = driver_for(entry.platform)
    return lambda rule: driver.unsure(rule, then.moment, state.windows_until, then.trusting is not False)


def _sure(_rule: ArtifactRule) -> bool:
    return False


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _boxes(found: Difference) -> list[tuple[Literal["wider", "narrower", "unknown"], Box]]:
    """What is open comes first."""
    return [
        *(("wider", box) for box in found.wider),
        *(("narrower", box) for box in found.narrower),
        *(("unknown", box) for box in found.unknown),
    ]


def _more(found: Difference, ours: Difference) -> bool:
    """Do the rules of others add to what our own already differ in?"""
    return (found.wider, found.narrower, found.unknown) != (ours.wider, ours.narrower, ours.unknown)


def _cause(state: PointState, artifact: Artifact, ours: State) -> Cause:
    record = state.record or {}
    if ours == "equal":
        return "foreign"
    if record.get("pending"):
        return "pending"
    if state.hash == ABSENT:
        return "missing"
    if record.get("hash") not in (None, state.hash):
        return "tampered"
    if record.get("policy_digest") not in (None, artifact.policy_digest()):
        return "policy"
    return "membership" if record.get("hash") == state.hash else "tampered"


def _texts(reasons: Collection[str]) -> tuple[str, ...]:
    return tuple(str(redact(reason)) for reason in reasons)


def with_since(report: DriftReport, since: Mapping[str, str]) -> DriftReport:
    """The report with the first moment of every point's state."""
    return replace(
        report, points=tuple(replace(point, since=since.get(point.point, point.since)) for point in report.points)
    )
