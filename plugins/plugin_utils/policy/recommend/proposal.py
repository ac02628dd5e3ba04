# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Recommend: rules for what was observed, in scopes, with evidence; and whether the observation can be believed.

What comes out was replayed: existing and proposed rules together, as if every managed side were in full mode, allow
every talk that was learned from and none that was filtered.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ...model import services as line
from ...model.addresses import Address, Prefix
from ...model.edges import Edges
from ...model.estate import Estate
from ...model.intervals import contains, normalised, subtraction
from ...model.policy import Policy
from ..compile import compile_policy
from ..decide import Decider
from .covering import ANY, Covering, Product, Side, members_of
from .documents import Drafted, drafts_of, with_rules
from .filters import Sieve, Sifted
from .gate import Gate, judge
from .groups import Levels, finest_labels, group_of, levels_of
from .homes import Homes, find_homes, plain_name
from .learning import Learning
from .maturity import Maturity, maturity_of
from .names import Lists, ServiceNames
from .observed import Party, Talk, talks_of
from .peers import PeerWriter, written_selector
from .replay import blocked, opened, sides_of

#: Replays until included and filtered talks are all as they should be; each round leaves something out.
_MOST_ROUNDS = 20
#: Keys whose values come first in ids.
_WORD_ORDER = ("app", "env", "role")
#: So many values of one key stand in an id.
_VALUES = 3


