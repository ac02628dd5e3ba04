# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one process of a lab host: keeps its namespaces, serves its ports, probes others. Standard library only.

Usage: agent.py SOCKET-NAME [LISTENER ...], in the directory that shall hold the control socket.

The control socket takes one JSON request a line and answers one JSON line each:
``{"op": "listen", "services": [...]}``, ``{"op": "close", "services": [...]}``, ``{"op": "listening"}``,
``{"op": "ip", "batch": "..."}``,
``{"op": "probe", "cells": [[address, service, source], ...], "timeout": s, "retries": n}``,
``{"op": "session", "address": a, "service": s}`` and then ``{"op": "say"}`` for each sign of life of that session.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
from typing import Any

import prober

SYSCTLS = {
    # An address is usable at once, and only what the lab configured is there.
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/dad_transmits": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/all/disable_ipv6": "0",
    "net/ipv6/conf/default/disable_ipv6": "0",
    # A batch of rejected cells gets an ICMP error each.
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv6/icmp/ratelimit": "0",
    "net/ipv4/icmp_msgs_per_sec": "100000",
    "net/core/somaxconn": "4096",
}
IP_PKTINFO = 8


class Listeners:
    """Echo service on any number of ports, both families. TCP answers ``HOSTNAME LINE``: so one knows who."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.open: dict[tuple[str, int], list[socket.socket]] = {}
        self.lock = threading.Lock()
        self.name = socket.gethostname().encode()

    def listen(self, service: str) -> None:
        protocol, _, ports = service.partition("/")
        low, _, high = ports.partition("-")
        for port in range(int(low), int(high or low) + 1):
            with self.lock:
                if (protocol, port) not in self.open:
                    self.open[protocol, port] = [
                        self.bind(family, protocol, port) for family in (socket.AF_INET, socket.AF_INET6)
                    ]

    def bind(self, family: socket.AddressFamily, protocol: str, port: int) -> socket.socket:
        kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
        sock = socket.socket(family, kind, prober.IPPROTO_SCTP if protocol == "sctp" else 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "udp":  # the answer must leave from the address that was asked
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
        sock.setblocking(False)
        if protocol != "udp":
            sock.listen(4096)
        self.selector.register(sock, selectors.EVENT_READ, self.datagram if protocol == "udp" else self.accept)
        return sock

    def close(self, service: str) -> None:
        with self.lock:
            for sock in self.open.pop(prober.split_service(service), []):
                self.selector.unregister(sock)
                sock.close()

    def accept(self, listener: socket.socket) -> None:
        for _ in range(64):
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setblocking(False)
            self.selector.register(connection, selectors.EVENT_READ, self.answer)

    def answer(self, connection: socket.socket) -> None:
        try:
            line = connection.recv(4096)
            if line:
                connection.send(self.name + b" " + line)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.selector.unregister(connection)
        connection.close()

    def datagram(self, sock: socket.socket) -> None:
        for _ in range(64):
            try:
                data, ancillary, _, sender = sock.recvmsg(2048, 256)
            except OSError:
                return
            reply = []
            for level, kind, value in ancillary:
                if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
                    _, _, destination = struct.unpack("=i4s4s", value)
                    reply.append((level, kind, struct.pack("=i4s4s", 0, destination, b"\0" * 4)))
                elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                    reply.append((level, kind, value))
            with contextlib.suppress(OSError):  # our own output policy may forbid it
                sock.sendmsg([data], reply, 0, sender)

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select(1):
                try:
                    key.data(key.fileobj)
                except (OSError, ValueError, KeyError):
                    continue  # closed by a control request meanwhile


class Control:
    """The control socket: one thread a connection."""

    def __init__(self, listeners: Listeners) -> None:
        self.listeners = listeners

    def serve(self, server: socket.socket) -> None:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection: socket.socket) -> None:
        session: socket.socket | None = None
        with connection, connection.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                request = json.loads(line)
                try:
                    if request["op"] == "session":
                        session = self.session(request)
                        answer: Any = True
                    elif request["op"] == "say":
                        answer = session is not None and self.say(session, request["timeout"])
                    else:
                        answer = getattr(self, "do_" + request["op"])(request)
                    reply = {"ok": answer}
                except Exception as error:  # goes back to the caller, whatever it is
                    reply = {"error": f"{type(error).__name__}: {error}"}
                try:
                    connection.sendall(json.dumps(reply).encode() + b"\n")
                except OSError:
                    break
        if session is not None:
            session.close()

    def session(self, request: dict[str, Any]) -> socket.socket:
        protocol, port = prober.split_service(request["service"])
        sock = socket.socket(
            prober.family_of(request["address"]), socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
        )
        sock.settimeout(request["timeout"])
        if request.get("source"):
            sock.bind((request["source"], 0))
        sock.connect((request["address"], port))
        return sock

    @staticmethod
    def say(sock: socket.socket, timeout: float) -> bool:
        """Whether a line comes back through a connection that was opened earlier."""
        sock.settimeout(timeout)
        token = os.urandom(6).hex().encode()
        try:
            sock.sendall(token + b"\n")
            received = b""
            while token not in received:
                data = sock.recv(4096)
                if not data:
                    return False
                received += data
        except OSError:
            return False
        return True

    def do_listen(self, request: dict[str, Any]) -> bool:
        for service in request["services"]:
            self.listeners.listen(service)
        return True

    def do_close(self, request: dict[str, Any]) -> bool:
        for service in request["services"]:
            self.listeners.close(service)
        return True

    def do_listening(self, _: dict[str, Any]) -> list[str]:
        return sorted(f"{protocol}/{port}" for protocol, port in self.listeners.open)

    def do_probe(self, request: dict[str, Any]) -> list[str]:
        cells = [(address, service, source) for address, service, source in request["cells"]]
        return prober.probe(cells, request["timeout"], request["retries"])

    def do_ip(self, request: dict[str, Any]) -> bool:
        run = subprocess.run(["ip", "-batch", "-"], input=request["batch"], capture_output=True, text=True, check=False)
        if run.returncode:
            raise RuntimeError(run.stderr.strip())
        return True


def main() -> None:
    name, *services = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command that uses the lab
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536, hard))
    for path, value in SYSCTLS.items():
        # Where /proc/sys is read-only the kernel's defaults have to do.
        with contextlib.suppress(OSError), open("/proc/sys/" + path, "w", encoding="ascii") as file:
            file.write(value)
    listeners = Listeners()
    for service in services:
        listeners.listen(service)
    threading.Thread(target=listeners.serve, daemon=True).start()
    server = socket.socket(socket.AF_UNIX)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)
    server.bind(name)
    server.listen(64)
    Control(listeners).serve(server)


if __name__ == "__main__":
    main()
