# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What policy tests cover: rules that decide, kinds of pairs and guardrails. And what is lost when a test goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..model import services as line
from ..model.errors import MicrosegError
from ..model.intervals import contains
from ..model.labels import Truth
from ..model.policy import Guardrail, Peer, Policy, PolicyTest, Scope
from ..model.selectors import Selector
from .decide import Decider, End
from .explain import find_targets
from .resolve import resolve_peer

_EVERYWHERE = Scope("", Selector(), estate=True)
#: Labels that tell kinds of workloads apart.
_KINDS = ("app", "env", "role")


@dataclass(frozen=True, slots=True)
class Lost:
    """A test that is gone, and what no other test covers any more: `rule …`, `pair …`, `guardrail …`."""

    test: PolicyTest
    what: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.test.name, "text": self.test.text, "what": list(self.what)}


def coverage(test: PolicyTest, policy: Policy, decider: Decider) -> frozenset[str]:
    """`decider` must judge intent. A test about ends that are not there covers nothing."""
    try:
        consumer, provider = find_targets(decider, test.consumer, test.provider)
    except MicrosegError:
        return frozenset()
    found: set[str] = set()
    for source in consumer.ends:
        for target in provider.ends:
            if source.address.family == target.address.family:
                for low, _high in test.services:
                    found |= covered(policy, decider, source, target, low, test.expect == "denied")
    return frozenset(found)


def covered(policy: Policy, decider: Decider, consumer: End, provider: End, point: int, denied: bool) -> set[str]:
    """One packet: the rules that decide it, the kinds of its ends, and for a denied one the guardrails it is about."""
    found = {f"pair {kind_of(consumer)} -> {kind_of(provider)} {line.show(((point, point),))[0]}"}
    for direction, own, peer in (("egress", consumer, provider), ("ingress", provider, consumer)):
        copy = decider.decide(direction, own, peer, point).copy  # type: ignore[arg-type]
        if copy is not None and copy.origin is not None:
            found.add(f"rule {copy.origin.id}")
    if denied:
        found |= {
            f"guardrail {one.id}" for one in policy.guardrails if concerns(one, consumer, provider, point, decider)
        }
    return found


def concerns(guardrail: Guardrail, consumer: End, provider: End, point: int, decider: Decider) -> bool:
    """Does the guardrail speak about this packet?"""
    if not contains(guardrail.services, point) or contains(guardrail.except_services, point):
        return False
    excepted = (guardrail.except_consumers, consumer), (guardrail.except_providers, provider)
    if any(_matches(peers, end, decider) for peers, end in excepted):
        return False
    return _matches(guardrail.consumers, consumer, decider) and _matches(guardrail.providers, provider, decider)


def _matches(peers: Iterable[Peer], end: End, decider: Decider) -> bool:
    workloads = decider.compiled.estate.workloads
    for peer in peers:
        element = resolve_peer(peer, _EVERYWHERE, workloads)
        if element.kind in ("any", "all", "scope") and (element.kind == "any" or end.workload is not None):
            return True
        if element.kind == "addresses" and any(one.holds(end.address, end.address.zone) for one in element.prefixes):
            return True
        if end.workload is None:
            continue
        if element.kind == "workload" and element.name == end.name:
            return True
        if (
            element.kind in ("labels", "users")
            and element.selector.matches(end.workload.labels, decider.at) is Truth.YES
        ):
            return True
    return False


def kind_of(end: End) -> str:
    """Application, environment and role; the name of a workload without any of them; `outside` for nobody."""
    if end.workload is None:
        return "outside"
    labels = end.workload.labels
    return ",".join(f"{key}={labels[key].value}" for key in _KINDS if key in labels) or end.name


def lost_coverage(
    before: Iterable[PolicyTest], after: Iterable[PolicyTest], policy: Policy, decider: Decider
) -> tuple[Lost, ...]:
    """Tests of the older version that the newer one lacks, as far as they covered something no other test covers.

    `policy` and `decider` are those of the newer version: what it no longer has needs no test.
    """
    after = list(after)
    kept = {_key(test) for test in after}
    still: set[str] = set().union(*(coverage(test, policy, decider) for test in after))
    lost = []
    for test in before:
        gone = coverage(test, policy, decider) - still
        if _key(test) not in kept and gone:
            lost.append(Lost(test, tuple(sorted(gone))))
    return tuple(lost)


def _key(test: PolicyTest) -> tuple[str, ...]:
    return ("name", test.name) if test.name else ("text", test.expect, " ".join(test.text.split()))


def covering(tests: Mapping[str, frozenset[str]], known: Iterable[str], most: int) -> list[str]:
    """Keys of tests that together cover as much as possible beyond what is known: always the one that adds most,
    the smallest key among equals. At most `most` of them.
    """
    left = {key: set(covers) - set(known) for key, covers in tests.items()}
    chosen: list[str] = []
    while left and len(chosen) < most:
        best = min(left, key=lambda key: (-len(left[key]), key))
        if not left[best]:
            break
        chosen.append(best)
        gained = left.pop(best)
        left = {key: rest for key, covers in left.items() if (rest := covers - gained)}
    return chosen


__all__ = ["Lost", "concerns", "coverage", "covered", "covering", "kind_of", "lost_coverage"]
