# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a policy decides about the packets of a talk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...model.addresses import Address
from ...model.estate import Estate
from ..decide import Decider, End, SideDecision
from .observed import Talk


def sides_of(decider: Decider, talk: Talk) -> Iterator[SideDecision]:
    """Both sides of every pair of addresses that talked. By way of a service address the consumer's side is asked about
    that address; the member's side about the consumer, unless the source is rewritten.
    """
    estate = decider.compiled.estate
    fronts = {item.address: item for item in estate.service_addresses}
    for consumer, provider, point in sorted(talk.addresses):
        source = End(consumer, estate.workloads[talk.consumer] if isinstance(talk.consumer, str) else None)
        front = fronts.get(provider)
        if front is None:
            target = End(provider, estate.workloads[talk.provider] if isinstance(talk.provider, str) else None)
            yield decider.decide("egress", source, target, point)
            yield decider.decide("ingress", target, source, point)
            continue
        yield decider.decide("egress", source, End(provider), point)
        if front.source == "preserved" and isinstance(talk.provider, str):
            yield decider.decide("ingress", _member(estate, talk.provider, consumer), source, talk.point)


def _member(estate: Estate, name: str, like: Address) -> End:
    workload = estate.workloads[name]
    return End(next(iter(workload.of_family(like.family)), like), workload)


def allows(decider: Decider, talk: Talk) -> bool:
    return all(side.verdict == "allowed" for side in sides_of(decider, talk))


def blocked(decider: Decider, talks: Iterable[Talk]) -> list[Talk]:
    return [talk for talk in talks if not allows(decider, talk)]


def opened(decider: Decider, before: Decider, talks: Iterable[Talk]) -> list[Talk]:
    """Talks that are allowed now, in whole or for some addresses, and were not before."""
    return [talk for talk in talks if _partly(decider, talk) and not _partly(before, talk)]


def _partly(decider: Decider, talk: Talk) -> bool:
    """Is any pair of addresses of the talk allowed?"""
    return any(
        allows(decider, Talk(talk.consumer, talk.provider, talk.point, addresses=frozenset({pair}), via=talk.via))
        for pair in talk.addresses
    )


__all__ = ["allows", "blocked", "opened", "sides_of"]
