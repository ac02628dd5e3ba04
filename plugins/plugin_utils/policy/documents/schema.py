# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The published JSON Schema of policy documents (Draft 2020-12), made from the words.

python -m ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents.schema > docs/policy.schema.json
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from .words import NAME, WORKLOAD_NAME, ScopeWords, SharedWords, Words

_VALUE = {"type": ["string", "number"]}

#: Values that are read by hand; `$shape` in words.py refers to them.
SHAPES: dict[str, dict[str, Any]] = {
    "SelectorMapping": {
        "description": 'Label keys with a value, a list of values, or "*" for any value.',
        "type": "object",
        "not": {"anyOf": [{"required": [word]} for word in ("workload", "ip_list", "cidr", "zone", "fqdn", "users")]},
        "additionalProperties": {"anyOf": [_VALUE, {"type": "array", "minItems": 1, "items": _VALUE}]},
    },
    "Selector": {
        "description": 'A mapping, or a string such as "app=shop,env in (prod,stage),!legacy".',
        "anyOf": [{"type": "string", "minLength": 1}, {"$ref": "#/$defs/SelectorMapping"}],
    },
    "Peer": {
        "description": "A selector, {workload: NAME}, {ip_list: NAME}, {cidr: BLOCK, zone: ZONE}, {fqdn: NAME}, "
        "{users: [GROUP]}, or one of the words scope, all-workloads, any.",
        "anyOf": [
            {"enum": ["scope", "all-workloads", "any"]},
            {
                "type": "object",
                "required": ["workload"],
                "additionalProperties": False,
                "properties": {"workload": {"type": "string", "pattern": WORKLOAD_NAME}},
            },
            {
                "type": "object",
                "required": ["ip_list"],
                "additionalProperties": False,
                "properties": {"ip_list": {"type": "string", "pattern": NAME}},
            },
            {"$ref": "#/$defs/ZonedBlock"},
            {
                "type": "object",
                "required": ["users"],
                "additionalProperties": False,
                "properties": {"users": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}}},
            },
            {
                "type": "object",
                "required": ["fqdn"],
                "additionalProperties": False,
                "properties": {"fqdn": {"type": "string"}},
            },
            {"allOf": [{"$ref": "#/$defs/SelectorMapping"}, {"minProperties": 1}]},
            {"type": "string", "minLength": 1},
        ],
    },
    "Peers": {
        "description": "One peer or a list of peers (a union).",
        "anyOf": [{"$ref": "#/$defs/Peer"}, {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Peer"}}],
    },
    "Target": {
        "description": "A selector, or {workload: NAME}.",
        "anyOf": [
            {
                "type": "object",
                "required": ["workload"],
                "additionalProperties": False,
                "properties": {"workload": {"type": "string", "pattern": WORKLOAD_NAME}},
            },
            {"allOf": [{"$ref": "#/$defs/SelectorMapping"}, {"minProperties": 1}]},
            {"type": "string", "minLength": 1},
        ],
    },
    "ZonedBlock": {
        "description": "A block, perhaps in another zone than that of the enforcement point.",
        "type": "object",
        "required": ["cidr"],
        "additionalProperties": False,
        "properties": {"cidr": {"type": "string"}, "zone": {"type": "string"}},
    },
    "Block": {
        "description": "An address, a block, the name of another list, or {cidr: BLOCK, zone: ZONE}.",
        "anyOf": [{"type": "string"}, {"$ref": "#/$defs/ZonedBlock"}],
    },
    "Member": {
        "description": "An e-mail address or login, or a list of those of one person.",
        "anyOf": [
            {"type": "string", "pattern": WORKLOAD_NAME, "maxLength": 254},
            {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "pattern": WORKLOAD_NAME, "maxLength": 254},
            },
        ],
    },
    "Fact": {
        "description": "A label value, or {value, expires, source}.",
        "anyOf": [
            _VALUE,
            {
                "type": "object",
                "required": ["value"],
                "additionalProperties": False,
                "properties": {"value": _VALUE, "expires": {"type": "string"}, "source": {"type": "string"}},
            },
        ],
    },
}


@cache
def schema() -> dict[str, Any]:
    """The schema of one document. The cached value is shared; do not change it."""
    made = TypeAdapter(ScopeWords | SharedWords).json_schema(by_alias=True)
    made["$defs"].update(SHAPES)
    linked: dict[str, Any] = _linked(made)
    linked["$defs"] = {_public(name): linked["$defs"][name] for name in sorted(linked["$defs"], key=_public)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policy document of bulkhead.microseg",
        **linked,
    }


def _definitions(model: type[Words]) -> dict[str, Any]:
    made = TypeAdapter(model).json_schema(by_alias=True)
    found = _linked({**made.pop("$defs", {}), model.__name__: made})
    return {_public(name): node for name, node in found.items()}


def _linked(value: Any) -> Any:
    """`$shape` to `$ref`, which pydantic would try to look up itself; made-up titles and nulls go."""
    if isinstance(value, list):
        return [_linked(item) for item in value]
    if not isinstance(value, dict):
        return value
    said = [choice for choice in value.get("anyOf", ()) if choice != {"type": "null"}]
    if len(said) == 1:
        value = {**said[0], **{key: item for key, item in value.items() if key != "anyOf"}}
    result = {
        key: _linked(item)
        for key, item in value.items()
        if not (key in ("$shape", "title") and isinstance(item, str)) and not (key == "default" and item is None)
    }
    if "$shape" in value:
        result["$ref"] = f"#/$defs/{value['$shape']}"
    elif isinstance(result.get("$ref"), str):
        result["$ref"] = _public(result["$ref"])
    return result


def _public(name: str) -> str:
    return name.removesuffix("Words")


def words_at(model: type[Words], path: tuple[Any, ...]) -> tuple[str, ...]:
    """The keys that are valid in the mapping at this path of a document."""
    definitions = schema()["$defs"]
    if _public(model.__name__) not in definitions:  # a file beside the policy with words of its own
        definitions = _definitions(model)
    node: dict[str, Any] = definitions[_public(model.__name__)]
    for step in path:
        if isinstance(step, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(step) or node.get("additionalProperties") or {}
        choices = [node, *node.get("anyOf", ())]
        references = [choice["$ref"] for choice in choices if "$ref" in choice]
        if references:
            node = definitions[references[0].rpartition("/")[2]]
    return tuple(node.get("properties", ()))


def text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
