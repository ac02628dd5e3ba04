# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Try many connections at once from the network namespace this runs in. Standard library only.

Each cell gets one word that says what came back:

========== ========================================= =================
``open``     TCP handshake, UDP echo, ICMP echo reply  counts as allowed
``closed``   TCP reset by the far end                  counts as allowed
``rejected`` an ICMP error                             counts as denied
``timeout``  nothing in time                           counts as denied
``unable``   this kernel cannot send such a packet     no verdict
========== ========================================= =================
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time

ALLOWED = ("open", "closed")
AT_ONCE = 400  # sockets open at one moment
IPPROTO_SCTP = 132
IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE, SO_EE_ORIGIN_LOCAL = 11, 25, 0x2000, 1
ICMP6_FILTER = 1
REJECTIONS = (
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EACCES,
    errno.EPERM,
    errno.EPROTO,
    errno.ENOPROTOOPT,
)


def split_service(service: str) -> tuple[str, int]:
    """``tcp/5432`` -> ("tcp", 5432); ``icmp``, ``icmpv6`` -> (…, 0)."""
    protocol, _, port = service.partition("/")
    if (
        protocol not in ("tcp", "udp", "sctp", "icmp", "icmpv6")
        or (protocol in ("tcp", "udp", "sctp")) != port.isdigit()
    ):
        raise ValueError(f"a probe needs tcp/PORT, udp/PORT, sctp/PORT, icmp or icmpv6, not {service!r}")
    return protocol, int(port or 0)


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def icmp_error(sock: socket.socket) -> bool:
    """Whether the error of this socket came by ICMP. Only so a port-unreachable differs from a reset."""
    try:
        _, ancillary, _, _ = sock.recvmsg(1, 512, MSG_ERRQUEUE)
    except OSError:
        return False
    # struct sock_extended_err: errno u32, origin u8, type u8, code u8, ...
    return any(data[4] > SO_EE_ORIGIN_LOCAL for _, _, data in ancillary)


class Attempt:
    """One TCP, SCTP or UDP cell in flight."""

    def __init__(self, address: str, service: str, source: str | None) -> None:
        self.protocol, self.port = split_service(service)
        self.address = address
        self.source = source
        self.family = family_of(address)
        self.sock: socket.socket | None = None

    def start(self) -> str | None:
        kind = socket.SOCK_DGRAM if self.protocol == "udp" else socket.SOCK_STREAM
        try:
            self.sock = socket.socket(self.family, kind, IPPROTO_SCTP if self.protocol == "sctp" else 0)
        except OSError as error:
            if error.errno in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
                return "unable"
            raise
        self.sock.setblocking(False)
        if self.family == socket.AF_INET6:
            self.sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            self.sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        if self.source:
            self.sock.bind((self.source, 0))
        result = self.sock.connect_ex((self.address, self.port))
        if self.protocol == "udp" and result == 0:
            return self.send()
        return None if result in (0, errno.EINPROGRESS) else self.judge(result)

    def send(self) -> str | None:
        assert self.sock is not None
        try:
            self.sock.send(b"microseg\n")
        except OSError as error:
            return self.judge(error.errno)
        return None

    def events(self) -> int:
        return select.POLLIN if self.protocol == "udp" else select.POLLOUT

    def ready(self) -> str | None:
        assert self.sock is not None
        if self.protocol == "udp":
            try:
                return "open" if self.sock.recv(64) else None
            except BlockingIOError:
                return None
            except OSError as error:
                return self.judge(error.errno)
        return self.judge(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def judge(self, code: int | None) -> str:
        """What a connect that ended with this errno means."""
        assert self.sock is not None
        if code == 0:
            return "open"
        if code in (errno.ECONNREFUSED, errno.ECONNRESET) and self.protocol != "udp" and not icmp_error(self.sock):
            return "closed"
        # The local output hook answers a drop with EPERM, an unresolved neighbour shows as EHOSTUNREACH: no way either.
        return "rejected" if code in REJECTIONS else "timeout"

    def close(self) -> None:
        if self.sock is not None:
            if self.protocol != "udp":
                # A reset instead of TIME_WAIT: thousands of cells would use up the ports.
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()


def sockets(cells: list[tuple[str, str, str | None]], timeout: float) -> list[str]:
    """One round for TCP, SCTP and UDP cells (at most AT_ONCE of them)."""
    attempts = [Attempt(*cell) for cell in cells]
    results: list[str | None] = [None] * len(cells)
    poll = select.poll()
    waiting: dict[int, int] = {}
    try:
        for index, attempt in enumerate(attempts):
            results[index] = attempt.start()
            if results[index] is None and attempt.sock is not None:
                waiting[attempt.sock.fileno()] = index
                poll.register(attempt.sock, attempt.events())
        end = time.monotonic() + timeout
        while waiting and (left := end - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left * 1000):
                index = waiting[descriptor]
                results[index] = attempts[index].ready()
                if results[index] is not None:
                    poll.unregister(descriptor)
                    del waiting[descriptor]
    finally:
        for attempt in attempts:
            attempt.close()
    return [result or "timeout" for result in results]


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echoes(cells: list[tuple[str, str, str | None]], timeout: float) -> list[str]:
    """One round of ICMP echo requests: a raw socket per family and source, cells told apart by sequence number."""
    results: list[str] = ["timeout"] * len(cells)
    identifier = int.from_bytes(os.urandom(2), "big")
    raw: dict[tuple[int, str | None], socket.socket] = {}
    poll = select.poll()
    try:
        for index, (address, _, source) in enumerate(cells):
            family = family_of(address)
            sock = raw.get((family, source))
            if sock is None:
                six = family == socket.AF_INET6
                sock = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
                sock.setblocking(False)
                if six:
                    # echo reply (129) and the errors (1-4) only
                    allow = [1, 2, 3, 4, 129]
                    blocked = [0xFFFFFFFF] * 8
                    for number in allow:
                        blocked[number >> 5] &= ~(1 << (number & 31))
                    sock.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("8I", *blocked))
                if source:
                    sock.bind((source, 0))
                raw[family, source] = sock
                poll.register(sock, select.POLLIN)
            kind = 8 if family == socket.AF_INET else 128
            packet = struct.pack("!BBHHH", kind, 0, 0, identifier, index) + b"microseg"
            packet = packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]
            try:
                sock.sendto(packet, (address, 0))
            except OSError as error:
                results[index] = "rejected" if error.errno in REJECTIONS else "timeout"
        by_descriptor = {sock.fileno(): (family, sock) for (family, _), sock in raw.items()}
        open_cells = {index for index, result in enumerate(results) if result == "timeout"}
        end = time.monotonic() + timeout
        while open_cells and (left := end - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left * 1000):
                family, sock = by_descriptor[descriptor]
                try:
                    data = sock.recv(2048)
                except OSError:
                    continue
                answer = read_echo(data, family == socket.AF_INET6, identifier)
                if answer is not None and answer[0] in open_cells:
                    results[answer[0]] = answer[1]
                    open_cells.discard(answer[0])
    finally:
        for sock in raw.values():
            sock.close()
    return results


