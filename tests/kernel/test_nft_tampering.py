# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every way we can think of to change a host's rules behind our back, and what drift must call it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.driver import Packet
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.attribute import decide
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.listing import tables
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.read import read
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.render import render
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.text import rule_text
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import parse_address, parse_prefix
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import (
    Artifact,
    ArtifactRule,
    DirectionPolicy,
    PeerSet,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.compare import difference
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import of_artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import normalised
from tests.conftest import Kernel
from tests.support.artifacts import AT
from tests.support.nft import listed, transaction

pytestmark = pytest.mark.kernel


def peers(name: str, kind: str, *texts: str) -> PeerSet:
    prefixes = [parse_prefix(text) for text in texts]
    by_family = {
        family: normalised((one.low, one.high) for one in prefixes if one.family == family) for family in (4, 6)
    }
    return PeerSet(name, kind, name, by_family)  # type: ignore[arg-type]


def rule(name: str, tier: str, action: str, services: str, peer: str | None, **more: Any) -> ArtifactRule:
    wanted = line.parse_all(services.split())
    return ArtifactRule(name, tier, action, wanted, None if peer is None else (peer,), **more)  # type: ignore[arg-type]


SETS = (
    peers("app", "members", "10.0.0.1", "10.0.0.2", "fd77::1"),
    peers("batch", "members", "10.0.0.7", "fd77::7"),
    peers("office", "static", "192.0.2.0/25", "198.51.100.7", "fd99::/64"),
    peers("near", "static", "10.0.0.0/24"),
)
INGRESS = (
    rule("failsafe-management", "failsafe", "allow", "tcp/22", "office"),
    rule("failsafe-signals", "failsafe", "allow", "icmp/3.4 icmpv6/2 icmpv6/130-137", None),
    rule("no-batch@a/b", "admin", "deny", "tcp/5432 tcp/6000", "batch", reject=True, log=True),
    rule("hush@a/b", "admin", "deny", "tcp/7000", "batch"),
    rule("web@a/b", "application", "allow", "tcp/443", "app"),
    rule("pages@a/b", "application", "allow", "tcp/80-90", "office"),
    rule("data@a/b", "application", "allow", "tcp/5432", "near"),
    rule("late@a/b", "application", "allow", "tcp/9000", "app", expires=AT + timedelta(hours=1)),
    rule("ping@a/b", "application", "allow", "icmp/8 icmpv6/128", None),
)
EGRESS = (
    rule("names@a/b", "application", "allow", "udp/53 tcp/53", "office"),
    rule("out@a/b", "application", "allow", "tcp/443", None),
)
OWN = {4: ((parse_address("10.0.0.5").number,) * 2,), 6: ((parse_address("fd77::5").number,) * 2,)}
FULL = Artifact(
    "point",
    "workload",
    "",
    OWN,
    DirectionPolicy("full", INGRESS),
    DirectionPolicy("full", EGRESS),
    {s.id: s for s in SETS},
)  # type: ignore[arg-type]


class Names:
    """Finds what a tamperer would find by looking: chains behind ports, handles of rules."""

    def __init__(self, everything: dict[str, Any]) -> None:
        self.table = next(table for table in tables(everything) if table.ours)

    def chain(self, port: int, ports: str = "ip_tcp") -> str:
        for value, verdict in self.table.sets[ports]["elem"]:
            low, high = value["range"] if isinstance(value, dict) else (value, value)
            if low <= port <= high:
                return str(verdict["goto"]["target"])
        raise AssertionError(port)

    def handle(self, chain: str, words: str, comment: str = "") -> str:
        """`CHAIN handle N` of the first rule whose text holds the words."""
        for live in self.table.chains[chain].rules:
            if words in rule_text(live) and comment in live.comment:
                return f"{chain} handle {live.handle}"
        raise AssertionError((chain, words, [rule_text(live) for live in self.table.chains[chain].rules]))


class Case(NamedTuple):
    claim: str
    own: str
    effective: str
    tamper: Callable[[Names], str]


def foreign(body: str, hook: str = "input", priority: str = "0", kind: str = "filter", family: str = "inet") -> str:
    return f"table {family} other {{\n chain c {{\n type {kind} hook {hook} priority {priority};\n {body}\n }}\n}}\n"


OURS = "inet microseg"
CASES = [
    # membership and address sets
    Case("an element added to a member set", "wider", "wider", lambda n: f"add element {OURS} m4_app {{ 10.0.9.9 }}"),
    Case("an element removed from a member set", "narrower", "narrower", lambda n: f"delete element {OURS} m4_app {{ 10.0.0.1 }}"),
    Case("a member exchanged for another", "mixed", "mixed", lambda n: f"delete element {OURS} m6_app {{ fd77::1 }}\nadd element {OURS} m6_app {{ fd77::2 }}"),
    Case("a member removed from a set that denies", "wider", "wider", lambda n: f"delete element {OURS} m4_batch {{ 10.0.0.7 }}"),
    Case("a member added to a set that denies", "narrower", "narrower", lambda n: f"add element {OURS} m4_batch {{ 10.0.0.8 }}"),
    Case("an element added to a static set", "wider", "wider", lambda n: f"add element {OURS} a4_office {{ 203.0.113.9 }}"),
    Case("an element removed from a static set", "narrower", "narrower", lambda n: f"delete element {OURS} a4_office {{ 198.51.100.7 }}"),
    Case("an element widened to a prefix", "wider", "wider", lambda n: f"delete element {OURS} a4_office {{ 198.51.100.7 }}\nadd element {OURS} a4_office {{ 198.51.100.0/24 }}"),
    Case("a member set emptied", "narrower", "narrower", lambda n: f"flush set {OURS} m6_app"),
    Case("a static set written in other pieces", "equal", "equal", lambda n: f"delete element {OURS} a4_office {{ 192.0.2.0/25 }}\nadd element {OURS} a4_office {{ 192.0.2.0-192.0.2.9, 192.0.2.10-192.0.2.127 }}"),
    # rules of ours
    Case("an allow moved before a deny", "wider", "wider", lambda n: f"insert rule {OURS} {n.chain(5432)} ip saddr @a4_near accept"),
    Case("a rule deleted that allows", "narrower", "narrower", lambda n: f"delete rule {OURS} {n.handle(n.chain(443), 'ip saddr @m4_app')}"),
    Case("a rule deleted that denies", "wider", "wider", lambda n: f"delete rule {OURS} {n.handle(n.chain(5432), 'ip saddr @m4_batch counter')}"),
    Case("an allow inserted at the head", "wider", "wider", lambda n: f"insert rule {OURS} input ip saddr 10.9.0.0/16 accept"),
    Case("an allow of what is allowed inserted at the head", "equal", "equal", lambda n: f"insert rule {OURS} input ip saddr 10.0.0.1 tcp dport 443 accept"),
    Case("a drop inserted at the head", "narrower", "narrower", lambda n: f"insert rule {OURS} input ip saddr 10.0.0.1 drop"),
    Case("a drop that lets related connections past", "unknown", "unknown", lambda n: f"insert rule {OURS} input ct state new ip saddr 10.0.0.1 drop"),
    Case("a drop of established packets inserted", "unknown", "unknown", lambda n: f"insert rule {OURS} input ct state established ip saddr 10.0.0.1 drop"),
    Case("a stateless drop of ours before the established rule", "narrower", "narrower", lambda n: f"insert rule {OURS} input ip saddr 10.0.0.1 tcp dport 443 drop"),
    Case("a drop of invalid packets, which ours let in only where a rule says so", "narrower", "narrower", lambda n: f"insert rule {OURS} input ct state invalid drop"),
    Case("a jump inserted to a chain that accepts", "wider", "wider", lambda n: f"add chain {OURS} extra\nadd rule {OURS} extra tcp dport 8080 accept\ninsert rule {OURS} input jump extra"),
    Case("a jump inserted to a chain that only counts", "equal", "equal", lambda n: f"add chain {OURS} extra\nadd rule {OURS} extra counter\ninsert rule {OURS} input jump extra"),
    Case("a goto inserted to a chain that only counts", "narrower", "narrower", lambda n: f"add chain {OURS} extra\nadd rule {OURS} extra counter\ninsert rule {OURS} input ip saddr 10.0.0.1 goto extra"),
    Case("a goto retargeted", "mixed", "mixed", lambda n: f"delete element {OURS} ip_tcp {{ 443 }}\nadd element {OURS} ip_tcp {{ 443 : goto {n.chain(80)} }}"),
    Case("the default retargeted", "wider", "wider", lambda n: f"replace rule {OURS} {n.handle(n.chain(443), 'goto')} accept"),
    Case("a port added to the map", "wider", "wider", lambda n: f"add element {OURS} ip_tcp {{ 8443 : goto {n.chain(443)} }}"),
    Case("a port removed from the map", "narrower", "narrower", lambda n: f"delete element {OURS} ip_tcp {{ 443 }}"),
    Case("the verdict of the default row changed", "wider", "wider", lambda n: f"replace rule {OURS} {n.handle('i_default', 'drop')} accept"),
    Case("the policy changed where the default row still drops", "equal", "equal", lambda n: "chain inet microseg input { policy accept; }"),
    Case("the default row deleted where the policy still drops", "equal", "equal", lambda n: f"delete rule {OURS} {n.handle('i_default', 'drop')}"),
    Case("the default row deleted and the policy changed", "wider", "wider", lambda n: f"delete rule {OURS} {n.handle('i_default', 'drop')}\nchain {OURS} input {{ policy accept; }}"),
    Case("the established rule removed", "unknown", "unknown", lambda n: f"delete rule {OURS} {n.handle('input', 'ct state established')}"),
    Case("the rule for ICMP errors removed", "unknown", "unknown", lambda n: f"delete rule {OURS} {n.handle('input', 'icmp type')}"),
    Case("every related connection accepted", "unknown", "unknown", lambda n: f"insert rule {OURS} input ct state related accept"),
    Case("the chain of a port flushed", "narrower", "narrower", lambda n: f"flush chain {OURS} {n.chain(443)}"),
    Case("the input chain flushed", "narrower", "narrower", lambda n: f"flush chain {OURS} input"),
    Case("the table flushed", "narrower", "narrower", lambda n: f"flush table {OURS}"),
    Case("the table deleted", "wider", "wider", lambda n: f"delete table {OURS}"),
    Case("the input chain deleted", "wider", "wider", lambda n: f"flush chain {OURS} input\ndelete chain {OURS} input"),
    Case("a limit inserted into a verdict", "unknown", "unknown", lambda n: f"replace rule {OURS} {n.handle(n.chain(443), 'ip saddr @m4_app')} ip saddr @m4_app limit rate 5/second accept"),
    Case("a match nobody models", "unknown", "unknown", lambda n: f"insert rule {OURS} {n.chain(443)} ip dscp 7 accept"),
    Case("a rule for an interface", "unknown", "unknown", lambda n: f'insert rule {OURS} input iifname "eth1" accept'),
    Case("a rule for loopback", "equal", "equal", lambda n: f'insert rule {OURS} input iifname "lo" counter accept'),
    Case("a drop for all but loopback", "narrower", "narrower", lambda n: f'insert rule {OURS} input iifname != "lo" ip saddr 10.0.0.1 drop'),
    Case("a source port", "unknown", "unknown", lambda n: f"insert rule {OURS} input tcp sport 53 accept"),
    Case("TCP without a SYN accepted", "unknown", "unknown", lambda n: f"insert rule {OURS} input tcp flags & (fin|syn|rst|ack) != syn accept"),
    Case("an allow made timeless", "equal", "equal", lambda n: f"replace rule {OURS} {n.handle(n.chain(9000), 'ip saddr @m4_app')} ip saddr @m4_app accept"),
    Case("an allow of ours ended by its clock", "narrower", "narrower", lambda n: f"replace rule {OURS} {n.handle(n.chain(9000), 'ip saddr @m4_app')} ip saddr @m4_app meta time < {int(AT.timestamp())} accept"),
    # harmless
    Case("the provenance comment edited", "equal", "equal", lambda n: f'replace rule {OURS} {n.handle("input", "ct state established")} ct state established accept comment "me"'),
    Case("a counter moved", "equal", "equal", lambda n: f"replace rule {OURS} {n.handle('i_default', 'drop')} counter packets 77 bytes 99 drop"),
    Case("a drop instead of a reject", "equal", "equal", lambda n: f"replace rule {OURS} {n.handle(n.chain(5432), 'ip saddr @m4_batch counter')} ip saddr @m4_batch drop"),
    Case("a reject instead of a drop", "equal", "equal", lambda n: f"replace rule {OURS} {n.handle(n.chain(7000), 'ip saddr @m4_batch counter')} ip saddr @m4_batch reject"),
    Case("a log removed", "equal", "equal", lambda n: f"delete rule {OURS} {n.handle(n.chain(5432), 'ip saddr @m4_batch limit')}"),
    Case("a log and a mark added", "equal", "equal", lambda n: f'insert rule {OURS} input log prefix "x" meta mark set 7'),
    Case("an unused chain and set", "equal", "equal", lambda n: f"add chain {OURS} extra\nadd rule {OURS} extra accept\nadd set {OURS} more {{ type ipv4_addr; }}"),
    Case("a timed element that is there now", "equal", "equal", lambda n: f"add set {OURS} soon {{ type ipv4_addr; flags timeout; elements = {{ 10.0.0.1 timeout 1h }}; }}\ninsert rule {OURS} {n.chain(443)} ip saddr @soon accept"),
    # tables of others
    Case("a foreign table that drops", "equal", "narrower", lambda n: foreign("ct state new ip saddr 10.0.0.0/8 drop")),
    Case("a foreign table that accepts", "equal", "equal", lambda n: foreign("accept", priority="-300")),
    Case("a foreign table that drops one port", "equal", "narrower", lambda n: foreign("tcp dport 443 drop")),
    Case("a foreign table that drops what we drop", "equal", "equal", lambda n: foreign("tcp dport 9 drop")),
    Case("a foreign policy of drop with the same openings", "equal", "equal", lambda n: "table inet other {\n chain c {\n type filter hook input priority 10; policy drop;\n ct state { established, related } accept\n accept\n }\n}"),
    Case("a foreign policy of drop", "equal", "mixed-or-narrower", lambda n: "table inet other {\n chain c {\n type filter hook input priority 10; policy drop;\n ct state { established, related } accept\n tcp dport { 22, 443 } accept\n }\n}"),
    Case("a foreign drop at another priority", "equal", "narrower", lambda n: foreign("tcp dport 443 drop", priority="-200")),
    Case("a foreign drop in prerouting", "equal", "narrower", lambda n: foreign("tcp dport 443 drop", hook="prerouting")),
    Case("a foreign drop on the way out", "equal", "narrower", lambda n: foreign("ip daddr 192.0.2.1 udp dport 53 drop", hook="postrouting")),
    Case("a foreign drop of every reply", "equal", "unknown", lambda n: foreign("ct state established drop")),
    Case("a foreign drop of one family", "equal", "narrower", lambda n: foreign("tcp dport 443 drop", family="ip6")),
    Case("a redirect of an allowed port", "equal", "unknown", lambda n: foreign("tcp dport 443 redirect to :8443", hook="prerouting", kind="nat", priority="-100")),
    Case("a redirect of a denied port to an allowed one", "equal", "unknown", lambda n: foreign("tcp dport 9 redirect to :443", hook="prerouting", kind="nat", priority="-100")),
    Case("a translation of other people's addresses", "equal", "equal", lambda n: foreign("ip saddr 172.17.0.0/16 masquerade", hook="postrouting", kind="nat", priority="100")),
    Case("a foreign table on forwarded traffic", "equal", "equal", lambda n: foreign("drop", hook="forward")),
    Case("a foreign rule with a concatenation", "equal", "narrower", lambda n: foreign("ip saddr . tcp dport { 10.0.0.1 . 443, 10.0.0.9 . 1 } drop")),
    Case("a foreign verdict map by address", "equal", "narrower", lambda n: foreign("ip saddr vmap { 10.0.0.1 : drop, 10.0.0.2 : accept }")),
    Case("a foreign rule that is not tracked", "equal", "unknown", lambda n: foreign("tcp dport 443 notrack", hook="prerouting", priority="-300")),
    Case("a foreign table before the IP layer that drops", "equal", "unknown", lambda n: 'table netdev other {\n chain c {\n type filter hook ingress device "lo" priority 0;\n drop\n }\n}'),
    Case("a foreign table before the IP layer that counts", "equal", "equal", lambda n: 'table netdev other {\n chain c {\n type filter hook ingress device "lo" priority 0;\n counter\n }\n}'),
    Case("a foreign table that is switched off", "equal", "unknown", lambda n: "table inet other {\n flags dormant;\n chain c {\n type filter hook input priority 0; policy drop;\n }\n}"),
]  # fmt: skip


@dataclass(frozen=True)
class Loaded:
    prefix: tuple[str, ...]
    text: str
    names: Names


@pytest.fixture(scope="module")
def loaded(kernel: Kernel) -> Loaded:
    text = transaction(render(FULL, "ab" * 32).payload)
    return Loaded(kernel.prefix, text, Names(listed(kernel.prefix, text).everything))


def test_at_least_thirty_kinds_are_told_apart() -> None:
    assert len({case.claim for case in CASES}) == len(CASES) >= 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.claim.replace(" ", "-"))
