# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Estates whose true traffic is known, and what sensors would have seen of it. Same seed, same result.

Every application has web, app, db and batch workloads. What they do day by day follows from class-level truth; beside
it stand accidents, scans, replies taken for requests, and a job that runs on the last day of a month only.
"""

from __future__ import annotations

import calendar
import datetime as dt
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import Address, parse_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.edges import Coverage, Edges

Class = tuple[str, str, str]
UTC = dt.UTC


@dataclass
class Observer:
    """Collects rows; `edges` puts them into columns."""

    rows: list[tuple[str, str, int, int, int, int, bool]] = field(default_factory=list)

    def see(
        self, consumer: str, provider: str, service: str | int, at: dt.datetime, count: int = 1, *,
        until: dt.datetime | None = None, dropped: bool = False,
    ) -> None:  # fmt: skip
        point = service if isinstance(service, int) else line.parse(service)[0][0]
        first = int(at.timestamp())
        last = first if until is None else int(until.timestamp())
        self.rows.append((consumer, provider, point, count, first, last, dropped))

    def edges(
        self, start: dt.datetime, end: dt.datetime, hosts: tuple[str, ...], *, reported: tuple[str, ...] | None = None,
        loss: float = 0.0, zones: dict[str, str] | None = None,
    ) -> Edges:  # fmt: skip
        ends: dict[Address, int] = {}

        def position(text: str) -> int:
            return ends.setdefault(parse_address(text, (zones or {}).get(text, "")), len(ends))

        consumers = np.array([position(row[0]) for row in self.rows], np.int32)
        providers = np.array([position(row[1]) for row in self.rows], np.int32)
        columns = list(zip(*self.rows, strict=True)) or [()] * 7
        return Edges(
            ends=tuple(ends),
            sensors=("sensor-1",),
            consumer=consumers,
            provider=providers,
            service=np.array(columns[2], np.int64),
            count=np.array(columns[3], np.int64),
            first=np.array(columns[4], np.int64),
            last=np.array(columns[5], np.int64),
            dropped=np.array(columns[6], np.bool_),
            sensor=np.zeros(len(self.rows), np.int32),
            coverage=Coverage(start, end, hosts if reported is None else reported, hosts, loss, "test"),
        )


@dataclass
class KnownEstate:
    """`truth`: (consumer class, provider class, service). `seldom` is the part that runs at month ends only."""

    documents: list[dict[str, Any]]
    hosts: dict[str, dict[str, Any]]
    truth: set[tuple[Class, Class, str]]
    seldom: set[tuple[Class, Class, str]]
    edges: Edges
    scanner: str
    unwanted: set[tuple[str, str, int]]

    def classes(self) -> dict[Class, list[str]]:
        found: dict[Class, list[str]] = {}
        for name, host in self.hosts.items():
            found.setdefault(class_of(host), []).append(name)
        return found

    def true_pairs(self) -> set[tuple[str, str, str]]:
        members = self.classes()
        return {
            (consumer, provider, service)
            for source, target, service in self.truth
            for consumer in members[source]
            for provider in members[target]
            if consumer != provider
        }


def class_of(host: dict[str, Any]) -> Class:
    labels = host["labels"]
    return labels["app"], labels["env"], labels["role"]


def known_estate(
    seed: int, apps: int, start: dt.datetime, days: int, *, scoped: bool = True, noise: float = 0.1, idle: float = 0.3
) -> KnownEstate:
    """`noise`: accidents, by true service edges. `idle`: share of pairs that do nothing on a day. `scoped`: half of the
    applications have a scope already.
    """
    chooser = random.Random(seed)
    hosts: dict[str, dict[str, Any]] = {}
    envs = ["prod", "dev"]
    for app in range(apps):
        for env in envs if app % 2 else ["prod"]:
            for role, count in (("web", (2, 4)), ("app", (2, 5)), ("db", (1, 2)), ("batch", (1, 2))):
                for number in range(chooser.randint(*count)):
                    address = f"10.{10 + app}.{envs.index(env)}.{len(hosts) % 250 + 1}"
                    labels = {"app": f"a{app}", "env": env, "role": role}
                    hosts[f"a{app}-{env}-{role}-{number}"] = {"labels": labels, "addresses": [address]}
    for number in range(2):
        labels = {"app": "watch", "env": "prod", "role": "monitor"}
        hosts[f"monitor-{number}"] = {"labels": labels, "addresses": [f"10.9.0.{number + 1}"]}
    classes: dict[Class, list[str]] = {}
    for name, host in hosts.items():
        classes.setdefault(class_of(host), []).append(name)
    truth: set[tuple[Class, Class, str]] = set()
    seldom: set[tuple[Class, Class, str]] = set()
    for app, env, role in classes:
        if role == "web":
            truth.add(((app, env, "web"), (app, env, "app"), "tcp/8080"))
            truth.add(((app, env, "app"), (app, env, "db"), "tcp/5432"))
            truth.add(((app, env, "batch"), (app, env, "db"), "tcp/5432"))
            seldom.add(((app, env, "batch"), (app, env, "app"), "tcp/8090"))
        if role != "monitor":
            truth.add((("watch", "prod", "monitor"), (app, env, role), "tcp/9100"))
    for app in range(1, apps):
        other = chooser.randrange(app)
        truth.add(((f"a{app}", "prod", "app"), (f"a{other}", "prod", "web"), "tcp/8443"))
    observer = Observer()
    for day in range(days):
        midnight = start + dt.timedelta(days=day)
        last_of_month = midnight.day == calendar.monthrange(midnight.year, midnight.month)[1]
        for source, target, service in sorted(truth | (seldom if last_of_month else set())):
            for consumer in classes[source]:
                for provider in classes[target]:
                    daily = (source, target, service) in truth
                    if consumer == provider or (daily and chooser.random() < idle):
                        continue
                    at = midnight + dt.timedelta(minutes=chooser.randrange(1200))
                    until = at + dt.timedelta(minutes=chooser.randrange(1, 200))
                    count = chooser.randint(2, 60)
                    observer.see(_address(hosts, consumer), _address(hosts, provider), service, at, count, until=until)
    names = sorted(hosts)
    scanner = chooser.choice([name for name in names if "-web-" in name])
    unwanted: set[tuple[str, str, int]] = set()
    true = {(c, p, s) for a, b, s in truth | seldom for c in classes[a] for p in classes[b]}

    def stray(consumer: str, provider: str, service: str, *, dropped: bool = False) -> None:
        if consumer == provider or (consumer, provider, service) in true:
            return
        at = start + dt.timedelta(minutes=chooser.randrange(days * 1400))
        observer.see(_address(hosts, consumer), _address(hosts, provider), service, at, dropped=dropped)
        unwanted.add((consumer, provider, line.parse(service)[0][0]))

    for target in chooser.sample(names, min(25, len(names))):
        for port in (22, 445, 3389, 5432):
            stray(scanner, target, f"tcp/{port}", dropped=chooser.random() < 0.5)
    victim = chooser.choice(names)
    for port in range(1, 60):
        stray(scanner, victim, f"tcp/{port}", dropped=True)
    for _ in range(round(noise * len(truth))):
        stray(*chooser.sample(names, 2), f"tcp/{chooser.randint(1024, 30000)}")
    for _ in range(round(noise * len(truth)) * 3):
        consumer, provider, _service = chooser.choice(sorted(true))
        stray(provider, consumer, f"tcp/{chooser.randint(33000, 60000)}")
    documents: list[dict[str, Any]] = [
        {"settings": {"labels": {"app": {}, "env": {}, "role": {}}, "controllers": ["10.0.0.5"]}},
        {"services": {"postgresql": ["tcp/5432"]}},
    ]
    if scoped:
        documents += [
            {"scope": f"team-{app}", "match": {"app": f"a{app}"}, "owners": [f"team-{app}"]}
            for app in range(0, apps, 2)
        ]
    found = observer.edges(start, start + dt.timedelta(days=days), tuple(names))
    months = any(
        (one := start + dt.timedelta(days=day)).day == calendar.monthrange(one.year, one.month)[1]
        for day in range(days)
    )
    return KnownEstate(documents, hosts, truth | seldom, set() if months else seldom, found, scanner, unwanted)


def _address(hosts: dict[str, dict[str, Any]], name: str) -> str:
    return str(hosts[name]["addresses"][0])
