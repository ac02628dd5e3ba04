# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The canonical listing: what counts as policy and what does not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import listing

OURS = {"family": "inet", "table": "microseg"}


def live() -> dict[str, Any]:
    return {
        "nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"table": {"family": "inet", "name": "microseg", "handle": 6}},
            {"counter": dict(OURS, name="c_1", handle=3, packets=5, bytes=300)},
            {"set": dict(OURS, name="m4_web", type="ipv4_addr", handle=4, elem=["10.0.0.1", "10.0.0.2"])},
            {
                "set": dict(
                    OURS, name="a4_c", type="ipv4_addr", flags=["interval"], handle=5, elem=["10.1.0.1", "10.2.0.1"]
                )
            },
            {"set": dict(OURS, name="seen", type="ipv4_addr", flags=["dynamic"], handle=6, elem=["10.3.0.1"])},
            {
                "set": dict(
                    OURS,
                    name="timed",
                    type="ipv4_addr",
                    handle=7,
                    elem=[{"elem": {"val": "10.4.0.1", "timeout": 60, "expires": 12}}],
                )
            },
            {"chain": dict(OURS, name="input", handle=8, type="filter", hook="input", prio=0, policy="drop")},
            {"rule": dict(OURS, chain="input", handle=9, expr=[_counter(1, 60), {"accept": None}])},
            {"rule": dict(OURS, chain="input", handle=10, expr=[_in({"set": ["icmp", "tcp"]}), {"drop": None}])},
            {"rule": dict(OURS, chain="input", handle=11, expr=[_quota(9, 3)])},
        ]
    }


def _in(right: Any) -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": right}}


def _counter(packets: int, size: int) -> dict[str, Any]:
    return {"counter": {"packets": packets, "bytes": size}}


def _quota(limit: int, used: int) -> dict[str, Any]:
    return {"quota": {"val": limit, "val_unit": "bytes", "used": used}}


def changed(number: int, kind: str, **values: Any) -> dict[str, Any]:
    other = copy.deepcopy(live())
    other["nftables"][number][kind].update(values)
    return other


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("handles", changed(1, "table", handle=99)),
        ("named counters", changed(2, "counter", packets=6, bytes=360)),
        ("rule counters", changed(8, "rule", expr=[_counter(2, 120), {"accept": None}])),
        ("members", changed(3, "set", elem=["10.0.0.9"])),
        ("order of set elements", changed(4, "set", elem=["10.2.0.1", "10.1.0.1"])),
        ("what packets put into sets", changed(5, "set", elem=[])),
        ("remaining times", changed(6, "set", elem=[{"elem": {"val": "10.4.0.1", "timeout": 60, "expires": 1}}])),
        ("order in anonymous sets", changed(9, "rule", expr=[_in({"set": ["tcp", "icmp"]}), {"drop": None}])),
        ("used quota", changed(10, "rule", expr=[_quota(9, 8)])),
        ("nft version", changed(0, "metainfo", version="1.1.3")),
        ("foreign tables", {"nftables": [*live()["nftables"], {"table": {"family": "ip", "name": "nat"}}]}),
    ],
)
def test_is_no_policy(what: str, other: dict[str, Any]) -> None:
    assert listing.canonical_hash(other) == listing.canonical_hash(live()), what


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("static elements", changed(4, "set", elem=["10.1.0.1"])),
        ("type of a membership set", changed(3, "set", type="ipv6_addr")),
        ("element timeout", changed(6, "set", elem=[{"elem": {"val": "10.4.0.1", "timeout": 61, "expires": 12}}])),
        ("chain policy", changed(7, "chain", policy="accept")),
        ("verdict", changed(8, "rule", expr=[_counter(1, 60), {"drop": None}])),
        ("presence of a counter", changed(8, "rule", expr=[{"accept": None}])),
        ("comment", changed(8, "rule", comment="x")),
        ("quota", changed(10, "rule", expr=[_quota(8, 3)])),
        (
            "an added rule",
            {"nftables": [*live()["nftables"], {"rule": dict(OURS, chain="input", expr=[{"accept": None}])}]},
        ),
    ],
)
def test_is_policy(what: str, other: dict[str, Any]) -> None:
    assert listing.canonical_hash(other) != listing.canonical_hash(live()), what


def test_the_order_of_rules_is_policy_and_the_order_of_objects_is_not() -> None:
    objects = live()["nftables"]
    rules_swapped = [*objects[:8], objects[9], objects[8], objects[10]]
    chains_first = [objects[7], *objects[:7], *objects[8:]]

    assert listing.canonical_hash({"nftables": rules_swapped}) != listing.canonical_hash(live())
    assert listing.canonical_hash({"nftables": chains_first}) == listing.canonical_hash(live())


def test_no_table_is_absent() -> None:
    assert listing.canonical_hash(None) == "absent"
    assert listing.canonical_hash({"nftables": [{"table": {"family": "ip", "name": "microseg"}}]}) == "absent"


def test_members_and_named_counters_are_read_apart() -> None:
    assert listing.members(live()) == {"m4_web": frozenset(["10.0.0.1", "10.0.0.2"])}
    assert listing.counters(live()) == {"c_1": {"packets": 5, "bytes": 300}}
    assert listing.foreign({"nftables": [{"table": {"family": "ip", "name": "nat"}}, *live()["nftables"]]}) == [
        {"table": {"family": "ip", "name": "nat"}}
    ]