def test_tampering_is_classified_right(loaded: Loaded, case: Case) -> None:
    listing = listed(loaded.prefix, loaded.text, case.tamper(loaded.names) + "\n")
    found = read(listing.own, listing.everything, FULL.own, AT)
    intended = of_artifact(FULL, AT)

    own, effective = difference(intended, found.own_form), difference(intended, found.form)

    shown = json.dumps([box.to_dict() for box in (*effective.wider, *effective.narrower, *effective.unknown)][:4])
    assert own.state == case.own, f"{shown} {found.own_form.reasons}"
    assert effective.state in case.effective.split("-or-"), f"{shown} {found.form.reasons}"
    if "unknown" in (own.state, effective.state):
        assert found.form.reasons


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.effective != "equal"], ids=lambda case: case.claim.replace(" ", "-")
)
def test_every_difference_has_a_live_rule_to_blame(loaded: Loaded, case: Case) -> None:
    listing = listed(loaded.prefix, loaded.text, case.tamper(loaded.names) + "\n")
    found = read(listing.own, listing.everything, FULL.own, AT)
    outcome = difference(of_artifact(FULL, AT), found.form)

    for boxes, verdict in ((outcome.wider, "allowed"), (outcome.narrower, "denied")):
        for box in boxes:
            decision = decide(found.live, Packet(box.direction, box.family, *box.witness()))
            assert decision.verdict == verdict, box.to_dict()
            assert decision.text
            assert decision.foreign == (decision.table.endswith(" other"))


