# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nftables_policy
short_description: Put a policy on a Linux host, taken back by itself unless confirmed
version_added: 0.1.0
description:
  - Owns exactly one table, C(inet microseg). What other tables hold is never touched.
  - O(commit=arm) checks that the host is where the plan expects it, starts a guard on the host that takes the change
    back at the deadline, proves it alive, and then replaces the table in one transaction.
  - O(commit=confirm), sent over a really new connection, ends the guard and makes the policy the boot policy.
  - O(commit=revert) takes the change back at once.
  - A host has at most one pending change. The same change armed again by the same plan is a resume and no error.
  - Where the policy is already there and confirmed, O(commit=arm) arms nothing (RV(token) is V(null)); addresses that
    differ in membership sets are then moved at once, for membership is not policy.
  - An error changes nothing, carries a stable RV(code), and RV(ignore:msg) begins with it.
requirements:
  - nft 0.9.3 or newer
  - conntrack, for O(reset)
options:
  policy:
    description:
      - The rendered policy as the controller made it, with C(format) 1, C(ruleset) (text of our table without the
        elements of its membership sets), C(members) (membership set to list of addresses), C(policy_digest) and
        C(artifact_digest).
      - It is checked as input from a stranger and refused if it declares anything but our table.
    type: dict
  state:
    description:
      - V(absent) with O(commit=arm) removes the table under guard, and with O(commit=confirm) removes units, state and
        program too, and returns what RV(remains).
    type: str
    choices: [present, absent]
    default: present
  commit:
    description: Which act of the change this is.
    type: str
    choices: [arm, confirm, revert]
    default: arm
  base:
    description: Hash of the live table the plan was made on, or V(absent). Required with O(commit=arm).
    type: str
  plan:
    description: Digest of the plan, for the record and for resuming. Required with O(commit=arm).
    type: str
  step:
    description: Step of the plan, for the record and for resuming. Required with O(commit=arm).
    type: str
  token:
    description:
      - The change to confirm or to revert, as O(commit=arm) returned it. Required with O(commit=confirm), unless there
        is nothing of ours to remove.
      - O(commit=revert) without a token reverts whatever is pending.
    type: str
  timeout:
    description: Seconds until the change is taken back, on the boot-time clock; 30 to 3600.
    type: int
    default: 120
  warm_up:
    description:
      - On the way out of C(idle), load an accept-only table first and wait, so that the kernel tracks the
        sessions that run, and report those it did not see as RV(will_break).
    type: bool
    default: false
  warm_seconds:
    description: How long to wait for packets of running sessions with O(warm_up=true); 0 to 60.
    type: float
    default: 2.0
  clock_kept:
    description:
      - Something that the kernel does not see keeps the clock of this host right, as a hypervisor or the host of a
        container does. Rules that depend on the time then count although the kernel calls its clock unsynchronised.
      - Without it they are withheld until the clock was synchronised once since boot.
    type: bool
    default: false
  dependencies:
    description:
      - Services this host cannot do without. O(commit=arm) tries them before anything changes and returns those that
        answered as RV(dependencies); O(commit=confirm), given these, refuses to confirm (C(E-DEPENDENCY)) if one does
        not answer any more.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: IPv4 or IPv6 address.
        type: str
        required: true
      service:
        description: C(tcp/PORT), C(udp/PORT), C(icmp/8.0) or C(icmpv6/128.0).
        type: str
        required: true
  reset:
    description:
      - Connections whose tracking is deleted after O(commit=confirm).
      - This cuts a session only where the policy also drops TCP that is new without being a SYN.
    type: list
    elements: dict
    default: []
    suboptions:
      family:
        description: Address family.
        type: str
        choices: [ipv4, ipv6]
        required: true
      saddr:
        description: Source address or prefix of the opener.
        type: str
      daddr:
        description: Destination address or prefix as the opener used it.
        type: str
      proto:
        description: Protocol.
        type: str
        choices: [tcp, udp, sctp, icmp, icmpv6]
        required: true
      dport:
        description: Destination port.
        type: int
  state_dir:
    description: Directory in which the host keeps its record and its boot policy.
    type: path
    default: /var/lib/microseg
