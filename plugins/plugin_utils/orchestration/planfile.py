# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The plan as a document: a digested body, which an approval covers, and evidence beside it (docs/plan-format.md).

The body never holds addresses, counters, flows or clocks, so it stays the same while workloads of known classes come
and go and time passes. What changes at some times only stands under the conditions that hold then, so a plan made at
night is the plan made in the morning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from ..model.bundle import Bundle
from ..model.estate import Modes
from ..model.lifting import class_text
from ..model.pieces import canonical, digest_of
from .phases import PointSteps
from .probes import Probe
from .risks import Risk
from .statements import ClassChange, Witness

FORMAT = 1
Kind = Literal["policy", "mode", "membership", "repair"]


@dataclass(frozen=True, slots=True)
class PointPlan:
    """One enforcement point that changes. `policy` and `inverse` are policy digests; `base` the hash planned on."""

    modes: Modes
    policy: str
    base: str
    steps: PointSteps
    inverse: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "modes": {"ingress": self.modes.ingress, "egress": self.modes.egress},
            "policy": self.policy,
            "base": self.base,
            "steps": [self.steps.first, self.steps.second],
            "inverse": self.inverse,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PointPlan:
        modes = Modes(data["modes"]["ingress"], data["modes"]["egress"])
        return cls(modes, data["policy"], data["base"], PointSteps(*data["steps"]), data["inverse"])


@dataclass(frozen=True, slots=True)
class TimedChanges:
    """Changes while the conditions `when` hold, and no other condition on time that the plan knows."""

    when: tuple[str, ...]
    changes: tuple[ClassChange, ...]

    def to_dict(self, classes: Mapping[str, int]) -> dict[str, Any]:
        return {"when": list(self.when), "changes": [change.to_dict(classes) for change in self.changes]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], classes: Sequence[str]) -> TimedChanges:
        return cls(tuple(data["when"]), tuple(ClassChange.from_dict(one, classes) for one in data["changes"]))


