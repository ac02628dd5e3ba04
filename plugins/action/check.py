# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.action import EstateAction
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.inventory import Inventory
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.results import numbers, worst, write_report
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.check import check
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import load


class ActionModule(EstateAction):
    """Check the whole policy once; see modules/check.py for the documentation."""

    def answer(self, arguments: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
        inputs = load(arguments["policy"], inventory.hosts, arguments["at"], arguments["facts"])
        report = check(inputs, arguments["as_enforced"])
        data = report.to_dict()
        if arguments["report"]:
            write_report(arguments["report"], data)
        holding = sum(result.outcome == "holds" for result in report.guardrails)
        passing = sum(result.passes for result in report.tests)
        return {
            "outcome": data["outcome"],
            "rules": data["rules"],
            "workloads": data["workloads"],
            "guardrails": {"holds": holding, "violated": len(report.guardrails) - holding},
            "tests": {"passes": passing, "fails": len(report.tests) - passing},
            "counts": numbers(data["findings"]),
            "findings": worst(data["findings"]),
        }
