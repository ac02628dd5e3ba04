# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
name: segment
short_description: Read the rendered policy of one enforcement point out of the store
version_added: 0.1.0
description:
  - With O(bundle), returns what O(bulkhead.microseg.nftables_policy#module:policy) takes.
  - With O(plan) and O(phase), returns all that M(bulkhead.microseg.nftables_policy) is to be told in that phase of an
    approved plan, and the probes that belong to it.
  - Reads only the slice of the enforcement point and verifies it. Nothing is compiled, so it is cheap enough to be used
    once for each host.
options:
  _terms:
    description:
      - Workloads. A Linux host has the name C(microseg_id) where it has that variable, and its name in the inventory
        otherwise.
    type: list
    elements: str
    required: true
  bundle:
    description: Digest of a bundle. Give either this or O(plan).
    type: str
  plan:
    description: Digest of a plan; its first six characters are enough if no other begins so.
    type: str
  phase:
    description: Phase of the plan.
    type: str
    choices: [phase-1, phase-2]
    default: phase-1
  store:
    description: Directory on the controller that keeps bundles, plans, readings and the journal.
    type: path
    default: .microseg
author:
  - bulkhead.microseg contributors (@bulkhead)
seealso:
  - module: bulkhead.microseg.compile
  - module: bulkhead.microseg.nftables_policy
"""

EXAMPLES = r"""
---
- name: Arm what the plan wants on this host
  bulkhead.microseg.nftables_policy:
    state: "{{ segment.state }}"
    policy: "{{ segment.policy }}"
    base: "{{ segment.base }}"
    plan: "{{ segment.plan }}"
    step: "{{ segment.step }}"
    warm_up: "{{ segment.warm_up }}"
  vars:
    segment: "{{ lookup('bulkhead.microseg.segment', inventory_hostname, plan=microseg_plan, phase='phase-1') }}"
  when: segment.do == 'arm'
  become: true
  register: armed

- name: Look at the rules of one host
  ansible.builtin.debug:
    msg: "{{ lookup('bulkhead.microseg.segment', 'web-1', bundle=compiled.digest).ruleset }}"
"""

RETURN = r"""
---
_list:
  description:
    - With O(bundle), the rendered policy of each workload, with C(format), C(ruleset), C(members), C(policy_digest) and
      C(artifact_digest).
    - With O(plan), what to do with each workload. C(do) is V(nothing) or V(arm). With V(arm) there are also C(state),
      C(policy), C(base), C(plan), C(step), C(warm_up) and C(reset), as the module takes them. After a phase 1 that
      changed the host, the base of phase 2 is the hash that phase 1 returned.
    - C(probes) are packets to try in that phase, each with C(consumer), C(provider), their addresses, C(service),
      C(expect), and C(needs), the enforcement points that must have finished the phase first.
  type: list
  elements: dict
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.errors import lookup_errors
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.lookup import options_of
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.plain import plain
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.segment import planned_segment, segment


class LookupModule(LookupBase):
    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        with lookup_errors():
            options = options_of(self, variables, kwargs)
            store, bundle, plan = Path(options["store"]), options["bundle"], options["plan"]
            if bool(bundle) == bool(plan):
                raise AnsibleLookupError("exactly one of bundle and plan is required")
            if bundle:
                return [segment(store, bundle, plain(term)) for term in terms]
            return [planned_segment(store, plan, plain(term), options["phase"]) for term in terms]
