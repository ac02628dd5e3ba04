# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.action import EstateAction
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.inventory import Inventory
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.results import MOST
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.explain import explain_fully
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import load


class ActionModule(EstateAction):
    """Answer one question about the policy; see modules/explain.py for the documentation."""

    def answer(self, arguments: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
        inputs = load(arguments["policy"], inventory.hosts, arguments["at"], arguments["facts"])
        report = explain_fully(
            inputs, arguments["from"], arguments["to"], arguments["service"], stage=arguments["stage"]
        ).to_dict()
        return {**report, "pairs": report["pairs"][:MOST]}
