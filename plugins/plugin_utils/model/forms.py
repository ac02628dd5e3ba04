# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Forms: what one enforcement point lets through, in one normal form.

For each direction and family a form says, per local address and peer address, which services are allowed and which
cannot be judged. It is normal: equal forms are equal packet sets, so a digest of a form is a semantic fingerprint.
Forms come from artifacts (`of_artifact`) and from live rules read back by drivers; comparison never looks at text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from . import services as line
from .addresses import FAMILIES, WHOLE_FAMILY, Family
from .artifact import ORDER, Artifact, ArtifactRule, DirectionPolicy
from .estate import DIRECTIONS, Direction
from .intervals import EMPTY, Intervals, intersection, normalised, subtraction, union


@dataclass(frozen=True, slots=True)
class Cell:
    """Peers that get the same answer. What is neither allowed nor unknown is denied."""

    peers: Intervals
    allowed: Intervals
    unknown: Intervals = EMPTY


@dataclass(frozen=True, slots=True)
class Slice:
    """Local addresses that get the same cells; the cells partition the peers of the family."""

    own: Intervals
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """`slices[direction, family]` partition the local addresses asked about.

    `reasons` quote the live rules that made something unknown.
    """

    slices: Mapping[tuple[Direction, Family], tuple[Slice, ...]]
    reasons: tuple[str, ...] = field(default=(), compare=False)

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for key in sorted(self.slices):
            digest.update(repr((key, self.slices[key])).encode())
        return digest.hexdigest()

    def at(self, direction: Direction, family: Family, own: int, peer: int) -> Cell:
        """The cell that holds one pair of addresses. Raises KeyError for a local address the form does not cover."""
        for part in self.slices.get((direction, family), ()):
            if any(low <= own <= high for low, high in part.own):
                for cell in part.cells:
                    if any(low <= peer <= high for low, high in cell.peers):
                        return cell
        raise KeyError((direction, family, own, peer))


#: What a point of evaluation answers: (allowed, unknown) for one class of peers and one local address.
Answer = tuple[Intervals, Intervals]


def partition(sets: Sequence[Intervals], whole: Intervals) -> dict[int, Intervals]:
    """Split `whole` by which sets hold an address: bitmask of set positions -> addresses.

    One sweep over the sorted boundaries: O(n log n) in the number of intervals, whatever the number of sets.
    """
    toggles: dict[int, int] = {}
    for index, intervals in enumerate(sets):
        bit = 1 << index
        for low, high in intervals:
            toggles[low] = toggles.get(low, 0) ^ bit
            toggles[high + 1] = toggles.get(high + 1, 0) ^ bit
    boundaries = [position for position in sorted(toggles) if toggles[position]]
    result: dict[int, list[tuple[int, int]]] = {}
    for low, high in whole:
        mask, start = 0, low
        for position in boundaries:
            if position > low:
                if position > high:
                    break
                result.setdefault(mask, []).append((start, position - 1))
                start = position
            mask ^= toggles[position]
        result.setdefault(mask, []).append((start, high))
    # Pieces come in ascending order, and neighbours differ in their mask: they are in normal form.
    return {mask: tuple(intervals) for mask, intervals in result.items()}


def build_slices(
    own: Intervals,
    own_sets: Sequence[Intervals],
    peer_sets: Sequence[Intervals],
    family: Family,
    answer: Callable[[int, int], Answer],
) -> tuple[Slice, ...]:
    """Evaluate once per distinguishable pair and bring the result into normal form.

    `answer(own_mask, peer_mask)` is asked with the bitmasks of the sets that hold the local and the peer address.
    """
    if not own:
        return ()
    peers = partition(peer_sets, WHOLE_FAMILY[family])
    by_cells: dict[tuple[Cell, ...], Intervals] = {}
    for own_mask, local in partition(own_sets, own).items():
        groups: dict[Answer, list[tuple[int, int]]] = {}
        for peer_mask, addresses in peers.items():
            groups.setdefault(answer(own_mask, peer_mask), []).extend(addresses)
        cells = tuple(
            sorted(
                (Cell(normalised(parts), allowed, unknown) for (allowed, unknown), parts in groups.items()),
                key=lambda cell: cell.peers,
            )
        )
        by_cells[cells] = union(by_cells.get(cells, EMPTY), local)
    return tuple(sorted((Slice(local, cells) for cells, local in by_cells.items()), key=lambda part: part.own))


