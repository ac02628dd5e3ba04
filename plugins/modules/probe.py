# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: probe
short_description: Find out from a peer whether services can be reached
version_added: 0.1.0
description:
  - Sends real packets from the host it runs on, all probes side by side, and reports what came back.
  - A reset or a port unreachable counts as allowed, for the packet did arrive. Silence and administratively prohibited
    count as denied. Silence of a UDP service is V(unknown), unless V(denied) was expected.
  - Never fails because of a verdict; assert on RV(ok).
options:
  probes:
    description: What to try.
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description: IPv4 or IPv6 address.
        type: str
        required: true
      service:
        description: C(tcp/PORT), C(udp/PORT), C(icmp/8.0) or C(icmpv6/128.0).
        type: str
        required: true
      expect:
        description: What the policy says. Without it the probe only reports.
        type: str
        choices: [allowed, denied]
  timeout:
    description: Seconds after which silence is a verdict. Probes run 200 at a time, each such group takes at most this.
    type: float
    default: 3.0
author:
  - bulkhead.microseg contributors (@bulkhead)
extends_documentation_fragment:
  - bulkhead.microseg.attributes
  - bulkhead.microseg.attributes.info_module
  - bulkhead.microseg.attributes.linux
"""

EXAMPLES = r"""
---
- name: Try the database from a web server
  bulkhead.microseg.probe:
    probes:
      - {address: 10.1.2.9, service: tcp/5432, expect: allowed}
      - {address: 10.1.2.9, service: tcp/22, expect: denied}
  delegate_to: web-1
  register: tried

- name: The policy must do what it says
  ansible.builtin.assert:
    that: tried.ok
"""

RETURN = r"""
---
results:
  description: One entry for each probe, in the same order.
  type: list
  elements: dict
  returned: success
  contains:
    address:
      description: The address tried.
      type: str
    service:
      description: The service tried.
      type: str
    expect:
      description: What was expected.
      type: str
    verdict:
      description: What happened.
      type: str
      choices: [allowed, denied, unknown]
    reason:
      description: What the verdict rests on.
      type: str
    ok:
      description: Whether the verdict is the expected one; V(null) if nothing was expected.
      type: bool
    ms:
      description: Milliseconds until the verdict.
      type: float
ok:
  description: Whether no expectation was disappointed.
  type: bool
  returned: success
unknown:
  description: Number of probes without a verdict.
  type: int
  returned: success
code:
  description: Stable error code.
  type: str
  returned: failure
  sample: E-HOST-PAYLOAD
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.microseg.plugins.module_utils import probing
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.errors import PAYLOAD


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "probes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "address": {"type": "str", "required": True},
                    "service": {"type": "str", "required": True},
                    "expect": {"type": "str", "choices": ["allowed", "denied"]},
                },
            },
            "timeout": {"type": "float", "default": 3.0},
        },
        supports_check_mode=True,
    )
    try:
        probes = [probing.parse(one) for one in module.params["probes"]]
    except ValueError as error:
        module.fail_json(msg="{0} {1}".format(PAYLOAD, error), code=PAYLOAD)
    results = probing.run(probes, module.params["timeout"])
    ok, unknown = probing.summary(results)
    module.exit_json(changed=False, results=results, ok=ok, unknown=unknown)


if __name__ == "__main__":
    main()
