# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: compile
short_description: Compile policy and inventory into a bundle in the store
version_added: 0.1.0
description:
  - Compiles the rules of every enforcement point and keeps them, as one bundle, in the store.
  - A bundle is named by the digest of its content, so equal policy and equal inventory give an equal digest on any
    machine.
  - Refuses when workloads vanished since the bundle that was provisioned last, for that is what a failed inventory
    source looks like.
options:
  stage:
    description: V(staged) compiles the staged rulesets beside the active ones. Such a bundle is for looking at.
    type: str
    choices: [active, staged]
    default: active
  allowed_shrink:
    description: How many workloads vanished on purpose. It must be the exact number.
    type: int
author:
  - bulkhead.microseg contributors (@bulkhead)
seealso:
  - module: bulkhead.microseg.plan
  - plugin: bulkhead.microseg.segment
    plugin_type: lookup
extends_documentation_fragment:
  - bulkhead.microseg.estate
  - bulkhead.microseg.estate.store
  - bulkhead.microseg.attributes
  - bulkhead.microseg.attributes.action_once
attributes:
  check_mode:
    support: full
    details:
      - Everything is computed, and nothing is written into the store.
  diff_mode:
    support: none
  idempotent:
    support: full
"""

EXAMPLES = r"""
---
- name: Compile
  bulkhead.microseg.compile:
    policy: policy
    store: /srv/microseg
  run_once: true
  register: compiled
"""

RETURN = r"""
---
digest:
  description: Digest of the bundle.
  type: str
  returned: success
policy_digest:
  description: Digest of the policy documents.
  type: str
  returned: success
points:
  description: Number of enforcement points.
  type: int
  returned: success
workloads:
  description: Number of workloads.
  type: int
  returned: success
path:
  description: File of the bundle.
  type: str
  returned: success
findings:
  description: The worst 50 findings, each with code, severity, message, file, line and hint. There is no error among
    them, for errors fail the task.
  type: list
  elements: dict
  returned: success
code:
  description: Stable error code.
  type: str
  returned: failure
  sample: E-ESTATE-SHRANK
"""
