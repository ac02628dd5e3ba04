# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The inventory as the estate: the same reading for playbooks (`hostvars` of a task) and for the command line."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from ansible.inventory.manager import IGNORED, InventoryManager
from ansible.template import Templar
from ansible.utils.path import unfrackpath
from ansible.vars.hostvars import HostVars

from ..model.errors import EstateError, Finding, MicrosegError, Rejected
from ..model.estate import InventoryHost
from .host import PER_HOST, host_of, workload_id
from .host_addresses import zone_and_addresses
from .variables import Variables

#: The in-memory host that carries the order of a rollout through a playbook; it is no workload.
ROLLOUT_HOST = "microseg_rollout"


class Inventory:
    """All hosts of an inventory, whatever `--limit` says."""

    def __init__(
        self, hostvars: HostVars, sources: Sequence[str], unread: Sequence[str], extra: Mapping[str, Any]
    ) -> None:
        """Raises EstateError: E-INVENTORY for no hosts or an unread source, E-EXTRA-VARS (DESIGN §4)."""
        self._hostvars = hostvars
        self.names = tuple(name for name in hostvars if name != ROLLOUT_HOST)
        if unread:
            raise EstateError(
                "E-INVENTORY",
                f"{unread[0]} could not be read{f' (and {len(unread) - 1} more)' if len(unread) > 1 else ''}; "
                "the estate would lack its workloads.",
                hint=f"See why with: ansible-inventory -i {unread[0]} --list",
            )
        if not self.names:
            shown = ", ".join(sources) or "the inventory"
            raise EstateError("E-INVENTORY", f"{shown} has no hosts.", hint="Name an inventory with -i.")
        for name in sorted(PER_HOST & set(extra)):
            raise EstateError(
                "E-EXTRA-VARS",
                f"{name} was given by -e, which would set it on all {len(self.names)} hosts.",
                hint="Put it into host_vars, group_vars or the inventory.",
            )

    @classmethod
    def of_task(cls, task_vars: Mapping[str, Any]) -> Inventory:
        """The inventory of the running playbook, from the variables of a task."""
        hostvars = task_vars["hostvars"]
        manager, extra = hostvars._inventory, hostvars._variable_manager.extra_vars
        return cls(hostvars, [str(source) for source in manager._sources], unread_sources(manager), extra)

    def hosts(self, wanted: frozenset[str] = frozenset(), timezone: str = "UTC") -> tuple[InventoryHost, ...]:
        """Every host with the variables label rules refer to; a date in a label ends in `timezone`.

        Raises Rejected with all errors of all hosts: E-INVENTORY-VARIABLE, E-VAULTED, E-WORKLOAD-TWICE.
        """
        zone = ZoneInfo(timezone)
        found: dict[str, tuple[str, InventoryHost]] = {}
        errors: list[Finding] = []
        for variables, groups in self._each:
            try:
                host = host_of(variables, groups, wanted, zone)
            except MicrosegError as error:
                errors.append(Finding(error.code, "error", error.message, error.where, error.hint))
                continue
            if host.name in found:
                errors.append(_twice(host, found[host.name][0], variables.host))
            found[host.name] = (variables.host, host)
        if errors:
            raise Rejected(tuple(errors))
        return tuple(host for _name, host in found.values())

    def inventory_names(self) -> dict[str, str]:
        """Workload id to inventory name; they differ where a host has `microseg_id`."""
        return {workload_id(variables): variables.host for variables, _groups in self._each}

    def members(self, group: str) -> tuple[str, ...]:
        """Inventory names of a group that enforcement is for. Raises EstateError (E-NO-TARGET).

        A missing group would make "everything equal" true for nobody; the group `all` is nobody's decision.
        """
        groups = self._hostvars._inventory.get_groups_dict()
        hint = "Name a group of hosts with microseg_hosts."
        if group == "all":
            raise EstateError("E-NO-TARGET", "the group all is no target: it holds whatever somebody adds.", hint=hint)
        if group not in groups:
            raise EstateError("E-NO-TARGET", f"there is no group {group} in the inventory.", hint=hint)
        names = tuple(name for name in groups[group] if name != ROLLOUT_HOST)
        if not names:
            raise EstateError("E-NO-TARGET", f"the group {group} has no hosts.", hint=hint)
        return names

    def registered(self, variable: str, required: bool = True) -> dict[str, dict[str, Any]]:
        """What a task registered (or set as a fact) on each host, by workload id.

        Raises EstateError (E-NO-RESULT) where none did and one is required.
        """
        found = {
            workload_id(variables): result
            for variables, _groups in self._each
            if (result := variables.registered(variable)) is not None
        }
        if not found and required:
            raise EstateError(
                "E-NO-RESULT",
                f"no host has the registered variable {variable}.",
                hint="Register it with that name in the same run, on the hosts of the target group.",
            )
        return found

    def local(self, names: Collection[str]) -> frozenset[str]:
        """Which of these hosts (inventory names) are the machine this runs on, by connection or by address."""
        return frozenset(
            variables.host for variables, _groups in self._each if variables.host in names and _is_local(variables)
        )

    def workload_ids(self, names: Collection[str]) -> frozenset[str]:
        """Raises EstateError (E-NO-HOST) for a name that is not in the inventory."""
        known = {name: workload for workload, name in self.inventory_names().items()}
        for name in names:
            if name not in known:
                raise EstateError("E-NO-HOST", f"there is no host {name} in the inventory.")
        return frozenset(known[name] for name in names)

    @cached_property
    def _each(self) -> tuple[tuple[Variables, list[str]], ...]:
        templar = Templar(loader=self._hostvars._loader)
        hosts = []
        for name in self.names:
            raw = self._hostvars.raw_get(name)
            groups = ["all", *(str(group) for group in raw["group_names"])]
            hosts.append((Variables(name, raw, self._hostvars, templar), groups))
        return tuple(hosts)


def _is_local(variables: Variables) -> bool:
    if str(variables.get("ansible_connection") or "").rpartition(".")[2] == "local":
        return True
    return any(_is_own_address(address.text) for address in zone_and_addresses(variables)[1])


def _is_own_address(text: str) -> bool:
    """Towards an address of its own a machine speaks from that very address. Nothing is sent."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((text, 9))
            return bool(ipaddress.ip_address(probe.getsockname()[0]) == ipaddress.ip_address(text))
    except (OSError, ValueError):
        return False


def _twice(host: InventoryHost, first: str, second: str) -> Finding:
    return Finding(
        "E-WORKLOAD-TWICE",
        "error",
        f"{first} and {second} both are the workload {host.name}.",
        host.place,
        "Give one of them another microseg_id.",
    )


def unread_sources(manager: InventoryManager) -> list[str]:
    """Sources, and files inside source directories, that no inventory plugin could read. Ansible only warns."""
    read = {str(source) for source in manager._inventory.processed_sources if source}
    return [
        file
        for source in manager._sources
        if source
        for file in _files(source if "," in source else unfrackpath(source, follow=False))
        if file not in read
    ]


def _files(source: str) -> Iterator[str]:
    if not os.path.isdir(source):
        yield source
        return
    for entry in sorted(os.listdir(source)):
        if not IGNORED.search(os.fsencode(entry)):
            yield from _files(os.path.join(source, entry))
