# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Options of everything that joins the policy documents with the inventory of the play."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  policy:
    description: Directory of policy documents, on the controller.
    type: path
    required: true
  facts:
    description:
      - Files of facts on the controller, such as posture of workloads, members of groups and sessions of users.
      - Every fact in them has an end; what has ended is unknown.
    type: list
    elements: path
    default: []
  at:
    description: The moment to answer for, in ISO 8601 with a time zone. The default is now.
    type: str
notes:
  - Runs once, on the controller, for all hosts of the inventory, whatever the play and C(--limit) say.
  - Needs no connection to any host.
  - Add C(run_once=true) to the task, so that what it registers is there on every host of the play.
  - Only variables that policy documents refer to are evaluated.
"""

    REPORT = r"""
options:
  report:
    description:
      - File on the controller for the whole answer in JSON, replaced atomically. The task result is a summary.
      - Written in check mode too, for it is the answer and no change.
    type: path
"""

    STORE = r"""
options:
  store:
    description: Directory on the controller that keeps bundles, plans, readings and the journal.
    type: path
    default: .microseg
"""
