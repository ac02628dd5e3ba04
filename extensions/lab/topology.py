# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a lab consists of, and how its hosts are wired: one bridge, a port for each host, every address on link."""

from __future__ import annotations

import ipaddress
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

CONTROLLER = "controller"


class LabError(Exception):
    """The lab cannot do what was asked; the message says why."""


@dataclass
class Host:
    """One host of the lab. ``pid`` is the process that keeps its namespaces."""

    name: str
    ipv4: list[str] = field(default_factory=list)
    ipv6: list[str] = field(default_factory=list)
    listeners: list[str] = field(default_factory=list)
    unmanaged: bool = False
    groups: list[str] = field(default_factory=list)
    vars: dict[str, Any] = field(default_factory=dict)
    pid: int = 0

    def addresses(self) -> list[str]:
        return [*self.ipv4, *self.ipv6]

    def address(self, family: int) -> str:
        found = self.ipv6 if family == 6 else self.ipv4
        if not found:
            raise LabError(f"{self.name} has no IPv{family} address")
        return found[0]


class Cell(NamedTuple):
    """May ``consumer`` (a host) reach this address on this service? ``source`` picks one of its own addresses."""

    consumer: str
    address: str
    service: str
    source: str | None = None


def read_spec(path: pathlib.Path) -> Mapping[str, Any]:
    import yaml  # only here: what this machine permits can be asked without it

    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(spec, Mapping) or not isinstance(spec.get("hosts"), list):
        raise LabError(f"{path}: a lab needs a list of hosts")
    return spec


def controller_of(spec: Mapping[str, Any]) -> Host:
    given = spec.get("controller") or {}
    return Host(CONTROLLER, ipv4=list(given.get("ipv4", ["10.254.0.1"])), ipv6=list(given.get("ipv6", ["fd00:254::1"])))


def hosts_of(spec: Mapping[str, Any], controller: Host) -> dict[str, Host]:
    """The hosts of a spec by name; a name or address that cannot be is refused."""
    hosts: dict[str, Host] = {}
    seen = set(map(ipaddress.ip_address, controller.addresses()))
    for entry in spec["hosts"]:
        host = Host(**entry)
        if host.name in hosts or host.name == CONTROLLER or not host.name.replace("-", "").replace(".", "").isalnum():
            raise LabError(f"host name {host.name!r} is taken or not a host name")
        for text in host.addresses():
            address = ipaddress.ip_address(text)
            if address in seen:
                raise LabError(f"address {address} is given twice")
            seen.add(address)
        if not host.addresses():
            raise LabError(f"{host.name} has no address")
        hosts[host.name] = host
    return hosts


def port_name(index: int) -> str:
    """The bridge port of the host with this number (they count from 1)."""
    return f"port{index}"


def port(index: int, pid: int) -> str:
    """ip(8) lines that connect a host, whose namespaces the process holds, to the bridge."""
    mac = f"02:6d:73:00:{index >> 8:02x}:{index & 255:02x}"
    name = port_name(index)
    pair = f"link add {name} type veth peer name eth0 address {mac} netns {pid}"
    return f"{pair}\nlink set {name} master br0 up\n"


def controller_links(controller: Host) -> str:
    """ip(8) lines for the namespace of the controller, which also holds the bridge."""
    bridge = "link add br0 address 02:6d:73:ff:00:01 type bridge mcast_snooping 0"
    return f"{bridge}\nlink set br0 addrgenmode none\nlink set br0 up\n" + addresses(controller, "br0", 0xFF01)


def host_links(host: Host, index: int) -> str:
    return "link set eth0 addrgenmode none\nlink set eth0 up\n" + addresses(host, "eth0", index)


def addresses(host: Host, device: str, index: int) -> str:
    """Every address is a single one and everything is on link, so any mixture of subnets works."""
    lines = [f"addr add {address}/32 dev {device}" for address in host.ipv4]
    lines += [f"addr add fe80::6d73:{index:x}/64 dev {device} nodad"]
    lines += [f"addr add {address}/128 dev {device} nodad" for address in host.ipv6]
    lines += [f"route add default dev {device} src {host.ipv4[0]}"] if host.ipv4 else []
    lines += [f"route add ::/0 dev {device} src {host.ipv6[0]}"] if host.ipv6 else []
    return "\n".join(lines) + "\n"
