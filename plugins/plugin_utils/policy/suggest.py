# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The rule that would allow a connection: as small as labels can say it, in the scope that should hold it.

A suggestion is tried out before it is made: the policy with the rule is compiled and asked the same question, and its
guardrails must hold as they did.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ..model import services as line
from ..model.addresses import Prefix
from ..model.errors import PolicyError
from ..model.estate import Estate, Workload
from ..model.labels import Truth
from ..model.policy import AddressPeer, Guardrail, LabelPeer, Peer, Policy, Rule, Ruleset, Scope, WorkloadPeer
from ..model.selectors import Requirement, Selector, parse
from .compile import Compiled, Stage, compile_policy
from .decide import Decider, End
from .documents import parse_rule
from .explain import Explanation, Target, explain, find_targets
from .guardrails import judge_guardrails

#: Beyond this a trial compile takes longer than the answer is worth.
MOST_WORKLOADS = 50_000


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`line` is the rule in short form. `ruleset` is one that exists and is enforced, or "" where there is none; then
    `new_ruleset` is a name for one.
    """

    line: str
    scope: str
    ruleset: str
    new_ruleset: str
    owners: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "rule": self.line,
            "scope": self.scope,
            "ruleset": self.ruleset,
            "new_ruleset": self.new_ruleset,
            "owners": list(self.owners),
        }


def suggest(
    policy: Policy, estate: Estate, answer: Explanation, point: int, at: datetime, stage: Stage
) -> Suggestion | Guardrail | None:
    """None where no single allow rule does it: a deny decides, or a service address or unknown end is asked about.

    A guardrail where it forbids what was asked, whoever writes it down.
    """
    if len(estate.workloads) > MOST_WORKLOADS:
        return None
    pair = next((pair for pair in answer.pairs if pair.verdict == "denied"), None)
    if pair is None or pair.member:
        return None
    ends = pair.consumer, pair.provider
    violated = _violated(policy, compile_policy(policy, estate, stage), at)
    for scope in _homes(policy, *ends):
        for peers in ([_peer(policy, scope, end) for end in ends], [_single(end) for end in ends]):
            rule = Rule("suggestion", (peers[0],), (peers[1],), ((point, point),))
            trial = _with(policy, scope, rule)
            compiled = compile_policy(trial, estate, stage)
            decider = Decider(compiled, at)
            targets: tuple[Target, Target] = find_targets(decider, answer.consumer, answer.provider)
            if explain(decider, *targets, point, answer.service).verdict != "allowed":
                break  # by name it would not be either
            broken = _broken(trial, violated, _violated(trial, compiled, at))
            if broken is None:
                services = ", ".join(line.show(rule.services))
                text = f"allow {_said(peers[0])} -> {_said(peers[1])} : {services}"
                return Suggestion(text, scope.name, *_ruleset(scope), scope.owners)
        else:
            return broken  # not even for these two ends alone
    return None


def _violated(policy: Policy, compiled: Compiled, at: datetime) -> dict[str, int]:
    """Pairs by guardrail, as check counts them."""
    judged = judge_guardrails(policy, Decider(compiled, at, intent=True, failsafe=False))
    return {result.guardrail.id: result.pairs for result in judged if result.witness is not None}


def _broken(policy: Policy, before: dict[str, int], after: dict[str, int]) -> Guardrail | None:
    return next((one for one in policy.guardrails if after.get(one.id, 0) > before.get(one.id, 0)), None)


def _with(policy: Policy, scope: Scope, rule: Rule) -> Policy:
    trial = replace(scope, rulesets=(*scope.rulesets, Ruleset("suggestion", (rule,), stage="active")))
    return replace(policy, scopes=tuple(trial if one.name == scope.name else one for one in policy.scopes))


def _homes(policy: Policy, consumer: End, provider: End) -> list[Scope]:
    """Scopes that may hold the rule: the provider's, the consumer's, then those of the whole estate."""
    homes: list[Scope] = []
    for end in (provider, consumer):
        if end.workload is not None:
            inside = (scope for scope in policy.scopes if _inside(scope, end.workload) and not scope.estate)
            homes.extend(sorted(inside, key=lambda scope: -len(scope.match.requirements)))
    homes.extend(scope for scope in policy.scopes if scope.estate)
    return list({scope.name: scope for scope in homes}.values())


def _inside(scope: Scope, workload: Workload) -> bool:
    return scope.match.matches(workload.labels, None) is Truth.YES


def _peer(policy: Policy, scope: Scope, end: End) -> Peer:
    """By labels where the workload has some that rules of the scope use; else by its name, or its address.

    Where no rule tells the workloads of the scope apart, by all its labels: fewer would be a guess at what is meant.
    """
    workload = end.workload
    if workload is None:
        return _single(end)
    lasting = {key: fact.value for key, fact in workload.labels.items() if fact.expires is None}
    inside = _inside(scope, workload)
    wanted = {key for key in _keys_used(scope) | _required(policy) if key in lasting}
    if not inside:
        if not scope.match.keys <= lasting.keys():
            return _single(end)  # the scope would add keys that this workload lacks
        wanted |= scope.match.keys
    else:
        wanted -= scope.match.keys
    if not wanted - scope.match.keys:
        own = {key for key in policy.settings.labels if key in lasting and key not in scope.match.keys}
        if not own:
            return _single(end)
        wanted |= own
    selector = Selector(tuple(sorted(Requirement(key, "in", (lasting[key],)) for key in wanted)))
    return LabelPeer(selector) if _sayable(selector) else _single(end)


def _single(end: End) -> Peer:
    """This end and no other."""
    if end.workload is not None:
        return WorkloadPeer(end.workload.name)
    return AddressPeer((Prefix(end.address.zone or None, end.address.family, *[end.address.number] * 2),))


def _sayable(selector: Selector) -> bool:
    """Does the short form read it back? Labels of the inventory may hold commas and what else separates words."""
    try:
        written = parse_rule(f"allow {selector} -> any : any")["from"]
        return isinstance(written, str) and parse(written) == selector
    except PolicyError:
        return False


def _keys_used(scope: Scope) -> set[str]:
    """Keys by which the rules of the scope tell its workloads apart."""
    return {
        key
        for ruleset in scope.rulesets
        for rule in ruleset.rules
        for peer in (*rule.consumers, *rule.providers)
        if isinstance(peer, LabelPeer)
        for key in peer.selector.keys
    }


def _required(policy: Policy) -> set[str]:
    return {key for key, declaration in policy.settings.labels.items() if declaration.required}


def _ruleset(scope: Scope) -> tuple[str, str]:
    """An existing one, or the name of a new one: a draft of that name would take the rule and enforce nothing."""
    found = next((item.name for item in scope.rulesets if item.stage == "active" and item.tier == "application"), "")
    taken = {item.name for item in scope.rulesets}
    names = ("core", "allowed", *(f"allowed-{number}" for number in range(2, len(taken) + 2)))
    return found, "" if found else next(name for name in names if name not in taken)


def _said(peer: Peer) -> str:
    match peer:
        case LabelPeer(selector):
            return str(selector)
        case WorkloadPeer(name):
            return f"workload {name}"
        case AddressPeer(prefixes, _name):
            zone = f" in zone {prefixes[0].zone}" if prefixes[0].zone else ""
            return f"{replace(prefixes[0], zone=None)}{zone}"
    raise AssertionError(peer)


__all__ = ["Suggestion", "suggest"]
