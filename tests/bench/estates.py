# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Deterministic synthetic estates and policies of three sizes, as parsed documents.

Applications have Zipf-like sizes, one to four environments, one to five roles and one to three locations; 40 % of
workloads have an IPv6 address too. 55 % of rules are between tiers of one application, 15 % between applications,
10 % to shared services, 8 % wide by environment and location, 7 % about external blocks, 5 % wide denies; the wide
ones are capped at 240, as they are in a real estate.
"""

from __future__ import annotations

import random

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import Address, Prefix
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import (
    EnforcementPoint,
    Estate,
    Modes,
    Workload,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.labels import Fact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.policy import (
    AddressPeer,
    LabelDeclaration,
    LabelPeer,
    Policy,
    Rule,
    Ruleset,
    Scope,
    Settings,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.selectors import Requirement, Selector
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.services import parse_all

SIZES = {"S": (1_000, 200), "M": (10_000, 2_000), "L": (100_000, 20_000)}
ENVS = ["prod", "stage", "dev", "test"]
ROLES = ["web", "app", "db", "cache", "queue", "batch", "lb", "search"]
LOCS = ["fra1", "ams1", "nyc1", "aws-eu", "aws-us", "gcp-eu", "azure-eu", "edge"]
SERVICES = [
    "tcp/22", "tcp/80", "tcp/443", "tcp/8080", "tcp/8443", "tcp/5432", "tcp/3306", "tcp/6379", "tcp/9092-9094",
    "tcp/5672", "tcp/9200-9300", "tcp/636", "udp/53", "tcp/53", "udp/123", "udp/161-162", "tcp/9100", "tcp/2049",
    "tcp/50051", "udp/514", "tcp/6514", "tcp/49152-65535", "tcp/30000-32767", "tcp/1521",
]  # fmt: skip
WIDE = {"shared": 100, "wide": 80, "deny": 60}


def parsed(name: str, seed: int = 7, size: tuple[int, int] | None = None) -> tuple[Policy, Estate]:
    """`name` of SIZES, or any name with a `size` (workloads, rules)."""
    workloads, rules = size or SIZES[name]
    chooser = random.Random(seed)
    apps = max(8, workloads // 40)
    shape = [
        (
            chooser.sample(ENVS, chooser.randint(1, 4)),
            chooser.sample(ROLES, chooser.randint(1, 5)),
            chooser.sample(LOCS, chooser.randint(1, 3)),
        )
        for _ in range(apps)
    ]
    return _policy(chooser, apps, shape, rules), _estate(chooser, apps, shape, workloads)


def _estate(chooser, apps, shape, count):
    facts = {}

    def fact(value):
        return facts.setdefault(value, Fact(value))

    weights = [1 / (rank + 1) ** 0.9 for rank in range(apps)]
    workloads = {}
    for index, app in enumerate(chooser.choices(range(apps), weights, k=count)):
        envs, roles, locs = shape[app]
        labels = {
            "app": fact(f"app{app}"),
            "env": fact(chooser.choice(envs)),
            "role": fact(chooser.choice(roles)),
            "loc": fact(chooser.choice(locs)),
            "owner": fact(f"team{app % 50}"),
            "os": fact("windows" if app % 5 == 0 else "linux"),
            "compliance": fact("pci" if app % 11 == 0 else "none"),
        }
        addresses = [Address("", 4, (10 << 24) + 16 + index)]
        if index % 5 < 2:
            addresses.append(Address("", 6, (0x20010DB8 << 96) + 16 + index))
        name = f"h{index:06d}"
        workloads[name] = Workload(
            name,
            labels,
            tuple(addresses),
            modes=Modes("full", "full"),
            enforcement=(EnforcementPoint(name, "nftables"),),
        )
    return Estate(workloads, controllers=(Address("", 4, (10 << 24) + 5),), management_ports=parse_all(["tcp/22"]))


def _selector(**labels):
    return LabelPeer(
        Selector(tuple(sorted(Requirement(key, "in", tuple(sorted(value))) for key, value in labels.items())))
    )


def _policy(chooser, apps, shape, count):
    wide = dict.fromkeys(WIDE, 0)
    application, infrastructure, admin = [], [], []
    while len(application) + len(infrastructure) + len(admin) < count:
        number = len(application) + len(infrastructure) + len(admin)
        draw = chooser.random()
        kind = (
            "tiers"
            if draw < 0.55
            else "apps"
            if draw < 0.7
            else "shared"
            if draw < 0.8
            else "wide"
            if draw < 0.88
            else "external"
            if draw < 0.95
            else "deny"
        )
        if kind in wide:
            wide[kind] += 1
            if wide[kind] > WIDE[kind]:
                kind = "tiers"
        app = chooser.randrange(apps)
        envs, roles, _locs = shape[app]
        services = parse_all(chooser.sample(SERVICES, chooser.randint(1, 3)))
        name = [f"app{app}"]
        env = [chooser.choice(envs)]
        if kind == "tiers":
            sides = (
                _selector(app=name, env=env, role=[chooser.choice(roles)]),
                _selector(app=name, env=env, role=[chooser.choice(roles)]),
            )
        elif kind == "apps":
            sides = _selector(app=[f"app{chooser.randrange(apps)}"], env=env), _selector(app=name, env=env)
        elif kind == "shared":
            sides = (
                _selector(env=[chooser.choice(ENVS)]),
                _selector(owner=[f"team{chooser.randrange(50)}"], role=[chooser.choice(ROLES)]),
            )
        elif kind == "wide":
            sides = (
                _selector(env=[chooser.choice(ENVS)], loc=chooser.sample(LOCS, 2)),
                _selector(env=[chooser.choice(ENVS)], loc=[chooser.choice(LOCS)], role=[chooser.choice(ROLES)]),
            )
        elif kind == "external":
            length = chooser.randint(12, 28)
            low = (chooser.randrange(11 << 24, 223 << 24) >> (32 - length)) << (32 - length)
            sides = (
                AddressPeer((Prefix(None, 4, low, low + (1 << (32 - length)) - 1),)),
                _selector(app=name, role=[chooser.choice(roles)]),
            )
        else:
            sides = (
                _selector(env=[chooser.choice(ENVS[2:])], owner=[f"team{chooser.randrange(50)}"]),
                _selector(env=[chooser.choice(ENVS[:2])], compliance=["pci"]),
            )
        rule = Rule(f"r{number:05d}", (sides[0],), (sides[1],), services, action="deny" if kind == "deny" else "allow")
        (admin if kind == "deny" else infrastructure if kind in ("shared", "wide") else application).append(rule)
    rulesets = (
        Ruleset("guard", tuple(admin), "admin", "active"),
        Ruleset("shared", tuple(infrastructure), "infrastructure", "active"),
        Ruleset("apps", tuple(application), "application", "active"),
    )
    keys = ("app", "env", "role", "loc", "owner", "os", "compliance")
    return Policy(
        settings=Settings(labels={key: LabelDeclaration() for key in keys}),
        scopes=(Scope("estate", Selector(), ("ops",), estate=True, rulesets=rulesets),),
        digest="bench",
    )
