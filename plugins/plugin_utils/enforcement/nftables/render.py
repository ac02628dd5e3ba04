# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""An artifact as one nftables table: protocol, then one port map, then one chain per service atom (DESIGN §9).

A packet costs one lookup in its protocol's port map and one hash lookup per rule that speaks about its port. There is
no chain per rule, no concatenated interval map, and no interval set that grows with the estate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from ...model import services as line
from ...model.addresses import FAMILIES
from ...model.artifact import Artifact
from ...model.estate import DIRECTIONS, Direction
from ...model.forms import partition
from ...model.intervals import Intervals, intersection, normalised, size
from ..driver import Rendered, refuse_inexact
from .capabilities import CAPABILITIES, FAMILY, LOG_GROUP, PRIORITY, TABLE
from .clock import Clock
from .rows import LETTER, Chains
from .sets import AddressSets, quoted

__all__ = ["LOG_GROUP", "render"]

FORMAT = 1
TIMED_FORMAT = 2
_HOOK: dict[Direction, str] = {"ingress": "input", "egress": "output"}
_LOOPBACK: dict[Direction, str] = {"ingress": 'iif "lo"', "egress": 'oif "lo"'}
#: ICMP errors of allowed connections, and nothing else that conntrack calls related.
_ERRORS = ("icmp type { 3, 11, 12 }", "icmpv6 type { 1, 2, 3, 4 }")
_NOT_A_SYN = "tcp flags & (fin|syn|rst|ack) != syn ct state new"
_MAP_TYPES = {"tcp": "inet_service", "udp": "inet_service", "sctp": "inet_service", "proto": "inet_proto"}
_WHOLE_PROTOCOL = {
    "tcp": "meta l4proto 6",
    "udp": "meta l4proto 17",
    "sctp": "meta l4proto 132",
    "icmp": "meta nfproto ipv4 meta l4proto 1",
    "icmpv6": "meta nfproto ipv6 meta l4proto 58",
}


def render(artifact: Artifact, policy_digest: str, at: datetime) -> Rendered:
    """The payload for the host agent and the meaning of its counters.

    The text depends on the policy alone, and with schedules on the calendar quarter of `at`; members of label selectors
    travel apart in `members`. Raises EnforcementError (E-INEXACT).
    """
    refuse_inexact(artifact, CAPABILITIES)
    sets = AddressSets(artifact)
    clock = Clock(artifact, at)
    both = {way: Chains(way, artifact.of(way).mode, sets, clock) for way in DIRECTIONS}
    bodies: list[str] = []
    for way in DIRECTIONS:
        bodies.extend(_Hook(artifact, way, both, policy_digest, clock.remark).declarations())
    chains = [text for way in DIRECTIONS for text in both[way].declarations()]
    declared = [*sets.declarations(), *clock.declarations()]
    text = "\n".join([f"table {FAMILY} {TABLE} {{", *declared, *chains, *bodies, "}", ""])
    payload = {
        # A host that does not know the set `clock` would never fill it.
        "format": TIMED_FORMAT if clock.timed else FORMAT,
        "ruleset": text,
        "members": sets.members(),
        "policy_digest": policy_digest,
        "artifact_digest": artifact.digest(),
    }
    return Rendered(payload, {**both["ingress"].rows, **both["egress"].rows})


