# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tiers: which peers some rules allow (DESIGN §3.2), and by how little, for all kinds of peers at once.

Sets of kinds are Python integers used as bitsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..model.artifact import ORDER
from .simulate_questions import Bytes

#: In a fate: no tier decides, the mode does.
MODE = len(ORDER)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A copy as this side sees it: where it stands, what it does, about which kinds of peers."""

    tier: int
    action: str
    peers: int


def evaluate(leaves: Sequence[Leaf], everyone: int) -> tuple[int, int]:
    """Peers that some tier allows, and those that no tier decides (DESIGN §3.2)."""
    undecided, allowed = everyone, 0
    tier = -1
    passed = denied = opened = 0
    for leaf in [*sorted(leaves, key=lambda leaf: leaf.tier), Leaf(len(ORDER), "", 0)]:
        if leaf.tier != tier:
            denied &= ~passed
            opened &= ~(passed | denied)
            allowed |= undecided & opened
            undecided &= ~(denied | opened)
            tier, passed, denied, opened = leaf.tier, 0, 0, 0
        if leaf.action == "pass":
            passed |= leaf.peers
        elif leaf.action == "deny":
            denied |= leaf.peers
        else:
            opened |= leaf.peers
    return allowed, undecided


def fate(leaves: Sequence[Leaf], everyone: int, otherwise: tuple[int, int], count: int) -> Bytes:
    """A byte per kind of peer: what one rule more or less would mean. 0: nothing, whatever the rule.

    Bits 0 to 2: the tier that decides, or MODE; before the failsafe, tier 0, there is none. Bit 3: it allows.
    Bits 4 and 5: how many rules say so, 3 for three and more. Bits 6 and 7: the answer if they were not there.
    `otherwise`: kinds that are allowed, and unknown, where no tier decides. `count`: the number of kinds.
    """
    planes = [everyone if MODE >> bit & 1 else 0 for bit in range(8)]
    allowed, unknown = otherwise
    for tier in sorted({leaf.tier for leaf in leaves}, reverse=True):
        passed = 0
        denies, allows = [0, 0, 0], [0, 0, 0]
        for leaf in leaves:
            if leaf.tier != tier:
                continue
            if leaf.action == "pass":
                passed |= leaf.peers
                continue
            counted = denies if leaf.action == "deny" else allows
            counted[2] |= counted[1] & leaf.peers
            counted[1] |= counted[0] & leaf.peers
            counted[0] |= leaf.peers
        reached = everyone & ~passed
        denied, open_ = denies[0] & reached, allows[0] & reached
        opened = open_ & ~denied
        decided = denied | opened
        twice = (denied & denies[1]) | (opened & allows[1])
        thrice = (denied & denies[2]) | (opened & allows[2])
        second = decided & (allowed | (denied & open_))
        values = [decided if tier >> bit & 1 else 0 for bit in range(3)]
        values += [opened, decided & (~twice | thrice), twice, second, second | (decided & unknown)]
        planes = [plane & ~decided | value for plane, value in zip(planes, values, strict=True)]
        allowed, unknown = allowed & ~decided | opened, unknown & ~decided
    found = np.zeros(count, np.uint8)
    for bit, plane in enumerate(planes):
        if plane:
            found |= unpacked(plane, count) << np.uint8(bit)
    return found


def unpacked(bits: int, count: int) -> Bytes:
    packed = np.frombuffer(bits.to_bytes((count + 7) // 8, "little"), np.uint8)
    return np.unpackbits(packed, bitorder="little", count=count)


__all__ = ["MODE", "Leaf", "evaluate", "fate", "unpacked"]
