# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a controller wants to know about a host before it plans: addresses, the path it came by."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from typing import Any, Dict, List, Optional

from . import programs
from .errors import TOOL, HostError

#: Bridges of container engines and hypervisors: every host has the same addresses there, and nobody outside sees them.
INTERNAL_BRIDGE = re.compile(r"docker\d+|br-[0-9a-f]{12}|podman\d+|cni-?podman\d+|cni\d+|virbr\d+|lxcbr\d+|lxdbr\d+")


def addresses() -> Dict[str, List[str]]:
    """``{"ipv4": [], "ipv6": []}`` by which others reach this host: no loopback, no link-local, nothing tentative, and
    nothing of a bridge that only this host's own containers see."""
    done = programs.run([programs.need("ip"), "-json", "address", "show"])
    try:
        links = json.loads(done.out)
    except ValueError as error:
        raise HostError(TOOL, "ip address show: {0}".format(done.err.strip() or error)) from error
    return own_addresses(links)


def own_addresses(links: List[Dict[str, Any]]) -> Dict[str, List[str]]:
    """The same out of the answer of ``ip -json address show``."""
    found: Dict[str, List[str]] = {"ipv4": [], "ipv6": []}
    for link in links:
        if INTERNAL_BRIDGE.fullmatch(link.get("ifname", "")):
            continue
        for info in link.get("addr_info", ()):
            if "local" not in info or info.get("tentative") or info.get("dadfailed"):
                continue
            address = ipaddress.ip_address(info["local"])
            if address.is_loopback or address.is_link_local or address.is_multicast:
                continue
            found["ipv{0}".format(address.version)].append(str(address))
    return {family: sorted(set(one), key=ipaddress.ip_address) for family, one in found.items()}


def control_path() -> Optional[Dict[str, Any]]:
    """How the controller came here, as sshd saw it: client and server address and port. None if not by ssh.

    Privilege escalation strips the variable from our own environment; the session's first shell still has it.
    """
    pid = os.getpid()
    while pid > 0:
        path = parsed_connection(_environment(pid).get("SSH_CONNECTION", ""))
        if path is not None:
            return path
        pid = _parent(pid)
    return None


def parsed_connection(text: str) -> Optional[Dict[str, Any]]:
    """``SSH_CONNECTION``: client address, client port, server address, server port."""
    words = text.split()
    try:
        client, client_port, server, server_port = words[0], int(words[1]), words[2], int(words[3])
        return {
            "client_address": _plain(client),
            "client_port": client_port,
            "server_address": _plain(server),
            "server_port": server_port,
        }
    except (IndexError, ValueError):
        return None


def _plain(text: str) -> str:
    address = ipaddress.ip_address(text.partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)


def _environment(pid: int) -> Dict[str, str]:
    try:
        with open("/proc/{0}/environ".format(pid), encoding="utf-8", errors="replace") as source:
            pairs = source.read().split("\0")
    except OSError:
        return {}
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def _parent(pid: int) -> int:
    try:
        with open("/proc/{0}/stat".format(pid), encoding="ascii", errors="replace") as source:
            return int(source.read().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0
