# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who listens here and who talks to whom: sockets and tracked connections, added up."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

from .conntrack import Entry
from .sockets import Socket

_ANY = ("0.0.0.0", "::")  # noqa: S104  not bound to: recognised
_Key = Tuple[str, str, str, int, str]
_Pair = Tuple[str, str, int, str, int]


def listeners(found: Iterable[Socket], names: Dict[int, str]) -> List[Dict[str, Any]]:
    """Listening sockets: proto, address, port and the process name where it is known."""
    rows = {(one.protocol, one.local, one.local_port): names.get(one.inode) for one in found if one.listens}
    return [
        {"proto": protocol, "address": address, "port": port, "process": rows[(protocol, address, port)]}
        for protocol, address, port in sorted(rows)
    ]


def connections(
    found: Iterable[Socket], tracked: Optional[List[Entry]], own: Iterable[str]
) -> Tuple[List[Dict[str, Any]], int]:
    """Connections of this host, added up by addresses, protocol, service port and direction; and how many it forwards.

    Inbound is what comes to a port that listens. For UDP without such a port the opener decides, where the kernel
    tracked it; for TCP not, because tracking that began in the middle of a session takes either side for the opener.
    """
    found = list(found)
    served = {(one.protocol, one.local, one.local_port) for one in found if one.listens}
    mine = set(own) | {one.local for one in found if one.local not in _ANY}
    counted: Dict[_Key, int] = {}
    forwarded = 0
    seen: Set[_Pair] = set()
    for entry in tracked or ():
        if entry.protocol not in ("tcp", "udp"):
            continue
        opened, reply = entry.original, entry.reply
        if reply.source in mine:  # the replies leave from here, whatever address the opener used
            pair = (entry.protocol, reply.source, reply.source_port, reply.destination, reply.destination_port)
            _count(counted, seen, pair, served, inbound=True)
        elif opened.source in mine:
            pair = (entry.protocol, opened.source, opened.source_port, opened.destination, opened.destination_port)
            _count(counted, seen, pair, served, inbound=False)
        else:
            forwarded += 1
    for one in found:
        if one.connected:
            _count(
                counted, seen, (one.protocol, one.local, one.local_port, one.peer, one.peer_port), served, inbound=None
            )
    rows = [
        {"local": local, "peer": peer, "proto": protocol, "port": port, "direction": direction, "count": count}
        for (local, peer, protocol, port, direction), count in sorted(counted.items())
    ]
    return rows, forwarded


def _count(
    counted: Dict[_Key, int],
    seen: Set[_Pair],
    pair: _Pair,
    served: Set[Tuple[str, str, int]],
    inbound: Optional[bool],
) -> None:
    protocol, local, local_port, peer, peer_port = pair
    if pair in seen:
        return
    seen.add(pair)
    if local == peer:
        seen.add((protocol, peer, peer_port, local, local_port))  # both ends are ours: one connection
    serves = any((protocol, address, local_port) in served for address in (local, *_ANY))
    if serves or (inbound and protocol == "udp"):
        key = (local, peer, protocol, local_port, "inbound")
    else:
        key = (local, peer, protocol, peer_port, "outbound")
    counted[key] = counted.get(key, 0) + 1


def process_names() -> Dict[int, str]:
    """Inode of a socket -> name of a process that has it open; what we may not read is left out."""
    names: Dict[int, str] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/{0}/comm".format(pid), encoding="utf-8", errors="replace") as source:
                name = source.read().strip()
            for descriptor in os.listdir("/proc/{0}/fd".format(pid)):
                target = os.readlink("/proc/{0}/fd/{1}".format(pid, descriptor))
                if target.startswith("socket:["):
                    names.setdefault(int(target[8:-1]), name)
        except OSError:
            continue
    return names
