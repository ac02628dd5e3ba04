# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A policy from the network is read as input from a stranger."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host.errors import HostError
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.payload import Policy, declared_sets

TEXT = """# rendered
table inet microseg {
    comment "policy { of } \\ include"
    set m4_web { type ipv4_addr; size 65535; }
    set m6_web {
        type ipv6_addr
        comment "web; servers"
    }
    set a4_corp { type ipv4_addr; flags interval; elements = { 10.0.0.0/24, 10.1.0.1-10.1.0.9 }; }
    map p_tcp { type inet_service : verdict; flags interval; elements = { 443 : jump atom_1 }; }
    chain atom_1 { ip saddr @m4_web counter accept; }
    chain input {
        type filter hook input priority filter - 10; policy drop;
        ct state { established, related } accept
        ct status dnat accept
        tcp flags & (fin | syn) == syn accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        ip6 saddr fe80::/10 log prefix "include " group 5
        tcp dport vmap @p_tcp
    }
}
"""


def raw(text: str = TEXT, **more: Any) -> dict[str, Any]:
    return dict(
        {"format": 1, "ruleset": text, "members": {}, "policy_digest": "ab" * 32, "artifact_digest": "cd" * 32}, **more
    )


def test_an_honest_policy_is_taken_with_its_sets_and_members() -> None:
    policy = Policy.parse(raw(members={"m4_web": ["10.0.0.1", "10.0.0.1"], "m6_web": ["2001:DB8::0001"]}))

    assert policy.members == {"m4_web": frozenset(["10.0.0.1"]), "m6_web": frozenset(["2001:db8::1"])}
    assert Policy.parse(policy.as_dict()).members == policy.members


def test_a_declared_set_without_members_is_empty() -> None:
    assert Policy.parse(raw()).members == {"m4_web": frozenset(), "m6_web": frozenset()}


@pytest.mark.parametrize(
    ("why", "text"),
    [
        ("nothing", ""),
        ("another table", TEXT.replace("microseg", "filter")),
        ("another family", TEXT.replace("table inet", "table ip")),
        ("a command before", "flush ruleset\n" + TEXT),
        ("a command after", TEXT + "flush ruleset\n"),
        ("a command after a semicolon", TEXT.rstrip() + "; flush ruleset\n"),
        ("a second table", TEXT + TEXT),
        ("an include", TEXT.replace("chain input {", 'include "/etc/shadow"\n chain input {')),
        ("an include without a blank", TEXT.replace("chain input {", 'include"/etc/shadow"\n chain input {')),
        ("a define", "define x = 1\n" + TEXT),
        ("a define inside", TEXT.replace("chain input {", "define x = 1\n chain input {")),
        ("a variable", TEXT.replace("10.0.0.0/24", "$net")),
        ("a line continued", TEXT.replace("chain input {", "chain \\\n input {")),
        ("a NUL", TEXT.replace("rendered", "rend\0ered")),
        ("a carriage return", TEXT.replace("rendered", "rendered\r")),
        ("a line separator", TEXT.replace("rendered", "rendered\u2028flush ruleset")),
        ("an open string", TEXT.replace('"include "', '"include')),
        ("a string over lines", TEXT.replace('"include "', '"inc\nlude "')),
        ("an open brace", TEXT.rstrip()[:-1]),
        ("too many braces", TEXT + "}\n"),
        ("a dormant table", TEXT.replace("chain input {", "flags dormant\n chain input {")),
        ("an owned table", TEXT.replace("chain input {", "flags owner\n chain input {")),
        ("a mirror", TEXT.replace("ct status dnat accept", "dup to 192.0.2.1")),
        ("a proxy", TEXT.replace("ct status dnat accept", "meta l4proto tcp tproxy to :8080")),
        ("a queue", TEXT.replace("ct status dnat accept", "queue num 0")),
        ("translation", TEXT.replace("type filter hook", "type nat hook")),
        (
            "packets past connection tracking",
            TEXT.replace("chain input {", "chain early { notrack\n }\n chain input {"),
        ),
        ("another hook", TEXT.replace("hook input", "hook forward")),
        ("a flow table", TEXT.replace("chain input {", "flowtable f { hook ingress priority 0; }\n chain input {")),
        ("packets that add members", TEXT.replace("ct status dnat accept", "add @m4_web { ip saddr }")),
        ("packets that add members, in one word", TEXT.replace("ct status dnat accept", "add@m4_web { ip saddr }")),
        ("packets that add members, apart", TEXT.replace("ct status dnat accept", "add @ m4_web { ip saddr }")),
        ("packets that add members, as of old", TEXT.replace("ct status dnat accept", "set add ip saddr @m4_web")),
        ("packets that keep members", TEXT.replace("ct status dnat accept", "update @m4_web { ip saddr }")),
        ("packets that remove members", TEXT.replace("ct status dnat accept", "delete @m4_web { ip saddr }")),
        ("a meter", TEXT.replace("ct status dnat accept", "meter m { ip saddr limit rate 1/second }")),
        ("members in the text", TEXT.replace("size 65535;", "elements = { 10.0.0.1 };")),
        ("a membership set of ranges", TEXT.replace("size 65535;", "flags interval;")),
        ("a membership set of pairs", TEXT.replace("type ipv4_addr; size", "type ipv4_addr . inet_service; size")),
        ("a membership set of the other family", TEXT.replace("type ipv4_addr; size", "type ipv6_addr; size")),
        ("a membership set by expression", TEXT.replace("type ipv4_addr; size", "typeof ip saddr; size")),
        ("a map named like a membership set", TEXT.replace("map p_tcp", "map m4_tcp")),
        ("a chain named like a membership set", TEXT.replace("chain atom_1", "chain m4_1")),
        ("a set declared twice", TEXT.replace("set m6_web", "set m4_web")),
        ("a back tick", TEXT.replace("rendered\n", "rendered\n`id`\n")),
    ],
)
def test_a_text_is_refused(why: str, text: str) -> None:
    with pytest.raises(HostError) as refused:
        Policy.parse(raw(text))

    assert refused.value.code == "E-HOST-PAYLOAD", why
    assert "the last policy stays" in str(refused.value)


