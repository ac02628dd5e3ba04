# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Observed edges as talks: who of the estate talked to whom on what, how often and on which days.

A party is a workload, by name, or an address of nobody. What several sensors, addresses or rows say about two parties
and one service is one talk. A talk to a service address is one to each of its members (DESIGN §3.12).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from ...model.addresses import Address
from ...model.edges import Edges
from ...model.estate import Estate, ServiceAddress
from ...model.labels import Truth
from ..resolve import Element
from .learning import Filter, Learning

Party = str | Address
Mask = npt.NDArray[np.bool_]
#: A party that several workloads share: nobody can say who talked.
SHARED = "\0shared"
_QUARTER = 900


@dataclass(frozen=True)
class Talk:
    """`count` conversations got through and are to be learned from, `dropped` did not.

    `first`, `last`: seconds since 1970. `moments`: known times of activity, ascending; `days`: days of the calendar
    that hold them. `addresses`: the pairs of addresses that talked, as the packets had them, with the service point
    they used. `excluded` is the filter that left nothing of it, `trusted` one that vouches for it.
    """

    consumer: Party
    provider: Party
    point: int
    count: int = 0
    dropped: int = 0
    first: int = 0
    last: int = 0
    moments: tuple[int, ...] = ()
    days: frozenset[int] = frozenset()
    addresses: frozenset[tuple[Address, Address, int]] = field(default_factory=frozenset)
    excluded: Filter | None = None
    trusted: Filter | None = None
    via: str = ""

    @property
    def key(self) -> tuple[Party, Party, int]:
        return self.consumer, self.provider, self.point

    @property
    def order(self) -> tuple[str, str, int]:
        return order_of(self.consumer), order_of(self.provider), self.point

    @property
    def conversations(self) -> int:
        return self.count + self.dropped


def order_of(party: Party) -> str:
    """Sorts workloads before addresses, and both the same way on every machine."""
    if isinstance(party, str):
        return f"a{party}"
    return f"b{party.zone}\0{party.family}{party.number:040d}"


def talks_of(edges: Edges, estate: Estate, learning: Learning, at: datetime, timezone: str) -> tuple[Talk, ...]:
    """Every talk, in an order that does not depend on that of the edges."""
    if not len(edges):
        return ()
    parties = [_party(end, estate) for end in edges.ends]
    excluding, trusting = _Matching(edges, estate, at), learning.trusted
    reasons = np.full(len(edges), -1, np.int32)
    for number, one in reversed(list(enumerate(learning.exclude))):
        reasons[excluding.mask(one)] = number
    trust = np.full(len(edges), -1, np.int32)
    for number, one in reversed(list(enumerate(trusting))):
        trust[excluding.mask(one)] = number
    merged: dict[tuple[Party, Party, int, str], list[int]] = {}
    groups = _groups(edges)
    fronts = {item.address: item for item in estate.service_addresses}
    for rows in groups:
        row = int(rows[0])
        consumer, provider = parties[int(edges.consumer[row])], parties[int(edges.provider[row])]
        point = int(edges.service[row])
        front = fronts.get(edges.ends[int(edges.provider[row])])
        for target, inner, via in _targets(provider, point, front, estate):
            merged.setdefault((consumer, target, inner, via), []).extend(rows.tolist())
    joined: dict[tuple[Party, Party, int], Talk] = {}
    days = _days(edges, timezone)
    for (consumer, provider, point, via), numbers in merged.items():
        made = _talk(consumer, provider, point, via, np.array(numbers), edges, reasons, trust, learning, days)
        known = joined.get(made.key)
        joined[made.key] = made if known is None else _both(known, made)
    return tuple(sorted(joined.values(), key=lambda talk: talk.order))


def _party(end: Address, estate: Estate) -> Party:
    holders = estate.holders(end)
    if len(holders) > 1:
        return SHARED
    return holders[0].name if holders else end


def _groups(edges: Edges) -> Iterator[npt.NDArray[np.int64]]:
    """Rows with equal ends and service, group by group."""
    order = np.lexsort((edges.service, edges.provider, edges.consumer))
    differs = (
        (np.diff(edges.consumer[order]) != 0)
        | (np.diff(edges.provider[order]) != 0)
        | (np.diff(edges.service[order]) != 0)
    )
    yield from np.split(order, np.flatnonzero(differs) + 1)


def _targets(
    provider: Party, point: int, front: ServiceAddress | None, estate: Estate
) -> Iterable[tuple[Party, int, str]]:
    if front is None:
        return [(provider, point, "")]
    inner = dict(front.ports).get(point)
    members = [item.name for item in estate.workloads.values() if front.members.matches(item.labels, None) is Truth.YES]
    if inner is None or not members:
        return [(provider, point, "")]
    return [(name, inner, front.name) for name in members]


