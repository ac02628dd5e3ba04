# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
name: path
short_description: Say whether one workload may reach another, and who decides
version_added: 0.1.0
description:
  - Evaluates the policy for one connection, both sides apart, and names the rule, mode or failsafe that decides each.
  - Every use joins the policy documents with the whole inventory. Use it in tasks with C(run_once), with all questions
    in one use.
options:
  _terms:
    description: Questions, each as V(FROM -> TO SERVICE), in the words of policy tests.
    type: list
    elements: str
    required: true
  policy:
    description: Directory of policy documents, on the controller.
    type: path
    required: true
  stage:
    description: V(staged) evaluates the staged rulesets beside the active ones.
    type: str
    choices: [active, staged]
    default: active
  at:
    description: The moment to answer for, in ISO 8601 with a time zone. The default is now.
    type: str
author:
  - bulkhead.microseg contributors (@bulkhead)
seealso:
  - module: bulkhead.microseg.explain
"""

EXAMPLES = r"""
---
- name: The web tier must reach the database, and the batch tier must not
  ansible.builtin.assert:
    that:
      - answers[0].verdict == 'allowed'
      - answers[1].verdict == 'denied'
  vars:
    answers: "{{ query('bulkhead.microseg.path', 'web-1 -> db-1 tcp/5432', 'batch-1 -> db-1 tcp/80', policy='rules') }}"
  run_once: true
"""

RETURN = r"""
---
_list:
  description:
    - One answer for each question, with C(verdict), C(one_sided), C(would), C(with_staged), C(egress) and C(ingress),
      as of module bulkhead.microseg.explain.
  type: list
  elements: dict
"""

from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.errors import lookup_errors
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.inventory import Inventory
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.lookup import options_of
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.moments import moment
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.plain import plain
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import load
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.path import path


class LookupModule(LookupBase):
    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        with lookup_errors():
            options = options_of(self, variables, kwargs)
            at = moment(options["at"])
            hosts = Inventory.of_task(variables).hosts
            answers = path(plain(terms), lambda: load(Path(options["policy"]), hosts, at), options["stage"])
            return [answer.to_dict() for answer in answers]
