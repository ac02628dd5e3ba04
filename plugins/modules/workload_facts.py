# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: workload_facts
short_description: Gather what microsegmentation needs to know about a Linux host
version_added: 0.1.0
description:
  - Returns a small C(ansible_facts.microseg) with the addresses and the number of listeners of the host.
  - With O(bulk=true) returns, beside the facts, who listens and who talks to whom at this moment.
  - Looks at the network namespace it runs in.
options:
  bulk:
    description: Also return RV(listeners) and RV(connections), which may be long and are therefore no facts.
    type: bool
    default: false
author:
  - bulkhead.microseg contributors (@bulkhead)
seealso:
  - module: bulkhead.microseg.nftables_policy_info
extends_documentation_fragment:
  - bulkhead.microseg.attributes
  - bulkhead.microseg.attributes.facts
  - bulkhead.microseg.attributes.facts_module
  - bulkhead.microseg.attributes.linux
"""

EXAMPLES = r"""
---
- name: Gather addresses
  bulkhead.microseg.workload_facts:

- name: Gather listeners and connections, process names included
  bulkhead.microseg.workload_facts:
    bulk: true
  become: true
  register: seen
"""

RETURN = r"""
---
ansible_facts:
  description: Facts to add to C(ansible_facts).
  returned: success
  type: dict
  contains:
    microseg:
      description: What the estate takes from the host.
      type: dict
      returned: success
      contains:
        ipv4:
          description: IPv4 addresses others can reach this host by.
          type: list
          elements: str
        ipv6:
          description: IPv6 addresses others can reach this host by; no link-local ones.
          type: list
          elements: str
        hostname:
          description: Name the host gives itself.
          type: str
        listeners:
          description: Number of listening sockets.
          type: int
        nft_version:
          description: Version of nft; V(null) if it is not installed.
          type: str
listeners:
  description: Listening sockets.
  returned: when O(bulk=true)
  type: list
  elements: dict
  sample:
    - address: 0.0.0.0
      port: 22
      process: sshd
      proto: tcp
connections:
  description: Connections at this moment, added up by addresses, protocol, service port and direction.
  returned: when O(bulk=true)
  type: list
  elements: dict
  sample:
    - count: 3
      direction: inbound
      local: 10.1.0.7
      peer: 10.1.0.9
      port: 5432
      proto: tcp
coverage:
  description: Where the connections come from, and what was left out.
  returned: when O(bulk=true)
  type: dict
  contains:
    tracked:
      description: Whether tracked connections could be read; without them only open sockets are seen.
      type: bool
    forwarded:
      description: Connections between others that pass through this host; not in RV(connections).
      type: int
code:
  description: Stable error code.
  type: str
  returned: failure
  sample: E-HOST-TOOL
"""

import os
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import (
    connections,
    conntrack,
    facts,
    programs,
    sockets,
)
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.errors import HostError
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.nft import Nft


def gather(bulk: bool) -> Dict[str, Any]:
    found = sockets.sockets()
    addresses = facts.addresses()
    listeners = connections.listeners(found, connections.process_names() if bulk else {})
    small = dict(
        addresses,
        hostname=os.uname().nodename,
        listeners=len(listeners),
        nft_version=Nft().version() if programs.find("nft") else None,
    )
    result: Dict[str, Any] = {"changed": False, "ansible_facts": {"microseg": small}}
    if bulk:
        tracked = conntrack.entries()
        rows, forwarded = connections.connections(found, tracked, addresses["ipv4"] + addresses["ipv6"])
        result.update(
            listeners=listeners,
            connections=rows,
            coverage={"tracked": tracked is not None, "forwarded": forwarded},
        )
    return result


def main() -> None:
    module = AnsibleModule(argument_spec={"bulk": {"type": "bool", "default": False}}, supports_check_mode=True)
    try:
        result = gather(module.params["bulk"])
    except HostError as error:
        module.fail_json(msg=str(error), code=error.code, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
