# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sockets, tracked connections, addresses and the path of the controller, out of what the kernel prints."""

from __future__ import annotations

import sys

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import connections, conntrack, facts, sockets
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.errors import HostError
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.sockets import Socket

little_endian = pytest.mark.skipif(sys.byteorder != "little", reason="optional: sample of a little-endian machine")
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def one_way(source: str, sport: int, destination: str, dport: int) -> str:
    return f"src={source} dst={destination} sport={sport} dport={dport} "


def both_ways(head: str, source: str, sport: int, destination: str, dport: int) -> str:
    return f"{head} {one_way(source, sport, destination, dport)}{one_way(destination, dport, source, sport)}mark=0"


@little_endian
def test_rows_of_proc_net_are_read() -> None:
    rows = [
        HEAD,
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 x\n",
        "   1: 0A00000A:0016 0900000A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 x\n",
        "garbage\n",
    ]

    assert list(sockets.parsed("tcp", rows)) == [
        Socket("tcp", "127.0.0.1", 8080, "0.0.0.0", 0, sockets.LISTEN, 4711),
        Socket("tcp", "10.0.0.10", 22, "10.0.0.9", 40000, sockets.ESTABLISHED, 4712),
    ]


@little_endian
def test_mapped_addresses_are_shown_as_ipv4() -> None:
    row = (
        "   0: 0000000000000000FFFF00000A00000A:01BB B80D0120000000000000000001000000:9C40 01 "
        "00000000:00000000 00:00000000 00000000 0 0 1 1 x\n"
    )

    (found,) = sockets.parsed("tcp", [row])

    assert (found.local, found.peer) == ("10.0.0.10", "2001:db8::1")


def test_tracked_connections_are_read_from_both_sources() -> None:
    body = one_way("10.0.0.1", 4000, "10.0.0.2", 443) + "[UNREPLIED] " + one_way("10.9.9.9", 8443, "10.0.0.1", 4000)
    lines = [
        "ipv4     2 tcp      6 431999 ESTABLISHED " + body + "mark=0 use=1",
        "tcp      6 431999 ESTABLISHED " + body + "mark=0 use=1",
        "icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=1 src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=1",
        "gre 47 1 src=10.0.0.1 dst=10.0.0.2 srckey=0x0 dstkey=0x0 src=10.0.0.2 dst=10.0.0.1",
        "nonsense",
    ]

    first, second, echo = conntrack.parsed(lines)

    assert first == second
    assert first.original == ("10.0.0.1", "10.0.0.2", 4000, 443)
    assert first.reply == ("10.9.9.9", "10.0.0.1", 8443, 4000)
    assert echo.protocol == "icmp"


@pytest.mark.parametrize(
    "wanted",
    [
        {"family": "ipv4", "proto": "gre"},
        {"family": "ipv4", "proto": "tcp", "dport": 0},
        {"family": "ipv4", "proto": "icmp", "dport": 1},
        {"family": "ipv4", "proto": "tcp", "saddr": "2001:db8::1"},
        {"family": "ipv6", "proto": "tcp", "daddr": "-D"},
        {"proto": "tcp"},
    ],
)
def test_a_reset_that_names_no_connection_is_refused(wanted: dict[str, object]) -> None:
    with pytest.raises(HostError, match="E-HOST-PAYLOAD"):
        conntrack.check_reset([wanted])


