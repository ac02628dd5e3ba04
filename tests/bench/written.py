# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Deterministic policy documents and inventories as text, the way a user writes them.

One scope per application and ten rules in it; ten hosts per application, in five roles. Everything is valid: every
active rule matches a pair, guardrails and tests hold.
"""

from __future__ import annotations

import random
from pathlib import Path

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import (
    EnforcementPoint,
    InventoryHost,
    ObservedAddress,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.labels import Fact

RULES_PER_APP = 10
HOSTS_PER_APP = 10
ROLES = ("web", "app", "db", "cache", "batch")
SERVICES = {
    "web": "[tcp/80, tcp/443]",
    "postgresql": "[tcp/5432]",
    "cache": "[tcp/6379]",
    "queue": "[tcp/5671-5672]",
    "api": "[tcp/8000-8100]",
    "dns": "[tcp/53, udp/53]",
    "metrics": "[tcp/9100]",
}
FILES = 20


def write_documents(directory: Path, rules: int, seed: int = 3) -> int:
    """A policy directory of `rules` rules in at most 21 files; returns the number of applications."""
    chooser = random.Random(seed)
    apps = max(1, rules // RULES_PER_APP)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "estate.yml").write_text(_estate_documents(apps), encoding="utf-8")
    per_file = -(-apps // FILES)
    for first in range(0, apps, per_file):
        scopes = [_scope(chooser, app) for app in range(first, min(first + per_file, apps))]
        (directory / f"apps-{first:05d}.yml").write_text("---\n".join(scopes), encoding="utf-8")
    return apps


def _estate_documents(apps: int) -> str:
    services = "\n".join(f"  {name}: {points}" for name, points in SERVICES.items())
    tests = "\n".join(
        f'  - {{deny: "app{app:05d}-batch-8 -> app{(app + 1) % apps:05d}-db-4 tcp/22"}}' for app in range(0, apps, 10)
    )
    return f"""\
settings:
  labels: {{app: {{required: true}}, role: {{values: [{", ".join(ROLES)}]}}, env: {{values: [prod, dev]}}}}
  controllers: [10.255.0.5, "2001:db8:ffff::5"]
  timezone: Europe/Berlin
---
services:
{services}
ip_lists:
  office: [198.51.100.0/24, "2001:db8:1::/48"]
---
label_rules:
  - {{set: {{env: prod}}, group: production}}
  - {{set: {{role: db}}, group: databases}}
---
modes:
  - {{match: {{env: prod}}, mode: full}}
---
guardrails:
  - {{id: databases-stay-inside, never: {{from: any, to: {{role: db}}}}, except: {{from: all-workloads}}}}
---
tests:
{tests}
"""


def _scope(chooser: random.Random, app: int) -> str:
    rules = []
    for number in range(RULES_PER_APP):
        consumer, provider = chooser.sample(ROLES, 2)
        services = ", ".join(chooser.sample(sorted(SERVICES), chooser.randint(1, 2)))
        source = f"{{role: {consumer}}}"
        if number == 0:
            source, provider = "{ip_list: office}", "web"
        extra = "\n        expires: 2099-06-30" if number == 1 else ""
        rules.append(
            f"""\
      - id: r{number}
        from: {source}
        to: {{role: {provider}}}
        services: [{services}]
        reason: what application {app} needs
        owner: team-{app % 50}
        ticket: CHG-{app * RULES_PER_APP + number}{extra}"""
        )
    return f"""\
scope: app-{app:05d}
match: {{app: app{app:05d}, env: prod}}
owners: [team-{app % 50}]
rulesets:
  - name: core
    tier: application
    stage: active
    rules:
{chr(10).join(rules)}
"""


def _hosts(apps: int) -> list[tuple[str, str, str, list[str]]]:
    """(name, app, role, addresses)"""
    hosts = []
    for app in range(apps):
        for number in range(HOSTS_PER_APP):
            index = app * HOSTS_PER_APP + number
            role = ROLES[number // 2]
            addresses = [f"10.{index >> 16}.{index >> 8 & 255}.{index & 255}"]
            if index % 5 < 2:
                addresses.append(f"2001:db8::{index + 1:x}")
            hosts.append((f"app{app:05d}-{role}-{number}", f"app{app:05d}", role, addresses))
    return hosts


def write_inventory(path: Path, apps: int) -> int:
    """A YAML inventory: a group per application with its variables, groups that label rules look at, host variables."""
    production, databases, groups = [], [], []
    members: dict[str, list[str]] = {}
    for name, app, role, addresses in _hosts(apps):
        listed = ", ".join(f'"{address}"' for address in addresses)
        labels = "" if role == "db" else f", microseg_labels: {{app: {app}, role: {role}}}"
        members.setdefault(app, []).append(
            f"        {name}: {{ansible_host: {addresses[0]}, microseg_addresses: [{listed}]{labels}}}"
        )
        production.append(f"        {name}:")
        if role == "db":
            databases.append(f"        {name}:")
    for app, hosts in members.items():
        groups.append(
            "\n".join([f"    {app}:", f"      vars: {{microseg_labels: {{app: {app}}}}}", "      hosts:", *hosts])
        )
    for group, hosts in (("production", production), ("databases", databases)):
        groups.append("\n".join([f"    {group}:", "      hosts:", *hosts]))
    path.write_text("\n".join(["all:", "  children:", *groups, ""]), encoding="utf-8")
    return len(production)


def inventory_hosts(apps: int) -> tuple[InventoryHost, ...]:
    """The same hosts as the boundary hands them over, for measurements in which Ansible has no part."""
    return tuple(
        InventoryHost(
            name,
            groups=("all", "production", *(("databases",) if role == "db" else ())),
            labels={"app": Fact(app)} if role == "db" else {"app": Fact(app), "role": Fact(role)},
            addresses=tuple(ObservedAddress(text, "microseg_addresses") for text in addresses),
            enforcement=(EnforcementPoint(name, "nftables"),),
        )
        for name, app, role, addresses in _hosts(apps)
    )