@dataclass(frozen=True)
class Body:
    """What is approved.

    `probes`: how many packets of each expectation every point must pass (chosen from the changes, then from what was
    observed). `classes` is the membership envelope: workloads of these classes may come and go. `changes` are those of
    every moment; `timed` those that depend on the time. `all_times`: every combination of times within a year was
    looked at.
    """

    kind: Kind
    policy: str
    previous_policy: str
    renderer: str
    points: Mapping[str, PointPlan]
    changes: tuple[ClassChange, ...]
    batches: tuple[str, ...]
    probes: int
    waivers: tuple[str, ...]
    classes: tuple[str, ...]
    timed: tuple[TimedChanges, ...] = ()
    all_times: bool = True

    def to_dict(self) -> dict[str, Any]:
        numbers = {name: number for number, name in enumerate(self.classes)}
        by_time: dict[str, Any] = {}
        if self.timed:
            by_time["timed"] = [one.to_dict(numbers) for one in self.timed]
        if not self.all_times:
            by_time["all_times"] = False
        return {
            **by_time,
            "kind": self.kind,
            "policy": self.policy,
            "previous_policy": self.previous_policy,
            "renderer": self.renderer,
            "points": {name: self.points[name].to_dict() for name in sorted(self.points)},
            "changes": [change.to_dict(numbers) for change in self.changes],
            "batches": list(self.batches),
            "probes": self.probes,
            "waivers": list(self.waivers),
            "classes": list(self.classes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Body:
        return cls(
            kind=data["kind"],
            policy=data["policy"],
            previous_policy=data["previous_policy"],
            renderer=data["renderer"],
            points={name: PointPlan.from_dict(point) for name, point in data["points"].items()},
            changes=tuple(ClassChange.from_dict(one, data["classes"]) for one in data["changes"]),
            batches=tuple(data["batches"]),
            probes=data["probes"],
            waivers=tuple(data["waivers"]),
            classes=tuple(data["classes"]),
            timed=tuple(TimedChanges.from_dict(one, data["classes"]) for one in data.get("timed", ())),
            all_times=data.get("all_times", True),
        )

    @cached_property
    def digest(self) -> str:
        return digest_of(canonical(self.to_dict()))


@dataclass(frozen=True, slots=True)
class Sentence:
    """A statement as documents and screens show it.

    `said` are the services in few words. `rule` decides the witness after the change and `was` before it ("" where the
    mode decides), `place` is where the rule is written, `why` says it in words. `flows` counts observed connections
    that a denial cuts.
    """

    verdict: Literal["allowed", "denied", "unknown"]
    consumers: Mapping[str, Any]
    providers: Mapping[str, Any]
    services: tuple[str, ...]
    said: str
    families: tuple[str, ...]
    pairs: int
    witness: Witness
    rule: str
    was: str
    place: str
    why: str
    flows: int = 0
    last_seen: str = ""

    @property
    def traffic(self) -> str:
        """The services in few words, with the family where the estate's other family is not meant."""
        return f"{self.said} (ipv6)" if self.families == ("ipv6",) else self.said

    @property
    def cut(self) -> bool:
        return self.verdict != "allowed" and self.flows > 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "from": dict(self.consumers),
            "to": dict(self.providers),
            "services": list(self.services),
            "said": self.said,
            "families": list(self.families),
            "pairs": self.pairs,
            "witness": self.witness.to_dict(),
            "rule": self.rule,
            "was": self.was,
            "place": self.place,
            "why": self.why,
            "flows": self.flows,
            "last_seen": self.last_seen,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Sentence:
        same = ("verdict", "said", "pairs", "rule", "was", "place", "why", "flows", "last_seen")
        return cls(
            consumers=data["from"],
            providers=data["to"],
            services=tuple(data["services"]),
            families=tuple(data["families"]),
            witness=Witness(**data["witness"]),
            **{key: data[key] for key in same},
        )


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A change that only the clock brings: the rule starts or ends by itself, or opens and closes again and again.

    `recurs` says when in words, "" for a single moment.
    """

    moment: str
    rule: str
    action: str
    event: Literal["starts", "expires", "opens", "closes"]
    points: int
    recurs: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "moment": self.moment,
            "rule": self.rule,
            "action": self.action,
            "event": self.event,
            "points": self.points,
            "recurs": self.recurs,
        }


@dataclass(frozen=True, slots=True)
class Later:
    """What the plan changes from a later moment on and not now. `when` says in words what holds then."""

    moment: str
    when: str
    statements: tuple[Sentence, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "moment": self.moment,
            "when": self.when,
            "statements": [statement.to_dict() for statement in self.statements],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Later:
        return cls(data["moment"], data["when"], tuple(Sentence.from_dict(one) for one in data["statements"]))


@dataclass(frozen=True)
class Evidence:
    """What a person decides by. Not digested: it changes with every look at the estate.

    `counts` per platform: change, equal, unknown, writer. `observed` says what the flows cover, None without any.
    `boxes` show per point how its own rules change (at most a few each). `foreign` are points where rules of somebody
    else also drop packets. `left_out` says why a point is not touched, `others` who writes
    the points that are not ours to write. `later` is what becomes allowed or denied by the clock alone, within a year.
    `extended`: points that get windows of their schedules up to a later day, and that day.
    """

    at: str
    bundle: str
    previous_bundle: str
    interim: str
    workloads: int
    gained: int
    lost: int
    counts: Mapping[str, Mapping[str, int]]
    statements: tuple[Sentence, ...]
    security: Risk
    availability: Risk
    observed: Mapping[str, Any] | None
    waves: tuple[tuple[str, ...], ...]
    probes: Mapping[str, tuple[Probe, ...]]
    scheduled: tuple[Scheduled, ...]
    left_out: Mapping[str, str]
    others: Mapping[str, str]
    foreign: tuple[str, ...]
    boxes: Mapping[str, Mapping[str, Any]]
    later: tuple[Later, ...] = ()
    extended: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "bundle": self.bundle,
            "previous_bundle": self.previous_bundle,
            "interim": self.interim,
            "workloads": self.workloads,
            "gained": self.gained,
            "lost": self.lost,
            "counts": {name: dict(numbers) for name, numbers in self.counts.items()},
            "statements": [one.to_dict() for one in self.statements],
            "security": self.security.to_dict(),
            "availability": self.availability.to_dict(),
            "observed": dict(self.observed) if self.observed is not None else None,
            "waves": [list(wave) for wave in self.waves],
            "probes": {point: [probe.to_dict() for probe in probes] for point, probes in self.probes.items()},
            "scheduled": [one.to_dict() for one in self.scheduled],
            "left_out": dict(self.left_out),
            "others": dict(self.others),
            "foreign": list(self.foreign),
            "boxes": {point: dict(boxes) for point, boxes in self.boxes.items()},
            "later": [one.to_dict() for one in self.later],
            "extended": dict(self.extended),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evidence:
        same = ("at", "bundle", "previous_bundle", "interim", "workloads", "gained", "lost", "counts", "observed")
        return cls(
            statements=tuple(Sentence.from_dict(one) for one in data["statements"]),
            security=Risk.from_dict(data["security"]),
            availability=Risk.from_dict(data["availability"]),
            waves=tuple(tuple(wave) for wave in data["waves"]),
            probes={point: tuple(Probe.from_dict(one) for one in some) for point, some in data["probes"].items()},
            scheduled=tuple(Scheduled(**one) for one in data["scheduled"]),
            left_out=data["left_out"],
            others=data["others"],
            foreign=tuple(data["foreign"]),
            boxes=data["boxes"],
            later=tuple(Later.from_dict(one) for one in data.get("later", ())),
            extended=data.get("extended", {}),
            **{key: data[key] for key in same},
        )


@dataclass(frozen=True)
class Plan:
    """`interim_bundle` is only there in the process that made the plan; a loaded plan names it by digest."""

    body: Body
    evidence: Evidence
    interim_bundle: Bundle | None = field(default=None, compare=False, repr=False)

    @property
    def digest(self) -> str:
        return self.body.digest

    @property
    def empty(self) -> bool:
        """Nothing is to do."""
        return not self.body.points

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "digest": self.digest,
            "body": self.body.to_dict(),
            "evidence": self.evidence.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        return cls(Body.from_dict(data["body"]), Evidence.from_dict(data["evidence"]))


def envelope(bundle: Bundle) -> tuple[str, ...]:
    """The classes of an estate, by all their labels."""
    return tuple(sorted({class_text(entry.labels, entry.zone) for entry in bundle.workloads.values()}))
