# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Listings no kernel here would print: other tools' rules, odd words, broken documents."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.driver import Packet
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.attribute import decide
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.read import read
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import Form
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.live import allow_everything
from tests.support.artifacts import AT

OWN = {4: ((0x0A000005, 0x0A000005),), 6: ((5, 5),)}
PEER = 0x0A000007
GOLDEN = Path(__file__).parents[3] / "golden" / "nftables"


def listing(*expressions: list[Any], hook: str = "input", policy: str = "accept", **chain: Any) -> dict[str, Any]:
    base = {
        "family": "inet",
        "table": "other",
        "name": "c",
        "type": "filter",
        "hook": hook,
        "prio": 0,
        "policy": policy,
    }
    rules = [
        {"rule": {"family": "inet", "table": "other", "chain": "c", "handle": 10 + number, "expr": expression}}
        for number, expression in enumerate(expressions)
    ]
    table = {"table": {"family": "inet", "name": "other"}}
    return {"nftables": [table, {"chain": {**base, **chain}}, *rules]}


def match(left: Any, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def payload(protocol: str, field: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": field}}


def meaning(document: dict[str, Any]) -> Form:
    return read(None, document, OWN, AT).form


def shown(form: Form, part: str, family: Any = 4, way: Any = "ingress", peer: int = PEER) -> list[str]:
    cell = form.at(way, family, OWN[family][0][0], peer)
    services = {"allowed": cell.allowed, "unknown": cell.unknown}[part]
    return line.show(services, family)


def test_nothing_there_allows_everything() -> None:
    found = read(None, None, OWN, AT)

    assert found.own_form == found.form == allow_everything(OWN)
    assert decide(found.live, Packet("ingress", 4, OWN[4][0][0], PEER, 80)).text == "no rule on the way"


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        pytest.param([{"xt": {"type": "match", "name": "conntrack"}}, {"drop": None}], ["any"], id="iptables match"),
        pytest.param([{"xt": {"type": "target", "name": "DNAT"}}], ["any"], id="iptables DNAT"),
        pytest.param(
            [{"xt": {"type": "match", "name": "comment"}}, {"xt": {"type": "target", "name": "LOG"}}], [], id="log"
        ),
        pytest.param([match(payload("tcp", "dport"), 80), {"queue": {"num": 1}}], ["tcp/80"], id="queue"),
        pytest.param([match(payload("udp", "sport"), 53), {"drop": None}], ["udp"], id="source port"),
        pytest.param(
            [match({"meta": {"key": "l4proto"}}, "strange"), {"drop": None}], ["any"], id="unknown protocol word"
        ),
        pytest.param([match({"meta": {"key": "hour"}}, "08:00"), {"drop": None}], ["any"], id="time of day"),
        pytest.param([match({"meta": {"key": "iifname"}}, "eth0"), {"drop": None}], ["any"], id="interface"),
        pytest.param([match({"meta": {"key": "iifname"}}, "lo"), {"drop": None}], [], id="loopback"),
        pytest.param([match(payload("ip", "saddr"), "@gone"), {"drop": None}], ["any"], id="a set that is not there"),
        pytest.param([match(payload("th", "dport"), 80), {"accept": None}], [], id="accept of something doubtful"),
        pytest.param([{"limit": {"rate": 1, "per": "second"}}, {"log": None}], [], id="limited log"),
        pytest.param([{"limit": {"rate": 1, "per": "second"}}, {"drop": None}], ["any"], id="limited drop"),
        pytest.param([match({"fib": {"result": "type", "flags": "daddr"}}, "local"), {"accept": None}], [], id="to us"),
        pytest.param([match({"fib": {"result": "type", "flags": "saddr"}}, "local"), {"drop": None}], [], id="from us"),
        pytest.param([{"jump": {"target": "nowhere"}}], [], id="a jump to a chain that is not there"),
        pytest.param(
            [{"vmap": {"key": {"meta": {"key": "mark"}}, "data": {"set": [[1, {"drop": None}]]}}}], ["any"], id="map"
        ),
        pytest.param([{"something": {"new": 1}}, {"drop": None}], ["any"], id="a statement of tomorrow"),
        pytest.param(["nonsense", {"drop": None}], ["any"], id="no statement at all"),
        pytest.param([{"jump": {"target": "c"}}], ["any"], id="a loop"),
    ],
)
def test_what_is_not_modelled_is_unknown_and_quoted(expression: list[Any], unknown: list[str]) -> None:
    form = meaning(listing(expression))

    assert shown(form, "unknown") == unknown
    if unknown:
        assert any("inet other c handle 10" in reason for reason in form.reasons), form.reasons