@dataclass
class _Hook:
    """The base chain of one direction and the maps it dispatches with."""

    artifact: Artifact
    direction: Direction
    both: dict[Direction, Chains]
    policy_digest: str
    remark: str

    def declarations(self) -> list[str]:
        mode = self.artifact.of(self.direction).mode
        cuts = list(self._cuts())
        if mode == "idle" and not cuts:
            return []
        maps: list[str] = []
        origin = quoted(f"microseg format {FORMAT} policy {self.policy_digest[:32]}{self.remark}")
        rules = [f"ct state established accept comment {origin}"]
        if mode != "idle":
            rules.append(f"{_LOOPBACK[self.direction]} accept")
            rules.extend(f"ct state related {errors} accept" for errors in _ERRORS)
            dispatch = list(self._dispatch(maps))
            rules.extend([*cuts, *dispatch])
        else:
            rules.extend([f"{_LOOPBACK[self.direction]} accept", *cuts])
        policy = "drop" if mode == "full" else "accept"
        head = f"type filter hook {_HOOK[self.direction]} priority {PRIORITY}; policy {policy};"
        return [*maps, f"\tchain {_HOOK[self.direction]} {{", *(f"\t\t{text}" for text in (head, *rules)), "\t}"]

    def _cuts(self) -> Iterator[str]:
        """Drop TCP that is new without being a SYN where a rule ends established sessions, whichever end speaks next.

        Without it the next segment of a deleted session would be picked up as a new connection (DESIGN §3.7). A
        direction in mode idle gets these rules too: there the other end of the session comes in or goes out.
        """
        for way in DIRECTIONS:
            policy = self.artifact.of(way)
            if policy.mode not in ("selective", "full"):
                continue
            for rule in policy.rules:
                ports = intersection(rule.services, line.WHOLE["tcp"])
                if rule.action != "deny" or not rule.reset_established or not ports:
                    continue
                mirrored = way != self.direction
                end = "sport" if mirrored else "dport"
                port = "" if ports == line.WHOLE["tcp"] else f" tcp {end} {_port_set(ports)}"
                for condition in self.both[way].conditions(rule, FAMILIES, mirrored):
                    name = self.both[self.direction].cut(rule, f"{condition}{port}")
                    where = f" {condition}" if condition else ""
                    comment = quoted(f"cut {rule.id}")
                    yield f"{_NOT_A_SYN}{port}{where} counter name {name} drop comment {comment}"

    def _dispatch(self, maps: list[str]) -> Iterator[str]:
        """Rules that send a packet to the chain of its service; appends the maps they need."""
        rules = self.artifact.of(self.direction).rules
        chains = self.both[self.direction]
        targets: list[tuple[Intervals, str]] = []
        for mask, services in partition([rule.services for rule in rules], line.ANY).items():
            speaking = tuple(rule for position, rule in enumerate(rules) if mask >> position & 1)
            if speaking:
                targets.append((services, chains.atom(speaking, services)))
        if len(targets) == 1 and targets[0][0] == line.ANY:
            yield f"goto {targets[0][1]}"
            return
        for protocol, whole in line.WHOLE.items():
            parts = [(part, chain) for services, chain in targets if (part := intersection(services, whole))]
            if len(parts) == 1 and parts[0][0] == whole and protocol in _WHOLE_PROTOCOL:
                yield f"{_WHOLE_PROTOCOL[protocol]} goto {parts[0][1]}"
            elif parts and protocol in line.ICMP_PROTOCOLS:
                yield self._icmp(protocol, parts, maps)
            elif parts:
                base = line.PROTO_BASE if protocol == "proto" else line.BASES[protocol]
                key = "meta l4proto" if protocol == "proto" else f"{protocol} dport"
                elements = [(low - base, high - base, chain) for part, chain in parts for low, high in part]
                yield f"{key} vmap @{self._map(protocol, _MAP_TYPES[protocol], elements, maps)}"
        yield f"goto {chains.default}"

    def _icmp(self, protocol: str, parts: Iterable[tuple[Intervals, str]], maps: list[str]) -> str:
        """Types in one map; a type whose codes differ gets a chain that looks at the code."""
        base = line.BASES[protocol]
        by_type: dict[int, list[tuple[int, int, str]]] = {}
        for part, chain in parts:
            for low, high in part:
                for kind in range((low - base) // 256, (high - base) // 256 + 1):
                    first = max(low - base, kind * 256) % 256
                    last = min(high - base, kind * 256 + 255) % 256
                    by_type.setdefault(kind, []).append((first, last, chain))
        elements = []
        for kind, codes in sorted(by_type.items()):
            if len(codes) == 1 and codes[0][:2] == (0, 255):
                elements.append((kind, kind, codes[0][2]))
                continue
            name = f"{LETTER[self.direction]}_{protocol}_{kind}"
            targets = ", ".join(_element(low, high, chain) for low, high, chain in sorted(codes))
            rest = [f"\t\tgoto {self.both[self.direction].default}"]
            if size(normalised((low, high) for low, high, _chain in codes)) == 256:
                rest = []
            maps.extend([f"\tchain {name} {{", f"\t\t{protocol} code vmap {{ {targets} }}", *rest, "\t}"])
            elements.append((kind, kind, name))
        return f"{protocol} type vmap @{self._map(protocol, f'{protocol}_type', elements, maps)}"

    def _map(self, protocol: str, key: str, elements: Iterable[tuple[int, int, str]], maps: list[str]) -> str:
        name = f"{LETTER[self.direction]}p_{protocol}"
        joined: list[tuple[int, int, str]] = []
        for low, high, chain in sorted(elements):
            if joined and joined[-1][1] + 1 == low and joined[-1][2] == chain:
                joined[-1] = (joined[-1][0], high, chain)
            else:
                joined.append((low, high, chain))
        targets = ", ".join(_element(*element) for element in joined)
        body = (f"type {key} : verdict", "flags interval", f"elements = {{ {targets} }}")
        maps.extend([f"\tmap {name} {{", *(f"\t\t{text}" for text in body), "\t}"])
        return name


def _element(low: int, high: int, chain: str) -> str:
    return f"{low} : goto {chain}" if low == high else f"{low}-{high} : goto {chain}"


def _port_set(ports: Intervals) -> str:
    return "{ " + ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ports) + " }"
