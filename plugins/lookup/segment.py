# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
name: segment
short_description: Read the rendered policy of one enforcement point out of the store
version_added: 0.1.0
description:
  - Returns what O(bulkhead.microseg.nftables_policy#module:policy) takes, for each enforcement point named.
  - Reads only the slice of that point out of the bundle, and verifies it against the digest of the bundle. Nothing is
    compiled, so it is cheap enough to be used once for each host.
options:
  _terms:
    description:
      - Enforcement points. That of a Linux host has the name of its workload, which is C(microseg_id) where the host
        has one, and the name of the host otherwise.
    type: list
    elements: str
    required: true
  bundle:
    description: Digest of the bundle.
    type: str
    required: true
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
- name: Arm the policy of this host
  bulkhead.microseg.nftables_policy:
    policy: "{{ lookup('bulkhead.microseg.segment', point, bundle=compiled.digest) }}"
    base: "{{ live.hash }}"
    plan: "{{ microseg_plan }}"
    step: phase-2
  vars:
    point: "{{ microseg_id | default(inventory_hostname) }}"
  become: true
  register: armed
"""

RETURN = r"""
---
_list:
  description:
    - The rendered policy of each enforcement point, with C(format), C(ruleset), C(members), C(policy_digest) and
      C(artifact_digest).
  type: list
  elements: dict
"""

from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.errors import lookup_errors
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.lookup import options_of
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.plain import plain
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.segment import segment


class LookupModule(LookupBase):
    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        with lookup_errors():
            options = options_of(self, variables, kwargs)
            return [segment(Path(options["store"]), options["bundle"], plain(term)) for term in terms]
