# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.action import EstateAction
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.inventory import Inventory
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import load
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.plan import (
    PlanRequest,
    plan,
    plan_repair,
    plan_rollback,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.plan_summary import (
    approved,
    prepared,
    report_of,
    summary,
    write_reports,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.store import open_store


class ActionModule(EstateAction):
    """Plan the whole change once; see modules/plan.py for the documentation."""

    def answer(self, arguments: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
        members = inventory.members(arguments["target"])
        own = inventory.local(members)
        request = PlanRequest(
            answers=inventory.registered(arguments["live"]),
            rollout=inventory.workload_ids(members),
            batches=tuple(arguments["batches"]),
            controller=inventory.workload_ids(own),
            controller_named_twice=own <= set(arguments["controller_hosts"]),
            allowed_shrink=arguments["allowed_shrink"],
        )
        inputs = load(arguments["policy"], inventory.hosts, arguments["at"], arguments["facts"])
        store = open_store(arguments["store"])
        if arguments["inverse_of"]:
            digest = "" if arguments["inverse_of"] == "latest" else arguments["inverse_of"]
            made = plan_rollback(inputs, store, digest, request)
        elif arguments["repair"]:
            made = plan_repair(inputs, store, request)
        else:
            made = plan(inputs, store, request)
        if arguments["expect"]:
            approved(made, arguments["expect"])
        result = {**summary(made), "store": str(arguments["store"])}
        if arguments["reports"]:
            written = write_reports(report_of(made), Path(arguments["reports"]), arguments["formats"])
            result["files"] = [str(path) for path in written]
        if self._task.diff:
            result["diff"] = {"prepared": prepared(made)}
        return result
