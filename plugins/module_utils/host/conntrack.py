# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The connections the kernel tracks: list them, and cut named ones."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from . import programs
from .errors import PAYLOAD, HostError

PROTOCOLS = ("tcp", "udp", "sctp", "icmp", "icmpv6")
_PAIR = re.compile(r"\b(src|dst|sport|dport)=(\S+)")


class Tuple4(NamedTuple):
    """One direction of a tracked connection; ports are 0 where the protocol has none."""

    source: str
    destination: str
    source_port: int
    destination_port: int


class Entry(NamedTuple):
    """A tracked connection: as its opener sent it, and as the replies come."""

    protocol: str
    original: Tuple4
    reply: Tuple4


def entries() -> Optional[List[Entry]]:
    """What the kernel tracks in this network namespace; None where neither file nor tool can tell."""
    try:
        with open("/proc/self/net/nf_conntrack", encoding="ascii", errors="replace") as source:
            return list(parsed(source))
    except OSError:
        pass
    program = programs.find("conntrack")
    if program is None:
        return None
    lines: List[str] = []
    for family in ("ipv4", "ipv6"):
        done = programs.run([program, "-L", "-f", family])
        if done.code != 0:
            return None
        lines += done.out.splitlines()
    return list(parsed(lines))


def parsed(lines: Any) -> Iterator[Entry]:
    """Lines of /proc/net/nf_conntrack or ``conntrack -L``; a line of another shape is no connection and is left out."""
    for line in lines:
        words = line.split()
        protocol = next((word for word in words[:3] if word in PROTOCOLS), None)
        found = _PAIR.findall(line)
        cuts = [number for number, (key, _value) in enumerate(found) if key == "src"]
        if protocol is None or len(cuts) != 2:
            continue
        original, reply = dict(found[: cuts[1]]), dict(found[cuts[1] :])
        if "dst" in original and "dst" in reply:
            yield Entry(protocol, _tuple(original), _tuple(reply))


def _tuple(pairs: Mapping[str, str]) -> Tuple4:
    return Tuple4(
        str(ipaddress.ip_address(pairs["src"])),
        str(ipaddress.ip_address(pairs["dst"])),
        int(pairs.get("sport", 0)),
        int(pairs.get("dport", 0)),
    )


def reset(wanted: Sequence[Mapping[str, Any]], findings: List[Dict[str, str]]) -> List[Dict[str, Any]]:
    """Delete the entries of connections: each wanted is family, proto and optionally saddr, daddr, dport.

    Returns each with the number ``deleted``. Without the tool nothing is cut, and a finding says so. Deleting cuts a
    session only where the policy also drops TCP that is new without being a SYN.
    """
    if not wanted:
        return []
    commands = [_command(one) for one in wanted]
    program = programs.find("conntrack")
    if program is None:
        findings.append({"code": "no-conntrack", "detail": "conntrack is not installed: no session was reset"})
        return []
    results = []
    for one, words in zip(wanted, commands):
        done = programs.run([program, "-D", *words])
        # Exit 1 also means that there was nothing to delete; the count on standard error tells.
        count = re.search(r"(\d+) flow entries have been deleted", done.err)
        if count is None:
            findings.append({"code": "reset-failed", "detail": done.err.strip()[:300]})
        results.append(dict(one, deleted=int(count.group(1)) if count else None))
    return results


def check_reset(wanted: Sequence[Mapping[str, Any]]) -> None:
    """Refuse (E-HOST-PAYLOAD) what is not a connection, before anything is done."""
    for one in wanted:
        _command(one)


def _command(one: Mapping[str, Any]) -> List[str]:
    family, protocol, port = one.get("family"), one.get("proto"), one.get("dport")
    if family not in ("ipv4", "ipv6") or protocol not in PROTOCOLS:
        raise HostError(PAYLOAD, "reset: family and proto of {0!r} are not known.".format(dict(one)))
    words = ["-f", str(family), "-p", str(protocol)]
    kind = ipaddress.IPv4Network if family == "ipv4" else ipaddress.IPv6Network
    for key, flag in (("saddr", "-s"), ("daddr", "-d")):
        if one.get(key):
            try:
                words += [flag, str(kind(str(one[key]), strict=False))]
            except ValueError:
                raise HostError(PAYLOAD, "reset: {0} {1!r} is no {2} address.".format(key, one[key], family)) from None
    if port is not None:
        if protocol not in ("tcp", "udp", "sctp") or not 0 < int(port) < 65536:
            raise HostError(PAYLOAD, "reset: {0}/{1} is no port.".format(protocol, port))
        words += ["--dport", str(int(port))]
    return words
