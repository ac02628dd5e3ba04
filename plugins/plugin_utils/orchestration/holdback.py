# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Holding back: what a point that missed phase 1 makes the others wait with (DESIGN §8.2).

A point that is still at old may allow what new denies. Another point must then not open its own end of the same
connections, or a packet would pass that neither the old nor the new policy lets through. Only the newly allowed boxes
shared with the missing point wait; everything else goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from ..model import services as line
from ..model.addresses import FAMILIES, Family
from ..model.artifact import Artifact, ArtifactRule, DirectionPolicy, PeerSet, set_id
from ..model.bundle import Bundle
from ..model.compare import Box, combine, without
from ..model.estate import Direction
from ..model.forms import Form
from ..model.intervals import Intervals, intersection, normalised, union
from ..model.sharing import Comparer, FormsInTime
from .between import Stretches, stretches
from .partial import PartialBundle
from .phases import failsafe_form

TAG = "held-back"


@dataclass(frozen=True, slots=True)
class HeldBack:
    """`bundle` has the phase 2 target of every point that waits; the others take theirs from the plan's bundle.

    `waits` names for each of them the points it waits for, `services` what it does not open towards them. A point
    whose rules were to be removed keeps such a target until those are there.
    """

    bundle: Bundle
    waits: Mapping[str, tuple[str, ...]]
    services: Mapping[str, tuple[str, ...]]

    def artifact(self, point: str, new: Bundle) -> Artifact:
        return self.bundle.artifact(point) if point in self.waits else new.artifact(point)


def held_back(new: Bundle, interim: Bundle, missed: Collection[str], at: datetime) -> HeldBack:
    """`missed`: every point that is not where phase 1 should have brought it, also those the plan left out."""
    addresses = _addresses(new, missed)
    before, after = FormsInTime(interim), FormsInTime(new)
    comparer = Comparer()
    partial = PartialBundle(new)
    waits: dict[str, tuple[str, ...]] = {}
    services: dict[str, tuple[str, ...]] = {}
    alike: dict[tuple[str, str], str] = {}
    for point, entry in interim.points.items():
        if point in missed:
            continue
        times = stretches((*interim.artifact(point).validities, *new.artifact(point).validities), at)
        boxes: dict[Box, list[datetime]] = {}
        waiting: set[str] = set()
        for part in times.parts:
            first, last = (comparer.shared(forms.at(point, part.moment)) for forms in (before, after))
            for box in comparer.difference(first, last).wider:
                shared = _shared(box, addresses.get((entry.zone, box.family, box.direction), {}))
                for name, peers in shared.items():
                    boxes.setdefault(replace(box, peers=peers), []).append(part.moment)
                    waiting.add(name)
        if not boxes:
            continue
        waits[point] = tuple(sorted(waiting))
        opened: Intervals = ()
        for box in boxes:
            opened = union(opened, box.services)
        services[point] = tuple(line.show(opened))
        key = (entry.policy, new.points[point].policy)
        if key in alike and _whole_own(boxes, entry.own):
            partial.add_alike(point, alike[key])
            continue
        policy = partial.add(_withheld(new.artifact(point), after, boxes, times))
        if _whole_own(boxes, entry.own):
            alike[key] = policy
    return HeldBack(partial.bundle(), waits, services)


def _addresses(bundle: Bundle, missed: Collection[str]) -> dict[tuple[str, Family, Direction], dict[str, Intervals]]:
    """The addresses of each missing point's workload, per zone, family and direction of the *other* end.

    A missing point whose own end will let everything through takes no part: it cannot allow now what new denies there.
    """
    result: dict[tuple[str, Family, Direction], dict[str, Intervals]] = {}
    for point in sorted(missed):
        if point not in bundle.points:
            continue
        entry = bundle.points[point]
        ingress, egress = bundle.policies[entry.policy]
        ends: tuple[tuple[Direction, DirectionPolicy], ...] = (("ingress", egress), ("egress", ingress))
        held = bundle.workloads[entry.workload].addresses
        for family in FAMILIES:
            numbers = [(number, number) for kind, number in held if kind == family]
            for direction, policy in ends:
                if numbers and policy.mode not in ("idle", "visibility"):
                    result.setdefault((entry.zone, family, direction), {})[point] = normalised(numbers)
    return result


def _shared(box: Box, addresses: Mapping[str, Intervals]) -> dict[str, Intervals]:
    return {name: peers for name, numbers in addresses.items() if (peers := intersection(box.peers, numbers))}


def _whole_own(boxes: Collection[Box], own: Mapping[Family, Intervals]) -> bool:
    return all(box.own == own.get(box.family, ()) for box in boxes)


def _withheld(
    artifact: Artifact, forms: FormsInTime, boxes: Mapping[Box, Collection[datetime]], times: Stretches
) -> Artifact:
    """The desired rules with denials in front, so that they keep their names; else their bare meaning.

    `boxes` with the moments of the stretches in which they wait.
    """
    sets = dict(artifact.sets)
    denials: dict[Direction, list[ArtifactRule]] = {"ingress": [], "egress": []}
    for number, (box, moments) in enumerate(boxes.items()):
        peers, own = _named(box.family, box.peers), _named(box.family, box.own)
        whole = box.own == artifact.own.get(box.family, ())
        sets[peers.id] = peers
        if not whole:
            sets[own.id] = own
        denials[box.direction].append(
            ArtifactRule(
                f"{TAG}-{number + 1}@microseg/{TAG}",
                "emergency",
                "deny",
                box.services,
                (peers.id,),
                None if whole else (own.id,),
                schedule=times.outside(moments),
            )
        )
    if all(_denies(artifact.of(direction)) for direction in denials if denials[direction]):
        return replace(
            artifact,
            ingress=_in_front(artifact.ingress, denials["ingress"]),
            egress=_in_front(artifact.egress, denials["egress"]),
            sets=sets,
        )

    def wanted(moment: datetime) -> Form:
        waiting = tuple(box for box, moments in boxes.items() if moment in moments)
        return combine(without(forms.at(artifact.point, moment), waiting), failsafe_form(artifact, moment), union)

    return times.artifact(wanted, artifact, TAG)


def _denies(policy: DirectionPolicy) -> bool:
    """Does a denial in the first tier deny whatever it names? Only the failsafe is above it, only `pass` beats it."""
    passes = any(rule.tier == "emergency" and rule.action == "pass" for rule in policy.rules)
    return policy.mode in ("selective", "full") and not passes


def _in_front(policy: DirectionPolicy, denials: list[ArtifactRule]) -> DirectionPolicy:
    return replace(policy, rules=tuple(sorted((*policy.rules, *denials), key=lambda rule: rule.order)))


def _named(family: Family, addresses: Intervals) -> PeerSet:
    meaning = f"{TAG} {family} {addresses}"
    held: dict[Family, Intervals] = {4: (), 6: ()}
    held[family] = addresses
    return PeerSet(set_id("static", meaning), "static", meaning, held)
