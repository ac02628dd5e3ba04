# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Names for what was seen: services and ip_lists that exist already, or new ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...model import services as line
from ...model.addresses import FAMILIES, Address, Prefix, cidrs, parse_prefix
from ...model.intervals import Intervals, intersection, normalised, size, subtraction, union
from .homes import plain_name

#: Names that the field gives to single service points.
WELL_KNOWN = {
    "tcp/22": "ssh", "tcp/25": "smtp", "tcp/53": "dns-tcp", "udp/53": "dns", "tcp/80": "http", "udp/123": "ntp",
    "tcp/389": "ldap", "tcp/443": "https", "udp/514": "syslog", "tcp/636": "ldaps", "tcp/1433": "mssql",
    "tcp/1521": "oracle", "tcp/2049": "nfs", "tcp/3306": "mysql", "tcp/3389": "rdp", "tcp/5432": "postgresql",
    "tcp/5672": "amqp", "tcp/6379": "redis", "tcp/6514": "syslog-tls", "tcp/9092": "kafka", "tcp/9200": "elasticsearch",
    "tcp/11211": "memcached", "tcp/27017": "mongodb",
}  # fmt: skip
#: From so many services on that no name covers, a rule gets a named service of its own.
MANY = 3
#: How names that are made here end. What has such a name is used again only where it means exactly what was seen:
#: otherwise one proposal would widen the next.
_OWN = re.compile(r"-(?:services|clients|servers)(?:-\d+)?$")


class ServiceNames:
    """`known` by name; `proposed` fills with new ones."""

    def __init__(self, known: Mapping[str, Intervals], overlap: float) -> None:
        self.known = dict(known)
        self.given = {name: meaning for name, meaning in known.items() if not _OWN.search(name)}
        self.overlap = overlap
        self.proposed: dict[str, list[str]] = {}

    def terms(self, points: frozenset[int], hint: str, conflicts: Callable[[Intervals], bool]) -> list[str]:
        """`conflicts`: may these further points not be opened? Exact names first, then those that overlap enough."""
        rest = normalised((point, point) for point in points)
        found: list[str] = []
        for name, meaning in sorted(self.known.items(), key=lambda item: (-size(item[1]), item[0])):
            if meaning and not subtraction(meaning, rest):
                found.append(name)
                rest = subtraction(rest, meaning)
        if rest:
            near = self._overlapping(rest, conflicts)
            if near:
                found.append(near)
                rest = subtraction(rest, self.known[near])
        texts = line.show(rest) if rest else []
        for text in [text for text in texts if text in WELL_KNOWN]:
            name = WELL_KNOWN[text]
            if name not in self.known:  # else the policy means something else by it
                self._propose(name, [text])
                found.append(name)
                texts.remove(text)
        if len(texts) >= MANY:
            name = self._free(f"{hint}-services")
            self._propose(name, texts)
            return sorted([*found, name])
        return sorted(found) + texts

    def meaning(self, terms: Iterable[str]) -> Intervals:
        found: Intervals = ()
        for term in terms:
            found = union(found, self.known[term] if term in self.known else line.parse(term))
        return found

    def _overlapping(self, rest: Intervals, conflicts: Callable[[Intervals], bool]) -> str:
        best: tuple[float, str] = (0.0, "")
        for name, meaning in sorted(self.given.items()):
            common = size(intersection(meaning, rest))
            share = common / size(union(meaning, rest))
            if common and share >= self.overlap and share > best[0] and not conflicts(subtraction(meaning, rest)):
                best = (share, name)
        return best[1]

    def _propose(self, name: str, texts: list[str]) -> None:
        self.known[name] = line.parse_all(texts)
        self.proposed[name] = list(texts)

    def _free(self, name: str) -> str:
        plain, number = plain_name(name), 2
        free = plain
        while free in self.known:
            free, number = f"{plain}-{number}", number + 1
        return free


