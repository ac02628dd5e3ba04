# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nftables_policy_info
short_description: Read the policy of a Linux host and everything a plan needs to know about it
version_added: 0.1.0
description:
  - Reads, in one call, our table, the rest of the nftables ruleset, the record of this enforcement point, and how the
    controller reached the host.
  - Changes nothing, not even what lost its guard; O(bulkhead.microseg.nftables_policy#module:commit=arm) and the check
    unit on the host settle that.
requirements:
  - nft 0.9.3 or newer
options:
  state_dir:
    description: Directory in which the host keeps its record and its boot policy.
    type: path
    default: /var/lib/microseg
author:
  - bulkhead.microseg contributors (@bulkhead)
seealso:
  - module: bulkhead.microseg.nftables_policy
extends_documentation_fragment:
  - bulkhead.microseg.attributes
  - bulkhead.microseg.attributes.info_module
  - bulkhead.microseg.attributes.linux
"""

EXAMPLES = r"""
---
- name: Read what is live
  bulkhead.microseg.nftables_policy_info:
  register: live
  become: true

- name: The host must see the controller as the policy does
  ansible.builtin.assert:
    that: live.control_path.client_address in controllers
"""

RETURN = r"""
---
hash:
  description:
    - SHA-256 of the canonical listing of our table, or V(absent).
    - Handles, counters, running times and the elements of membership sets do not count.
  type: str
  returned: success
  sample: 5221faa9d68afe5a51db8b828c0d31c4d0d8c44e450e58a9af4d277be978da1c
listing:
  description: Our table as C(nft -j) lists it, set elements included; empty if it is absent.
  type: list
  elements: dict
  returned: success
foreign:
  description: All other tables as C(nft -j) lists them. They are never changed.
  type: list
  elements: dict
  returned: success
legacy:
  description:
    - Tables of the old iptables that may hold rules. C(nft) does not list them, and what they say is not read.
    - What they may touch is unknown to plans and drift.
  type: list
  elements: dict
  returned: success
  sample: [{family: ip, table: filter}]
record:
  description:
    - The record of this enforcement point; V(null) if it cannot be read (see RV(findings)).
    - On a host that was never provisioned its digests are V(null) and its C(epoch) is 0.
  type: dict
  returned: success
pending:
  description: The change that waits for confirmation, with C(guarded) and C(remaining) seconds; V(null) without one.
  type: dict
  returned: success
alarms:
  description: What went wrong on the host since it was provisioned, newest last.
  type: list
  elements: dict
  returned: success
boot_policy:
  description: What a restart would bring back.
  type: dict
  returned: success
  contains:
    state:
      description: Whether a confirmed policy is stored, belongs to this machine and can be read.
      type: str
      choices: [absent, usable, foreign_machine, damaged]
    policy_digest:
      description: Policy digest of the stored policy.
      type: str
    artifact_digest:
      description: Artifact digest of the stored policy.
      type: str
    units:
      description: Our unit files on the host.
      type: list
      elements: str
control_path:
  description:
    - The connection of the controller as sshd saw it, read above any privilege escalation.
    - V(null) without ssh.
  type: dict
  returned: success
  sample:
    client_address: 10.8.0.14
    client_port: 40312
    server_address: 10.1.0.7
    server_port: 22
clock_synchronised:
  description: Whether the kernel takes its clock for synchronised; V(null) if it cannot tell.
  type: bool
  returned: success
timed_rules:
  description:
    - Whether rules that depend on the time are in force. Until the clock was synchronised once since boot, allows that
      depend on it are withheld and such denies count at all times.
  type: str
  choices: [none, in_force, withheld]
  returned: success
nft_version:
  description: Version of nft.
  type: str
  returned: success
kernel:
  description: Kernel release.
  type: str
  returned: success
python_version:
  description: Version of the Python that runs on the host.
  type: str
  returned: success
findings:
  description: What could not be read, each with C(code) and C(detail).
  type: list
  elements: dict
  returned: success
code:
  description: Stable error code.
  type: str
  returned: failure
  sample: E-HOST-TOOL
"""

import os
import platform
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import facts, guard, legacy, listing, units
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.errors import HostError
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.machine import Machine
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.state import DEFAULT, State, machine_identity


def read(machine: Machine) -> Dict[str, Any]:
    ruleset = machine.nft.ruleset()
    findings = []
    record = None
    try:
        record = machine.state.record()
    except HostError as error:
        findings.append({"code": error.code, "detail": error.message})
    return {
        "changed": False,
        "hash": listing.canonical_hash(ruleset),
        "listing": listing.own(ruleset),
        "foreign": listing.foreign(ruleset),
        "legacy": legacy.tables(),
        "record": record,
        "pending": None if record is None else waiting(machine, record["pending"]),
        "alarms": [] if record is None else record["alarms"],
        "boot_policy": boot_policy(machine),
        "control_path": facts.control_path(),
        "clock_synchronised": machine.clock.synchronised(),
        "timed_rules": {None: "none", True: "in_force", False: "withheld"}[listing.trusting(ruleset)],
        "nft_version": machine.nft.version(),
        "kernel": os.uname().release,
        "python_version": platform.python_version(),
        "findings": findings,
    }


def waiting(machine: Machine, pending: Any) -> Any:
    if pending is None:
        return None
    same_boot = pending["boot_id"] == machine.clock.boot_id()
    left = pending["deadline_boottime"] - machine.clock.boottime() if same_boot else 0.0
    return dict(pending, guarded=guard.alive(pending["guard"]), remaining=round(max(left, 0.0), 1))


def boot_policy(machine: Machine) -> Dict[str, Any]:
    answer: Dict[str, Any] = {"policy_digest": None, "artifact_digest": None, "units": units.present()}
    try:
        confirmed = machine.state.confirmed()
    except HostError:
        return dict(answer, state="damaged")
    if confirmed is None:
        return dict(answer, state="absent")
    digests = {"policy_digest": confirmed.policy.policy_digest, "artifact_digest": confirmed.policy.artifact_digest}
    return dict(answer, state="usable" if confirmed.machine == machine_identity() else "foreign_machine", **digests)


def main() -> None:
    module = AnsibleModule(
        argument_spec={"state_dir": {"type": "path", "default": DEFAULT}},
        supports_check_mode=True,
    )
    try:
        result = read(Machine(State(module.params["state_dir"])))
    except HostError as error:
        module.fail_json(msg=str(error), code=error.code, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
