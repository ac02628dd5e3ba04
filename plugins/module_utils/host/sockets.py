# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sockets of this network namespace, as /proc shows them.

/proc/net is a link to that of the process; /proc/self/net is said outright because this code runs in namespaces.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Set, Tuple

from . import conntrack

ESTABLISHED = 1
LISTEN = 10
_TABLES = ("tcp", "tcp6", "udp", "udp6")
_MOST = 500  # sockets in one report


class Socket(NamedTuple):
    protocol: str  # tcp or udp
    local: str
    local_port: int
    peer: str
    peer_port: int
    state: int
    inode: int

    @property
    def listens(self) -> bool:
        """A TCP listener, or a UDP socket that takes datagrams from anyone."""
        return self.state == LISTEN if self.protocol == "tcp" else self.peer_port == 0

    @property
    def connected(self) -> bool:
        return self.state == ESTABLISHED and self.peer_port != 0


def sockets(directory: str = "/proc/self/net") -> List[Socket]:
    """TCP and UDP sockets of both families. A kernel without IPv6 has two tables fewer."""
    found: List[Socket] = []
    for table in _TABLES:
        try:
            with open(directory + "/" + table, encoding="ascii") as source:
                found += parsed(table[:3], source)
        except FileNotFoundError:
            continue
    return found


def parsed(protocol: str, lines: Iterable[str]) -> Iterator[Socket]:
    """Rows of /proc/net/{tcp,tcp6,udp,udp6}; the head line and anything of another shape are left out."""
    for line in lines:
        fields = line.split()
        if len(fields) < 10 or ":" not in fields[1]:
            continue
        local, local_port = _endpoint(fields[1])
        peer, peer_port = _endpoint(fields[2])
        yield Socket(protocol, local, local_port, peer, peer_port, int(fields[3], 16), int(fields[9]))


def _endpoint(text: str) -> Tuple[str, int]:
    """``0100007F:1F90``: each 32-bit word of the address as this machine reads it, the port as a number."""
    digits, _colon, port = text.partition(":")
    words = [int(digits[start : start + 8], 16) for start in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(struct.pack("=I", word) for word in words))
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), int(port, 16)


def untracked() -> Optional[List[Dict[str, Any]]]:
    """Live TCP sockets that connection tracking has not seen: the next packet of each is a stranger to the policy.

    None where the tracked connections cannot be read. Loopback is left out, which every policy lets through.
    """
    tracked = conntrack.entries()
    if tracked is None:
        return None
    known: Set[Tuple[str, int, str, int]] = set()
    for entry in tracked:
        for one in (entry.original, entry.reply):
            known.add((one.source, one.source_port, one.destination, one.destination_port))
            known.add((one.destination, one.destination_port, one.source, one.source_port))
    return [
        {
            "local_address": one.local,
            "local_port": one.local_port,
            "peer_address": one.peer,
            "peer_port": one.peer_port,
        }
        for one in sockets()
        if one.protocol == "tcp"
        and one.connected
        and not ipaddress.ip_address(one.local).is_loopback
        and (one.local, one.local_port, one.peer, one.peer_port) not in known
    ][:_MOST]
