# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real packets: swaps have no gap, probes tell the truth, sessions are seen and cut."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils import probing
from ansible_collections.bulkhead.microseg.plugins.module_utils.host import (
    arm,
    connections,
    conntrack,
    facts,
    revert,
    sockets,
)
from tests.kernel.host_machine import TestedHost, host, payload, ruleset, until

__all__ = ["host"]
pytestmark = pytest.mark.kernel


@contextlib.contextmanager
def serving(port: int, address: str = "127.0.0.1") -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen(256)
        yield server


def test_no_packet_slips_through_while_the_table_is_replaced(host: TestedHost) -> None:
    policies = [payload(ruleset(2000) + f"# {number}\n", {}, f"{number:02x}") for number in range(2)]
    host.provision(policies[0])
    verdicts: dict[int, list[str]] = {2000: [], 2001: []}
    done = threading.Event()

    def knock(port: int, seconds: float) -> None:
        while not done.is_set():
            verdicts[port].append(host.reach(port, seconds))
            with contextlib.suppress(BlockingIOError):
                servers[port].accept()[0].close()

    with serving(2000) as allowed, serving(2001) as denied:
        servers = {2000: allowed, 2001: denied}
        for server in servers.values():
            server.setblocking(False)
        knocking = [threading.Thread(target=knock, args=one) for one in ((2000, 5.0), (2001, 0.05))]
        for thread in knocking:
            thread.start()
        for number in range(12):
            armed = host.arm(policies[(number + 1) % 2], step=str(number))
            revert.revert(host.machine, armed["token"], "test")
        done.set()
        for thread in knocking:
            thread.join()

    assert min(map(len, verdicts.values())) > 10
    assert set(verdicts[2000]) == {"allowed"}
    assert set(verdicts[2001]) == {"denied"}


def test_probes_tell_refused_prohibited_and_silent_apart(host: TestedHost) -> None:
    host.machine.nft.load(
        "table inet filter {\n chain input {\n type filter hook input priority 0\n"
        " tcp dport 11 reject with icmpx admin-prohibited\n tcp dport 12 drop\n udp dport 12 drop\n }\n}\n"
    )
    with serving(10), serving(10, "::1"):
        asked = [
            probing.parse({"address": address, "service": service, "expect": expect})
            for address, service, expect in [
                ("127.0.0.1", "tcp/10", "allowed"),
                ("::1", "tcp/10", "allowed"),
                ("127.0.0.1", "tcp/9", "allowed"),
                ("127.0.0.1", "tcp/11", "denied"),
                ("::1", "tcp/11", "denied"),
                ("127.0.0.1", "tcp/12", "denied"),
                ("127.0.0.1", "udp/9", "allowed"),
                ("127.0.0.1", "udp/12", "denied"),
                ("127.0.0.1", "udp/12", "allowed"),
                ("127.0.0.1", "icmp/8.0", "allowed"),
                ("::1", "icmpv6/128.0", "allowed"),
                ("192.0.2.1", "tcp/1", None),
            ]
        ]

        results = probing.run(asked, 2.5)  # on loopback the answer to the first SYN comes too early to count

    assert [(one["verdict"], one["reason"].partition(":")[0]) for one in results] == [
        ("allowed", "connected"),
        ("allowed", "connected"),
        ("allowed", "refused"),
        ("denied", "prohibited"),
        ("denied", "prohibited"),
        ("denied", "no-answer"),
        ("allowed", "refused"),
        ("denied", "no-answer"),
        ("unknown", "no-answer"),
        ("allowed", "answered"),
        ("allowed", "answered"),
        ("unknown", "no route"),
    ]
    assert probing.summary(results) == (False, 2)


