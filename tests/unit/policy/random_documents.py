# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# ruff: noqa: E501  one case is one line

"""Random valid policy documents, and other ways to write the same."""

from __future__ import annotations

import copy
import random
from typing import Any

import yaml

LABELS = {"app": ["shop", "batch", "7"], "role": ["web", "db", "job"], "env": ["prod", "dev"]}
TERMS = ["tcp/443", "udp/53", "tcp/8000-8100", "icmp", "icmpv6/128", "proto/47", "any"]
SHARED = ("services", "ip_lists")


def random_documents(rng: random.Random) -> list[dict[str, Any]]:
    services = {f"svc-{n}": rng.sample([*TERMS, *(f"svc-{m}" for m in range(n))], rng.randint(1, 2)) for n in range(4)}
    lists: dict[str, Any] = {
        "office": ["198.51.100.0/24", "2001:db8::/48"],
        "lan": [{"cidr": "10.0.0.0/8", "zone": "lab"}, "office"],
    }
    documents: list[dict[str, Any]] = [
        {
            "settings": {
                "labels": {key: {"values": values if key == "env" else []} for key, values in LABELS.items()},
                "timezone": rng.choice(["UTC", "Europe/Berlin", "America/New_York"]),
                "controllers": ["10.0.0.5"],
                "grants": [{"scope": "scope-0", "tiers": ["admin"]}],
            }
        },
        {"services": services, "ip_lists": lists},
        {"workloads": [{"name": f"w-{n}", "addresses": [f"10.1.0.{n + 1}"], "labels": labels(rng)} for n in range(rng.randint(0, 3))]},
        {"modes": [{"match": selector(rng), "mode": rng.choice(["idle", "full"])} for _ in range(rng.randint(0, 3))]},
        {"writers": [{"match": {"platform": "aws"}, "writer": "driver"}, {"match": {"platform": "aws", "account": "1"}, "writer": "none"}]},
        {"label_rules": [{"set": {"env": "prod"}, "group": "production"}, {"set": {"role": "web"}, "when": "tags.x == 'y'"}]},
        {"guardrails": [{"id": f"g-{n}", "never": {"from": peers(rng), "to": peers(rng)}, "except": {"services": ["svc-0"]}} for n in range(2)]},
        {"tests": [{rng.choice(["allow", "deny"]): f"w-1 -> w-{n} svc-1, tcp/1"} for n in range(rng.randint(0, 3))]},
    ]  # fmt: skip
    for number in range(rng.randint(1, 3)):
        rulesets = [
            {
                "name": f"set-{n}",
                "stage": rng.choice(["draft", "staged", "active"]),
                "rules": [rule(rng, f"r-{n}-{m}") for m in range(rng.randint(0, 4))],
            }
            for n in range(rng.randint(0, 3))
        ]
        documents.append(
            {"scope": f"scope-{number}", "match": selector(rng), "owners": ["a", "b"], "rulesets": rulesets}
        )
    return documents


def labels(rng: random.Random) -> dict[str, Any]:
    return {key: rng.choice(values) for key, values in LABELS.items() if rng.random() < 0.7}


def selector(rng: random.Random) -> Any:
    key = rng.choice(list(LABELS))
    values = sorted(rng.sample(LABELS[key], 2))
    forms: list[Any] = [
        {key: values[0]},
        {key: values},
        {key: "*"},
        f"{key} notin ({values[0]},{values[1]})",
        f"!{key}",
    ]
    return rng.choice(forms)


def peers(rng: random.Random) -> Any:
    choices: list[Any] = [
        "any",
        "scope",
        {"workload": "w-1"},
        {"ip_list": "lan"},
        {"cidr": "10.0.0.0/9"},
        selector(rng),
        selector(rng),
    ]
    return rng.sample(choices, rng.randint(1, 3)) if rng.random() < 0.4 else rng.choice(choices)


def rule(rng: random.Random, name: str) -> dict[str, Any]:
    made = {"id": name, "from": peers(rng), "to": peers(rng), "services": rng.sample([*TERMS, "svc-0", "svc-3"], 2)}
    if rng.random() < 0.3:
        made |= {"action": "deny", "reject": rng.random() < 0.5}
    if rng.random() < 0.3:
        made["expires"] = rng.choice(["2027-06-30", "2027-06-30T10:00:00", "2027-06-30T10:00:00+02:00"])
    if rng.random() < 0.3:
        made["reason"] = rng.choice(["because", "é-ü-漢", "a: b # c", ""])
    return made


def rewritten(rng: random.Random, documents: list[dict[str, Any]]) -> dict[str, str]:
    """The same content: shuffled, split, in other styles, with comments, over several files."""
    parts: list[dict[str, Any]] = []
    for document in copy.deepcopy(documents):
        if "scope" in document:
            for ruleset in document["rulesets"]:
                ruleset["rules"] = [shuffled_rule(rng, item) for item in shuffled(rng, ruleset["rules"])]
            document["rulesets"] = shuffled(rng, document["rulesets"])
            document["owners"] = shuffled(rng, document["owners"])
            parts.append(shuffled_keys(rng, document))
            continue
        for key, value in document.items():
            if isinstance(value, list):
                parts.extend({key: [item]} for item in value)
            elif key in SHARED:
                parts.extend({key: {name: shuffled(rng, items)}} for name, items in value.items())
            else:
                parts.append({key: shuffled_keys(rng, value)})
    rng.shuffle(parts)
    files: dict[str, str] = {}
    for part in parts:
        text = yaml.safe_dump(
            part,
            sort_keys=False,
            allow_unicode=rng.random() < 0.5,
            default_flow_style=rng.choice([True, False, None]),
            default_style=None,
            width=rng.choice([20, 80, 1000]),
            indent=rng.choice([2, 4]),
        )
        name = f"{rng.choice('abc')}/{rng.choice('xyz')}.yml"
        files[name] = f"{files.get(name, '')}---\n# comment\n{text}\n"
    return dict(shuffled(rng, list(files.items())))


def shuffled_rule(rng: random.Random, written: dict[str, Any]) -> dict[str, Any]:
    for side in ("from", "to"):
        peer = written[side]
        written[side] = shuffled(rng, peer) if isinstance(peer, list) else rng.choice([peer, [peer], [peer, peer]])
    written["services"] = shuffled(rng, written["services"])
    return shuffled_keys(rng, written)


def shuffled(rng: random.Random, items: list[Any]) -> list[Any]:
    return rng.sample(items, len(items))


def shuffled_keys(rng: random.Random, mapping: dict[str, Any]) -> dict[str, Any]:
    return dict(shuffled(rng, list(mapping.items())))
