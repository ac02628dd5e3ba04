# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From a product of groups to a rule: its peers, services and id in words, and what it rests on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ...model import services as line
from ...model.addresses import Address, Prefix
from ...model.edges import Coverage
from ...model.estate import Estate
from ...model.intervals import contains, normalised, subtraction
from .covering import ANY, Covering, Product, Side, members_of
from .groups import Levels
from .homes import Homes, plain_name
from .maturity import Maturity, maturity_of
from .names import Lists, ServiceNames
from .observed import Party, Talk
from .peers import PeerWriter

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


class RuleWriter:
    """Writes the rules of one round; names that are proposed for one rule are used by the next."""

    def __init__(
        self,
        estate: Estate,
        homes: Homes,
        levels: Levels,
        peers: PeerWriter,
        coverage: Coverage,
        covering: Covering,
        names: ServiceNames,
        lists: Lists,
    ) -> None:
        self.estate = estate
        self.homes = homes
        self.levels = levels
        self.writer = peers
        self.coverage = coverage
        self.covering = covering
        self.names = names
        self.lists = lists

    def rule(self, product: Product, taken: set[str]) -> ProposedRule:
        """`taken`: ids of the scope that the rule may not have."""
        members = {
            "from": members_of(product.consumers, self.levels, product.home, self._owning(product.consumers, product)),
            "to": members_of(product.providers, self.levels, product.home, self._owning(product.providers, product)),
        }
        sides: dict[str, list[Any]] = {}
        for word, side, other in (("from", product.consumers, "to"), ("to", product.providers, "from")):
            sides[word] = self._peers(word, side, members[other], product)
        hint = self._hint(product)
        terms = self.names.terms(
            product.points,
            hint,
            lambda extra: any(
                contains(extra, point) and self._conflict(point, product, members) for point in self.covering.unwanted
            ),
        )
        meaning = self.names.meaning(terms)
        extra = tuple(line.show(subtraction(meaning, normalised((point, point) for point in product.points))))
        pairs = {(talk.consumer, talk.provider) for talk in product.talks}
        opened_pairs = self._opened(product, members, sides)
        maturity = maturity_of(product.talks, int(self.coverage.start.timestamp()), int(self.coverage.end.timestamp()))
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

    def _peers(self, word: str, side: Side, far: frozenset[str], product: Product) -> list[Any]:
        """`far`: the workloads on the other side."""
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
                for pair in self.covering.unwanted.get(point, ())
            )

        return list(self.lists.peers(addresses, zones, f"{self._hint(product)}-{whom}", conflicts))

    def _held(self, party: Party, prefixes: tuple[Prefix, ...]) -> bool:
        addresses = (party,) if isinstance(party, Address) else self.estate.workloads[party].addresses
        return any(prefix.holds(address, address.zone) for prefix in prefixes for address in addresses)

    def _conflict(self, point: int, product: Product, members: Mapping[str, frozenset[str]]) -> bool:
        """Was something filtered on this service between the two sides?"""
        consumers, providers = (
            _everybody
            if isinstance(side, str)
            else _holds(frozenset(members[word]) | {one for one in side if isinstance(one, Address)})
            for word, side in (("from", product.consumers), ("to", product.providers))
        )
        return any(consumers(source) and providers(target) for source, target in self.covering.unwanted.get(point, ()))

    def _opened(self, product: Product, members: Mapping[str, frozenset[str]], sides: Mapping[str, list[Any]]) -> int:
        """Pairs the rule opens today; 0 for `any`. All addresses of a list count, seen or not."""
        if ANY in (product.consumers, product.providers):
            return 0
        counts = [len(members[word]) or self.lists.count(sides[word]) for word in ("from", "to")]
        return counts[0] * counts[1] - len(members["from"] & members["to"])

    def _evidence(self, talks: tuple[Talk, ...], pairs: int, confidence: float, maturity: Maturity) -> dict[str, Any]:
        coverage = self.coverage
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


__all__ = ["ProposedRule", "RuleWriter"]
