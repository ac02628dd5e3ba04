# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Observed conversations about a rule: which of them it speaks about, and which of them a change of policy breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..model.addresses import Address
from ..model.edges import Edges
from ..model.estate import Estate
from ..model.intervals import Intervals
from ..model.labels import Truth
from ..model.policy import Policy
from .changes import Home
from .compile import Compiled
from .resolve import Element, resolve_peer
from .simulate import Simulation
from .simulate_questions import ALLOWED, DENIED, Question

#: From so many conversations on, a rule is justified.
ENOUGH = 10
Mask = npt.NDArray[np.bool_]
Strength = Literal["JUSTIFIED", "WEAK", "NONE"]


@dataclass(frozen=True, slots=True)
class RuleFlows:
    """`conversations` that match the rule, `dropped` of them by what stood in their way; `last` as ISO 8601 or "".

    `breaks`: conversations that are allowed before the change and denied after it.
    """

    conversations: int
    dropped: int
    last: str
    breaks: int

    @property
    def strength(self) -> Strength:
        return "JUSTIFIED" if self.conversations >= ENOUGH else "WEAK" if self.conversations else "NONE"

    def to_dict(self) -> dict[str, Any]:
        return {
            "conversations": self.conversations,
            "dropped": self.dropped,
            "last": self.last,
            "breaks": self.breaks,
        }


@dataclass(frozen=True)
class Verdicts:
    """Per flow: denied before, and allowed before but not after. All by intent."""

    denied_before: Mask
    broken: Mask


def verdicts(before: Compiled, after: Compiled, edges: Edges) -> Verdicts:
    """What was dropped already is nothing a change can break."""
    codes = Simulation((Question(before, intent=True), Question(after, intent=True)), edges).codes()
    old, new = codes & 3, codes >> 2 & 3
    through = ~edges.dropped
    return Verdicts((old == DENIED) & through, (old == ALLOWED) & (new != ALLOWED) & through)


def flows_of(policy: Policy, estate: Estate, home: Home, edges: Edges, broken: Mask, at: datetime) -> RuleFlows:
    """The flows a rule speaks about. An end whose facts are unknown belongs to a deny, not to an allow."""
    scope = next(one for one in policy.scopes if one.name == home.scope)
    rule = home.rule
    sides = [
        [resolve_peer(peer, scope, estate.workloads) for peer in peers] for peers in (rule.consumers, rule.providers)
    ]
    least = Truth.UNKNOWN if rule.action == "deny" else Truth.YES
    consumers, providers = (
        np.array([any(_means(one, end, estate, at, least) for one in side) for end in edges.ends], np.bool_)
        for side in sides
    )
    found = in_services(edges.service, rule.services)
    if len(edges.ends):
        found &= consumers[edges.consumer] & providers[edges.provider]
    last = int(edges.last[found].max()) if found.any() else 0
    return RuleFlows(
        int(edges.count[found].sum()),
        int(edges.count[found & edges.dropped].sum()),
        datetime.fromtimestamp(last, UTC).isoformat(timespec="minutes") if last else "",
        int(edges.count[found & broken].sum()),
    )


def between(edges: Edges, consumers: Sequence[Address], providers: Sequence[Address], services: Intervals) -> int:
    """Conversations from any of these addresses to any of those."""
    if not len(edges):
        return 0
    ends = [np.array([end in set(side) for end in edges.ends], np.bool_) for side in (consumers, providers)]
    found = ends[0][edges.consumer] & ends[1][edges.provider] & in_services(edges.service, services)
    return int(edges.count[found].sum())


def in_services(points: npt.NDArray[np.int64], services: Intervals) -> Mask:
    """Which points of the service line lie in a set."""
    if not services:
        return np.zeros(len(points), np.bool_)
    bounds = np.array([(low, high) for low, high in services], np.int64)
    place = np.searchsorted(bounds[:, 0], points, "right") - 1
    inside: Mask = (place >= 0) & (points <= bounds[np.maximum(place, 0), 1])
    return inside


def _means(element: Element, end: Address, estate: Estate, at: datetime, least: Truth) -> bool:
    holders = estate.holders(end)
    match element.kind:
        case "any":
            return True
        case "addresses":
            zones = {one.zone for one in holders} or {end.zone}
            return any(prefix.holds(end, zone) for prefix in element.prefixes for zone in zones)
        case "workload":
            return any(one.name == element.name for one in holders)
        case "fqdn":
            return False
        case "scope":
            return any(element.selector.matches(one.labels, None) is Truth.YES for one in holders)
    return any(element.selector.matches(one.labels, at) >= least for one in holders)


__all__ = ["ENOUGH", "RuleFlows", "Verdicts", "between", "flows_of", "in_services", "verdicts"]
