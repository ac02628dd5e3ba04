# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a person asks after the verdict: which rules came close, what other modes would say, who filters on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..model.calendar import Validity
from ..model.estate import Direction, Workload
from ..model.intervals import contains
from ..model.labels import Truth
from .compile import COUNTING, Stage
from .decide import Decider, End
from .resolve import Element, ResolvedRule
from .timing import in_time

#: Near misses of one side that a person will read.
MOST_NEAR = 5


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A rule about this service that would count if one end were another. `why` says which and how.

    `comes_back`: it is about both ends, and only time or a fact that has ended keeps it from counting.
    """

    origin: ResolvedRule
    why: str
    comes_back: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "rule": self.origin.id,
            "tier": self.origin.tier,
            "action": self.origin.rule.action,
            "stage": self.origin.stage,
            "place": str(self.origin.place),
            "why": self.why,
            "comes_back": self.comes_back,
        }


@dataclass(frozen=True, slots=True)
class PathPoint:
    """An enforcement point that sees the connection."""

    side: Direction
    point: str
    platform: str
    writer: str
    mode: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "side": self.side,
            "point": self.point,
            "platform": self.platform,
            "writer": self.writer,
            "mode": self.mode,
        }


@dataclass(frozen=True, slots=True)
class InMode:
    """What a side would say in another mode; `rule` decides it, None where the mode alone does."""

    verdict: str
    rule: str | None

    def to_dict(self) -> dict[str, Any]:
        return {"verdict": self.verdict, "rule": self.rule}


def by_mode(decider: Decider, direction: Direction, own: End, peer: End, point: int) -> dict[str, InMode]:
    """What one side would say in every mode, for managed workloads; empty for all others."""
    if own.workload is None or not own.workload.managed:
        return {}
    decided = Decider(decider.compiled, decider.at, intent=True).decide(direction, own, peer, point)
    full = InMode(decided.verdict, decided.copy.artifact.id if decided.copy is not None else None)
    by_rule = decided.decided_by in ("rule", "failsafe")
    unenforced = InMode("allowed", None)
    return {
        "idle": unenforced,
        "visibility": unenforced,
        "selective": full if by_rule else unenforced,
        "full": full,
    }


def path_points(consumer: End, provider: End) -> list[PathPoint]:
    """Enforcement points in the order in which a packet meets them."""
    found = []
    ends: tuple[tuple[Direction, Workload | None], ...] = (
        ("egress", consumer.workload),
        ("ingress", provider.workload),
    )
    for direction, workload in ends:
        if workload is not None and workload.managed:
            found += [
                PathPoint(direction, point.id, point.platform, point.writer, workload.modes.of(direction))
                for point in workload.enforcement
                if direction in point.directions
            ]
    return found


def near_misses(
    rules: tuple[ResolvedRule, ...], decider: Decider, consumer: End, provider: End, point: int, stage: Stage
) -> list[NearMiss]:
    """Rules of the stage, staged ones and drafts too, that speak about the service and about one of the two ends."""
    found: list[tuple[int, NearMiss]] = []
    for item in rules:
        if not contains(item.rule.services, point):
            continue
        sides = (("from", item.consumers, consumer), ("to", item.providers, provider))
        missing = [
            (word, elements, end)
            for word, elements, end in sides
            if not any(_holds(element, end, decider) for element in elements)
        ]
        counts = item.stage in COUNTING[stage]
        if not missing and counts:
            validity = Validity(None, item.rule.expires, item.rule.schedule)
            if not validity.holds(decider.at):
                found.append((0, NearMiss(item, in_time(validity, decider.at), comes_back=True)))
        elif not missing:
            found.append((0, NearMiss(item, f"is {item.stage}")))
        elif len(missing) == 1:
            word, elements, end = missing[0]
            prefix = "" if counts else f"is {item.stage}; "
            outdated = counts and any(_holds(element, end, decider, lasting=True) for element in elements)
            why = f"{prefix}{word} {_lacks(elements, end)}"
            found.append((1 if counts else 2, NearMiss(item, why, comes_back=outdated)))
    return [miss for _rank, miss in sorted(found, key=lambda pair: (pair[0], pair[1].origin.id))[:MOST_NEAR]]


def _holds(element: Element, end: End, decider: Decider, lasting: bool = False) -> bool:
    """`lasting`: as if no fact had ended."""
    workload = end.workload
    if element.kind == "any":
        return True
    if element.kind == "addresses":
        zone = "" if workload is None else workload.zone
        return any(prefix.holds(end.address, zone) for prefix in element.prefixes)
    if workload is None or element.kind == "fqdn":
        return False
    if element.kind == "workload":
        return element.name == workload.name
    if element.kind == "all":
        return True
    return element.selector.matches(workload.labels, None if lasting else decider.at) is Truth.YES


def _lacks(elements: tuple[Element, ...], end: End) -> str:
    """What the end would need, in the words of the rule: `needs role=web; batch-1 has role=batch`."""
    name = end.name or str(end.address)
    element = elements[0]
    alternatives = f" or {len(elements) - 1} more" if len(elements) > 1 else ""
    if end.workload is None or element.kind not in ("labels", "scope", "users"):
        return f"is {element}{alternatives}, not {name}"
    labels = end.workload.labels
    wrong = [one for one in element.selector.requirements if one.matches(labels.get(one.key), None) is not Truth.YES]
    if not wrong:
        return f"needs {element}{alternatives}; what {name} has is out of date"
    if element.kind == "users":
        return f"needs a live session of {element.name}{alternatives} on {name}"
    has = ", ".join(f"{one.key}={labels[one.key].value}" if one.key in labels else f"no {one.key}" for one in wrong)
    return f"needs {', '.join(map(str, wrong))}{alternatives}; {name} has {has}"


__all__ = ["InMode", "NearMiss", "PathPoint", "by_mode", "near_misses", "path_points"]
