# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lookups: path asks the policy, segment reads one slice of the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleLookupError

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.inventory import Inventory
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.bundles import save_bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.store import Store
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.compile import compile_bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import load

from ..conftest import RunLookup


class TestPath:
    def test_answers_every_question_in_order(self, run_lookup: RunLookup) -> None:
        answers = run_lookup("path", "web-1 -> db-1 tcp/5432", "batch-1 -> db-1 postgresql", policy="policy")

        assert [answer["verdict"] for answer in answers] == ["allowed", "denied"]

    def test_refuses_what_is_no_question(self, run_lookup: RunLookup) -> None:
        with pytest.raises(AnsibleLookupError, match="E-QUESTION"):
            run_lookup("path", "web-1 to db-1", policy="policy")

    def test_refuses_a_moment_without_zone(self, run_lookup: RunLookup) -> None:
        with pytest.raises(AnsibleLookupError, match="E-TIME"):
            run_lookup("path", "web-1 -> db-1 tcp/5432", policy="policy", at="2026-01-01")


class TestSegment:
    @pytest.fixture
    def bundle(self, shop: Path, variables: Callable[[], dict[str, Any]]) -> str:
        inputs = load(shop / "policy", Inventory.of_task(variables()).hosts)
        return save_bundle(Store.open("store"), compile_bundle(inputs))

    def test_is_what_the_module_takes(self, run_lookup: RunLookup, bundle: str) -> None:
        (policy,) = run_lookup("segment", "db-1", bundle=bundle, store="store")

        assert set(policy) == {"format", "ruleset", "members", "policy_digest", "artifact_digest"}
        assert "table inet microseg" in policy["ruleset"]

    def test_of_a_point_that_is_not_there_fails(self, run_lookup: RunLookup, bundle: str) -> None:
        with pytest.raises(AnsibleLookupError, match="E-NO-POINT"):
            run_lookup("segment", "db-9", bundle=bundle, store="store")

    def test_of_a_bundle_that_is_not_there_fails(self, run_lookup: RunLookup) -> None:
        with pytest.raises(AnsibleLookupError, match="E-STORE-MISSING"):
            run_lookup("segment", "db-1", bundle="0" * 64, store="store")
