# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: check
short_description: Check the policy against the inventory, judge guardrails and run policy tests
version_added: 0.1.0
description:
  - Reads the policy documents and the inventory, checks every rule, judges the guardrails and runs the policy tests.
  - Findings do not fail the task, so that they can be published first; assert on RV(outcome) afterwards.
  - Documents or an inventory that cannot be read fail the task.
options:
  as_enforced:
    description: Judge guardrails and tests by the modes of today, instead of as if every workload were in full mode.
    type: bool
    default: false
author:
  - bulkhead.microseg contributors (@bulkhead)
seealso:
  - module: bulkhead.microseg.compile
  - module: bulkhead.microseg.explain
extends_documentation_fragment:
  - bulkhead.microseg.estate
  - bulkhead.microseg.estate.report
  - bulkhead.microseg.attributes
  - bulkhead.microseg.attributes.info_module
  - bulkhead.microseg.attributes.action_once
"""

EXAMPLES = r"""
---
- name: Check the policy
  bulkhead.microseg.check:
    policy: policy
  run_once: true
  register: checked

- name: Publish the result
  ansible.builtin.set_stats:
    data:
      microseg_check: "{{ checked.counts }}"

- name: The policy must be in order
  ansible.builtin.assert:
    that: checked.outcome == 'ok'
"""

RETURN = r"""
---
outcome:
  description: Whether there are errors among the findings.
  type: str
  returned: success
  sample: ok
rules:
  description: Number of rules.
  type: int
  returned: success
workloads:
  description: Number of workloads.
  type: int
  returned: success
guardrails:
  description: Number of guardrails that hold, and of those violated.
  type: dict
  returned: success
  sample: {holds: 3, violated: 0}
tests:
  description: Number of policy tests that pass, and of those that fail.
  type: dict
  returned: success
  sample: {fails: 0, passes: 12}
counts:
  description: Number of findings of each severity.
  type: dict
  returned: success
  sample: {error: 0, info: 0, warning: 1}
findings:
  description: The worst 50 findings, each with code, severity, message, file, line and hint.
  type: list
  elements: dict
  returned: success
code:
  description: Stable error code.
  type: str
  returned: failure
  sample: E-INVENTORY
"""
