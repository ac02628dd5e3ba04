# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Pairs of first-match lists that mean the same, or nearly: the second is another way to write the first."""

from __future__ import annotations

import random
from typing import Any

#: Order of fields in a rule and in a diagram: the source, which most rules leave open, last.
FIELDS = {"proto": 8, "dport": 16, "sport": 16, "dst": 32, "src": 32}
#: Ranges per field, then the value: 1 allow, 2 deny.
Rule = tuple[list[list[tuple[int, int]]], int]
PORTS = [22, 25, 53, 80, 123, 161, 389, 443, 445, 636, 993, 1433, 1521, 3306, 3389, 5432, 5671, 6379, 8080, 8443, 9092]
TCP, UDP = 6, 17


def block(chooser: random.Random, length: int) -> tuple[int, int]:
    size = 1 << (32 - length)
    low = (10 << 24 | chooser.getrandbits(24)) & ~(size - 1)
    return low, low + size - 1


def rules(count: int, seed: int = 5) -> list[Rule]:
    """`count` rules, denies among them, over one /8: services as sites have them, half of the sources any or wide."""
    chooser = random.Random(seed)
    blocks = [block(chooser, chooser.choice([16, 16, 20, 24, 24, 28])) for _ in range(max(8, count // 4))]
    whole = {name: [(0, (1 << bits) - 1)] for name, bits in FIELDS.items()}
    found: list[Rule] = []
    for _ in range(count):
        protocol = chooser.choice([TCP, TCP, TCP, UDP])
        if chooser.random() < 0.3:
            low = chooser.choice([1024, 5000, 30000])
            ports = [(low, low + chooser.choice([10, 100, 1000, 20000]))]
        else:
            ports = [(port, port) for port in sorted(chooser.sample(PORTS, chooser.randint(1, 3)))]
        sources = whole["src"]
        if chooser.random() < 0.65:
            sources = disjoint([chooser.choice(blocks) for _ in range(chooser.randint(1, 4))])
        sport = [(1024, 65535)] if chooser.random() < 0.1 else whole["sport"]
        found.append(
            (
                [[(protocol, protocol)], ports, sport, [chooser.choice(blocks)], sources],
                2 if chooser.random() < 0.25 else 1,
            )
        )
    return found


def disjoint(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merged; blocks of prefixes either nest or do not touch."""
    kept: list[tuple[int, int]] = []
    for low, high in sorted(ranges, key=lambda pair: (pair[0], -pair[1])):
        if not kept or low > kept[-1][1]:
            kept.append((low, high))
    return kept


def rewritten(written: list[Rule], mutations: int, seed: int = 6) -> list[Rule]:
    """One rule per source, ports of ranges split in two, single ports each alone; `mutations` rules act otherwise."""
    chooser = random.Random(seed)
    changed = set(chooser.sample(range(len(written)), mutations))
    found: list[Rule] = []
    for number, (ranges, action) in enumerate(written):
        protocol, ports, sport, destinations, sources = ranges
        parts = [piece for low, high in ports for piece in _halves(low, high)] if len(ports) < 3 else ports
        halves = [parts[: len(parts) // 2], parts[len(parts) // 2 :]] if len(parts) > 1 else [parts]
        for source in sources:
            for half in halves:
                acts = 3 - action if number in changed else action
                found.append(([protocol, half, sport, destinations, [source]], acts))
    return found


def _halves(low: int, high: int) -> list[tuple[int, int]]:
    middle = (low + high) // 2
    return [(low, high)] if low == high else [(low, middle), (middle + 1, high)]


def as_json(written: list[Rule]) -> list[Any]:
    return [[ranges, action] for ranges, action in written]
