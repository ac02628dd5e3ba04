# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: provision
short_description: Lead the rollout of an approved plan, in two phases with a barrier
version_added: 0.1.0
description:
  - Decides who is next and keeps the record; hosts are driven by M(bulkhead.microseg.nftables_policy) in between.
  - O(act=begin) checks the approved plan against the store, takes the lease and returns the waves of both phases.
  - O(act=wave) records what the hosts of one wave did.
  - O(act=barrier), between the phases, works out what phase 2 must hold back because somebody missed phase 1.
  - O(act=finish) makes the bundle of the plan the provisioned one, says who is where, and gives the lease back.
  - O(act=release) gives the lease back and nothing else.
  - Resuming is running it again. Where a host stands is read from the host, never from here.
options:
  act:
    description: Which part of the rollout this is.
    type: str
    choices: [begin, wave, barrier, finish, release]
    required: true
  plan:
    description: Digest of the approved plan; its first six characters are enough if no other begins so.
    type: str
    required: true
  only:
    description:
      - With O(act=begin), hosts that may be touched (C(--limit)). Hosts of the plan that are not among them count as
        having missed phase 1. The default is all hosts of the plan.
      - With O(act=wave), hosts of the wave. Required there.
    type: list
    elements: str
  phase:
    description: Phase of the wave. Required with O(act=wave).
    type: str
    choices: [phase-1, phase-2]
  outcomes:
    description:
      - Variable in which every host keeps what the phases did to it, as a dictionary of phase to a dictionary with
        C(outcome), C(hash) and C(detail).
      - C(outcome) is V(confirmed), V(unchanged), V(skipped), V(unreachable), V(failed) or V(reverted). A host without
        an entry for a phase counts as skipped.
    type: str
    default: microseg_outcomes
  lease_seconds:
    description: How long nobody else may provision from this store after O(act=begin) or the last recorded wave.
    type: int
    default: 1800
  author:
    description:
      - Who makes the plan live, with O(act=begin), by e-mail address or login. Kept in the journal.
      - Required where roles of the policy say who may provision, and then held against them.
    type: str
    default: ''
  change_author:
    description:
      - Who wrote the change, with O(act=begin). Nobody provisions his own change, unless a role of his says
        C(own_changes).
    type: str
    default: ''
author:
  - bulkhead.microseg contributors (@bulkhead)
seealso:
  - module: bulkhead.microseg.plan
  - plugin: bulkhead.microseg.segment
    plugin_type: lookup
notes:
  - The name C(microseg_rollout) is reserved for the in-memory host that carries the order of a rollout through a
    playbook. It is no workload, whatever the inventory says.
extends_documentation_fragment:
  - bulkhead.microseg.estate.store
  - bulkhead.microseg.attributes
  - bulkhead.microseg.attributes.action_once
attributes:
  check_mode:
    support: full
    details:
      - O(act=begin) answers the same and takes no lease. The other acts have nothing to record, for no host changed.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - Waves are added to the journal each time.
"""

EXAMPLES = r"""
---
- name: Begin
  bulkhead.microseg.provision:
    act: begin
    plan: "{{ microseg_plan }}"
  run_once: true
  register: rollout

- name: Carry the order through the plays that follow
  ansible.builtin.add_host:
    name: microseg_rollout
    rollout: "{{ rollout }}"

- name: Record the wave
  bulkhead.microseg.provision:
    act: wave
    phase: phase-1
    plan: "{{ microseg_plan }}"
    only: "{{ ansible_play_batch }}"
  run_once: true

- name: Between the phases
  bulkhead.microseg.provision:
    act: barrier
    plan: "{{ microseg_plan }}"
  run_once: true

- name: Finish
  bulkhead.microseg.provision:
    act: finish
    plan: "{{ microseg_plan }}"
  run_once: true
  register: finished
"""

RETURN = r"""
---
plan:
  description: Whole digest of the plan.
  type: str
  returned: success
kind:
  description: Kind of the plan.
  type: str
  returned: with O(act=begin)
empty:
  description: Whether there is nothing to do.
  type: bool
  returned: with O(act=begin)
waves:
  description: For each phase, the waves, each a list of hosts by their names in the inventory.
  type: dict
  returned: with O(act=begin)
  sample: {phase-1: [[web-1], [web-2, web-3]], phase-2: [[web-1]]}
names:
  description: Workload to name in the inventory, for hosts where the two differ.
  type: dict
  returned: with O(act=begin)
left_out:
  description: Enforcement points that are not touched, with the reason.
  type: dict
  returned: with O(act=begin)
missed:
  description: Who missed phase 1, with the reason.
  type: dict
  returned: with O(act=barrier)
waits:
  description: Who waits for whom in phase 2.
  type: dict
  returned: with O(act=barrier)
complete:
  description: Whether every host of the plan is where it should be.
  type: bool
  returned: with O(act=finish)
at_new:
  description: Workloads that have the new policy.
  type: list
  elements: str
  returned: with O(act=finish)
waiting:
  description: Workloads that hold something back, and for whom.
  type: dict
  returned: with O(act=finish)
elsewhere:
  description: Workloads that are not where the plan wanted them, with the outcome.
  type: dict
  returned: with O(act=finish)
code:
  description: Stable error code.
  type: str
  returned: failure
  sample: E-STORE-LEASED
"""
