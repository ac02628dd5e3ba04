# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.action import EstateAction
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.inventory import Inventory
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.results import worst
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import load
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.keep import keep


class ActionModule(EstateAction):
    """Compile the whole estate once; see modules/compile.py for the documentation."""

    _supports_diff = False

    def answer(self, arguments: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
        inputs = load(arguments["policy"], inventory.hosts, arguments["at"], arguments["facts"])
        kept = keep(
            inputs,
            arguments["store"],
            stage=arguments["stage"],
            allowed_shrink=arguments["allowed_shrink"],
            write=not self._task.check_mode,
        )
        findings = worst([finding.to_dict() for finding in inputs.findings])
        return {**kept.to_dict(), "changed": kept.new, "findings": findings}
