# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Mined tests: approved traffic that was observed becomes allow-tests, guardrails become deny-tests.

A few tests cover every rule that decides such traffic and every kind of pair once; what tests the policy has already
cover is not covered again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice, permutations, product

from ...model import services as line
from ...model.policy import Guardrail, Policy, PolicyTest
from ..decide import Decider, End
from ..ends import ends_of
from ..expectations import run_tests
from ..tested import concerns, coverage, covering
from .homes import plain_name
from .observed import Party, Talk

#: More tests than this nobody reads.
MOST = 200
#: Pairs that are looked at for a guardrail before it is taken to have none.
_TRIED = 20_000


@dataclass(frozen=True)
class Mined:
    """`tests` as documents have them. `uncovered` is what observed traffic shows and the bound left out."""

    tests: tuple[dict[str, str], ...]
    uncovered: tuple[str, ...]


def mine(policy: Policy, decider: Decider, approved: Iterable[Talk], most: int = MOST) -> Mined:
    """`decider`: of the active rules, judging intent. Only tests that pass are proposed."""
    known: set[str] = set().union(*(coverage(test, policy, decider) for test in policy.tests))
    candidates = {}
    for talk in approved:
        test = _allow_test(talk, policy)
        if talk.count and not talk.via and test.name not in candidates:
            candidates[test.name] = (test, coverage(test, policy, decider))
    results = run_tests(_with(policy, [test for test, _covers in candidates.values()]), decider)
    passing = {result.test.name for result in results if result.passes}
    covers = {name: found for name, (_test, found) in candidates.items() if name in passing}
    denies = [deny for one in policy.guardrails if (deny := _deny_test(one, policy, decider, known)) is not None]
    chosen = covering(covers, known, max(0, most - len(denies)))
    told = known.union(*(covers[name] for name in chosen))
    tests = [candidates[name][0] for name in sorted(chosen)] + denies
    taken = {test.name for test in policy.tests}
    return Mined(tuple(_document(test, taken) for test in tests), tuple(sorted(set().union(*covers.values()) - told)))


def _with(policy: Policy, tests: list[PolicyTest]) -> Policy:
    return replace(policy, tests=tuple(tests))


def _allow_test(talk: Talk, policy: Policy) -> PolicyTest:
    service = line.show(((talk.point, talk.point),))[0]
    consumer, provider = _text(talk.consumer), _text(talk.provider)
    meant = [name for name, meaning in sorted(policy.services.items()) if meaning == ((talk.point, talk.point),)]
    named = meant[0] if meant else service
    last = datetime.fromtimestamp(talk.last, UTC)
    times = f"{talk.count:,} times" if talk.count > 1 else "once"
    return PolicyTest(
        "allowed",
        consumer,
        provider,
        ((talk.point, talk.point),),
        f"{consumer} -> {provider} {service}",
        f"observed {times}, last {last:%Y-%m-%d}",
        name=plain_name(f"{consumer}-to-{provider}-{named}", 120),
    )


def _deny_test(guardrail: Guardrail, policy: Policy, decider: Decider, known: Iterable[str]) -> PolicyTest | None:
    """A pair of workloads that the guardrail keeps apart; None where a test is about it already, or there is none."""
    services = line.subtraction(guardrail.services, guardrail.except_services)
    if f"guardrail {guardrail.id}" in known or not services:
        return None
    point = line.representative(services)
    workloads = sorted(decider.compiled.estate.workloads)
    for consumer, provider in islice(permutations(workloads, 2), _TRIED):
        ends = [
            pair
            for pair in product(_ends(decider, consumer), _ends(decider, provider))
            if pair[0].address.family == pair[1].address.family
        ]
        if not ends or not all(concerns(guardrail, *pair, point, decider) for pair in ends):
            continue
        text = f"{consumer} -> {provider} {line.show(((point, point),))[0]}"
        because = f"guardrail {guardrail.id}"
        name = f"never-{guardrail.id}"
        test = PolicyTest("denied", consumer, provider, ((point, point),), text, because, name=name)
        if all(result.passes for result in run_tests(_with(policy, [test]), decider)):
            return test
    return None


def _ends(decider: Decider, name: str) -> list[End]:
    return list(ends_of(decider.compiled.estate.workloads[name]))


def _document(test: PolicyTest, taken: set[str]) -> dict[str, str]:
    name, number = test.name, 2
    while name in taken:
        name, number = f"{test.name}-{number}", number + 1
    taken.add(name)
    word = "allow" if test.expect == "allowed" else "deny"
    return {"name": name, word: test.text, "because": test.because}


def _text(party: Party) -> str:
    return party if isinstance(party, str) else str(party)


__all__ = ["MOST", "Mined", "mine"]
