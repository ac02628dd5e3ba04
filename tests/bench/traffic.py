# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Deterministic flows of a synthetic estate: 92 % follow allow rules, the rules drawn by Zipf(1.1); 8 % are random.

Flows of rules that name address blocks come from 16 addresses of each block. Nothing is read from anywhere.
"""

from __future__ import annotations

import datetime as dt

import numpy as np

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import Address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import FAILSAFE
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.edges import Coverage, Edges
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.compile import Compiled

START = 1_780_000_000
WEEK = 604_800
RANDOM_SHARE = 0.08
FROM_A_BLOCK = 16


class Traffic:
    """Draws edges of one compiled policy; every batch has the same ends in the same order."""

    def __init__(self, compiled: Compiled) -> None:
        ends: dict[Address, int] = {}
        of_class = []
        for item in compiled.classes.items:
            members = [compiled.estate.workloads[name].addresses[0] for name in item.members]
            of_class.append(np.array([ends.setdefault(address, len(ends)) for address in members], np.int32))
        self.workloads = len(ends)
        providers: dict[int, list[int]] = {}
        for position, numbers in enumerate(compiled.of_class["ingress"]):
            for number in numbers:
                providers.setdefault(number, []).append(position)
        self.rules = []
        for number, copy in enumerate(compiled.copies["ingress"]):
            rule = copy.artifact
            if rule.tier == FAILSAFE or rule.action != "allow" or number not in providers:
                continue
            consumers = [of_class[place] for place in range(len(of_class)) if copy.peer_bits >> place & 1]
            consumers += [
                np.array([self._end(ends, prefix.low + step) for step in range(FROM_A_BLOCK)], np.int32)
                for prefix in copy.peer_prefixes
                if prefix.high - prefix.low >= FROM_A_BLOCK
            ]
            if consumers:
                to = np.concatenate([of_class[place] for place in providers[number]])
                self.rules.append((np.concatenate(consumers), to, rule.services))
        self.ends = tuple(ends)

    @staticmethod
    def _end(ends: dict[Address, int], number: int) -> int:
        return ends.setdefault(Address("", 4, number), len(ends))

    def edges(self, count: int, seed: int) -> Edges:
        chooser = np.random.default_rng(seed)
        ranks = 1 / np.arange(1, len(self.rules) + 1) ** 1.1
        order = np.random.default_rng(1).permutation(len(self.rules))
        drawn = np.bincount(
            chooser.choice(len(self.rules), int(count * (1 - RANDOM_SHARE)), p=ranks / ranks.sum()),
            minlength=len(self.rules),
        )
        consumer, provider, service = (np.empty(count, kind) for kind in (np.int32, np.int32, np.int64))
        filled = 0
        for place, number in enumerate(drawn.tolist()):
            consumers, providers, services = self.rules[order[place]]
            part = slice(filled, filled + number)
            consumer[part] = consumers[chooser.integers(0, len(consumers), number)]
            provider[part] = providers[chooser.integers(0, len(providers), number)]
            low, high = services[chooser.integers(0, len(services))]
            service[part] = chooser.integers(low, min(high, low + 8) + 1, number)
            filled += number
        rest = count - filled
        consumer[filled:] = chooser.integers(0, self.workloads, rest)
        provider[filled:] = chooser.integers(0, self.workloads, rest)
        service[filled:] = chooser.integers(0, 65_536, rest)
        by_provider = np.argsort(provider, kind="stable")
        first = START + chooser.integers(0, WEEK, count)
        start = dt.datetime.fromtimestamp(START, dt.UTC)
        return Edges(
            ends=self.ends,
            sensors=("sensor",),
            consumer=consumer[by_provider],
            provider=provider[by_provider],
            service=service[by_provider],
            count=chooser.integers(1, 100, count),
            first=first,
            last=first + chooser.integers(0, 3_600, count),
            dropped=chooser.random(count) < 0.02,
            sensor=np.zeros(count, np.int32),
            coverage=Coverage(start, start + dt.timedelta(days=7, hours=1), ("sensor",), ("sensor",), 0.0, "synthetic"),
        )
