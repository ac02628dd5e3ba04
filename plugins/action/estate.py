# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.action import EstateAction
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.inventory import Inventory
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.results import numbers, worst, write_report
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.estate import estate
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import load


class ActionModule(EstateAction):
    """Count and list the workloads; see modules/estate.py for the documentation."""

    def answer(self, arguments: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
        report = estate(load(arguments["policy"], inventory.hosts, arguments["at"], arguments["facts"]))
        data = report.to_dict()
        if arguments["report"]:
            write_report(arguments["report"], data)
        return {
            "outcome": data["outcome"],
            **report.counts(),
            "counts": numbers(data["findings"]),
            "findings": worst(data["findings"]),
        }
