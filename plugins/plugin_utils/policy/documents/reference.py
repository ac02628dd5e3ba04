# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The reference page of policy documents, made from the same words as the schema.

package=ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents
python -m $package.reference > docs/policy-reference.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from .schema import SHAPES, schema

_ROOTS = {"Shared": "Documents about the estate", "Scope": "Scope documents"}
_TITLES = {
    "Approval": "standing_approvals",
    "Criticality": "criticality",
    "Dependency": "dependencies",
    "Evidence": "evidence",
    "Except": "except",
    "Grant": "grants",
    "Guardrail": "guardrails",
    "Label": "labels",
    "LabelRule": "label_rules",
    "Mode": "modes",
    "Never": "never",
    "PolicyTest": "tests",
    "Role": "roles",
    "RoleProvision": "provision",
    "RoleWrite": "write",
    "Rule": "rules",
    "Ruleset": "rulesets",
    "ServiceAddress": "service_addresses",
    "Settings": "settings",
    "Waiver": "waivers",
    "When": "when",
    "Workload": "workloads",
    "Writer": "writers",
}

_INTRO = """\
# Policy documents

<!-- Made from the words of the policy language; changes here are lost. -->

A policy is a directory of YAML files, usually in Git. Every file that ends in `.yml` or `.yaml` is read, in all
folders; hidden files and folders are skipped. A file holds one or more documents, separated by `---`. Names of files
and folders mean nothing, and neither does order: documents of one sort add up. Unknown keys are errors.

Editors complete and check keys with [policy.schema.json](policy.schema.json):

```yaml
# yaml-language-server: $schema=policy.schema.json
settings:
  labels: {app: {required: true}, role: {required: true}, env: {values: [prod, dev]}}
  controllers: [10.0.0.5]
  timezone: Europe/Berlin
services: {postgresql: [tcp/5432], web: [tcp/80, tcp/443]}
ip_lists: {office: [198.51.100.0/24, "2001:db8:1::/48"]}
modes:
  - {match: {app: shop, env: prod}, ingress: full, egress: visibility}
guardrails:
  - {id: dev-never-to-prod, never: {from: {env: dev}, to: {env: prod}}, except: {services: [tcp/6514]}}
tests:
  - {allow: "web-1 -> db-1 tcp/5432"}
  - {deny: "batch-1 -> db-1 postgresql", because: only the web tier}
---
scope: shop-prod
match: {app: shop, env: prod}
owners: [team-shop]
rulesets:
  - name: core
    stage: active
    rules:
      - {id: web-to-db, from: {role: web}, to: {role: db}, services: [postgresql], reason: order storage}
      - {id: customers, from: any, to: {role: web}, services: [web]}
      - {id: office, from: [{ip_list: office}, "app=vpn"], to: {role: web}, services: [tcp/8443], expires: 2027-06-30}
```

## Selectors and peers

A **selector** says which workloads: a mapping with a value, a list of values, or `"*"` for any value
(`{app: shop, env: [prod, stage], pci: "*"}`), or text (`app=shop,env in (prod,stage),pci,!legacy`). `notin` and `!=`
also match workloads without the key. Keys must be declared in `settings.labels`. Values are text without `, = ! ( ) *`:
put quotes around `"yes"`, `"on"` and `"1.10"`, which YAML would read as something else.

In a rule, a selector inherits every key of its scope's `match` that it does not mention.

A **peer** (`from`, `to`) is one of these, or a list of them, which means their union:

| peer | means |
|---|---|
| a selector | workloads by label |
| `{workload: NAME}` | one workload |
| `{ip_list: NAME}` | the addresses of a list |
| `{cidr: BLOCK}`, `{cidr: BLOCK, zone: ZONE}` | addresses, without `zone` in the zone of the enforcement point |
| `{fqdn: NAME}` | a host outside the estate; only in `to` of allow rules and in dependencies |
| `scope` | every workload of the scope |
| `all-workloads` | every workload; needs an estate scope or a grant |
| `any` | every address |

The words `workload`, `ip_list`, `cidr`, `zone`, `fqdn`, `users`, `scope`, `all-workloads` and `any` cannot be label
keys.

## Services

`tcp`, `udp`, `sctp`, `icmp`, `icmpv6`, `any`; `tcp/443`, `tcp/8000-8100`; `icmp/8`, `icmp/3.4` (type and code); other
protocols as `proto/47`; or a name from `services`, whose entries may name other services. `icmp` is IPv4 only, `icmpv6`
IPv6 only.

## Short form

On command lines a rule is written `allow role=web -> role=db : postgresql`. Ends are selectors, the words above,
addresses and blocks (`10.0.0.0/8`, `10.0.0.0/8 in zone lab`), `workload NAME`, `ip_list NAME` and `fqdn NAME`,
joined by ` | `.
"""


def text() -> str:
    definitions = schema()["$defs"]
    parts = [_INTRO]
    for name in _in_order(definitions):
        definition = definitions[name]
        title = _ROOTS.get(name) or f"`{_TITLES[name]}`"
        parts.append(f"## {title}\n\n{definition['description']}\n")
        rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
        required = definition.get("required", ())
        for key, value in definition["properties"].items():
            default = "required" if key in required else _default(value)
            rows.append(f"| `{key}` | {_kind(value)} | {default} | {value['description']} |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _in_order(definitions: dict[str, Any]) -> list[str]:
    """Roots first, each followed by what it refers to."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name in order or name in SHAPES:
            return
        order.append(name)
        for reference in _references(definitions[name]):
            visit(reference)

    for root in _ROOTS:
        visit(root)
    return order


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _kind(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name: str = value["$ref"].rpartition("/")[2]
        if name in SHAPES:
            return {"Peers": "peer or list of peers", "Target": "selector or `{workload: NAME}`"}.get(
                name, name.lower()
            )
        return f"[{_TITLES[name]}](#{_TITLES[name]})"
    if "enum" in value:
        return " ".join(f"`{word}`" for word in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if value["type"] == "array":
        return f"list of {_kind(value['items'])}"
    if value["type"] == "object":
        return f"mapping of {_kind(value['additionalProperties'])}"
    if isinstance(value["type"], list):
        return "text"
    return {"string": "text", "boolean": "`true` or `false`", "integer": "whole number"}.get(value["type"], "number")


def _default(value: dict[str, Any]) -> str:
    default = value.get("default")
    if default in (None, "", [], {}) or isinstance(default, dict):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


if __name__ == "__main__":
    sys.stdout.write(text())
