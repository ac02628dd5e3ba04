# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The completeness gate: does what was observed show what there is? An estimate, not a number of days.

How likely the next conversation is one that was never seen is estimated after Good and Turing: the share of service
edges seen on one day only among all days of all edges, with the variance of Esty (1983) for an upper bound. Beside it
stands the calendar, because what never runs in the window leaves no trace in any estimate.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import sqrt
from typing import Any, Literal
from zoneinfo import ZoneInfo

from ...model.edges import Coverage
from .covering import ANY
from .learning import Job, Learning
from .observed import Party, Talk
from .rules import ProposedRule

#: One-sided, 95 %.
_QUANTILE = 1.645
_CHANCE = 0.05


@dataclass(frozen=True, slots=True)
class Unseen:
    """`edges` service edges with `days` days of activity in all; `once` and `twice` of them were seen on so many days.

    `estimate` and `upper` are shares of traffic, by days, whose edge was never seen; 1 where nothing was.
    """

    edges: int
    days: int
    once: int
    twice: int

    @property
    def estimate(self) -> float:
        return float(self.once / self.days) if self.days else 1.0

    @property
    def upper(self) -> float:
        """Never below what so few days could show at all (the chance of seeing nothing new in them is 5 %)."""
        if not self.days:
            return 1.0
        spread = sqrt(max(self.once * (1 - self.once / self.days) + 2 * self.twice, 0.0)) / self.days
        return float(min(1.0, max(self.estimate + _QUANTILE * spread, 1 - _CHANCE ** (1 / self.days))))


@dataclass(frozen=True)
class Gate:
    """`reasons` say what is missing; without one the observation is complete."""

    scope: str
    unseen: Unseen
    coverage: float
    loss: float
    reasons: tuple[str, ...]

    @property
    def verdict(self) -> Literal["complete", "not complete"]:
        return "not complete" if self.reasons else "complete"

    def to_dict(self) -> dict[str, Any]:
        return {
            "scope": self.scope,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "unseen": {
                "estimate": round(self.unseen.estimate, 4),
                "upper": round(self.unseen.upper, 4),
                "service_edges": self.unseen.edges,
                "seen_on_one_day": self.unseen.once,
            },
            "coverage": round(self.coverage, 4),
            "loss": self.loss,
        }


def judge(
    scope: str,
    talks: Iterable[Talk],
    members: frozenset[str],
    coverage: Coverage,
    learning: Learning,
    timezone: str,
    group: Callable[[Party], object],
    learned: Iterable[ProposedRule] = (),
) -> Gate:
    """`talks`: those of the scope that got through, learned, allowed already or too few to learn from. `members`: its
    managed workloads. `learned`: its proposed rules.
    """
    talks = list(talks)
    unseen = unseen_traffic(talks, group)
    reasons: list[str] = []
    if unseen.upper > learning.unseen:
        coarse = "; rows of flows that span many days hide on which of them they were active: give daily rows"
        reasons.append(
            f"up to {unseen.upper:.1%} of traffic may use a service edge that was never seen "
            f"(estimate {unseen.estimate:.1%}; {unseen.once} of {unseen.edges} edges were seen on one day only); "
            f"at most {learning.unseen:.1%} is accepted{coarse if _spans_days(talks) else ''}"
        )
    reasons += [
        f"{rule.id} is still learning: {peers} may come in, and too few of those seen came back on another day, or too "
        "many are new"
        for rule in learned
        if rule.maturity == "learning" and (peers := _outsiders(rule))
    ]
    reasons += calendar_gaps(coverage, learning, timezone)
    share = _share(members, coverage)
    if share < learning.coverage:
        missing = sorted(members - set(coverage.reported))
        names = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        reasons.append(
            f"{share:.1%} of its workloads reported ({names} did not); at least {learning.coverage:.1%} is needed"
            if coverage.expected
            else "the source does not say which workloads it covers"
        )
    if coverage.loss > learning.loss:
        reasons.append(
            f"{coverage.loss:.1%} of conversations were missed by the sensors; at most {learning.loss:.1%} is accepted"
        )
    return Gate(scope, unseen, share, coverage.loss, tuple(reasons))


def _spans_days(talks: Sequence[Talk]) -> bool:
    """Are there days between the known ones of most talks, of which the rows say nothing?"""
    hidden = sum(len(talk.days) == 2 and max(talk.days) - min(talk.days) > 1 for talk in talks)
    return 2 * hidden > len(talks)


def _outsiders(rule: ProposedRule) -> str:
    """Who from outside the estate may come in, in words; "" where consumers are workloads only."""
    written = rule.document["from"]
    found = []
    for peer in written if isinstance(written, list) else [written]:
        if peer == ANY:
            found.append(ANY)
        elif isinstance(peer, Mapping) and "ip_list" in peer:
            found.append(f"the ip_list {peer['ip_list']}")
        elif isinstance(peer, Mapping) and "cidr" in peer:
            found.append(str(peer["cidr"]))
    return " and ".join(found)


def unseen_traffic(talks: Iterable[Talk], group: Callable[[Party], object]) -> Unseen:
    """A service edge is a group of consumers, a group of providers and a service."""
    days: dict[tuple[object, object, int], set[int]] = {}
    for talk in talks:
        days.setdefault((group(talk.consumer), group(talk.provider), talk.point), set()).update(talk.days)
    sizes = [len(found) for found in days.values()]
    return Unseen(len(sizes), sum(sizes), sizes.count(1), sizes.count(2))


def _share(members: frozenset[str], coverage: Coverage) -> float:
    """Of the scope's workloads, whether anybody expected them or not."""
    if not members:
        return coverage.share
    return len(members & set(coverage.reported)) / len(members)


def calendar_gaps(coverage: Coverage, learning: Learning, timezone: str) -> list[str]:
    """What the window does not contain although it should."""
    days = whole_days(coverage, ZoneInfo(timezone))
    gaps = []
    if learning.weekends:
        if not any(day.weekday() < 5 for day in days):
            gaps.append("no whole working day was observed")
        if not any(day.weekday() >= 5 for day in days):
            gaps.append("no whole Saturday or Sunday was observed")
    if learning.month_end and not any(day.day == monthrange(day.year, day.month)[1] for day in days):
        gaps.append("no month end was observed (the whole last day of a month)")
    gaps += [gap for job in learning.jobs for gap in _job_gap(job, coverage)]
    return gaps


def whole_days(coverage: Coverage, zone: ZoneInfo) -> list[date]:
    """Days of the calendar of a zone that were observed from their beginning to their end."""
    day = coverage.start.astimezone(zone).date()
    found: list[date] = []
    while True:
        low = datetime.combine(day, time(), zone).astimezone(UTC)
        high = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
        if high > coverage.end:
            return found
        if coverage.whole(low, high):
            found.append(day)
        day += timedelta(days=1)


def _job_gap(job: Job, coverage: Coverage) -> Iterable[str]:
    windows = job.schedule.windows(coverage.start, coverage.end)
    if not any(coverage.whole(low, high) for low, high in windows):
        following = job.schedule.next_change(coverage.end)
        when = f"; the next one begins {following:%Y-%m-%d %H:%M} UTC" if following is not None else ""
        yield f"no whole run of {job.name} was observed{when}"
    elif job.workload and job.workload not in coverage.reported:
        yield f"{job.name} runs on {job.workload}, which did not report"


__all__ = ["Gate", "Unseen", "calendar_gaps", "judge", "unseen_traffic", "whole_days"]
