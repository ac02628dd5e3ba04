# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: drift
short_description: Judge whether hosts still do what was provisioned
version_added: 0.1.0
description:
  - Compares, by meaning and never by text, what is live on every host of O(target) with the rules that were provisioned
    there, and shows a packet for every difference.
  - A host that could not be read is unknown, and so is what a rule that cannot be judged may touch; neither is ever
    equal.
  - Nothing is sent to any host. What is live must have been read in the same run, see O(live).
  - Findings do not fail the task, so that they can be published first; assert on RV(outcome) afterwards.
options:
  target:
    description: Group of hosts to judge. It must exist and have hosts, and it cannot be C(all).
    type: str
    required: true
  live:
    description:
      - Variable in which a task has registered the result of M(bulkhead.microseg.nftables_policy_info) on each host.
        Hosts that were unreachable or on which it failed are unknown.
    type: str
    default: microseg_live
  bundle:
    description: Digest of the bundle that says what is intended. The default is the one provisioned last.
    type: str
  policy:
    description:
      - Directory of policy documents, so that findings say where a rule is written. Nothing else is taken from it, and
        documents that cannot be read stop nothing.
    type: path
  at:
    description: The moment to judge for, in ISO 8601 with a time zone. The default is now.
    type: str
  reports:
    description:
      - Directory for the report files C(drift.json), C(drift.md), C(drift.html), C(drift.junit.xml), C(drift.sarif) and
        C(drift.prom), as O(formats) says. Each is replaced atomically.
      - Written in check mode too, for they are the answer and no change.
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
  - plugin: bulkhead.microseg.drift_report
    plugin_type: callback
notes:
  - Runs once, on the controller, whatever hosts the play has. Add C(run_once=true) to the task, so that what it
    registers is there on every host of the play.
extends_documentation_fragment:
  - bulkhead.microseg.estate.store
  - bulkhead.microseg.attributes
  - bulkhead.microseg.attributes.info_module
  - bulkhead.microseg.attributes.action_once
"""

EXAMPLES = r"""
---
- name: Read what is live
  bulkhead.microseg.nftables_policy_info:
  register: microseg_live
  become: true
  ignore_unreachable: true
  ignore_errors: true

- name: Look for drift
  bulkhead.microseg.drift:
    target: enforced
    reports: reports
    formats: [json, markdown, junit]
  run_once: true
  register: drift

- name: Publish it
  ansible.builtin.set_stats:
    data:
      microseg_drift: "{{ drift.counts }}"
  run_once: true

- name: Reality must equal intent
  ansible.builtin.assert:
    that: drift.outcome == 'ok'
  run_once: true
"""

RETURN = r"""
---
outcome:
  description: V(ok), V(findings), or V(unable) where a host could not be read. The findings of the others still stand.
  type: str
  returned: success
at:
  description: The moment that was judged for.
  type: str
  returned: success
bundle:
  description: Digest of the bundle that says what is intended.
  type: str
  returned: success
counts:
  description: Number of enforcement points that are equal, wider, narrower, mixed, or unknown.
  type: dict
  returned: success
  sample: {equal: 41, mixed: 0, narrower: 0, unknown: 1, wider: 1}
unread:
  description: Number of enforcement points that could not be read.
  type: int
  returned: success
windows_ending:
  description: The first 50 enforcement points that know the windows of their schedules for less than 30 days more, and
    until when.
  type: dict
  returned: success
points:
  description: The first 50 enforcement points that are not equal, with C(state) and C(cause).
  type: dict
  returned: success
severities:
  description: Number of findings of each severity.
  type: dict
  returned: success
  sample: {error: 1, info: 0, warning: 1}
findings:
  description: The worst 50 findings, each with code, severity, about, message, file, line, since, and facts such as the
    witness packet and the live rule that decides it.
  type: list
  elements: dict
  returned: success
next:
  description: What to do about it, most urgent first.
  type: list
  elements: str
  returned: success
screen:
  description: The result as lines for a person, at most 100 columns, ending with the next command.
  type: list
  elements: str
  returned: success
files:
  description: Report files that were written.
  type: list
  elements: str
  returned: when O(reports) is given
code:
  description: Stable error code.
  type: str
  returned: failure
  sample: E-NOT-PROVISIONED
"""
