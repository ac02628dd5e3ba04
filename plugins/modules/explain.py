# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: explain
short_description: Say whether one workload may reach another, and who decides
version_added: 0.1.0
description:
  - Evaluates the policy for one connection, both sides apart, and names the rule, mode or failsafe that decides each.
options:
  from:
    description: Who opens the connection, as workload or IP address.
    type: str
    required: true
  to:
    description: Who serves it, as workload, service address or IP address.
    type: str
    required: true
  service:
    description: Service, as V(tcp/5432), V(icmp/8) or the name of a service of the policy.
    type: str
    required: true
  stage:
    description: V(staged) evaluates the staged rulesets beside the active ones.
    type: str
    choices: [active, staged]
    default: active
author:
  - bulkhead.microseg contributors (@bulkhead)
seealso:
  - plugin: bulkhead.microseg.path
    plugin_type: lookup
extends_documentation_fragment:
  - bulkhead.microseg.estate
  - bulkhead.microseg.attributes
  - bulkhead.microseg.attributes.info_module
  - bulkhead.microseg.attributes.action_once
"""

EXAMPLES = r"""
---
- name: Ask who decides
  bulkhead.microseg.explain:
    policy: policy
    from: web-1
    to: db-1
    service: tcp/5432
  run_once: true
  register: answer

- name: The web tier must reach the database
  ansible.builtin.assert:
    that: answer.verdict == 'allowed'
"""

RETURN = r"""
---
verdict:
  description: V(allowed), V(denied), V(unknown), or V(mixed) where address pairs of the two differ.
  type: str
  returned: success
one_sided:
  description: Whether one of the two sides enforces nothing.
  type: bool
  returned: success
would:
  description: The verdict if every managed side were in full mode.
  type: str
  returned: success
with_staged:
  description: The verdict with the staged rulesets.
  type: str
  returned: success
egress:
  description: What the side of the consumer says, with verdict, decided_by, tier, rule, ruleset, scope, file and line.
  type: dict
  returned: success
ingress:
  description: What the side of the provider says, in the same form.
  type: dict
  returned: success
near_misses:
  description: Rules about this service that would count if one end were another, with what they miss.
  type: list
  elements: dict
  returned: success
suggestion:
  description: The rule in short form that would allow a denied connection, with its scope and ruleset.
  type: dict
  returned: when one rule is enough
pull_request:
  description: Title and body of a change with that rule.
  type: dict
  returned: when one rule is enough
pairs:
  description: The answer for each pair of addresses; at most 50.
  type: list
  elements: dict
  returned: success
code:
  description: Stable error code.
  type: str
  returned: failure
  sample: E-TARGET
"""
