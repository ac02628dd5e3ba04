# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""An address of two workloads is refused where a host would have to tell them apart, and only there."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import Rejected
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.check import check
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.compile import compile_bundle

from ...semantics.fixtures import inputs_of

HOSTS = {
    "web": {"labels": {"app": "shop"}, "addresses": ["10.0.0.1"]},
    "twin": {"labels": {"app": "lab"}, "addresses": ["10.0.0.1"], "zone": "lab"},
    "db": {"labels": {"app": "db"}, "addresses": ["10.0.0.2"]},
}


def inputs(consumers, hosts=HOSTS):
    rule = {"id": "r", "from": consumers, "to": {"app": "db"}, "services": ["tcp/5432"]}
    ruleset = {"name": "s", "stage": "active", "rules": [rule]}
    return inputs_of(
        [
            {"settings": {"labels": {"app": {}}, "controllers": ["10.0.0.9"]}},
            {"modes": [{"match": {"app": "db"}, "mode": "full"}]},
            {"scope": "estate", "estate": True, "match": {}, "owners": ["o"], "rulesets": [ruleset]},
        ],
        hosts,
    )


def test_a_host_that_would_open_for_the_twin_too_is_refused() -> None:
    with pytest.raises(Rejected) as refused:
        compile_bundle(inputs({"app": "shop"}))
    assert refused.value.code == "E-AMBIGUOUS-ADDRESS"
    assert "tcp/5432" in refused.value.message
    assert [finding.code for finding in check(inputs({"app": "shop"})).findings] == ["E-AMBIGUOUS-ADDRESS"]


def test_twins_that_get_the_same_answer_are_fine() -> None:
    assert compile_bundle(inputs({"app": ["shop", "lab"]})).points
    assert not check(inputs({"app": ["shop", "lab"]})).findings


def test_sharers_in_one_zone_that_differ_are_only_reported() -> None:
    shared = {name: {**host, "shared": True, "zone": ""} for name, host in HOSTS.items()}
    assert compile_bundle(inputs({"app": "shop"}, shared)).points
    assert [finding.code for finding in check(inputs({"app": "shop"}, shared)).findings] == ["W-SHARED-ADDRESS"]
