# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
from typing import Any

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.action import EstateAction
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.errors import missing_options
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.inventory import Inventory
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.lease import hold, let_go
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.provision import (
    barrier,
    begin,
    finish,
    record_begin,
    record_wave,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.store import load_plan, open_store


class ActionModule(EstateAction):
    """Lead a rollout, one act at a time; see modules/provision.py for the documentation."""

    _supports_diff = False

    def answer(self, arguments: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
        act = {
            "begin": self._begin,
            "wave": self._wave,
            "barrier": self._barrier,
            "finish": self._finish,
            "release": self._release,
        }[arguments["act"]]
        return act(arguments, inventory)

    def _begin(self, arguments: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
        store = open_store(arguments["store"])
        only = None if arguments["only"] is None else inventory.workload_ids(arguments["only"])
        who = arguments["author"]
        rollout = begin(store, arguments["plan"], only, who, arguments["change_author"]).to_dict()
        if not self._task.check_mode:
            hold(store, os.getppid(), arguments["lease_seconds"])
            record_begin(store, rollout["plan"], who)
        names = inventory.inventory_names()
        waves = {
            phase: [[names[workload] for workload in wave] for wave in waves]
            for phase, waves in rollout["waves"].items()
        }
        differing = {workload: name for workload, name in names.items() if workload != name}
        return {**rollout, "waves": waves, "names": differing}

    def _wave(self, arguments: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
        if arguments["only"] is None or arguments["phase"] is None:
            raise missing_options("act=wave", "only, phase")
        store = open_store(arguments["store"])
        digest = load_plan(store, arguments["plan"]).digest
        if not self._task.check_mode:
            known = inventory.registered(arguments["outcomes"], required=False)
            touched = sorted(inventory.workload_ids(arguments["only"]))
            skipped = {"outcome": "skipped"}
            wave = {name: known.get(name, {}).get(arguments["phase"], skipped) for name in touched}
            record_wave(store, digest, arguments["phase"], wave)
            hold(store, os.getppid(), arguments["lease_seconds"])
        return {"plan": digest}

    def _barrier(self, arguments: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
        store = open_store(arguments["store"])
        digest = load_plan(store, arguments["plan"]).digest
        if self._task.check_mode:
            return {"plan": digest, "missed": {}, "waits": {}, "services": {}}
        return {"plan": digest, **barrier(store, digest, self._outcomes(arguments, inventory, "phase-1")).to_dict()}

    def _finish(self, arguments: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
        store = open_store(arguments["store"])
        digest = load_plan(store, arguments["plan"]).digest
        if self._task.check_mode:
            return {"plan": digest, "complete": False, "at_new": [], "waiting": {}, "elsewhere": {}}
        phases = {phase: self._outcomes(arguments, inventory, phase) for phase in ("phase-1", "phase-2")}
        finished = finish(store, digest, phases)
        let_go(store, os.getppid())
        return {"plan": digest, "changed": bool(finished.at_new), **finished.to_dict()}

    def _release(self, arguments: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
        store = open_store(arguments["store"])
        digest = load_plan(store, arguments["plan"]).digest
        let_go(store, os.getppid())
        return {"plan": digest}

    def _outcomes(self, arguments: dict[str, Any], inventory: Inventory, phase: str) -> dict[str, Any]:
        known = inventory.registered(arguments["outcomes"], required=False)
        return {name: phases[phase]["outcome"] for name, phases in known.items() if phase in phases}
