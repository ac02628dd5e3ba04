# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.action import EstateAction
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.inventory import Inventory
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.results import numbers, worst
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.drift import (
    REPAIR,
    DriftRequest,
    drift,
    drift_screen,
    report_of,
    summary,
    write_reports,
    written_at,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import load
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.store import open_store


class ActionModule(EstateAction):
    """Judge all hosts of a group once; see modules/drift.py for the documentation."""

    def answer(self, arguments: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
        request = DriftRequest(
            answers=inventory.registered(arguments["live"]),
            bundle=arguments["bundle"] or "",
            only=inventory.workload_ids(inventory.members(arguments["target"])),
            places=written_at(lambda: load(arguments["policy"], inventory.hosts)) if arguments["policy"] else None,
        )
        judged = drift(open_store(arguments["store"]), request, arguments["at"])
        report = report_of(judged)
        found = report.to_dict()["findings"]
        result = {
            **summary(judged),
            "severities": numbers(found),
            "findings": worst(found),
            "next": list(report.next),
            "screen": drift_screen(judged, REPAIR).splitlines(),
        }
        if arguments["reports"]:
            written = write_reports(report, Path(arguments["reports"]), arguments["formats"])
            result["files"] = [str(path) for path in written]
        return result
