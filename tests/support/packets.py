# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Send real packets past a rendered table and say which arrived. Standard library only; run in a network namespace.

Reads one JSON request, `{"transaction": TEXT, "own": [...], "peers": [...], "packets": [...]}`, each packet a list of
way, own, peer, protocol, a, b, where (a, b) is (0, port), (type, code) or (0, 0); answers with a list of booleans. The
table is loaded in a namespace `host`; the peers live in another, both behind a bridge in a third. Packets are single
raw ones and are looked for on raw sockets of the receiver, which see what the filter let through, whatever the
protocol.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from typing import Any

CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33
IPV6_CHECKSUM = 7
TCP, UDP, ICMP, ICMPV6, SCTP = 6, 17, 1, 58, 132
LIBC = ctypes.CDLL(None, use_errno=True)


def run(*words: str, text: str = "") -> None:
    done = subprocess.run(list(words), input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr[:500]}")


def enter(namespace: int) -> None:
    if LIBC.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def new_namespace() -> int:
    if LIBC.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    for name in ("all", "default"):
        for key, value in (("accept_dad", "0"), ("accept_ra", "0"), ("disable_ipv6", "0")):
            with open(f"/proc/sys/net/ipv6/conf/{name}/{key}", "w", encoding="ascii") as target:
                target.write(value)
    run("ip", "link", "set", "lo", "up")
    return here()


class Bed:
    """Two namespaces behind a bridge in a third, with fixed neighbours: no rule of a test can break resolution."""

    def __init__(self, own: list[str], peers: list[str]) -> None:
        switch = here()
        run("ip", "link", "add", "br0", "type", "bridge")
        run("ip", "link", "set", "br0", "up")
        self.sides: dict[str, int] = {}
        macs = {"host": "02:00:00:00:00:01", "peer": "02:00:00:00:00:02"}
        for side in ("host", "peer"):
            enter(switch)
            self.sides[side] = new_namespace()
            pid_path = f"/proc/self/fd/{self.sides[side]}"
            enter(switch)
            run("ip", "link", "add", f"s{side}", "type", "veth", "peer", "name", "eth0", "address", macs[side])
            holder = subprocess.Popen(
                ["nsenter", f"--net={pid_path}", "sleep", "60"], pass_fds=(self.sides[side],), stdin=subprocess.DEVNULL
            )
            wait_for_namespace(holder.pid, self.sides[side])
            run("ip", "link", "set", "eth0", "netns", str(holder.pid))
            holder.kill()
            holder.wait()
            run("ip", "link", "set", f"s{side}", "master", "br0", "up")
        for side, mine, others in (("host", own, peers), ("peer", peers, own)):
            enter(self.sides[side])
            run("ip", "link", "set", "eth0", "up")
            lines = [
                f"address add {one}/{64 if ':' in one else 24} dev eth0{' nodad' if ':' in one else ''}" for one in mine
            ]
            lines.extend(f"route replace {net} dev eth0" for net in ("10.0.0.0/16", "fd77::/64"))
            other_mac = macs["peer" if side == "host" else "host"]
            lines.extend(f"neigh replace {one} lladdr {other_mac} nud permanent dev eth0" for one in others)
            run("ip", "-batch", "-", text="\n".join(lines) + "\n")

        self._wait_until_connected(own[0], peers)

    def _wait_until_connected(self, own: str, peers: list[str]) -> None:
        """A bridge forwards only once it has noticed the carrier of its ports."""
        peer = next(one for one in peers if (":" in one) == (":" in own))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if all(tried(self, [["ingress", own, peer, 253, 0, 0], ["egress", own, peer, 253, 0, 0]])):
                return
        raise SystemExit("the bed does not carry packets")

    def load(self, transaction: str) -> None:
        enter(self.sides["host"])
        run("nft", "-f", "-", text=transaction)


def wait_for_namespace(pid: int, namespace: int) -> None:
    wanted = os.fstat(namespace).st_ino
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if os.stat(f"/proc/{pid}/ns/net").st_ino == wanted:
            return
        time.sleep(0.002)
    raise SystemExit("nsenter did not enter")


def checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _bit in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def body(number: int, protocol: int, a: int, b: int, source: str, target: str) -> bytes:
    """The transport part of packet `number`, with the number where `number_of` finds it."""
    token = struct.pack("!I", 0x5EED0000 + number)
    if protocol == TCP:
        data = struct.pack("!HHIIBBHHH", 10000 + number, b, 0x5EED0000 + number, 0, 0x50, 0x02, 1024, 0, 0)
        return _summed(data, 16, protocol, source, target)
    if protocol == UDP:
        data = struct.pack("!HHHH", 10000 + number, b, 12, 0) + token
        return _summed(data, 6, protocol, source, target)
    if protocol == SCTP:
        chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 0x5EED0000 + number, 65536, 1, 1, 1)
        head = struct.pack("!HHI", 10000 + number, b, 0)
        return head + struct.pack("<I", crc32c(head + b"\0\0\0\0" + chunk)) + chunk
    if protocol == ICMP:
        data = struct.pack("!BBHHH", a, b, 0, number, 1) + token * 5
        return data[:2] + struct.pack("!H", checksum(data)) + data[4:]
    if protocol == ICMPV6:
        return struct.pack("!BBHHH", a, b, 0, number, 1) + token * 5  # the kernel fills in the checksum
    return token * 5


def _summed(data: bytes, at: int, protocol: int, source: str, target: str) -> bytes:
    if ":" in source:
        return data  # IPV6_CHECKSUM makes the kernel fill it in
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, protocol, len(data))
    return data[:at] + struct.pack("!H", checksum(pseudo + data)) + data[at + 2 :]


def number_of(protocol: int, data: bytes) -> int | None:
    offset = {TCP: 4, UDP: 8, SCTP: 16, ICMP: 8, ICMPV6: 8}.get(protocol, 0)
    if protocol == TCP and (len(data) < 20 or data[13] != 0x02):
        return None
    if len(data) < offset + 4:
        return None
    value = int(struct.unpack_from("!I", data, offset)[0])
    return value - 0x5EED0000 if value >> 16 == 0x5EED else None


def raw(family: int, protocol: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_RAW, protocol)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
    if family == socket.AF_INET6 and protocol in (TCP, UDP):
        made.setsockopt(socket.IPPROTO_IPV6, IPV6_CHECKSUM, 16 if protocol == TCP else 6)
    return made


def tried(bed: Bed, packets: list[list[Any]]) -> list[bool]:
    """Send every packet once; which arrived?"""
    kinds = {
        (socket.AF_INET6 if ":" in own else socket.AF_INET, protocol) for _way, own, _peer, protocol, *_ in packets
    }
    sockets: dict[tuple[str, int, int], socket.socket] = {}
    for side in ("host", "peer"):
        enter(bed.sides[side])
        for family, protocol in kinds:
            sockets[side, family, protocol] = raw(family, protocol)
    arrived = [False] * len(packets)
    for number, (way, own, peer, protocol, a, b) in enumerate(packets):
        side, other = ("peer", "host") if way == "ingress" else ("host", "peer")
        source, target = (peer, own) if way == "ingress" else (own, peer)
        family = socket.AF_INET6 if ":" in own else socket.AF_INET
        enter(bed.sides[side])
        with raw(family, protocol) as sender:
            sender.bind((source, 0))
            try:
                sender.sendto(body(number, protocol, a, b, source, target), (target, 0))
            except PermissionError:
                continue  # dropped on the way out
        collect(sockets[other, family, protocol], family, protocol, arrived)
    for (_side, family, protocol), one in sockets.items():
        collect(one, family, protocol, arrived, 0.05)
    return arrived


def collect(one: socket.socket, family: int, protocol: int, arrived: list[bool], patience: float = 0.0) -> None:
    while select.select([one], [], [], patience)[0]:
        data = one.recv(4096)
        if family == socket.AF_INET:
            data = data[(data[0] & 15) * 4 :]
        number = number_of(protocol, data)
        if number is not None and number < len(arrived):
            arrived[number] = True


def main() -> None:
    request = json.load(sys.stdin)
    bed = Bed(request["own"], request["peers"])
    bed.load(request["transaction"])
    json.dump(tried(bed, request["packets"]), sys.stdout)


if __name__ == "__main__":
    main()
