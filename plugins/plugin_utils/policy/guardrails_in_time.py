# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Guardrails hold for every version of the policy, and for every hour of it: what the clock alone opens counts too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from ..model.calendar import HORIZON, Validity, combinations
from ..model.errors import Finding
from ..model.facts import session_key
from ..model.policy import Guardrail, LabelPeer, Peer, Policy, UsersPeer
from ..model.schedule import later
from .compile import Compiled
from .decide import Decider
from .guardrails import GuardrailResult, judge_guardrails
from .moments import moments_of

#: Combinations of open conditions that are judged; each costs as much as the question of now.
MOST_MOMENTS = 64


@dataclass(frozen=True, slots=True)
class JudgedInTime:
    """`results` in the order of the policy; `until` is the end of the time that was looked at.

    `complete` is False where there were more combinations than are judged.
    """

    results: tuple[GuardrailResult, ...]
    until: datetime
    complete: bool = True


def judge_in_time(
    policy: Policy, compiled: Compiled, at: datetime, decider_of: Callable[[datetime], Decider]
) -> JudgedInTime:
    """Guardrails at `at`, and at the first moment of every combination of conditions in the year after it.

    Combinations that only come up later are judged too: a schedule may first open in years, a deny end in years.
    `decider_of` makes what `judge_guardrails` wants for a moment. A guardrail that is violated now is not judged again.
    """
    results = judge_guardrails(policy, decider_of(at))
    end = later(at, HORIZON)
    if not results:
        return JudgedInTime((), end)
    conditions = list(_conditions(policy, compiled))
    found, until = combinations(conditions, at, end, MOST_MOMENTS)
    moments = [combination.first for combination in found[1:]]
    if until == end:
        afterwards = moments_of(conditions, at)
        moments += [moment for moment in afterwards.moments if moment >= end]
    for moment in moments:
        holding = tuple(result.guardrail for result in results if result.witness is None)
        if not holding:
            break
        there = judge_guardrails(replace(policy, guardrails=holding), decider_of(moment))
        violated = {result.guardrail.id: replace(result, at=moment) for result in there if result.witness is not None}
        results = [violated.get(result.guardrail.id, result) for result in results]
    everything = until == end and afterwards.complete
    complete = everything or all(result.witness is not None for result in results)
    return JudgedInTime(tuple(results), until, complete)


def _conditions(policy: Policy, compiled: Compiled) -> Iterator[Validity]:
    """Validities of all copies, and the ends of facts that guardrails themselves ask for."""
    for copies in compiled.copies.values():
        for copy in copies:
            if copy.artifact.timed:
                yield copy.artifact.validity
    for named in compiled.by_name:
        yield Validity(*named.window, named.origin.rule.schedule)
    keys = {key for guardrail in policy.guardrails for peer in _peers(guardrail) for key in _keys(peer)}
    if keys:
        for workload in compiled.estate.workloads.values():
            for key, fact in workload.labels.items():
                if fact.expires is not None and key in keys:
                    yield Validity(expires=fact.expires)


def _peers(guardrail: Guardrail) -> tuple[Peer, ...]:
    return (
        *guardrail.consumers,
        *guardrail.providers,
        *guardrail.except_consumers,
        *guardrail.except_providers,
    )


def _keys(peer: Peer) -> frozenset[str]:
    if isinstance(peer, LabelPeer):
        return frozenset(peer.selector.keys)
    return frozenset({session_key(peer.group)}) if isinstance(peer, UsersPeer) else frozenset()


def not_all_moments(judged: JudgedInTime) -> Finding | None:
    if judged.complete:
        return None
    return Finding(
        "W-GUARDRAIL-MOMENTS",
        "warning",
        f"guardrails were judged until {judged.until:%Y-%m-%d %H:%MZ} only: by then {MOST_MOMENTS} combinations of "
        "schedules and ends had come up.",
        hint="Check again before then, or for a later moment with --at.",
    )


__all__ = ["MOST_MOMENTS", "JudgedInTime", "judge_in_time", "not_all_moments"]
