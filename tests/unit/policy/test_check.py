# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What check tells beside errors."""

from __future__ import annotations

from typing import Any

from ...semantics.fixtures import inputs_of

HOSTS = {
    "web": {"labels": {"app": "web"}, "addresses": ["10.0.0.1"]},
    "db": {"labels": {"app": "db"}, "addresses": ["10.0.0.2"]},
}


def codes(settings: dict[str, Any], **rule: Any) -> list[str]:
    written = {"id": "r", "from": {"app": "web"}, "to": {"app": "db"}, "services": ["tcp/5432"], **rule}
    ruleset = {"name": "s", "stage": "active", "rules": [written]}
    documents = [
        {"settings": {"labels": {"app": {}}, **settings}},
        {"modes": [{"match": {"app": "db"}, "mode": "full"}]},
        {"scope": "estate", "estate": True, "match": {}, "owners": ["o"], "rulesets": [ruleset]},
    ]
    return [finding.code for finding in inputs_of(documents, HOSTS).findings]


def test_a_rule_past_its_end_is_told() -> None:
    assert codes({"controllers": ["10.0.0.9"]}, expires="2026-07-01") == ["W-RULE-EXPIRED"]
    assert codes({"controllers": ["10.0.0.9"]}, expires="2027-07-01") == []


def test_enforcing_without_a_controller_is_told() -> None:
    assert codes({}) == ["W-NO-CONTROLLERS"]
