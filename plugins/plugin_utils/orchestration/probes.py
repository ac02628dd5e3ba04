# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Probes: a few packets between managed peers that show, around a swap, that a point does what was planned.

Chosen per enforcement point, what changes first: packets that must pass after the change (observed conversations
before others, because somebody really listens there), and packets that must not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..model import services as line
from ..model.addresses import show
from ..model.flows import Flow
from ..model.intervals import EMPTY, Intervals, contains, intersection
from .pairs import Change, Group, Pairs
from .phases import PHASES

#: Of each expectation, for every point.
MOST_PROBES = 2
_PROBED: Intervals = (line.WHOLE["tcp"][0], line.WHOLE["udp"][0])


@dataclass(frozen=True, slots=True)
class Probe:
    """Sent by `consumer` to `provider`. It says something once every point of `needs` has finished `phase`."""

    consumer: str
    consumer_address: str
    provider: str
    provider_address: str
    service: str
    expect: Literal["allowed", "denied"]
    phase: str
    needs: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "consumer": self.consumer,
            "consumer_address": self.consumer_address,
            "provider": self.provider,
            "provider_address": self.provider_address,
            "service": self.service,
            "expect": self.expect,
            "phase": self.phase,
            "needs": list(self.needs),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Probe:
        return cls(**{**data, "needs": tuple(data["needs"])})


class Prober:
    """`points` maps a workload to its points that this plan moves; `present` are the workloads that can send."""

    def __init__(self, pairs: Pairs, points: Mapping[str, tuple[str, ...]], present: Collection[str]) -> None:
        self._pairs = pairs
        self._points = points
        self._present = present

    def choose(self, changes: Iterable[Change], flows: Iterable[Flow]) -> dict[str, tuple[Probe, ...]]:
        """At most `MOST_PROBES` packets of each expectation for every point."""
        chosen: dict[str, dict[str, list[Probe]]] = {}
        for source in (self._from_changes(changes, chosen), self._from_flows(flows)):
            for probe in source:
                for point in self._touched(probe.consumer, probe.provider):
                    some = chosen.setdefault(point, {}).setdefault(probe.expect, [])
                    if len(some) < MOST_PROBES and probe not in some:
                        some.append(probe)
        return {
            point: (*chosen[point].get("allowed", ()), *chosen[point].get("denied", ())) for point in sorted(chosen)
        }

    def _touched(self, consumer: str, provider: str) -> tuple[str, ...]:
        return (*self._points.get(consumer, ()), *self._points.get(provider, ()))

    def _from_changes(
        self, changes: Iterable[Change], chosen: Mapping[str, Mapping[str, list[Probe]]]
    ) -> Iterator[Probe]:
        """One member after the other, so that every point of a large class gets some of its own."""

        def wanted(point: str, expect: str) -> bool:
            return len(chosen.get(point, {}).get(expect, ())) < MOST_PROBES

        served: set[tuple[int, str]] = set()
        for change in changes:
            ends = {(id(change.consumers), change.verdict), (id(change.providers), change.verdict)}
            services = EMPTY if ends <= served else intersection(change.services, _PROBED)
            if change.verdict == "unknown" or not services:
                continue
            nobody = True
            consumers, providers = self._able(change.consumers), self._able(change.providers)
            for index in range(max(len(consumers), len(providers)) if consumers and providers else 0):
                consumer, provider = consumers[index % len(consumers)], providers[index % len(providers)]
                if consumer[0] == provider[0]:
                    provider = providers[(index + 1) % len(providers)]
                touched = self._touched(consumer[0], provider[0])
                if consumer[0] != provider[0] and any(wanted(point, change.verdict) for point in touched):
                    nobody = False
                    point = line.representative(services)
                    yield self._probe(change.consumers, consumer, change.providers, provider, point, change.verdict)
            if nobody:
                served |= ends

    def _from_flows(self, flows: Iterable[Flow]) -> Iterator[Probe]:
        """Conversations that are allowed now and stay so."""
        for flow in sorted(flows, key=lambda flow: (-flow.count, flow.consumer, flow.provider, flow.service)):
            if not intersection(((flow.service, flow.service),), _PROBED) or flow.consumer.zone != flow.provider.zone:
                continue
            for name, consumer in self._pairs.ends(flow.consumer.zone, flow.consumer.family, flow.consumer.number):
                for peer, provider in self._pairs.ends(flow.provider.zone, flow.provider.family, flow.provider.number):
                    if name == peer or name not in self._present or peer not in self._present:
                        continue
                    after = self._pairs.services(consumer, provider, "after")[0]
                    before = self._pairs.services(consumer, provider, "before")[0]
                    if contains(after, flow.service) and contains(before, flow.service):
                        mine, theirs = (name, flow.consumer.number), (peer, flow.provider.number)
                        yield self._probe(consumer, mine, provider, theirs, flow.service, "allowed")

    def _able(self, group: Group) -> list[tuple[str, int]]:
        return [member for member in group.members if member[0] in self._present]

    def _probe(
        self,
        consumers: Group,
        consumer: tuple[str, int],
        providers: Group,
        provider: tuple[str, int],
        point: int,
        expect: Literal["allowed", "denied"],
    ) -> Probe:
        return Probe(
            consumer=consumer[0],
            consumer_address=show(consumers.family, consumer[1]),
            provider=provider[0],
            provider_address=show(providers.family, provider[1]),
            service=line.show(((point, point),))[0],
            expect=expect,
            phase=PHASES[1] if expect == "allowed" else PHASES[0],
            needs=tuple(sorted({*self._points.get(consumer[0], ()), *self._points.get(provider[0], ())})),
        )
