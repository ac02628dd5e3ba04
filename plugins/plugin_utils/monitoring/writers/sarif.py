# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""SARIF 2.1.0: findings on the lines of the policy documents, for code scanning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def render(data: Mapping[str, Any]) -> str:
    codes = sorted({finding["code"] for finding in data["findings"]})
    run = {
        "tool": {
            "driver": {
                "name": "microseg",
                "informationUri": "https://galaxy.ansible.com/ui/repo/published/bulkhead/microseg/",
                "rules": [{"id": code, "shortDescription": {"text": code}} for code in codes],
            }
        },
        "invocations": [{"executionSuccessful": data["outcome"] != "unable", "endTimeUtc": _utc(data["at"])}],
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, codes) for finding in data["findings"]],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _result(finding: Mapping[str, Any], codes: list[str]) -> dict[str, Any]:
    facts = "".join(f"\n{fact['name']}: {fact['text']}" for fact in finding["facts"])
    location: dict[str, Any] = {"logicalLocations": [{"name": finding["about"], "kind": "resource"}]}
    if finding["file"]:
        location["physicalLocation"] = {"artifactLocation": {"uri": quote(finding["file"])}}
        if finding["line"]:
            location["physicalLocation"]["region"] = {"startLine": finding["line"]}
    return {
        "ruleId": finding["code"],
        "ruleIndex": codes.index(finding["code"]),
        "level": _LEVELS[finding["severity"]],
        "message": {"text": finding["message"] + facts},
        "locations": [location],
    }


def _utc(moment: str) -> str:
    return moment.replace("+00:00", "Z")
