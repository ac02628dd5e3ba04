# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules that change what becomes of a connection without saying so: packets first, then what drift says."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.read import read
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.render import render
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.compare import difference
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import of_artifact
from tests.conftest import Kernel
from tests.kernel.test_nft_sessions import HOST, QUIET, load, played
from tests.support.artifacts import AT
from tests.support.nft import listed, transaction

pytestmark = pytest.mark.kernel


class Detour(NamedTuple):
    claim: str
    rules: str
    port: int
    outcome: str


def chain(hook: str, priority: int, rules: str, family: str = "inet") -> str:
    return f"table {family} other {{ chain c {{ type filter hook {hook} priority {priority}; {rules}; }}; }}"


#: QUIET opens tcp/80 and nothing else.
DETOURS = (
    Detour("a packet type that no socket takes", chain("prerouting", 0, "meta pkttype set other"), 80, "silence"),
    Detour("replies tracked in another zone", chain("prerouting", -300, "ct zone set 7"), 80, "silence"),
    Detour("invalid, before anything is tracked", chain("prerouting", -300, "ct state invalid drop"), 80, "silence"),
    Detour("replies invalid, before they are tracked", chain("output", -300, "ct state invalid drop"), 80, "silence"),
    Detour("only what is tracked, too early", chain("prerouting", -300, "ct state new accept; drop"), 80, "silence"),
    Detour(
        "a port rewritten as raw bytes",
        chain("prerouting", -300, "tcp dport 81 @th,8,24 set 0x000050"),
        81,
        "any",
    ),
    Detour(
        "a door that opens at a knock",
        "table inet microseg { set seen { type ipv4_addr; flags timeout; timeout 1h; }; }\n"
        "insert rule inet microseg input ip saddr @seen accept\n"
        "insert rule inet microseg input tcp dport 81 update @seen { ip saddr }",
        81,
        "ok",
    ),
    Detour(
        "a lock that closes behind the first",
        "table inet other { set seen { type ipv4_addr; flags dynamic; size 9; }; "
        "chain c { type filter hook input priority 0; "
        "tcp dport 80 ip saddr @seen drop; tcp dport 80 add @seen { ip saddr }; }; }",
        80,
        "silence",
    ),
    Detour(
        "a verdict map followed by a match",
        "insert rule inet microseg input tcp dport vmap { 81 : accept } meta nfproto ipv6 meta nfproto ipv4",
        81,
        "ok",
    ),
)


@pytest.mark.parametrize("detour", DETOURS, ids=lambda one: one.claim.replace(" ", "-"))
def test_what_packets_notice_drift_does_not_call_equal(kernel: Kernel, detour: Detour) -> None:
    intended = "ok" if detour.port == 80 else "silence"
    found = played(
        kernel,
        load(QUIET),
        ["connect", "peer", HOST, detour.port, 2.5],
        ["load", detour.rules],
        ["connect", "peer", HOST, detour.port, 2.5],
        ["connect", "peer", HOST, detour.port, 2.5],
    )
    listing = listed(kernel.prefix, transaction(render(QUIET, "ab" * 32, AT).payload), detour.rules)
    reading = read(listing.own, listing.everything, QUIET.own, AT)

    assert found[1] == intended
    assert difference(of_artifact(QUIET, AT), reading.form).state != "equal"
    if detour.outcome != "any":
        assert found[4] == detour.outcome
