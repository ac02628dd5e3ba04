# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The cases of cases.yml as plain documents and inventory hosts, and as inputs of the product."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import (
    DIRECTIONS,
    EnforcementPoint,
    InventoryHost,
    ObservedAddress,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.labels import Fact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import loads
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.facts_file import loads_facts
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import Inputs, join

CASES = Path(__file__).with_name("cases.yml")
SHORTHAND = {
    "SHOP": {"scope": "shop-prod", "match": {"app": "shop", "env": "prod"}, "owners": ["t"]},
    "ESTATE": {"scope": "estate", "estate": True, "match": {}, "owners": ["s"]},
}
NOW = dt.datetime(2026, 11, 24, 12, 0, tzinfo=dt.UTC)


@dataclass
class Question:
    consumer: str
    provider: str
    service: str
    answer: str
    options: dict[str, Any]

    @property
    def at(self) -> dt.datetime:
        text = self.options.get("at")
        return dt.datetime.fromisoformat(text.replace("Z", "+00:00")) if text else NOW


@dataclass
class Case:
    id: str
    sentences: list[int]
    documents: list[dict[str, Any]]
    hosts: dict[str, dict[str, Any]]
    questions: list[Question] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] | None = None
    tests: list[tuple[dict[str, str], str]] = field(default_factory=list)
    guardrails: dict[str, str] = field(default_factory=dict)
    staged_guardrails: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] | None = None

    def inputs(self, at: dt.datetime = NOW) -> Inputs:
        return inputs_of(self.documents, self.hosts, at, self.facts)

    def reference(self) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any] | None]:
        """What the brute-force evaluator reads."""
        return self.documents, self.hosts, self.facts


def load_cases() -> list[Case]:
    data = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    return [_case(data["common"], item) for item in data["cases"]]


def _case(common: dict[str, Any], item: dict[str, Any]) -> Case:
    documents: list[dict[str, Any]] = []
    scopes: dict[str, dict[str, Any]] = {}
    for written in item["policy"]:
        word = next((word for word in SHORTHAND if word in written), None)
        if word is None:
            documents.append(dict(written))
            continue
        scope = scopes.setdefault(word, {**SHORTHAND[word], "rulesets": []})
        scope["rulesets"].append(
            {
                "name": written.get("name", f"set-{len(scope['rulesets']) + 1}"),
                "tier": written.get("tier", "application"),
                "stage": written.get("stage", "active"),
                "rules": written[word],
            }
        )
    documents.extend(scopes.values())
    given = {key for document in documents for key in document}
    documents.extend({sort: common[sort]} for sort in ("settings", "services", "ip_lists") if sort not in given)
    workloads = {**common["workloads"], **item.get("workloads", {})}
    hosts = {name: value for name, value in workloads.items() if value.get("managed", True)}
    unmanaged = [
        {"name": name, **{key: part for key, part in value.items() if key != "managed"}}
        for name, value in workloads.items()
        if not value.get("managed", True)
    ]
    if unmanaged:
        documents.append({"workloads": unmanaged})
    if "modes" not in given:
        given_modes = {name: item.get("modes", {}).get(name, "full") for name in hosts}
        modes = [
            {"match": {"workload": name}, **(mode if isinstance(mode, dict) else {"mode": mode})}
            for name, mode in given_modes.items()
        ]
        documents.append({"modes": modes})
    tests = [(test, outcome) for test, outcome in item.get("tests", [])]
    if tests:
        documents.append({"tests": [test for test, _outcome in tests]})
    return Case(
        id=item["id"],
        sentences=item["s"],
        documents=documents,
        hosts=hosts,
        questions=[_question(entry) for entry in item["ask"]],
        errors=item.get("errors", []),
        warnings=item.get("warnings"),
        tests=tests,
        guardrails=item.get("guardrails", {}),
        staged_guardrails=item.get("staged_guardrails", item.get("guardrails", {})),
        facts={"format": 1, "source": "tests", **item["facts"]} if "facts" in item else None,
    )


def _question(entry: list[Any]) -> Question:
    sentence, answer, *options = entry
    ends, service = sentence.rsplit(" ", 1)
    consumer, provider = ends.split(" -> ")
    return Question(consumer, provider, service, answer, options[0] if options else {})


def inputs_of(
    documents: list[dict[str, Any]],
    hosts: dict[str, dict[str, Any]],
    at: dt.datetime = NOW,
    facts: dict[str, Any] | None = None,
) -> Inputs:
    """Through the real parsers: documents and facts are written as YAML first."""
    text = yaml.safe_dump_all(documents, sort_keys=False)
    policy, findings = loads({"case.yml": text})
    files = [("facts.yml", yaml.safe_dump(facts, sort_keys=False))] if facts else []
    known, remarks = loads_facts(files, policy, at)
    here = [inventory_host(name, value) for name, value in hosts.items()]
    return join(policy, (*findings, *remarks), here, at, known)


def inventory_host(name: str, value: dict[str, Any]) -> InventoryHost:
    return InventoryHost(
        name=name,
        labels={key: _fact(fact) for key, fact in value.get("labels", {}).items()},
        addresses=tuple(ObservedAddress(text, "microseg_addresses") for text in value["addresses"]),
        zone=value.get("zone", ""),
        shared=value.get("shared", False),
        enforcement=tuple(
            EnforcementPoint(name, "nftables", directions=tuple(directions))
            for directions in [value.get("enforces", DIRECTIONS)]
            if directions
        ),
    )


def _fact(value: Any) -> Fact:
    if isinstance(value, dict):
        expires = value.get("expires")
        moment = dt.datetime.fromisoformat(expires.replace("Z", "+00:00")) if expires else None
        return Fact(str(value["value"]), value.get("source", "inventory"), moment)
    return Fact(str(value))
