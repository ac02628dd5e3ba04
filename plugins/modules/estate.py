# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: estate
short_description: Show what inventory and policy say about every workload
version_added: 0.1.0
description:
  - Joins the inventory with the policy documents and returns numbers a person checks first, such as workloads without
    an address, enforcement points, modes and labels.
  - The names of workloads and their labels are in O(report).
author:
  - bulkhead.microseg contributors (@bulkhead)
seealso:
  - module: bulkhead.microseg.check
extends_documentation_fragment:
  - bulkhead.microseg.estate
  - bulkhead.microseg.estate.report
  - bulkhead.microseg.attributes
  - bulkhead.microseg.attributes.info_module
  - bulkhead.microseg.attributes.action_once
"""

EXAMPLES = r"""
---
- name: Look at the estate
  bulkhead.microseg.estate:
    policy: policy
    report: reports/estate.json
  run_once: true
  register: estate

- name: Everybody must have an address
  ansible.builtin.assert:
    that: estate.without_address == 0
"""

RETURN = r"""
---
outcome:
  description: Whether there are errors among the findings.
  type: str
  returned: success
  sample: ok
workloads:
  description: Number of workloads, those of policy documents included.
  type: int
  returned: success
managed:
  description: Number of workloads that Ansible manages.
  type: int
  returned: success
without_address:
  description: Number of workloads that no rule can name for want of an address.
  type: int
  returned: success
enforcement_points:
  description: Number of places where rules can live.
  type: int
  returned: success
modes:
  description: Ingress and egress mode of managed workloads, with how many have them.
  type: dict
  returned: success
  sample: {full/full: 12, idle/idle: 3}
labels:
  description: Label keys with their most frequent values and how many workloads have them.
  type: dict
  returned: success
  sample: {env: {prod: 12}}
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
  sample: E-INVENTORY-VARIABLE
"""