@dataclass(frozen=True)
class ProposedRule:
    """`document` is the rule as a policy document has it. `pairs_opened` counts what the rule opens today, 0 for
    rules that name `any`. `unseen_services` are those a reused name adds, `outside_scopes` whose workloads it names.
    """

    scope: str
    document: Mapping[str, Any]
    talks: tuple[Talk, ...] = field(repr=False)
    maturity: Maturity
    pairs_observed: int
    pairs_opened: int
    unseen_services: tuple[str, ...] = ()
    outside_scopes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def confidence(self) -> float:
        return self.pairs_observed / self.pairs_opened if self.pairs_opened else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "scope": self.scope,
            "rule": dict(self.document),
            "maturity": self.maturity,
            "pairs_observed": self.pairs_observed,
            "pairs_opened": self.pairs_opened or None,
            "confidence": round(self.confidence, 4),
            "unseen_services": list(self.unseen_services),
            "outside_scopes": list(self.outside_scopes),
        }


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
        for _round in range(_MOST_ROUNDS):
            rules, services, lists = self._propose(sifted, strict)
            scopes = self._new_scopes(rules)
            after = self._after(rules, services, lists)
            short = blocked(after, sifted.included)
            if short:
                sifted = sifted.moved(short, "overruled")
                continue
            wide = opened(after, self.before, sifted.unwanted)
            if not wide:
                break
            if strict:
                sifted = sifted.moved(self._blamed(after, wide, rules), "inseparable")
            strict = True
        else:
            raise AssertionError("every round leaves a talk out, or is the last one")
        return Recommendation(
            rules=tuple(rules),
            services=services,
            ip_lists=lists,
            scopes=scopes,
            sifted=sifted,
            gates=self._gates(sifted),
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
        rules = []
        for product in covering.products(sifted.included):
            rule = self._rule(product, covering, names, lists, taken[product.home])
            taken[product.home].add(rule.id)
            rules.append(rule)
        rules.sort(key=lambda rule: (rule.scope, rule.id))
        used = {term for rule in rules for term in rule.document["services"]}
        return (
            rules,
            {key: value for key, value in sorted(names.proposed.items()) if key in used},
            dict(sorted(lists.proposed.items())),
        )

    def _rule(
        self, product: Product, covering: Covering, names: ServiceNames, lists: Lists, taken: set[str]
    ) -> ProposedRule:
        members = {
            "from": members_of(product.consumers, self.levels, product.home, self._owning(product.consumers, product)),
            "to": members_of(product.providers, self.levels, product.home, self._owning(product.providers, product)),
        }
        sides: dict[str, list[Any]] = {}
        for word, side, other in (("from", product.consumers, "to"), ("to", product.providers, "from")):
            sides[word] = self._peers(word, side, members[other], product, covering, lists)
        hint = self._hint(product)
        terms = names.terms(
            product.points,
            hint,
            lambda extra: any(
                contains(extra, point) and self._conflict(covering, point, product, members)
                for point in covering.unwanted
            ),
        )
        meaning = names.meaning(terms)
        extra = tuple(line.show(subtraction(meaning, normalised((point, point) for point in product.points))))
        pairs = {(talk.consumer, talk.provider) for talk in product.talks}
        opened_pairs = self._opened(product, members)
        maturity = maturity_of(
            product.talks, int(self.edges.coverage.start.timestamp()), int(self.edges.coverage.end.timestamp())
        )
        confidence = len(pairs) / opened_pairs if opened_pairs else 0.0
        content = {"from": _one(sides["from"]), "to": _one(sides["to"]), "services": terms}
        document = {
            "id": _free_id(self._id(product, sides, terms), content, taken),
            **content,
            "reason": _reason(product.talks),
            "evidence": self._evidence(product.talks, len(pairs), confidence, maturity),
        }
        strangers = sorted(
            {self.homes.of_workload.get(name, "no scope") for name in members["from"] | members["to"]} - {product.home}
        )
        return ProposedRule(
            product.home, document, product.talks, maturity, len(pairs), opened_pairs, extra, tuple(strangers)
        )

    def _owning(self, side: Side, product: Product) -> Homes | None:
        """The side that the scope owns: providers, or consumers where the providers are outside."""
        outside = isinstance(product.providers, str) or any(isinstance(one, Address) for one in product.providers)
        return self.homes if side is (product.consumers if outside else product.providers) else None

    def _peers(
        self,
        word: str,
        side: Side,
        far: frozenset[str],
        product: Product,
        covering: Covering,
        lists: Lists,
    ) -> list[Any]:
        if isinstance(side, str):
            return [side]
        addresses = frozenset(one for one in side if isinstance(one, Address))
        if not addresses:
            cells = [one for one in side if not isinstance(one, Address)]
            return self.writer.write(product.home, cells, self._owning(side, product) is not None)
        zones = frozenset(self.estate.workloads[name].zone for name in far)
        whom = "clients" if word == "from" else "servers"

        def conflicts(prefixes: Iterable[Prefix]) -> bool:
            prefixes = tuple(prefixes)
            position = 0 if word == "from" else 1
            return any(
                pair[1 - position] in far and self._held(pair[position], prefixes)
                for point in product.points
                for pair in covering.unwanted.get(point, ())
            )

        return list(lists.peers(addresses, zones, f"{self._hint(product)}-{whom}", conflicts))

    def _held(self, party: Party, prefixes: tuple[Prefix, ...]) -> bool:
        addresses = (party,) if isinstance(party, Address) else self.estate.workloads[party].addresses
        return any(prefix.holds(address, address.zone) for prefix in prefixes for address in addresses)

    def _conflict(
        self, covering: Covering, point: int, product: Product, members: Mapping[str, frozenset[str]]
    ) -> bool:
        consumers, providers = (
            _everybody
            if isinstance(side, str)
            else _holds(frozenset(members[word]) | {one for one in side if isinstance(one, Address)})
            for word, side in (("from", product.consumers), ("to", product.providers))
        )
        return any(consumers(source) and providers(target) for source, target in covering.unwanted.get(point, ()))

    def _opened(self, product: Product, members: Mapping[str, frozenset[str]]) -> int:
        if ANY in (product.consumers, product.providers):
            return 0
        counts = [
            len(members[word]) or len(side) for word, side in (("from", product.consumers), ("to", product.providers))
        ]
        return counts[0] * counts[1] - len(members["from"] & members["to"])

    def _evidence(self, talks: tuple[Talk, ...], pairs: int, confidence: float, maturity: Maturity) -> dict[str, Any]:
        coverage = self.edges.coverage
        days = (coverage.end - coverage.start).total_seconds() / 86400
        return {
            "flows": sum(talk.count for talk in talks),
            "pairs": pairs,
            "first_seen": _moment(min(talk.first for talk in talks)),
            "last_seen": _moment(max(talk.last for talk in talks)),
            "window": f"{days:.0f} d" if days >= 2 else f"{days * 24:.0f} h",
            "loss": round(float(coverage.loss), 4),
            "confidence": round(confidence, 3),
            "maturity": maturity,
        }

    # --- names --------------------------------------------------------------------------------------------------------

    def _hint(self, product: Product) -> str:
        inside = product.providers if self._owning(product.providers, product) else product.consumers
        return self._side_words(inside, product.home)

    def _id(self, product: Product, sides: Mapping[str, list[Any]], terms: list[str]) -> str:
        texts = []
        for word, side in (("from", product.consumers), ("to", product.providers)):
            if isinstance(side, str) or any(isinstance(one, Address) for one in side):
                texts.append(_outside_words(sides[word]))
            else:
                texts.append(self._side_words(side, product.home))
        services = "-".join(terms) if len(terms) <= 2 else f"{terms[0]}-and-{len(terms) - 1}-more"
        return plain_name(f"{texts[0]}-to-{texts[1]}-{services}", 120)

    def _side_words(self, side: Side, home: str) -> str:
        """Roles, or what else tells the groups apart; with the application where it is another one."""
        match = {one.key: one.values for one in self.homes.scopes[home].match.requirements if one.operator == "in"}
        labels: dict[str, set[str]] = {}
        for cell in side:
            for key, value in cell if not isinstance(cell, (Address, str)) else ():
                if value is not None and match.get(key) != (value,):
                    labels.setdefault(key, set()).add(value)
        words = [_few(sorted(labels[key])) for key in sorted(labels, key=lambda key: (*_WORD_ORDER, key).index(key))]
        return "-".join(words) or "scope"

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

    def _gates(self, sifted: Sifted) -> dict[str, Gate]:
        through = [talk for talk in (*sifted.included, *sifted.left_out.get("approved", ())) if talk.count]
        by_scope: dict[str, list[Talk]] = defaultdict(list)
        for talk in through:
            by_scope[self.homes.of_talk(talk)].append(talk)
        wanted = {self.scope} if self.scope else {name for name in by_scope if name}
        managed = [workload.name for workload in self.estate.workloads.values() if workload.managed]
        return {
            name: judge(
                name,
                by_scope.get(name, ()),
                frozenset(one for one in managed if self.homes.of_workload.get(one) == name),
                self.edges.coverage,
                self.learning,
                self.policy.settings.timezone,
                self.group,
            )
            for name in sorted(wanted)
        }


def _everybody(_party: Party) -> bool:
    return True


def _holds(parties: frozenset[Any]) -> Callable[[Party], bool]:
    return lambda party: party in parties


def _few(values: list[str]) -> str:
    return "-".join(values) if len(values) <= _VALUES else f"{values[0]}-and-{len(values) - 1}-more"


def _one(peers: list[Any]) -> Any:
    return peers[0] if len(peers) == 1 else peers


def _outside_words(peers: list[Any]) -> str:
    first = peers[0]
    word = first if isinstance(first, str) else str(first.get("ip_list") or first["cidr"])
    return word if len(peers) == 1 else f"{word}-and-{len(peers) - 1}-more"


def _free_id(plain: str, content: Mapping[str, Any], taken: set[str]) -> str:
    """Readable; where that is taken, with a digest of what the rule says."""
    if plain not in taken:
        return plain
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return next(name for length in range(6, 65) if (name := f"{plain[: 120 - length]}-{digest[:length]}") not in taken)


def _reason(talks: tuple[Talk, ...]) -> str:
    trusted = sorted({talk.trusted.reason for talk in talks if talk.trusted is not None})
    via = sorted({talk.via for talk in talks if talk.via})
    text = "; ".join(trusted) if trusted else "observed"
    return f"{text}, by way of {', '.join(via)}" if via else text


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


__all__ = ["ProposedRule", "Recommendation", "recommend"]
