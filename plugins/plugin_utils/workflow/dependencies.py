# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What hosts cannot do without (settings.dependencies), as packets they try around every change (DESIGN §8.3)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ..model import services as line
from ..model.addresses import Address
from ..model.intervals import intersection
from ..model.labels import Truth
from ..model.policy import AddressPeer, Dependency, LabelPeer, Peer, WorkloadPeer
from ..orchestration.planfile import Plan
from ..orchestration.store import ANYTHING, Store
from .inputs import Inputs

#: More would make every host wait for nothing: they are tried side by side, but each is a connection.
MOST = 32


def keep_dependencies(store: Store, plan: Plan, inputs: Inputs) -> None:
    """Beside the plan, as evidence: addresses are never approved."""
    found = islice(_packets(inputs), MOST)
    store.set_ref(f"dependencies/{plan.digest}", [{"address": a, "service": s} for a, s in found], ANYTHING)


def dependencies_of(store: Store, plan: Plan, own: frozenset[str]) -> list[dict[str, str]]:
    """Of one host; what it offers itself it does not try."""
    ref = store.ref(f"dependencies/{plan.digest}")
    return [one for one in (ref.value if ref else []) if one["address"] not in own]


def _packets(inputs: Inputs) -> Iterator[tuple[str, str]]:
    for dependency in inputs.policy.settings.dependencies:
        for address in _addresses(inputs, dependency.peer):
            for service in _services(dependency, address):
                yield str(address), service


def _addresses(inputs: Inputs, peer: Peer) -> Iterator[Address]:
    """Single addresses; a block, a name or everybody is nothing to knock at."""
    if isinstance(peer, AddressPeer):
        for prefix in peer.prefixes:
            if prefix.low == prefix.high:
                yield Address(prefix.zone or "", prefix.family, prefix.low)
    else:
        for workload in inputs.estate.workloads.values():
            named = isinstance(peer, WorkloadPeer) and workload.name == peer.name
            chosen = isinstance(peer, LabelPeer) and peer.selector.matches(workload.labels, inputs.at) is Truth.YES
            if named or chosen:
                yield from workload.addresses


def _services(dependency: Dependency, address: Address) -> Iterator[str]:
    """The first port of every range of TCP and UDP, and an echo where all of ICMP is named."""
    for protocol in ("tcp", "udp"):
        for low, _high in intersection(dependency.services, line.WHOLE[protocol]):
            if low > line.BASES[protocol]:
                yield line.show(((low, low),))[0]
    echo = "icmp/8.0" if address.family == 4 else "icmpv6/128.0"
    if intersection(dependency.services, line.parse(echo)):
        yield echo
