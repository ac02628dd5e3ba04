# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Verdict classes: what was observed against what is intended.

===========  ========  ========
class        observed  intended
===========  ========  ========
permitted    allowed   allowed
escaped      allowed   denied
rejected     dropped   denied
misdropped   dropped   allowed
===========  ========  ========

Intended is what the desired rules of today's modes say; where a point is in visibility nothing is denied yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..model import services as line
from ..model.addresses import show
from ..model.bundle import Bundle
from ..model.flows import Flow, Observations
from ..model.intervals import contains
from ..model.lifting import Lifter
from ..model.sharing import BundleForms, Comparer
from ..orchestration.cuts import observed
from ..orchestration.pairs import Pairs, PointForms

VerdictClass = Literal["permitted", "escaped", "rejected", "misdropped"]
CLASSES: tuple[VerdictClass, ...] = ("permitted", "escaped", "rejected", "misdropped")
#: Conversations listed per class; all are counted.
MOST = 50


@dataclass(frozen=True, slots=True)
class Conversation:
    """One observed flow that is not as intended."""

    verdict: VerdictClass
    text: str
    count: int
    last_seen: str

    def to_dict(self) -> dict[str, Any]:
        return {"verdict": self.verdict, "text": self.text, "count": self.count, "last_seen": self.last_seen}


@dataclass(frozen=True)
class Verdicts:
    """`counts` of conversations per class. `observed` says what the flows cover."""

    counts: Mapping[str, int]
    conversations: tuple[Conversation, ...]
    observed: Mapping[str, Any]

    @property
    def bad(self) -> bool:
        return bool(self.counts["escaped"] or self.counts["misdropped"])

    def to_dict(self) -> dict[str, Any]:
        return {
            "counts": dict(self.counts),
            "conversations": [one.to_dict() for one in self.conversations],
            "observed": dict(self.observed),
        }


def verdicts(bundle: Bundle, desired: BundleForms, observations: Observations) -> Verdicts:
    """Flows across zones, and of a workload to itself, are not judged."""
    comparer, lifter = Comparer(), Lifter(bundle.workloads)
    forms = [(name, comparer.shared(desired[name])) for name in bundle.points]
    points = [PointForms(name, bundle.points[name].workload, form, form) for name, form in forms]
    pairs = Pairs(bundle.workloads, points, lifter)
    counts: dict[str, int] = dict.fromkeys(CLASSES, 0)
    found: dict[VerdictClass, list[Conversation]] = {"escaped": [], "misdropped": []}
    for flow in sorted(observations.flows, key=lambda flow: (-flow.count, flow.consumer, flow.provider, flow.service)):
        if flow.consumer.zone != flow.provider.zone or flow.consumer.family != flow.provider.family:
            continue
        for name, consumer in pairs.ends(flow.consumer.zone, flow.consumer.family, flow.consumer.number):
            for peer, provider in pairs.ends(flow.provider.zone, flow.provider.family, flow.provider.number):
                if name and name == peer:
                    continue
                intended = contains(pairs.services(consumer, provider, "after")[0], flow.service)
                verdict = _class(flow, intended)
                counts[verdict] += 1
                if verdict in found and len(found[verdict]) < MOST:
                    found[verdict].append(_conversation(flow, verdict, name, peer))
    return Verdicts(counts, (*found["escaped"], *found["misdropped"]), observed(observations))


def _class(flow: Flow, intended: bool) -> VerdictClass:
    if flow.disposition == "allowed":
        return "permitted" if intended else "escaped"
    return "misdropped" if intended else "rejected"


def _conversation(flow: Flow, verdict: VerdictClass, consumer: str, provider: str) -> Conversation:
    left = f"{consumer} {show(flow.consumer.family, flow.consumer.number)}".strip()
    right = f"{provider} {show(flow.provider.family, flow.provider.number)}".strip()
    service = line.show(((flow.service, flow.service),))[0]
    return Conversation(
        verdict, f"{left} -> {right} {service}", flow.count, flow.last_seen.isoformat(timespec="seconds")
    )