def peers(host: TestedHost) -> subprocess.Popen[str]:
    """A second host behind a veth pair: 10.0.0.1 here, 10.0.0.2 there. The process keeps the other namespace."""
    other = subprocess.Popen(
        ["unshare", "-n", "python3", "-c", _PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdin is not None
    assert other.stdout.readline() == "here\n"
    for words in (
        "link add here type veth peer name there netns {pid}",
        "address add 10.0.0.1/24 dev here",
        "link set here up",
    ):
        subprocess.run(["ip", *words.format(pid=other.pid).split()], check=True)
    other.stdin.write("up\n")
    other.stdin.flush()
    assert other.stdout.readline() == "up\n"
    return other


_PEER = """
import socket, subprocess, sys
print("here", flush=True)
sys.stdin.readline()
subprocess.run("ip address add 10.0.0.2/24 dev there; ip link set there up", shell=True, check=True)
print("up", flush=True)
sys.stdin.readline()
session = socket.create_connection(("10.0.0.1", 3000), 10)
print("connected", flush=True)
for line in sys.stdin:
    session.send(b"x")
"""


def test_sessions_that_stay_silent_in_the_warm_up_are_reported(host: TestedHost) -> None:
    other = peers(host)
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        with serving(3000, "10.0.0.1") as server:
            other.stdin.write("connect\n")
            other.stdin.flush()
            assert other.stdout.readline() == "connected\n"
            session, (_address, port) = server.accept()

            armed = arm.arm(host.machine, host.wish(payload(ruleset(3000)), warm_up=0.1))

            assert armed["will_break"] == [
                {"local_address": "10.0.0.1", "local_port": 3000, "peer_address": "10.0.0.2", "peer_port": port}
            ]
            other.stdin.write("speak\n")
            other.stdin.flush()
            assert session.recv(1) == b"x"
            until(lambda: sockets.untracked() == [])
            session.close()
    finally:
        other.kill()
        other.wait()


def test_connections_are_added_up_with_their_direction(host: TestedHost) -> None:
    host.machine.nft.load(
        "table inet t {\n chain c {\n type filter hook input priority 0\n ct state new accept\n }\n}\n"
    )
    with serving(5432) as server, contextlib.ExitStack() as stack:
        for _number in range(3):
            stack.enter_context(socket.create_connection(("127.0.0.1", 5432), 5))
            stack.enter_context(server.accept()[0])

        found = sockets.sockets()
        rows, forwarded = connections.connections(found, conntrack.entries(), [])

        assert rows == [
            {
                "local": "127.0.0.1",
                "peer": "127.0.0.1",
                "proto": "tcp",
                "port": 5432,
                "direction": "inbound",
                "count": 3,
            }
        ]
        assert forwarded == 0
        (listener,) = connections.listeners(found, connections.process_names())
        assert (listener["proto"], listener["address"], listener["port"]) == ("tcp", "127.0.0.1", 5432)
        assert listener["process"]


def test_named_sessions_are_cut_from_connection_tracking(host: TestedHost) -> None:
    host.machine.nft.load(
        "table inet t {\n chain c {\n type filter hook input priority 0\n ct state new accept\n }\n}\n"
    )
    with serving(5432) as server, socket.create_connection(("127.0.0.1", 5432), 5), server.accept()[0]:
        findings: list[dict[str, str]] = []
        wanted = [{"family": "ipv4", "saddr": "127.0.0.1", "proto": "tcp", "dport": 5432}]

        first = conntrack.reset(wanted, findings)
        second = conntrack.reset(wanted, findings)

    assert [one["deleted"] for one in first + second] == [1, 0]
    assert findings == []


def test_addresses_are_those_others_can_use(host: TestedHost) -> None:
    subprocess.run("ip link add d0 type veth peer name d1; ip link set d0 up", shell=True, check=True)
    subprocess.run("ip address add 10.9.8.7/24 dev d0", shell=True, check=True)
    subprocess.run("ip address add 2001:db8::7/64 dev d0 nodad", shell=True, check=True)

    assert facts.addresses() == {"ipv4": ["10.9.8.7"], "ipv6": ["2001:db8::7"]}