@pytest.mark.parametrize(
    ("expression", "denied"),
    [
        pytest.param(
            [match(payload("th", "dport"), {"range": [80, 81]})], ["tcp/80-81", "udp/80-81", "sctp/80-81"], id="th"
        ),
        pytest.param([match(payload("tcp", "dport"), 80, "!=")], ["tcp/0-79", "tcp/81-65535"], id="not a port"),
        pytest.param([match(payload("tcp", "dport"), 1023, "<=")], ["tcp/0-1023"], id="up to a port"),
        pytest.param([match(payload("icmp", "type"), "echo-request")], ["icmp/8"], id="echo"),
        pytest.param(
            [match(payload("icmp", "type"), "destination-unreachable"), match(payload("icmp", "code"), "frag-needed")],
            ["icmp/3.4"],
            id="type and code",
        ),
        pytest.param([match(payload("ip", "protocol"), {"set": ["tcp", 47]})], ["tcp", "proto/47"], id="protocols"),
        pytest.param([match({"meta": {"key": "nfproto"}}, "ipv6")], [], id="the other family"),
        pytest.param([match({"meta": {"key": "time"}}, "2026-06-01 12:00:00", "<")], [], id="over since this second"),
        pytest.param(
            [match({"meta": {"key": "time"}}, 1780315200, ">="), match(payload("tcp", "dport"), 1)],
            ["tcp/1"],
            id="since",
        ),
        pytest.param(
            [
                match(
                    {"concat": [payload("ip", "saddr"), payload("tcp", "dport")]},
                    {"set": [{"concat": ["10.0.0.7", 9]}]},
                )
            ],
            ["tcp/9"],
            id="a pair",
        ),
        pytest.param(
            [match({"ct": {"key": "state"}}, "invalid", "in")],
            ["icmp/0-7", "icmp/9-12", "icmp/14", "icmp/16", "icmp/18-255"],
            id="invalid",
        ),
    ],
)
def test_what_is_modelled_is_exact(expression: list[Any], denied: list[str]) -> None:
    """`th` alone is doubtful where there are no ports."""
    opening = match({"ct": {"key": "state"}}, {"set": ["established", "related"]}, "!=")
    form = meaning(listing([opening, *expression, {"drop": None}]))
    cell = form.at("ingress", 4, OWN[4][0][0], PEER)

    rest = line.subtraction(line.subtraction(line.UNIVERSE[4], cell.allowed), cell.unknown)
    assert line.show(rest, 4) == denied, form.reasons


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param({"queue": {"num": 3}}, id="queue"),
        pytest.param({"xt": {"type": "target", "name": "NFQUEUE"}}, id="NFQUEUE"),
        pytest.param({"xt": {"type": "target", "name": "NEWER"}}, id="a target nobody knows"),
        pytest.param({"xt": None}, id="an old nft does not name targets"),
        pytest.param({"newer": {"than": "this"}}, id="a statement nobody knows"),
        pytest.param(
            {"mangle": {"key": {"payload": {"base": "th", "offset": 8, "len": 24}}, "value": 80}}, id="raw bytes"
        ),
    ],
)
def test_what_may_come_out_of_a_rule_as_another_packet_is_unknown_though_later_rules_drop(statement: Any) -> None:
    document = listing([match(payload("tcp", "dport"), 81), statement], hook="prerouting", prio=-300)
    later = listing(policy="drop", name="d")
    document["nftables"].extend(later["nftables"][1:])

    form = meaning(document)

    assert "tcp/81" in shown(form, "unknown") or shown(form, "unknown") == ["any"]
    assert form.reasons


def test_a_wrong_family_never_matches() -> None:
    form = meaning(listing([match(payload("ip6", "saddr"), "::/0", "!="), {"drop": None}]))

    assert shown(form, "allowed") == ["any"]


def test_the_golden_listing_survives_any_mutilation_without_an_exception() -> None:
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    whole = json.loads((GOLDEN / "every-feature" / "listing.json").read_text())

    for _round in range(60):
        broken = copy.deepcopy(whole)
        for _blow in range(chance.randint(1, 4)):
            mutilate(broken, chance)
        found = read(broken, broken, OWN, AT)
        assert set(found.form.slices) == set(allow_everything(OWN).slices)
        decide(found.live, Packet("ingress", 4, OWN[4][0][0], PEER, 80))


def mutilate(document: dict[str, Any], chance: random.Random) -> None:
    """Replace or drop one value somewhere inside one expression or element."""
    body = next(iter(chance.choice(document["nftables"][1:]).values()))
    place: Any = body.get("expr") or body.get("elem")
    while place:
        key = chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
        if isinstance(place[key], (dict, list)) and place[key] and chance.random() < 0.7:
            place = place[key]
            continue
        if chance.random() < 0.2:
            del place[key]
        else:
            place[key] = chance.choice(
                (None, "odd", 7, -1, [], {}, ["x"], {"set": []}, {"range": [1]}, {"prefix": {}}, True)
            )
        return