author:
  - bulkhead.microseg contributors (@bulkhead)
seealso:
  - module: bulkhead.microseg.nftables_policy_info
extends_documentation_fragment:
  - bulkhead.microseg.attributes
  - bulkhead.microseg.attributes.linux
attributes:
  check_mode:
    support: full
    details:
      - The kernel validates the transaction, and nothing is written.
  diff_mode:
    support: full
  idempotent:
    support: full
"""

EXAMPLES = r"""
---
- name: Arm the change
  bulkhead.microseg.nftables_policy:
    policy: "{{ slice.policy }}"
    base: "{{ slice.base }}"
    plan: "{{ microseg_plan }}"
    step: "1"
  register: armed
  become: true

- name: Open a new connection
  ansible.builtin.meta: reset_connection

- name: Confirm over it
  bulkhead.microseg.nftables_policy:
    commit: confirm
    token: "{{ armed.token }}"
  become: true
  when: armed.token is not none

- name: Leave the host (arm)
  bulkhead.microseg.nftables_policy:
    state: absent
    base: "{{ live.hash }}"
    plan: "{{ microseg_plan }}"
    step: remove
  register: armed
  become: true

- name: Leave the host (confirm)
  bulkhead.microseg.nftables_policy:
    state: absent
    commit: confirm
    token: "{{ armed.token | default(omit, true) }}"
  become: true
"""

RETURN = r"""
---
hash:
  description:
    - Hash of our table after the act; in check mode the one it would have, V(null) where only loading can tell.
    - It is the base of the next step.
  type: str
  returned: success
hash_before:
  description: Hash of our table before the act.
  type: str
  returned: with O(commit=arm)
token:
  description: Names the armed change; V(null) if nothing was armed.
  type: str
  returned: with O(commit=arm)
deadline:
  description: Boot time of the host, in seconds, at which the change is taken back.
  type: float
  returned: with O(commit=arm)
remaining:
  description: Seconds from the answer to the deadline.
  type: float
  returned: with O(commit=arm)
resumed:
  description: Whether the change was already armed by the same step of the same plan.
  type: bool
  returned: with O(commit=arm)
record:
  description: The record of this enforcement point after the act; V(null) once everything was removed.
  type: dict
  returned: success, and failure where it could be read
ahead:
  description:
    - Whether a later step of the same plan was confirmed here before, so that this one has nothing left to do. Steps
      are ordered by their names.
  type: bool
  returned: with O(commit=arm), where it is so
members_changed:
  description: Addresses added to and removed from membership sets without arming anything.
  type: dict
  returned: with O(commit=arm), where the policy was already there
  sample: {added: 2, removed: 1}
dependencies:
  description: Those of O(dependencies) that answered before the change; all of them where the change was armed before.
  type: list
  elements: dict
  returned: with O(commit=arm)
will_break:
  description:
    - Live TCP sessions the kernel does not track and the policy will therefore not know.
    - V(null) without O(warm_up=true) or where it cannot be told.
  type: list
  elements: dict
  returned: with O(commit=arm)
counters:
  description: Named counters of the replaced table, as they stood just before the change.
  type: dict
  returned: with O(commit=arm), when the table was replaced
reset:
  description: The connections of O(reset), each with the number of entries C(deleted).
  type: list
  elements: dict
  returned: with O(commit=confirm)
boot:
  description: Whether the boot units are C(installed), and if not the C(reason).
  type: dict
  returned: with O(commit=confirm)
remains:
  description: What of ours is still on the host. Empty is the proof of a removal.
  type: list
  elements: str
  returned: with O(state=absent)
findings:
  description: What an operator should know, each with C(code) and C(detail).
  type: list
  elements: dict
  returned: success
diff:
  description: Text of our table before and after, without members, at most 400 lines each.
  type: dict
  returned: when diff mode is on, with O(commit=arm)