def test_direction_follows_the_listeners_and_nothing_is_counted_twice() -> None:
    listening = Socket("tcp", "0.0.0.0", 5432, "0.0.0.0", 0, sockets.LISTEN, 1)
    served = Socket("tcp", "10.0.0.1", 5432, "10.0.0.9", 40000, sockets.ESTABLISHED, 2)
    used = Socket("tcp", "10.0.0.1", 40001, "10.0.0.8", 443, sockets.ESTABLISHED, 3)
    tracked = list(
        conntrack.parsed(
            [
                both_ways("tcp 6 9 ESTABLISHED", "10.0.0.9", 40000, "10.0.0.1", 5432),
                both_ways("udp 17 9", "10.0.0.1", 5000, "10.0.0.3", 53),
                both_ways("udp 17 9", "10.0.0.3", 5000, "10.0.0.1", 514),
                both_ways("tcp 6 9 ESTABLISHED", "10.5.0.1", 1, "10.5.0.2", 2),
            ]
        )
    )

    rows, forwarded = connections.connections([listening, served, used], tracked, ["10.0.0.1"])

    assert [(row["peer"], row["proto"], row["port"], row["direction"], row["count"]) for row in rows] == [
        ("10.0.0.3", "udp", 53, "outbound", 1),
        ("10.0.0.3", "udp", 514, "inbound", 1),
        ("10.0.0.8", "tcp", 443, "outbound", 1),
        ("10.0.0.9", "tcp", 5432, "inbound", 1),
    ]
    assert forwarded == 1


def test_a_session_picked_up_in_the_middle_keeps_its_direction() -> None:
    used = Socket("tcp", "10.0.0.1", 40001, "10.0.0.8", 443, sockets.ESTABLISHED, 3)
    late = both_ways("tcp 6 9 ESTABLISHED", "10.0.0.8", 443, "10.0.0.1", 40001)

    rows, _forwarded = connections.connections([used], list(conntrack.parsed([late])), ["10.0.0.1"])

    assert [(row["port"], row["direction"], row["count"]) for row in rows] == [(443, "outbound", 1)]


def test_addresses_nobody_else_can_use_are_left_out() -> None:
    links = [
        {"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}, {"local": "::1"}]},
        {
            "ifname": "eth0",
            "addr_info": [
                {"local": "10.0.0.10"},
                {"local": "10.0.0.9"},
                {"local": "169.254.1.1"},
                {"local": "fe80::1"},
                {"local": "2001:db8::1"},
                {"local": "2001:db8::2", "tentative": True},
                {},
            ],
        },
        {"ifname": "eth1"},
    ]

    assert facts.own_addresses(links) == {"ipv4": ["10.0.0.9", "10.0.0.10"], "ipv6": ["2001:db8::1"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.8.0.14 40312 10.1.0.7 22", ("10.8.0.14", 40312, "10.1.0.7", 22)),
        ("fe80::1%eth0 5 fe80::2%eth0 22", ("fe80::1", 5, "fe80::2", 22)),
        ("::ffff:10.8.0.14 5 ::ffff:10.1.0.7 22", ("10.8.0.14", 5, "10.1.0.7", 22)),
        ("", None),
        ("10.8.0.14 x 10.1.0.7 22", None),
        ("UNKNOWN 65535 UNKNOWN 65535", None),
    ],
)
def test_the_path_of_the_controller_is_read(text: str, expected: tuple[str, int, str, int] | None) -> None:
    found = facts.parsed_connection(text)

    assert (None if found is None else tuple(found.values())) == expected


def test_the_path_is_found_above_a_privilege_escalation(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = {30: 20, 20: 10, 10: 1, 1: 0}
    environments = {20: {"SUDO_USER": "ops"}, 10: {"SSH_CONNECTION": "10.8.0.14 40312 10.1.0.7 22"}}
    monkeypatch.setattr(facts.os, "getpid", lambda: 30)
    monkeypatch.setattr(facts, "_parent", parents.__getitem__)
    monkeypatch.setattr(facts, "_environment", lambda pid: environments.get(pid, {}))

    found = facts.control_path()

    assert found is not None
    assert found["client_address"] == "10.8.0.14"


def test_bridges_of_this_hosts_own_containers_are_no_addresses_of_the_host() -> None:
    links = [
        {"ifname": "eth0", "addr_info": [{"local": "10.0.0.9"}]},
        {"ifname": "docker0", "addr_info": [{"local": "172.17.0.1"}]},
        {"ifname": "br-0123456789ab", "addr_info": [{"local": "172.18.0.1"}]},
        {"ifname": "br-lan", "addr_info": [{"local": "10.1.0.9"}]},
    ]
    assert facts.own_addresses(links) == {"ipv4": ["10.0.0.9", "10.1.0.9"], "ipv6": []}