CLOCK = "table inet microseg {\n\tset clock {\n\t\ttype nf_proto\n\t}\n}\n"


def test_the_set_of_the_clock_is_filled_by_the_host_alone() -> None:
    policy = Policy.parse(raw(CLOCK, format=2))

    assert policy.timed
    assert (policy.members, policy.as_dict()["format"]) == ({}, 2)
    assert not Policy.parse(raw()).timed


@pytest.mark.parametrize(
    "text",
    [
        CLOCK.replace("nf_proto\n", "nf_proto\n\t\telements = { ipv4 }\n"),
        CLOCK.replace("nf_proto", "ipv4_addr"),
        CLOCK.replace("\t}\n}", "\t}\n\tchain input {\n\t\tadd @clock { meta nfproto }\n\t}\n}"),
        CLOCK.replace("nf_proto\n", "nf_proto\n\t\tflags interval\n"),
        CLOCK.replace("set clock", "map clock"),
    ],
)
def test_another_set_of_the_clock_is_refused(text: str) -> None:
    with pytest.raises(HostError, match="E-HOST-PAYLOAD"):
        Policy.parse(raw(text, format=2))


def test_nobody_but_the_host_gives_the_clock_members() -> None:
    with pytest.raises(HostError, match="E-HOST-PAYLOAD"):
        Policy.parse(raw(CLOCK, format=2, members={"clock": ["10.0.0.1"]}))


@pytest.mark.parametrize(
    "members",
    [
        {"m4_web": ["10.0.0.0/24"]},
        {"m4_web": ["10.0.0.1-10.0.0.9"]},
        {"m4_web": ["10.0.0.1 }; flush ruleset"]},
        {"m4_web": ["2001:db8::1"]},
        {"m6_web": ["10.0.0.1"]},
        {"m6_web": ["fe80::1%eth0"]},
        {"m4_web": [167772161]},
        {"m4_web": ["localhost"]},
        {"m4_web": "10.0.0.1"},
        {"m4_other": ["10.0.0.1"]},
        {"a4_corp": ["10.0.0.1"]},
        [],
        None,
    ],
)
def test_members_are_refused(members: Any) -> None:
    with pytest.raises(HostError, match="E-HOST-PAYLOAD"):
        Policy.parse(raw(members=members))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("text", "E-HOST-PAYLOAD"),
        (None, "E-HOST-PAYLOAD"),
        (raw(format=3), "E-HOST-FORMAT"),
        (raw(format=True), "E-HOST-PAYLOAD"),
        (raw(format="1"), "E-HOST-PAYLOAD"),
        (raw(format=0), "E-HOST-PAYLOAD"),
        (raw(extra=1), "E-HOST-PAYLOAD"),
        (raw(policy_digest="not hex"), "E-HOST-PAYLOAD"),
        (raw(artifact_digest=None), "E-HOST-PAYLOAD"),
        (raw(ruleset=["table"]), "E-HOST-PAYLOAD"),
    ],
)
def test_a_shape_is_refused(value: Any, code: str) -> None:
    with pytest.raises(HostError) as refused:
        Policy.parse(value)

    assert refused.value.code == code


def test_a_newer_format_is_named_before_its_unknown_keys() -> None:
    with pytest.raises(HostError, match="E-HOST-FORMAT"):
        Policy.parse({"format": 9, "whatever": 1})


def test_the_text_is_judged_by_words_and_not_by_what_stands_in_comments_and_strings() -> None:
    assert declared_sets(TEXT.replace("# rendered", "# include dup owner")) == {"m4_web", "m6_web"}
