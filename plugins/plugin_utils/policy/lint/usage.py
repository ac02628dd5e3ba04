# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What allow rules open beside what observed flows use: rules that are too broad, and rules that nobody uses.

No data is not no traffic: where too few hosts reported, too much was lost or the window is short, nothing is said at
all; of a rule nothing is said unless most workloads of one of its sides reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from ...model import services as line
from ...model.addresses import Address
from ...model.edges import Coverage, Edges
from ...model.estate import Direction
from ...model.intervals import contains, size
from ..classes import positions_of
from ..resolve import ResolvedRule
from .context import Context
from .report import LintFinding, about
from .space import Space
from .table import Table

#: Least share of expected hosts that reported, greatest loss, and shortest window from which use is judged.
SHARE, LOSS, WINDOW = 0.9, 0.05, timedelta(days=7)
#: A rule is broad when at most this share of its pairs, or of its service points, is used.
USED = 0.2
#: Fewer pairs and service points than these are not worth a finding.
PAIRS, POINTS = 20, 100
#: Direction, and which of (consumer, provider) is the own end and which the far one.
_VIEWS: tuple[tuple[Direction, int, int], ...] = (("ingress", 1, 0), ("egress", 0, 1))


def too_thin(coverage: Coverage) -> str:
    """Why use cannot be judged; empty where it can."""
    if coverage.share < SHARE:
        return f"only {coverage.share:.0%} of the expected hosts reported ({SHARE:.0%} are needed)"
    if coverage.loss > LOSS:
        return f"{coverage.loss:.1%} of the flows were lost ({LOSS:.0%} is the most)"
    if coverage.watched < WINDOW:
        return f"{coverage.watched / timedelta(days=1):.1f} days of observation are too short (7 are needed)"
    return ""


@dataclass
class _Use:
    """Distinct pairs of ends and distinct service points that flows of a rule used."""

    pairs: set[tuple[int, int]] = field(default_factory=set)
    points: set[int] = field(default_factory=set)
    count: int = 0


def use_of_rules(context: Context) -> Iterator[LintFinding]:
    edges = context.edges
    if edges is None or too_thin(edges.coverage):
        return
    used = _used(context, edges)
    reported = set(edges.coverage.reported)
    sides = _Sides(context, reported)
    for position, item in enumerate(context.items):
        if item.rule.action != "allow" or item.stage not in ("active", "retiring"):
            continue
        if any(element.kind in ("fqdn", "users") for element in (*item.consumers, *item.providers)):
            continue
        if not _could_be_seen(item, edges.coverage) or sides.reported_share(item) < SHARE:
            continue
        use = used.get(position)
        if use is None:
            yield _stale(item, edges.coverage)
        else:
            pairs = sides.pairs(item)
            points = size(item.rule.services)
            broad_pairs = pairs >= PAIRS and len(use.pairs) <= USED * pairs
            broad_points = points >= POINTS and len(use.points) <= USED * points
            if broad_pairs or broad_points:
                yield _broad(item, edges.coverage, use, pairs, points)


def _could_be_seen(item: ResolvedRule, coverage: Coverage) -> bool:
    """Did the rule count at some moment of the window?"""
    rule = item.rule
    if rule.expires is not None and rule.expires <= coverage.start:
        return False
    return rule.schedule is None or any(rule.schedule.windows(low, high) for low, high in coverage.stretches)


def _used(context: Context, edges: Edges) -> dict[int, _Use]:
    """Rule position -> use. Every distinct (consumer, provider, service) is looked up once."""
    tables = {(table.space.family, table.direction): table for table in context.deciding.tables}
    groups = _groups_of(context, edges.ends, [table.space for table in context.deciding.tables])
    keep = ~edges.dropped
    triples, inverse = np.unique(
        np.stack([edges.consumer[keep], edges.provider[keep], edges.service[keep]]), axis=1, return_inverse=True
    )
    counts = np.bincount(inverse.reshape(-1), weights=edges.count[keep]) if triples.size else np.array([])
    found: dict[int, _Use] = {}
    allows: dict[tuple[int, str, int, int], list[int]] = {}
    for (consumer, provider, point), count in zip(triples.T.tolist(), counts.tolist(), strict=True):
        rules: set[int] = set()
        for direction, own, far in _VIEWS:
            near, peer = groups[(consumer, provider)[own]], groups[(consumer, provider)[far]]
            table = tables.get((edges.ends[consumer].family, direction))
            if table is None or near < 0 or peer < 0:
                continue
            key = (table.space.family, direction, near, peer)
            if key not in allows:
                allows[key] = _allowing(table, near, peer)
            rules.update(rule for rule in allows[key] if contains(context.items[rule].rule.services, point))
        for rule in rules:
            use = found.setdefault(rule, _Use())
            use.pairs.add((consumer, provider))
            use.points.add(point)
            use.count += int(count)
    return found


