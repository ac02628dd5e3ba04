# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask whether packets get through: TCP, UDP and echo requests to many services at once, within one time limit.

A closed port that answers (RST, port unreachable) was reached and counts as allowed: a policy that refuses with a reply
says administratively prohibited. Silence and prohibitions count as denied; silence of UDP proves nothing.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import selectors
import socket
import struct
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

ALLOWED, DENIED, UNKNOWN = "allowed", "denied", "unknown"
TRIES = 3  # datagrams of one probe, spread over its time: one lost packet is no verdict

_ECHO = {4: (socket.IPPROTO_ICMP, 8, 0), 6: (socket.IPPROTO_ICMPV6, 128, 129)}  # protocol, request, reply
_PROHIBITED = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM)
# A question a name server, a time server or anything else answers.
_DNS = bytes.fromhex("5e6701000001000000000000") + b"\x00" + struct.pack("!HH", 2, 1)
_NTP = b"\x23" + bytes(47)


class Probe(NamedTuple):
    """One question: may this host reach ``service`` (tcp/443, udp/53, icmp/8.0, icmpv6/128.0) at ``address``?"""

    address: str
    service: str
    expect: Optional[str]


def parse(raw: Mapping[str, Any]) -> Probe:
    """Refuses (ValueError) what is not a probe or cannot be probed."""
    address = ipaddress.ip_address(str(raw["address"]))
    protocol, _slash, port = str(raw["service"]).partition("/")
    if protocol in ("tcp", "udp"):
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError("{0}: not a port".format(raw["service"]))
    elif (protocol, port, address.version) not in (("icmp", "8.0", 4), ("icmpv6", "128.0", 6)):
        raise ValueError("{0} to {1} cannot be probed".format(raw["service"], address))
    return Probe(str(address), str(raw["service"]), raw.get("expect"))


class _Running:
    """A probe with its socket, until it has a verdict."""

    def __init__(self, probe: Probe, began: float) -> None:
        self.probe = probe
        self.began = began
        self.sent = 0
        self.verdict = ""
        self.reason = ""
        self.took = 0.0
        self.fd = -1
        self.socket: Optional[socket.socket] = None

    def end(self, verdict: str, reason: str) -> None:
        self.verdict, self.reason, self.took = verdict, reason, time.monotonic() - self.began
        if self.socket is not None:
            self.socket.close()

    @property
    def datagrams(self) -> bool:
        return not self.probe.service.startswith("tcp/")


def run(probes: Sequence[Probe], seconds: float, at_once: int = 200) -> List[Dict[str, Any]]:
    """Verdict of each probe, in order. Takes at most ``seconds`` for each ``at_once`` probes, run side by side."""
    results: List[Dict[str, Any]] = []
    for start in range(0, len(probes), at_once):
        results += _run(probes[start : start + at_once], seconds)
    return results


def _run(probes: Sequence[Probe], seconds: float) -> List[Dict[str, Any]]:
    selector = selectors.DefaultSelector()
    running = [_Running(probe, time.monotonic()) for probe in probes]
    for one in running:
        _open(one, selector)
    deadline = time.monotonic() + seconds
    while any(not one.verdict for one in running) and time.monotonic() < deadline:
        pause = min(deadline - time.monotonic(), seconds / TRIES / 4)
        for key, _events in selector.select(max(pause, 0.001)):
            _ready(key.data)
            _forget_ended(key.data, selector)
        for one in running:
            if one.datagrams and not one.verdict and time.monotonic() - one.began > one.sent * seconds / TRIES:
                _send(one)
                _forget_ended(one, selector)
    for one in running:
        if not one.verdict:
            _silent(one)
    selector.close()
    return [_result(one) for one in running]