def read_echo(data: bytes, six: bool, identifier: int) -> tuple[int, str] | None:
    """A received ICMP message -> (sequence number, verdict word), if it answers one of ours."""
    if not six:
        data = data[(data[0] & 15) * 4 :]  # raw IPv4 sockets deliver the IP header too
    if len(data) < 8:
        return None
    kind = data[0]
    verdict = "open"
    if kind in ((1, 2, 3, 4) if six else (3, 11)):
        verdict = "rejected"
        inner = data[8:]  # the packet that caused the error
        data = inner[40:] if six else inner[(inner[0] & 15) * 4 :] if inner else b""
        if len(data) < 8 or data[0] not in (8, 128):
            return None
    elif kind != (129 if six else 0):
        return None
    found, sequence = struct.unpack("!HH", data[4:8])
    return (sequence, verdict) if found == identifier else None


def one_round(cells: list[tuple[str, str, str | None]], timeout: float) -> list[str]:
    results: list[str] = [""] * len(cells)
    echo = [index for index, cell in enumerate(cells) if cell[1].startswith("icmp")]
    other = [index for index, cell in enumerate(cells) if not cell[1].startswith("icmp")]
    for indexes, probe in ((other, sockets), (echo, echoes)):
        for begin in range(0, len(indexes), AT_ONCE):
            part = indexes[begin : begin + AT_ONCE]
            for index, result in zip(part, probe([cells[index] for index in part], timeout), strict=True):
                results[index] = result
    return results


def probe(cells: list[tuple[str, str, str | None]], timeout: float = 0.6, retries: int = 1) -> list[str]:
    """Words for cells of (address, service, source address or None); silent cells are tried again ``retries`` times."""
    results = one_round(cells, timeout)
    for _ in range(retries):
        again = [index for index, result in enumerate(results) if result in ("timeout", "rejected")]
        if not again:
            break
        for index, result in zip(again, one_round([cells[index] for index in again], timeout), strict=True):
            results[index] = result
    return results
