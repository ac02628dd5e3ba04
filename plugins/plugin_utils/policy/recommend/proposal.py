# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Recommend: rules for what was observed, in scopes, with evidence; and whether the observation can be believed.

What comes out was replayed: existing and proposed rules together, as if every managed side were in full mode, allow
every talk that was learned from and none that was filtered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ...model.edges import Edges
from ...model.estate import Estate
from ...model.policy import Policy
from ..compile import compile_policy
from ..decide import Decider
from .covering import Covering
from .documents import Drafted, drafts_of, with_rules
from .filters import Sieve, Sifted
from .gate import Gate, judge
from .groups import Levels, finest_labels, group_of, levels_of
from .homes import Homes, find_homes
from .learning import Learning
from .names import Lists, ServiceNames
from .observed import Party, Talk, talks_of
from .peers import PeerWriter
from .replay import blocked, opened, sides_of
from .rules import ProposedRule, RuleWriter
from .written import written_selector


@dataclass(frozen=True)
class Recommendation:
    """`services`, `ip_lists` and `scopes` are new ones, as documents have them. `gates` by scope."""

    rules: tuple[ProposedRule, ...]
    services: Mapping[str, list[str]]
    ip_lists: Mapping[str, list[Any]]
    scopes: Mapping[str, Any]
    sifted: Sifted
    gates: Mapping[str, Gate]
    edges: Edges = field(repr=False)
    learning: Learning = field(repr=False)
    drafts: Drafted = field(repr=False)

    @property
    def complete(self) -> bool:
        """Nothing observed is never complete."""
        return bool(self.gates) and not any(gate.reasons for gate in self.gates.values())


def recommend(
    policy: Policy, estate: Estate, edges: Edges, learning: Learning, at: datetime, scope: str = ""
) -> Recommendation:
    """`scope`: only what belongs to this scope. Facts are judged at the moment `at`."""
    return _Run(policy, estate, edges, learning, at, scope).recommendation()


class _Run:
    def __init__(
        self, policy: Policy, estate: Estate, edges: Edges, learning: Learning, at: datetime, scope: str
    ) -> None:
        self.policy = policy
        self.estate = estate
        self.edges = edges
        self.learning = learning
        self.at = at
        self.scope = scope
        self.homes: Homes = find_homes(policy, estate)
        self.levels: Levels = levels_of(policy, estate, learning)
        self.cells = finest_labels(policy, estate)
        self.before = Decider(compile_policy(policy, estate, "staged"), at, intent=True)
        self.writer = PeerWriter(estate, self.homes, self.levels, at)
        self.drafted = drafts_of(policy, scope)

    def group(self, party: Party) -> object:
        return group_of(self.cells, party)

    def recommendation(self) -> Recommendation:
        talks = talks_of(self.edges, self.estate, self.learning, self.at, self.policy.settings.timezone)
        sieve = Sieve(self.estate, self.before, self.learning, self.group, self.homes.of_talk)
        sifted = sieve.sift(talks, self.scope)
        strict = False
        while True:  # every round leaves talks out, or is strict from now on, or is the last
            rules, services, lists = self._propose(sifted, strict)
            after = self._after(rules, services, lists)
            short = blocked(after, sifted.included)
            if short:
                sifted = sifted.moved(short, "overruled")
                continue
            wide = opened(after, self.before, sifted.unwanted)
            if not wide:
                break
            if strict:
                blamed = self._blamed(after, wide, rules)
                assert blamed, "only proposed rules can have opened it"
                sifted = sifted.moved(blamed, "inseparable")
            strict = True
        return Recommendation(
            rules=tuple(rules),
            services=services,
            ip_lists=lists,
            scopes=self._new_scopes(rules),
            sifted=sifted,
            gates=self._gates(sifted, rules),
            edges=self.edges,
            learning=self.learning,
            drafts=self.drafted,
        )

    def _propose(
        self, sifted: Sifted, strict: bool
    ) -> tuple[list[ProposedRule], dict[str, list[str]], dict[str, list[Any]]]:
        reuse = 1.0 if strict else self.learning.reuse
        names = ServiceNames(self.policy.services, reuse)
        lists = Lists(self.policy.ip_lists, reuse)
        covering = Covering(self.levels, self.homes, self.learning, sifted.unwanted, self.writer.exact, strict)
        taken: dict[str, set[str]] = defaultdict(set, {name: set(ids) for name, ids in self.drafted.kept_ids.items()})
        coverage = self.edges.coverage
        writer = RuleWriter(self.estate, self.homes, self.levels, self.writer, coverage, covering, names, lists)
        rules = []
        for product in covering.products(sifted.included):
            rule = writer.rule(product, taken[product.home])
            taken[product.home].add(rule.id)
            rules.append(rule)
        rules.sort(key=lambda rule: (rule.scope, rule.id))
        used = {term for rule in rules for term in rule.document["services"]}
        return (
            rules,
            {key: value for key, value in sorted(names.proposed.items()) if key in used},
            dict(sorted(lists.proposed.items())),
        )

    # --- replay -------------------------------------------------------------------------------------------------------

    def _new_scopes(self, rules: Iterable[ProposedRule]) -> dict[str, Any]:
        used = {rule.scope for rule in rules} & self.homes.proposed
        return {name: written_selector(self.homes.scopes[name].match.requirements) for name in sorted(used)}

    def _after(
        self, rules: Iterable[ProposedRule], services: Mapping[str, list[str]], lists: Mapping[str, list[Any]]
    ) -> Decider:
        policy = with_rules(self.policy, self.homes, rules, services, lists)
        return Decider(compile_policy(policy, self.estate, "staged"), self.at, intent=True)

    def _blamed(self, after: Decider, wide: Iterable[Talk], rules: Iterable[ProposedRule]) -> list[Talk]:
        """The talks whose rules open what they must not."""
        guilty = {
            (side.copy.origin.scope, side.copy.origin.rule.id)
            for talk in wide
            for side in sides_of(after, talk)
            if side.copy is not None and side.copy.origin is not None
        }
        return [talk for rule in rules if (rule.scope, rule.id) in guilty for talk in rule.talks]

    def _gates(self, sifted: Sifted, rules: Iterable[ProposedRule]) -> dict[str, Gate]:
        through = [talk for talk in (*sifted.included, *sifted.left_out.get("approved", ())) if talk.count]
        by_scope: dict[str, list[Talk]] = defaultdict(list)
        for talk in through:
            by_scope[self.homes.of_talk(talk)].append(talk)
        managed = [workload.name for workload in self.estate.workloads.values() if workload.managed]
        # A scope of the policy that nobody saw is judged too: silence is no sign that nothing is missing.
        owning = {self.homes.of_workload.get(name, "") for name in managed} - self.homes.proposed
        wanted = {self.scope} if self.scope else {name for name in by_scope.keys() | owning if name}
        # Left out, yet seen: the estimate lives from what is seldom. It alone is no reason to judge a scope.
        for talk in sifted.left_out.get("noise", ()):
            by_scope[self.homes.of_talk(talk)].append(talk)
        return {
            name: judge(
                name,
                by_scope.get(name, ()),
                frozenset(one for one in managed if self.homes.of_workload.get(one) == name),
                self.edges.coverage,
                self.learning,
                self.policy.settings.timezone,
                self.group,
                [rule for rule in rules if rule.scope == name],
            )
            for name in sorted(wanted)
        }


__all__ = ["ProposedRule", "Recommendation", "recommend"]