def _open(one: _Running, selector: selectors.BaseSelector) -> None:
    address, service = one.probe.address, one.probe.service
    version = ipaddress.ip_address(address).version
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    protocol, _slash, port = service.partition("/")
    target = (address, int(port) if protocol in ("tcp", "udp") else 0)
    try:
        if protocol == "tcp":
            one.socket = socket.socket(family, socket.SOCK_STREAM)
        elif protocol == "udp":
            one.socket = socket.socket(family, socket.SOCK_DGRAM)
        else:
            one.socket = _echo_socket(family, _ECHO[version][0])
        one.socket.setblocking(False)
        code = one.socket.connect_ex(target)
    except OSError as error:
        one.end(UNKNOWN, "cannot probe: {0}".format(error.strerror or error))
        return
    if code in (0, errno.EINPROGRESS):
        selector.register(one.socket, selectors.EVENT_READ if one.datagrams else selectors.EVENT_WRITE, one)
        one.fd = one.socket.fileno()
        if one.datagrams:
            _send(one)
            _forget_ended(one, selector)
    elif code in (errno.ECONNREFUSED, errno.EACCES, errno.EPERM):
        _failed(one, code)
    else:
        # No packet left this host: that says nothing about a policy.
        one.end(UNKNOWN, "no route: " + os.strerror(code))


def _forget_ended(one: _Running, selector: selectors.BaseSelector) -> None:
    if one.verdict:
        selector.unregister(one.fd)


def _echo_socket(family: int, protocol: int) -> socket.socket:
    with contextlib.suppress(PermissionError):
        return socket.socket(family, socket.SOCK_RAW, protocol)
    return socket.socket(family, socket.SOCK_DGRAM, protocol)


def _send(one: _Running) -> None:
    assert one.socket is not None
    one.sent += 1
    try:
        one.socket.send(_question(one))
    except BlockingIOError:
        pass
    except OSError as error:
        _failed(one, error.errno or 0)


def _question(one: _Running) -> bytes:
    protocol, _slash, port = one.probe.service.partition("/")
    if protocol == "udp":
        return _DNS if port == "53" else _NTP if port == "123" else b"\n"
    request = _ECHO[4 if protocol == "icmp" else 6][1]
    head = struct.pack("!BBHHH", request, 0, 0, os.getpid() & 0xFFFF, one.sent)
    return struct.pack("!BBHHH", request, 0, _checksum(head), os.getpid() & 0xFFFF, one.sent)


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack("!{0}H".format(len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def _ready(one: _Running) -> None:
    assert one.socket is not None
    if not one.datagrams:
        code = one.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            one.end(ALLOWED, "connected")
        else:
            _failed(one, code)
        return
    try:
        answer = one.socket.recv(2048)
    except BlockingIOError:
        return
    except OSError as error:
        _failed(one, error.errno or 0)
        return
    if one.probe.service.startswith("udp/") or _is_reply(one, answer):
        one.end(ALLOWED, "answered")


def _is_reply(one: _Running, answer: bytes) -> bool:
    """Raw sockets also get other people's echoes and, for IPv4, the IP header."""
    assert one.socket is not None
    version = 4 if one.probe.service.startswith("icmp/") else 6
    raw = one.socket.type == socket.SOCK_RAW
    start = (answer[0] & 15) * 4 if raw and version == 4 and answer else 0
    if len(answer) < start + 8 or answer[start] != _ECHO[version][2]:
        return False
    return not raw or struct.unpack_from("!H", answer, start + 4)[0] == os.getpid() & 0xFFFF


def _failed(one: _Running, code: int) -> None:
    if code == errno.ECONNREFUSED:
        one.end(ALLOWED, "refused")
    elif code in _PROHIBITED:
        one.end(DENIED, "prohibited: " + os.strerror(code))
    elif code == errno.ETIMEDOUT:
        _silent(one)
    else:
        one.end(UNKNOWN, os.strerror(code))


def _silent(one: _Running) -> None:
    if one.probe.service.startswith("udp/") and one.probe.expect != DENIED:
        one.end(UNKNOWN, "no-answer")
    else:
        one.end(DENIED, "no-answer")


def _result(one: _Running) -> Dict[str, Any]:
    verdict, expect = one.verdict, one.probe.expect
    return {
        "address": one.probe.address,
        "service": one.probe.service,
        "expect": expect,
        "verdict": verdict,
        "reason": one.reason,
        "ok": None if expect is None else verdict == expect,
        "ms": round(one.took * 1000, 1),
    }


def summary(results: Sequence[Mapping[str, Any]]) -> Tuple[bool, int]:
    """Are all expectations met, and how many probes have no verdict?"""
    return all(one["ok"] is not False for one in results), sum(one["verdict"] == UNKNOWN for one in results)
