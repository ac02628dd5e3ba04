# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The host protocol without Ansible around it: one act per run, told and answered as JSON on standard streams.

Runs inside a lab host. What the modules do is this and an argument specification; a test that provisions hundreds of
times has no time for the latter.
"""

from __future__ import annotations

import json
import sys

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import confirm, listing, revert
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.arm import Wish, arm
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.errors import HostError
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.machine import Machine
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.payload import Policy
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.state import DEFAULT, State


def act(machine: Machine, order: dict) -> dict:
    verb = order.pop("verb")
    if verb == "arm":
        policy = order.pop("policy")
        return arm(machine, Wish(policy=None if policy is None else Policy.parse(policy), **order))
    if verb == "confirm":
        return confirm.confirm(machine, order["token"], [], False)
    if verb == "revert":
        return revert.revert(machine, None, "by a test", False)
    ruleset = machine.nft.ruleset()
    return {
        "hash": listing.canonical_hash(ruleset),
        "listing": listing.own(ruleset),
        "foreign": listing.foreign(ruleset),
        "record": machine.state.record(),
    }


def main() -> None:
    try:
        answer = act(Machine(State(DEFAULT)), json.load(sys.stdin))
    except HostError as error:
        answer = {"code": error.code, "msg": str(error)}
    json.dump(answer, sys.stdout, default=str)


if __name__ == "__main__":
    main()
