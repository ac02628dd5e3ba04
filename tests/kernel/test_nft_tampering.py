# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every way we can think of to change a host's rules behind our back, and what drift must call it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

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

    def chain(self, name: str) -> str:
        """A chain by its name, or by a TCP port of the input hook."""
        if name in self.table.chains:
            return name
        for value, verdict in self.table.sets["ip_tcp"]["elem"]:
            low, high = value["range"] if isinstance(value, dict) else (value, value)
            if low <= int(name) <= high:
                return str(verdict["goto"]["target"])
        raise AssertionError(name)

    def filled(self, text: str) -> str:
        """The commands of a case with the names of this host in them."""
        text = re.sub(r"<rule in (\w+): ([^>]+)>", lambda found: self.handle(self.chain(found[1]), found[2]), text)
        text = re.sub(r"<chain (\w+)>", lambda found: self.chain(found[1]), text)
        return re.sub(r"\bour\b", "inet microseg", text)

    def handle(self, chain: str, words: str) -> str:
        """`CHAIN handle N` of the first rule whose text holds the words."""
        for live in self.table.chains[chain].rules:
            if words in rule_text(live):
                return f"{chain} handle {live.handle}"
        raise AssertionError((chain, words, [rule_text(live) for live in self.table.chains[chain].rules]))


class Case(NamedTuple):
    claim: str
    own: str
    effective: str
    tamper: str


CASES = [Case(**case) for case in yaml.safe_load(Path(__file__).with_name("nft_tampering.yml").read_text())]
DIFFERENT = [case for case in CASES if case.effective != "equal"]


def name_of(case: Case) -> str:
    return case.claim.replace(" ", "-").replace(",", "")


@dataclass(frozen=True)
class Loaded:
    prefix: tuple[str, ...]
    text: str
    names: Names


@pytest.fixture(scope="module")
def loaded(kernel: Kernel) -> Loaded:
    text = transaction(render(FULL, "ab" * 32, AT).payload)
    return Loaded(kernel.prefix, text, Names(listed(kernel.prefix, text).everything))


def test_at_least_thirty_kinds_are_told_apart() -> None:
    assert len({case.claim for case in CASES}) == len(CASES) >= 30


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_tampering_is_classified_right(loaded: Loaded, case: Case) -> None:
    listing = listed(loaded.prefix, loaded.text, loaded.names.filled(case.tamper))
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
    listing = listed(loaded.prefix, loaded.text, loaded.names.filled(case.tamper))
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
        "point",
        "workload",
        "",
        FULL.own,
        DirectionPolicy("visibility", INGRESS),
        DirectionPolicy("idle"),
        FULL.sets,
    )
    text = transaction(render(watched, "ab" * 32, AT).payload)
    names = Names(listed(kernel.prefix, text).everything)
    for tamper in (
        names.filled("replace rule our <rule in i_default: accept> drop"),
        names.filled("delete rule our <rule in i_default: accept>\nchain our input { policy drop; }"),
    ):
        listing = listed(kernel.prefix, text, tamper)
        found = read(listing.own, listing.everything, watched.own, AT)
        assert difference(of_artifact(watched, AT), found.form).state == "narrower"


def test_the_rule_that_opens_a_port_is_named(loaded: Loaded) -> None:
    listing = listed(loaded.prefix, loaded.text, "insert rule inet microseg input ip saddr 10.9.0.0/16 accept")
    found = read(listing.own, listing.everything, FULL.own, AT)
    packet = Packet("ingress", 4, parse_address("10.0.0.5").number, parse_address("10.9.0.1").number, 5432)

    decision = decide(found.live, packet)

    assert str(packet) == "10.9.0.1 -> 10.0.0.5 tcp/5432"
    assert (decision.verdict, decision.table, decision.chain) == ("allowed", "inet microseg", "input")
    assert decision.text == "ip saddr 10.9.0.0/16 accept"
    assert decision.handle is not None
