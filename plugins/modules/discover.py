# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: discover
short_description: Keep who talks to whom, as the hosts themselves saw it
version_added: 0.1.0
description:
  - Joins what M(bulkhead.microseg.workload_facts) returned with O(bulkhead.microseg.workload_facts#module:bulk=true) on
    the hosts of a group, names both ends of each conversation, and adds it to what was seen before.
  - Conversations are kept with the time they were first and last seen, and with how many of the expected hosts
    reported, for no data is not no traffic.
  - The store is an archive of observations. One more is no change of anything, so RV(ignore:changed) is V(false) and
    it is kept in check mode too.
options:
  target:
    description:
      - Group of hosts that were expected to report. It must exist and have hosts, and it cannot be C(all).
    type: str
    required: true
  seen:
    description:
      - Variable in which a task has registered the result of M(bulkhead.microseg.workload_facts) on each host. Hosts
        that were unreachable or on which it failed are named in RV(missing).
    type: str
    default: microseg_seen
author:
  - bulkhead.microseg contributors (@bulkhead)
seealso:
  - module: bulkhead.microseg.workload_facts
  - module: bulkhead.microseg.plan
extends_documentation_fragment:
  - bulkhead.microseg.estate
  - bulkhead.microseg.estate.report
  - bulkhead.microseg.estate.store
  - bulkhead.microseg.attributes
  - bulkhead.microseg.attributes.info_module
  - bulkhead.microseg.attributes.action_once
"""

EXAMPLES = r"""
---
- name: Read addresses, listeners and connections
  bulkhead.microseg.workload_facts:
    bulk: true
  register: microseg_seen
  become: true
  ignore_unreachable: true

- name: Keep who talks to whom
  bulkhead.microseg.discover:
    policy: policy
    target: microseg_enforced
    report: reports/discover.json
  register: discovered
"""

RETURN = r"""
---
outcome:
  description: V(unable) if no expected host ever reported.
  type: str
  returned: success
  sample: ok
digest:
  description: Digest of the observations in the store.
  type: str
  returned: success
flows:
  description: Number of conversations known now, each counted once however often it was seen.
  type: int
  returned: success
reported:
  description: Number of hosts that ever reported.
  type: int
  returned: success
expected:
  description: Number of hosts that were expected to report.
  type: int
  returned: success
coverage:
  description: Share of the expected hosts that reported, 0 to 1.
  type: float
  returned: success
loss:
  description: Share of conversations that the sensors say they missed, 0 to 1.
  type: float
  returned: success
window:
  description: Time between the first and the last observation.
  type: str
  returned: success
  sample: 30 d
unread:
  description: Number of records that could not be read and were passed over.
  type: int
  returned: success
missing:
  description: Up to 50 hosts that did not report now, with the reason.
  type: dict
  returned: success
edges:
  description: The 50 most frequent conversations, each with C(from), C(to), C(service), C(count) and C(last_seen).
  type: list
  elements: dict
  returned: success
code:
  description: Stable error code.
  type: str
  returned: failure
  sample: E-NO-TARGET
"""