#: Rules of which an enforcement point cannot say whether they count now.
Unsure = Callable[[ArtifactRule], bool]


def evaluate(
    rules: Iterable[ArtifactRule], mode: str, family: Family, unsure: Unsure = lambda _rule: False
) -> Intervals:
    """Services allowed by rules that all match the address pair (DESIGN §3.2, §3.3). Rules may come in any order.

    An unsure pass opens only what is open with it and without it: denies of its tier hold, allows do not count.
    """
    universe = line.UNIVERSE[family]
    if mode in ("idle", "visibility"):
        return universe
    by_tier: dict[str, dict[str, Intervals]] = {}
    for rule in rules:
        actions = by_tier.setdefault(rule.tier, {})
        action = "perhaps" if rule.action == "pass" and unsure(rule) else rule.action
        actions[action] = union(actions.get(action, EMPTY), rule.services)
    undecided, allowed = universe, EMPTY
    for tier in ORDER:
        if tier not in by_tier:
            continue
        here = by_tier[tier]
        passed = here.get("pass", EMPTY)
        denied = subtraction(here.get("deny", EMPTY), passed)
        opened = subtraction(here.get("allow", EMPTY), union(union(passed, denied), here.get("perhaps", EMPTY)))
        allowed = union(allowed, intersection(undecided, opened))
        undecided = subtraction(undecided, union(denied, opened))
    return union(allowed, undecided) if mode == "selective" else allowed


def of_artifact(
    artifact: Artifact,
    at: datetime,
    own: Mapping[Family, Intervals] | None = None,
    unsure: Unsure = lambda _rule: False,
) -> Form:
    """The meaning of an artifact at a moment, for its own addresses (or the given ones).

    Of `unsure` rules, whatever the moment, an allow does not count, a deny does, and a pass as `evaluate` says.
    """
    local = artifact.own if own is None else own
    slices = {
        (direction, family): _direction(artifact, artifact.of(direction), at, family, local.get(family, EMPTY), unsure)
        for direction in DIRECTIONS
        for family in FAMILIES
    }
    return Form(slices)


def _direction(
    artifact: Artifact, policy: DirectionPolicy, at: datetime, family: Family, own: Intervals, unsure: Unsure
) -> tuple[Slice, ...]:
    rules = tuple(rule for rule in policy.rules if (rule.action != "allow" if unsure(rule) else rule.valid(at)))
    peer_ids = sorted({name for rule in rules for name in rule.peers or ()})
    own_ids = sorted({name for rule in rules for name in rule.own or ()})
    peer_bits = {name: 1 << index for index, name in enumerate(peer_ids)}
    own_bits = {name: 1 << index for index, name in enumerate(own_ids)}
    masks = [
        (
            rule,
            None if rule.peers is None else sum(peer_bits[name] for name in rule.peers),
            None if rule.own is None else sum(own_bits[name] for name in rule.own),
        )
        for rule in rules
    ]
    memo: dict[tuple[int, ...], Intervals] = {}

    def answer(own_mask: int, peer_mask: int) -> Answer:
        matching = tuple(
            index
            for index, (_rule, peers, local) in enumerate(masks)
            if (peers is None or peers & peer_mask) and (local is None or local & own_mask)
        )
        if matching not in memo:
            memo[matching] = evaluate((rules[index] for index in matching), policy.mode, family, unsure)
        return memo[matching], EMPTY

    def addresses(ids: list[str]) -> list[Intervals]:
        return [artifact.sets[name].addresses.get(family, EMPTY) for name in ids]

    return build_slices(own, addresses(own_ids), addresses(peer_ids), family, answer)
