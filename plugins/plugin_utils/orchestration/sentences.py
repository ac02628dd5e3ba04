# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who is to blame for a change: the rules that decide a statement's witness before and after."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from ..model import services as line
from ..model.addresses import Address, Family
from ..model.bundle import Bundle
from ..model.deciding import Decision, decide
from ..model.estate import Direction
from ..model.flows import Flow
from .planfile import Sentence
from .statements import Statement, Witness


class Blame:
    """`changed` are the points of the plan; `old` is the bundle provisioned before, None where there was none."""

    def __init__(
        self, new: Bundle, old: Bundle | None, at: datetime, places: Mapping[str, str], changed: Collection[str]
    ) -> None:
        self._new = new
        self._old = old
        self._at = at
        self._places = places
        self._changed = changed
        self._holders = {
            (entry.zone, family, number): name
            for name, entry in new.workloads.items()
            for family, number in entry.addresses
        }
        self._points: dict[str, list[str]] = {}
        for name in sorted(new.points):
            self._points.setdefault(new.points[name].workload, []).append(name)

    def sentence(self, statement: Statement, flows: Collection[Flow]) -> Sentence:
        """With flows the witness is the conversation that is cut most often: people believe what they have seen."""
        if flows:
            statement = self._witnessed(statement, max(flows, key=lambda flow: (flow.count, flow.last_seen)))
        rule, was, why = self._decided(statement)
        return Sentence(
            verdict=statement.verdict,
            consumers=statement.consumers.to_dict(),
            providers=statement.providers.to_dict(),
            services=statement.services,
            said=statement.said,
            families=statement.families,
            pairs=statement.pairs,
            witness=statement.witness,
            rule=rule,
            was=was,
            place=self._places.get(rule, "") or self._places.get(was, ""),
            why=why,
            flows=sum(flow.count for flow in flows),
            last_seen=max(flow.last_seen for flow in flows).isoformat(timespec="seconds") if flows else "",
        )

    def _witnessed(self, statement: Statement, flow: Flow) -> Statement:
        ends = [(end, self._holder(end)) for end in (flow.consumer, flow.provider)]
        return replace(
            statement,
            witness=Witness(
                consumer=ends[0][1],
                consumer_address=str(ends[0][0]),
                provider=ends[1][1],
                provider_address=str(ends[1][0]),
                service=line.show(((flow.service, flow.service),))[0],
            ),
            packet=(
                flow.consumer.zone, flow.consumer.family, flow.consumer.number, flow.provider.number, flow.service,
            ),
        )  # fmt: skip

    def _holder(self, address: Address) -> str:
        """The name of the workload at an address, "" where it is nobody's."""
        return self._holders.get((address.zone, address.family, address.number), "")

    def _decided(self, statement: Statement) -> tuple[str, str, str]:
        """(rule after, rule before, words) of the end where the verdict moves."""
        if statement.verdict == "unknown":
            return "", "", "rules found there could not be judged"
        best = ("", "", "")
        for point, workload, direction, own, peer in self._ends(statement):
            _zone, family, _consumer, _provider, service = statement.packet
            after = self._decide(self._new, point, direction, family, own, peer, service)
            before = self._decide(self._old, point, direction, family, own, peer, service)
            if after is None or after.allowed != (statement.verdict == "allowed"):
                continue
            moved = before is None or before.allowed != after.allowed
            rule = after.rule.id if after.rule else ""
            was = before.rule.id if before and before.rule else ""
            words = _words(workload, after, before)
            if moved and (rule or was):
                return rule, was, words
            best = best if best[2] and not moved else (rule, was, words)
        return best

    def _ends(self, statement: Statement) -> Iterator[tuple[str, str, Direction, int, int]]:
        """The points of both ends that the plan changes, the provider's first."""
        _zone, _family, consumer, provider, _service = statement.packet
        ends: tuple[tuple[str, Direction, int, int], ...] = (
            (statement.witness.provider, "ingress", provider, consumer),
            (statement.witness.consumer, "egress", consumer, provider),
        )
        for workload, direction, own, peer in ends:
            for point in self._points.get(workload, ()):
                if point in self._changed:
                    yield point, workload, direction, own, peer

    def _decide(
        self, bundle: Bundle | None, point: str, direction: Direction, family: Family, own: int, peer: int, service: int
    ) -> Decision | None:
        if bundle is None or point not in bundle.points:
            return None
        return decide(bundle.artifact(point), direction, family, own, peer, service, self._at)


def _words(workload: str, after: Decision, before: Decision | None) -> str:
    """As `removed rule batch-to-db; db-1 is full`."""
    if after.rule is not None:
        new = before is not None and (before.rule is None or before.rule.id != after.rule.id)
        return f"{'new ' if new else ''}{after.rule.action} {short(after.rule.id)}"
    gone = (
        f"removed rule {short(before.rule.id)}; " if before and before.rule and before.allowed != after.allowed else ""
    )
    return f"{gone}{workload} is {after.mode}"


def short(rule: str) -> str:
    """The name a person gave a rule, without its scope.

    >>> short("web-to-db@shop-prod/core")
    'web-to-db'
    """
    return rule.partition("@")[0]
