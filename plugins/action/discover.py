# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.action import EstateAction
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.inventory import Inventory
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.results import MOST, write_report
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.discover import discover
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import load
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.store import open_store


class ActionModule(EstateAction):
    """Keep who talks to whom; see modules/discover.py for the documentation."""

    def answer(self, arguments: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
        expected = inventory.workload_ids(inventory.members(arguments["target"]))
        answers = inventory.registered(arguments["seen"])
        inputs = load(arguments["policy"], inventory.hosts, arguments["at"], arguments["facts"])
        report = discover(inputs.estate, answers, open_store(arguments["store"]), inputs.at, expected)
        data = {
            **report.to_dict(),
            "outcome": "ok" if set(report.observations.reported) & expected else "unable",
            "missing": {
                name: str(answers.get(name, {}).get("msg") or "was not asked")
                for name in sorted(expected)
                if "connections" not in answers.get(name, {})
            },
            "hosts": {
                name: {key: answers[name].get(key) for key in ("listeners", "coverage")}
                for name in sorted(answers)
                if "listeners" in answers[name]
            },
        }
        if arguments["report"]:
            write_report(arguments["report"], data)
        return {
            **{key: value for key, value in data.items() if key != "hosts"},
            "edges": data["edges"][:MOST],
            "missing": dict(list(data["missing"].items())[:MOST]),
        }