def _allowing(table: Table, own: int, far: int) -> list[int]:
    """Rules with an allow between two groups."""
    meeting = table.meeting((1 << own, 1 << far, -1, -1))
    return sorted(
        {
            table.rows[position].rule
            for position in positions_of(meeting)
            if table.rows[position].action == "allow" and table.rows[position].rule >= 0
        }
    )


def _groups_of(context: Context, ends: Sequence[Address], spaces: Sequence[Space]) -> list[int]:
    """The group of every end; -1 for an address in a place that has no group."""
    by_family = {space.family: space for space in spaces}
    found = []
    for address in ends:
        space = by_family.get(address.family)
        holders = context.estate.holders(address)
        position = context.compiled.classes.of[holders[0].name] if holders else -1
        found.append(-1 if space is None else space.group_of(address, position))
    return found


class _Sides:
    """Sizes of the sides of rules, each worked out once."""

    def __init__(self, context: Context, reported: set[str]) -> None:
        self._context = context
        self._reported = reported
        self._known: dict[int, tuple[int, int, int]] = {}

    def _side(self, bits: int | None) -> tuple[int, int, int]:
        """(workloads, managed ones, managed ones that reported)"""
        classes = self._context.compiled.classes
        bits = classes.everything if bits is None else bits
        if bits not in self._known:
            names = list(classes.names(bits))
            managed = [name for name in names if self._context.estate.workloads[name].managed]
            self._known[bits] = len(names), len(managed), sum(name in self._reported for name in managed)
        return self._known[bits]

    def _both(self, item: ResolvedRule) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        classes = self._context.compiled.classes
        sides = []
        for side in (item.consumers, item.providers):
            bits = self._context.classes_of(side, deny=False)
            if bits is not None:
                bits |= classes.holding([prefix for element in side for prefix in element.prefixes])
            sides.append(self._side(bits))
        return sides[0], sides[1]

    def pairs(self, item: ResolvedRule) -> int:
        """Pairs of workloads the rule opens; blocks of addresses of nobody are not counted."""
        consumers, providers = self._both(item)
        return consumers[0] * providers[0]

    def reported_share(self, item: ResolvedRule) -> float:
        """Of the side whose managed workloads reported best: what one end sees is seen."""
        return max((side[2] / side[1] for side in self._both(item) if side[1]), default=0.0)


def _window(coverage: Coverage) -> dict[str, object]:
    return {
        "start": coverage.start.isoformat(),
        "end": coverage.end.isoformat(),
        "coverage": round(coverage.share, 4),
        "loss": coverage.loss,
        "source": coverage.source,
    }


def _said(coverage: Coverage) -> str:
    days = coverage.watched / timedelta(days=1)
    return f"{days:.0f} days, coverage {coverage.share:.0%}, loss {coverage.loss:.1%}"


def _stale(item: ResolvedRule, coverage: Coverage) -> LintFinding:
    return about(
        item,
        "W-STALE",
        "info",
        f"was used by no observed flow ({_said(coverage)}).",
        "Ask its owner; set stage: retiring for a while before removing it.",
        {"window": _window(coverage)},
    )


def _broad(item: ResolvedRule, coverage: Coverage, use: _Use, pairs: int, points: int) -> LintFinding:
    services = line.show(tuple((point, point) for point in sorted(use.points)[:10]))
    share = len(use.pairs) * len(use.points) / max(1, pairs * points)
    return about(
        item,
        "W-OVER-BROAD",
        "warning",
        f"opens {pairs:,} pairs on {points:,} service points; flows used {len(use.pairs):,} pairs and "
        f"{len(use.points):,} points ({_said(coverage)}).",
        f"Narrow it to what is used: services: [{', '.join(services)}]"
        if points >= POINTS
        else "Narrow its selectors.",
        {
            "pairs": pairs,
            "service_points": points,
            "used_pairs": len(use.pairs),
            "used_service_points": len(use.points),
            "used_services": services,
            "share": share,
            "flows": use.count,
            "window": _window(coverage),
        },
    )


__all__ = ["LOSS", "SHARE", "WINDOW", "too_thin", "use_of_rules"]
