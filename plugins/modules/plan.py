# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: plan
short_description: Say which packets a change will newly allow and newly deny, and keep that as a plan
version_added: 0.1.0
description:
  - Compiles policy and inventory, compares that by meaning with what is live on every host of O(target), and keeps the
    plan in the store under a digest.
  - The digest covers what an approval is about. M(bulkhead.microseg.provision) wants it.
  - Nothing is sent to any host. What is live must have been read in the same run, see O(live).
  - Hosts that could not be read are left out and named in RV(left_out).
options:
  target:
    description:
      - Group of hosts that may be touched. It must exist and have hosts, and it cannot be C(all).
    type: str
    required: true
  live:
    description:
      - Variable in which a task has registered the result of M(bulkhead.microseg.nftables_policy_info) on each host.
        Hosts that were unreachable or on which it failed count as unread.
    type: str
    default: microseg_live
  batches:
    description: Sizes of the waves, as numbers of hosts or shares of all; the last one repeats.
    type: list
    elements: str
    default: ['1', '10%', '100%']
  controller_hosts:
    description:
      - Hosts of O(target) that are the machine this runs on, by name. They are refused unless they are named here too,
        for who cuts off the controller cannot send the remedy.
    type: list
    elements: str
    default: []
  allowed_shrink:
    description: How many workloads vanished on purpose since the last rollout. It must be the exact number.
    type: int
  expect:
    description: Fail unless the plan has this digest (or one that begins so), because somebody approved that one.
    type: str
  inverse_of:
    description:
      - Plan the way back instead, for the plan with this digest, or with V(latest) for the one provisioned last.
      - The policy documents then only say where things are written.
    type: str
  repair:
    description:
      - Plan the way back to what is provisioned, and nothing else, whatever policy and inventory say by now. This is
        what was approved before, so a plan of that kind brings nothing new.
    type: bool
    default: false
  reports:
    description:
      - Directory for the report files C(plan.json), C(plan.md), C(plan.html), C(plan.junit.xml), C(plan.sarif) and
        C(plan.prom), as O(formats) says. Each is replaced atomically.
    type: path
  formats:
    description: Formats of the report. All say the same.
    type: list
    elements: str
    choices: [json, markdown, html, junit, sarif, prometheus]
    default: [json, markdown]
author:
  - bulkhead.microseg contributors (@bulkhead)
seealso:
  - module: bulkhead.microseg.nftables_policy_info
  - module: bulkhead.microseg.provision
extends_documentation_fragment:
  - bulkhead.microseg.estate
  - bulkhead.microseg.estate.store
  - bulkhead.microseg.attributes
  - bulkhead.microseg.attributes.action_once
attributes:
  check_mode:
    support: full
    details:
      - The plan is kept in check mode too; it changes no host, and without it nobody could approve it.
  diff_mode:
    support: full
    details:
      - Shows the changes in label words, at most 50.
  idempotent:
    support: full
"""

EXAMPLES = r"""
---
- name: Read what is live
  bulkhead.microseg.nftables_policy_info:
  register: microseg_live
  become: true
  ignore_unreachable: true
  ignore_errors: true

- name: Plan
  bulkhead.microseg.plan:
    policy: policy
    target: enforced
  run_once: true
  register: plan

- name: Nothing may break
  ansible.builtin.assert:
    that: plan.cuts == 0
"""

RETURN = r"""
---
digest:
  description: Digest of the plan. Its first eight characters are enough on the command line.
  type: str
  returned: success
kind:
  description: V(policy), V(mode), V(membership) or V(repair).
  type: str
  returned: success
empty:
  description: Whether there is nothing to do.
  type: bool
  returned: success
bundle:
  description: Digest of the bundle the plan leads to.
  type: str
  returned: success
workloads:
  description: Number of workloads.
  type: int
  returned: success
counts:
  description: For each platform, the number of enforcement points that change, are equal, could not be read, or have
    another writer.
  type: dict
  returned: success
  sample: {nftables: {change: 24, equal: 2963, unknown: 25, writer: 0}}
newly_allowed:
  description: Number of statements about packets that become allowed.
  type: int
  returned: success
newly_denied:
  description: Number of statements about packets that become denied.
  type: int
  returned: success
cuts:
  description: Number of statements that deny conversations which were observed.
  type: int
  returned: success
statements:
  description: The worst 50 statements, those that cut conversations first, then denials; each with C(verdict),
    C(from), C(to), C(services), C(pairs), C(witness), C(rule), C(place), C(why) and C(flows).
  type: list
  elements: dict
  returned: success
security:
  description: Risk of what becomes reachable, before and after.
  type: dict
  returned: success
availability:
  description: Risk of what is cut, before and after.
  type: dict
  returned: success
later:
  description:
    - What becomes allowed or denied at later moments by the clock alone, within a year, with C(moment), C(when) (the
      conditions in words) and C(statements); at most 50.
    - It is part of what the digest covers.
  type: list
  elements: dict
  returned: success
all_times:
  description: Whether every combination of times within a year was compared.
  type: bool
  returned: success
extended:
  description: Enforcement points whose windows of schedules are extended, and up to which day; at most 50.
  type: dict
  returned: success
scheduled:
  description: Changes that only the clock brings, and the next turn of every schedule, at most 50.
  type: list
  elements: dict
  returned: success
left_out:
  description: Enforcement points that are not touched, with the reason; at most 50.
  type: dict
  returned: success
left_out_count:
  description: How many are not touched in all.
  type: int
  returned: success
waves:
  description: Sizes of the waves, in order.
  type: list
  elements: int
  returned: success
screen:
  description: The plan as lines for a person, at most 100 columns, ending with the next command.
  type: list
  elements: str
  returned: success
files:
  description: Report files that were written.
  type: list
  elements: str
  returned: when O(reports) is given
store:
  description: Store that keeps the plan.
  type: str
  returned: success
code:
  description: Stable error code.
  type: str
  returned: failure
  sample: E-CONTROL-PATH
"""