class Lists:
    """ip_lists of the policy; `proposed` fills with new ones, one for each set of addresses."""

    def __init__(self, known: Mapping[str, tuple[Prefix, ...]], overlap: float) -> None:
        self.known = dict(known)
        self.overlap = overlap
        self.proposed: dict[str, list[Any]] = {}
        self._names: dict[tuple[Any, ...], str] = {}

    def peers(
        self,
        addresses: frozenset[Address],
        zones: frozenset[str],
        hint: str,
        conflicts: Callable[[Iterable[Prefix]], bool],
    ) -> list[dict[str, Any]]:
        """`zones` are those of the workloads on the other side; blocks name their zone where it is another.

        `conflicts`: may these blocks not be opened? A list that exists is used where it overlaps enough; what it lacks
        stands beside it.
        """
        own = frozenset(address.zone for address in addresses) == zones and len(zones) == 1
        best: tuple[float, str] = (0.0, "")
        for name, prefixes in sorted(self.known.items(), key=_without_zones_first):
            usable = own or all(item.zone is not None for item in prefixes)
            share = overlap(prefixes, addresses) if usable else 0.0
            if share >= (1.0 if _OWN.search(name) else self.overlap) and share > best[0] and not conflicts(prefixes):
                best = (share, name)
        found: list[dict[str, Any]] = []
        if best[1]:
            found.append({"ip_list": best[1]})
            known = self.known[best[1]]
            addresses = frozenset(one for one in addresses if not any(item.holds(one, one.zone) for item in known))
        blocks = _blocks(addresses, own)
        if len(blocks) > 1:
            found.append({"ip_list": self._named(blocks, hint)})
        elif blocks:
            found.append(blocks[0] if isinstance(blocks[0], dict) else {"cidr": blocks[0]})
        return found

    def count(self, peers: Iterable[Mapping[str, Any]]) -> int:
        """Addresses that these peers hold."""
        found = 0
        for peer in peers:
            if "cidr" in peer:
                found += _size(peer)
            elif peer["ip_list"] in self.known:
                found += sum(one.high - one.low + 1 for one in self.known[peer["ip_list"]])
            else:
                found += sum(_size(block) for block in self.proposed[peer["ip_list"]])
        return found

    def _named(self, blocks: list[Any], hint: str) -> str:
        key = tuple(str(block) for block in blocks)
        if key not in self._names:
            plain, number = plain_name(hint), 2
            name = plain
            while name in self.known or name in self.proposed:
                name, number = f"{plain}-{number}", number + 1
            self._names[key] = name
            self.proposed[name] = blocks
        return self._names[key]


def _size(block: Any) -> int:
    prefix = parse_prefix(block if isinstance(block, str) else block["cidr"])
    return prefix.high - prefix.low + 1


def _without_zones_first(item: tuple[str, tuple[Prefix, ...]]) -> tuple[bool, str]:
    return any(prefix.zone is not None for prefix in item[1]), item[0]


def overlap(prefixes: Iterable[Prefix], addresses: frozenset[Address]) -> float:
    """Jaccard: addresses in both, by addresses in either. The same number in another zone is another address."""
    prefixes = tuple(prefixes)
    near = {address.zone for address in addresses}
    both = either = 0
    for family in FAMILIES:
        for zone in near | {item.zone for item in prefixes if item.zone is not None}:
            meant = (zone, None) if zone in near else (zone,)
            listed = normalised(
                (item.low, item.high) for item in prefixes if item.family == family and item.zone in meant
            )
            seen = normalised((one.number, one.number) for one in addresses if (one.family, one.zone) == (family, zone))
            both += size(intersection(listed, seen))
            either += size(union(listed, seen))
    return both / either if either else 0.0


def _blocks(addresses: frozenset[Address], own: bool) -> list[Any]:
    """The shortest list of blocks that holds exactly these addresses."""
    found: list[Any] = []
    for zone in sorted({address.zone for address in addresses}):
        for family in FAMILIES:
            numbers = normalised(
                (one.number, one.number) for one in addresses if one.family == family and one.zone == zone
            )
            found += [text if own else {"cidr": text, "zone": zone} for text in cidrs(family, numbers)]
    return found


__all__ = ["WELL_KNOWN", "Lists", "ServiceNames", "overlap"]