def test_a_reload_with_new_handles_is_equal(loaded: Loaded) -> None:
    again = f"table inet microseg\ndelete table inet microseg\n{loaded.text}"
    listing = listed(loaded.prefix, loaded.text, again)

    found = read(listing.own, listing.everything, FULL.own, AT)

    assert difference(of_artifact(FULL, AT), found.form).state == "equal"


def test_a_visibility_host_that_drops_is_narrower(kernel: Kernel) -> None:
    watched = Artifact(
        "point", "workload", "", FULL.own, DirectionPolicy("visibility", INGRESS), DirectionPolicy("idle"), FULL.sets
    )
    text = transaction(render(watched, "ab" * 32).payload)
    names = Names(listed(kernel.prefix, text).everything)
    for tamper in (
        f"replace rule {OURS} {names.handle('i_default', 'accept')} drop",
        f"delete rule {OURS} {names.handle('i_default', 'accept')}\nchain {OURS} input {{ policy drop; }}",
    ):
        listing = listed(kernel.prefix, text, tamper)
        found = read(listing.own, listing.everything, watched.own, AT)
        assert difference(of_artifact(watched, AT), found.form).state == "narrower"


def test_the_rule_that_opens_a_port_is_named(loaded: Loaded) -> None:
    listing = listed(loaded.prefix, loaded.text, f"insert rule {OURS} input ip saddr 10.9.0.0/16 accept")
    found = read(listing.own, listing.everything, FULL.own, AT)
    packet = Packet("ingress", 4, parse_address("10.0.0.5").number, parse_address("10.9.0.1").number, 5432)

    decision = decide(found.live, packet)

    assert str(packet) == "10.9.0.1 -> 10.0.0.5 tcp/5432"
    assert (decision.verdict, decision.table, decision.chain) == ("allowed", "inet microseg", "input")
    assert decision.text == "ip saddr 10.9.0.0/16 accept"
    assert decision.handle is not None