code:
  description: Stable error code.
  type: str
  returned: failure
  sample: E-BASE-MOVED
"""

from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import (
    confirm,
    conntrack,
    dependencies,
    removal,
    revert,
)
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.arm import Wish, arm
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.errors import PAYLOAD, HostError
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.listing import ABSENT, canonical_hash
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.machine import Machine
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.payload import Policy
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.state import DEFAULT, State


def act(machine: Machine, options: Dict[str, Any], check: bool, diff: bool) -> Dict[str, Any]:
    """The one act of this call."""
    conntrack.check_reset(options["reset"])
    if options["state"] == "absent" and options["commit"] != "revert" and not removal.remains(machine):
        return {"changed": False, "hash": ABSENT, "token": None, "record": None, "findings": [], "remains": []}
    if options["commit"] == "arm":
        return _arm(machine, options, check, diff)
    if options["commit"] == "confirm":
        if not options["token"]:
            raise HostError(PAYLOAD, "commit=confirm needs the token that commit=arm returned.")
        dependencies.require(options["dependencies"])
        return confirm.confirm(machine, options["token"], options["reset"], check)
    done = revert.revert(machine, options["token"], "by its controller", check)
    return dict(done, hash=None if check else canonical_hash(machine.nft.table()), findings=[])


def _arm(machine: Machine, options: Dict[str, Any], check: bool, diff: bool) -> Dict[str, Any]:
    if not 30 <= options["timeout"] <= 3600:
        raise HostError(PAYLOAD, "timeout is {0}, it must be 30 to 3600 seconds.".format(options["timeout"]))
    if not 0 <= options["warm_seconds"] <= 60 or options["warm_seconds"] > options["timeout"] / 2.0:
        raise HostError(PAYLOAD, "warm_seconds must be 0 to 60 and at most half of timeout.")
    absent = options["state"] == "absent"
    if not absent and options["policy"] is None:
        raise HostError(PAYLOAD, "commit=arm needs a policy.")
    wish = Wish(
        policy=None if absent else Policy.parse(options["policy"]),
        base=options["base"],
        plan=options["plan"],
        step=options["step"],
        timeout=float(options["timeout"]),
        warm_up=options["warm_seconds"] if options["warm_up"] else 0.0,
        clock_kept=options["clock_kept"],
        diff=diff,
        check=check,
    )
    answering = options["dependencies"] if check else dependencies.answering(options["dependencies"])
    result = arm(machine, wish)
    result["dependencies"] = options["dependencies"] if result.get("resumed") else answering
    result.setdefault("will_break", None)
    if result.get("diff") is None:
        result.pop("diff", None)
    if absent:
        result["remains"] = removal.remains(machine)
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "policy": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "commit": {"type": "str", "choices": ["arm", "confirm", "revert"], "default": "arm"},
            "base": {"type": "str"},
            "plan": {"type": "str"},
            "step": {"type": "str"},
            "token": {"type": "str", "no_log": False},
            "timeout": {"type": "int", "default": 120},
            "warm_up": {"type": "bool", "default": False},
            "clock_kept": {"type": "bool", "default": False},
            "warm_seconds": {"type": "float", "default": 2.0},
            "dependencies": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "address": {"type": "str", "required": True},
                    "service": {"type": "str", "required": True},
                },
            },
            "reset": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "family": {"type": "str", "choices": ["ipv4", "ipv6"], "required": True},
                    "saddr": {"type": "str"},
                    "daddr": {"type": "str"},
                    "proto": {"type": "str", "choices": ["tcp", "udp", "sctp", "icmp", "icmpv6"], "required": True},
                    "dport": {"type": "int"},
                },
            },
            "state_dir": {"type": "path", "default": DEFAULT},
        },
        required_if=[("commit", "arm", ("base", "plan", "step"))],
        supports_check_mode=True,
    )
    try:
        result = act(Machine(State(module.params["state_dir"])), module.params, module.check_mode, module._diff)
    except HostError as error:
        module.fail_json(msg=str(error), code=error.code, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