def _days(edges: Edges, timezone: str) -> Mapping[int, int]:
    """The calendar day of every quarter of an hour in which something began or ended."""
    zone = ZoneInfo(timezone)
    quarters = np.unique(np.concatenate([edges.first // _QUARTER, edges.last // _QUARTER]))
    return {
        int(quarter): datetime.fromtimestamp(int(quarter) * _QUARTER, UTC).astimezone(zone).toordinal()
        for quarter in quarters
    }


def _talk(
    consumer: Party,
    provider: Party,
    point: int,
    via: str,
    rows: npt.NDArray[np.int64],
    edges: Edges,
    reasons: npt.NDArray[np.int32],
    trust: npt.NDArray[np.int32],
    learning: Learning,
    days: Mapping[int, int],
) -> Talk:
    kept = rows[reasons[rows] < 0]
    excluded = None if len(kept) else learning.exclude[int(reasons[rows].min())]
    if not len(kept):
        kept = rows
    trusted = trust[kept][trust[kept] >= 0]
    through = kept[~edges.dropped[kept] | (trust[kept] >= 0)]
    seen = through if len(through) else kept
    moments = np.unique(np.concatenate([edges.first[seen], edges.last[seen]]))
    pairs = {
        (edges.ends[int(edges.consumer[row])], edges.ends[int(edges.provider[row])], int(edges.service[row]))
        for row in seen
    }
    return Talk(
        consumer,
        provider,
        point,
        count=int(edges.count[through].sum()),
        dropped=int(edges.count[kept].sum() - edges.count[through].sum()),
        first=int(edges.first[seen].min()),
        last=int(edges.last[seen].max()),
        moments=tuple(int(moment) for moment in moments),
        days=frozenset(days[int(moment) // _QUARTER] for moment in moments),
        addresses=frozenset(pairs),
        excluded=excluded,
        trusted=learning.trusted[int(trusted.min())] if len(trusted) and excluded is None else None,
        via=via,
    )


def _both(left: Talk, right: Talk) -> Talk:
    """Seen directly and by way of a service address; an exclusion counts only if it holds for both."""
    if (left.excluded is None) != (right.excluded is None):
        return left if left.excluded is None else right
    moments = tuple(sorted({*left.moments, *right.moments}))
    return Talk(
        left.consumer,
        left.provider,
        left.point,
        left.count + right.count,
        left.dropped + right.dropped,
        min(left.first, right.first),
        max(left.last, right.last),
        moments,
        left.days | right.days,
        left.addresses | right.addresses,
        left.excluded,
        left.trusted or right.trusted,
        left.via or right.via,
    )


class _Matching:
    """Which rows a filter means, asked once per end and not once per row."""

    def __init__(self, edges: Edges, estate: Estate, at: datetime) -> None:
        self.edges = edges
        self.estate = estate
        self.at = at

    def mask(self, wanted: Filter) -> Mask:
        edges = self.edges
        found = np.ones(len(edges), np.bool_)
        if wanted.consumers is not None:
            found &= self._ends(wanted.consumers)[edges.consumer]
        if wanted.providers is not None:
            found &= self._ends(wanted.providers)[edges.provider]
        if wanted.services:
            within = np.zeros(len(edges), np.bool_)
            for low, high in wanted.services:
                within |= (edges.service >= low) & (edges.service <= high)
            found &= within
        if wanted.sensors:
            named = np.array([sensor in wanted.sensors for sensor in edges.sensors], np.bool_)
            found &= named[edges.sensor]
        if wanted.when is not None:
            found &= self._during(wanted)
        return found

    def _ends(self, elements: tuple[Element, ...]) -> Mask:
        return np.array([self._matches(elements, end) for end in self.edges.ends], np.bool_)

    def _matches(self, elements: tuple[Element, ...], end: Address) -> bool:
        return any(
            _means(element, end, name, self.estate, self.at)
            for name in ([item.name for item in self.estate.holders(end)] or [""])
            for element in elements
        )

    def _during(self, wanted: Filter) -> Mask:
        edges = self.edges
        assert wanted.when is not None
        start = datetime.fromtimestamp(int(edges.first.min()), UTC)
        end = datetime.fromtimestamp(int(edges.last.max()), UTC) + timedelta(seconds=1)
        inside = np.zeros(len(edges), np.bool_)
        for low, high in wanted.when.windows(start, end):
            inside |= (edges.first >= low.timestamp()) & (edges.last < high.timestamp())
        return inside


def _means(element: Element, end: Address, name: str, estate: Estate, at: datetime) -> bool:
    if element.kind == "any":
        return True
    if element.kind == "addresses":
        return any(prefix.holds(end, end.zone) for prefix in element.prefixes)
    if not name or element.kind == "fqdn":
        return False
    if element.kind in ("labels", "users"):
        return element.selector.matches(estate.workloads[name].labels, at) is Truth.YES
    return element.kind != "workload" or element.name == name


__all__ = ["SHARED", "Party", "Talk", "order_of", "talks_of"]
