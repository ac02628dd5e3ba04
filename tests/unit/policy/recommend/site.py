# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A shop with a team's scope, for claims about single flows."""

from __future__ import annotations

import datetime as dt
from typing import Any

import yaml

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend import (
    Learning,
    ProposedRule,
    Recommendation,
    parse_learning,
    recommend,
)
from tests.semantics.fixtures import inputs_of
from tests.support.observed import Observer

START = dt.datetime(2026, 10, 5, tzinfo=dt.UTC)
DAYS = 35
AT = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)


def _hosts(app: str, role: str, net: int, count: int) -> dict[str, dict[str, Any]]:
    name = role if app == "shop" else app
    labels = {"app": app, "env": "prod", "role": role}
    return {f"{name}-{n}": {"labels": labels, "addresses": [f"10.0.{net}.{n}"]} for n in range(1, count + 1)}


HOSTS: dict[str, dict[str, Any]] = {
    **_hosts("shop", "web", 1, 3),
    **_hosts("shop", "db", 2, 2),
    **_hosts("crm", "app", 3, 2),
    "odd-1": {"labels": {}, "addresses": ["10.0.4.1"]},
}
DOCUMENTS: list[dict[str, Any]] = [
    {"settings": {"labels": {"app": {}, "env": {}, "role": {}}, "controllers": ["10.0.0.5"]}},
    {"services": {"web": ["tcp/80", "tcp/443"], "postgresql": ["tcp/5432"]}},
    {"ip_lists": {"office": ["198.51.100.0/30"]}},
]
SHOP: dict[str, Any] = {"scope": "shop-prod", "match": {"app": "shop", "env": "prod"}, "owners": ["team-shop"]}


class Site(Observer):
    """`daily`: a conversation in every pair of the two lists on every day."""

    def daily(self, consumers: str, providers: str, service: str, days: int = DAYS, **options: Any) -> Site:
        for day in range(days):
            for consumer in consumers.split():
                for provider in providers.split():
                    self.see(
                        address(consumer),
                        address(provider),
                        service,
                        START + dt.timedelta(days=day, hours=9),
                        3,
                        **options,
                    )
        return self

    def once(self, consumer: str, provider: str, service: str, day: int = 3, count: int = 1, **options: Any) -> Site:
        self.see(
            address(consumer), address(provider), service, START + dt.timedelta(days=day, hours=9), count, **options
        )
        return self

    def found(
        self, settings: str = "", *, scope: str = "", more: tuple[dict[str, Any], ...] = (), shop: dict[str, Any] = SHOP
    ) -> Recommendation:
        inputs = inputs_of([*DOCUMENTS, shop, *more], HOSTS, AT)
        learning = parse_learning(settings, "learning.yml", inputs.policy, inputs.estate) if settings else Learning()
        edges = self.edges(START, START + dt.timedelta(days=DAYS), tuple(sorted(HOSTS)))
        return recommend(inputs.policy, inputs.estate, edges, learning, AT, scope)


def address(name: str) -> str:
    return str(HOSTS[name]["addresses"][0]) if name in HOSTS else name


def rule(found: Recommendation, start: str = "") -> ProposedRule:
    (one,) = [rule for rule in found.rules if rule.id.startswith(start)]
    return one


def reason(found: Recommendation, consumer: str, provider: str) -> str:
    """Why a pair was left out; `included` where it was not."""
    for name, talks in [("included", found.sifted.included), *found.sifted.left_out.items()]:
        if any(str(talk.consumer) == consumer and str(talk.provider) == provider for talk in talks):
            return name
    return "never seen"


def shown(data: Any) -> str:
    return yaml.safe_dump(data, default_flow_style=True, width=1000).strip()
