# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules that decide nothing (shadowed), and rules without which everything is decided the same (redundant).

Judged per side, as if every managed side were in full mode. A rule is shadowed when every packet it matches is decided
before it: by the failsafe, by a higher tier, by a pass or (for an allow) a deny of its tier. It is redundant when, of
the packets that reach it, each is decided by other rules with the same effect, of its tier or below. What the mode says
after the last tier counts for nothing: in selective mode only explicit denies drop.

Redundant rules are taken out one after the other, the narrowest first and shadowed ones before all, so that all that
are reported can be removed together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ...model.allocation import allocating
from ...model.artifact import FAILSAFE, ORDER
from ...model.estate import DIRECTIONS
from ..classes import positions_of
from ..compile import Compiled
from ..resolve import ResolvedRule
from .cover import COVERED, ESCAPES, EVERYTHING, NOBODY, Step, escaping
from .space import Product, Sample, overlap, spaces
from .table import Row, Table, rows_of, sorted_rows

#: Rules of a stage are judged beside those of its level and below: active ones without staged ones, drafts with all.
LEVELS: Mapping[str, int] = {"active": 0, "retiring": 0, "staged": 1, "draft": 2}


@dataclass(frozen=True, slots=True)
class Covered:
    """`by`: ids of the rules that together decide everything, `failsafe` for the failsafe; `sample`: one packet."""

    item: ResolvedRule
    kind: Literal["shadowed", "redundant"]
    by: tuple[str, ...]
    sample: Sample


class Deciding:
    """`compiled` holds rules of all stages (see `everything_staged`); `items` are the same rules with their stages."""

    def __init__(self, compiled: Compiled, items: Sequence[ResolvedRule], at: datetime) -> None:
        self.items = items
        self.levels = [LEVELS[item.stage] for item in items]
        position_of = {item.id: position for position, item in enumerate(items)}
        self.tables = []
        with allocating():
            for space in spaces(compiled, at):
                for direction in DIRECTIONS:
                    rows = rows_of(compiled, space, direction, position_of)
                    if rows:
                        self.tables.append(Table(space, direction, rows, self.levels))

    def name(self, row: Row) -> str:
        return FAILSAFE if row.rule < 0 else self.items[row.rule].id

    # --- what meets a row -------------------------------------------------------------------------------------------

    def others(self, table: Table, position: int, alive: int = -1, level: int | None = None) -> list[int]:
        """Rows of other rules that share a packet with this one, of its level and below."""
        row = table.rows[position]
        wanted = self.levels[row.rule] if level is None else level
        bits = table.meeting(row.product) & table.upto(wanted) & ~table.of_rule[row.rule] & alive
        _own, _far, services, moments = row.product
        return [
            other
            for other in positions_of(bits)
            if table.rows[other].product[2] & services and table.rows[other].product[3] & moments
        ]

    def steps_above(self, table: Table, row: Row, others: Sequence[int], own_passes: bool) -> list[Step]:
        """What is decided before the tier of the row is covered; so is what a pass of its tier lifts, if wanted."""
        steps: list[Step] = []
        tiers = _by_tier(table, others)
        for tier in range(row.tier):
            passes, denies, allows = tiers.get(tier, _NONE)
            _tier_steps(steps, table, row.product, passes, [(denies, COVERED), (allows, COVERED)])
        if own_passes:
            passes, _denies, _allows = tiers.get(row.tier, _NONE)
            steps.extend(_steps(table, row.product, passes, COVERED))
        return steps

    # --- shadowed ---------------------------------------------------------------------------------------------------

    def shadow_steps(self, table: Table, row: Row, others: Sequence[int]) -> list[Step]:
        steps = self.steps_above(table, row, others, row.action != "pass")
        if row.action == "allow":
            _passes, denies, _allows = _by_tier(table, others).get(row.tier, _NONE)
            steps.extend(_steps(table, row.product, denies, COVERED))
        return steps

    # --- redundant --------------------------------------------------------------------------------------------------

    def redundant_steps(self, table: Table, row: Row, others: Sequence[int]) -> list[Step]:
        steps = self.steps_above(table, row, others, True)
        _passes, denies, allows = _by_tier(table, others).get(row.tier, _NONE)
        if row.action == "allow":
            steps.extend(_steps(table, row.product, denies, COVERED))
            alike, unlike = self._alike(table, row, allows)
            steps.extend(_steps(table, row.product, alike, COVERED))
            steps.extend(_steps(table, row.product, unlike, ESCAPES))
            self._below(steps, table, row, others, "allow")
        elif row.action == "deny":
            alike, unlike = self._alike(table, row, denies)
            steps.extend(_steps(table, row.product, alike, COVERED))
            steps.extend(_steps(table, row.product, [*unlike, *allows], ESCAPES))
            self._below(steps, table, row, others, "deny")
        else:
            self._lifted(steps, table, row, others, denies, allows)
        return steps

    def _alike(self, table: Table, row: Row, others: Sequence[int]) -> tuple[list[int], list[int]]:
        """Rows that do for the packet all that this one does (reply, log, end of sessions), and those that do not."""
        alike: list[int] = []
        unlike: list[int] = []
        mine = self.items[row.rule].rule
        for other in others:
            position = table.rows[other].rule
            theirs = None if position < 0 else self.items[position].rule
            same = theirs is not None and (
                mine.reject == theirs.reject
                and mine.log <= theirs.log
                and mine.reset_established <= theirs.reset_established
                and self.levels[position] <= self.levels[row.rule]
            )
            (alike if same else unlike).append(other)
        return alike, unlike

    def _below(self, steps: list[Step], table: Table, row: Row, others: Sequence[int], effect: str) -> None:
        """The tiers below must come to the same effect by rules of their own."""
        tiers = _by_tier(table, others)
        for tier in range(row.tier + 1, len(ORDER)):
            passes, denies, allows = tiers.get(tier, _NONE)
            same, _ = self._alike(table, row, denies if effect == "deny" else allows)
            unlike = [other for other in (denies if effect == "deny" else allows) if other not in set(same)]
            if effect == "deny":
                order = [(same, COVERED), (unlike, ESCAPES), (allows, ESCAPES)]
            else:
                order = [(denies, ESCAPES), (same, COVERED), (unlike, ESCAPES)]
            _tier_steps(steps, table, row.product, passes, order)
        steps.append((*EVERYTHING, ESCAPES, NOBODY))

    def _lifted(
        self, steps: list[Step], table: Table, row: Row, others: Sequence[int], denies: list[int], allows: list[int]
    ) -> None:
        """A pass matters only where it lifts something, and the tiers below would not say the same."""
        holes = []
        for group, effect in ((denies, "deny"), (allows, "allow")):
            for other in sorted_rows(table, group, row.product):
                holes.append((len(steps), effect))
                steps.append((*table.rows[other].product, ESCAPES, other))
        steps.append((*EVERYTHING, COVERED, NOBODY))
        starts = {}
        for effect in ("deny", "allow"):
            starts[effect] = len(steps)
            self._below(steps, table, row, others, effect)
        for index, effect in holes:
            steps[index] = (*steps[index][:4], starts[effect], steps[index][5])

    # --- all rules --------------------------------------------------------------------------------------------------

    def covered(self) -> list[Covered]:
        """All shadowed and redundant rules, in document order."""
        with allocating():
            return self._covered()

    def _covered(self) -> list[Covered]:
        judged = [
            position
            for position, item in enumerate(self.items)
            if not any(element.kind in ("fqdn", "users") for element in (*item.consumers, *item.providers))
        ]
        shadowed: list[int] = []
        perhaps: list[tuple[int, int]] = []
        for rule in judged:
            dead, open_to_doubt = self._first_look(rule)
            if dead:
                shadowed.append(rule)
            elif open_to_doubt:
                perhaps.append((self._volume(rule), rule))
        found = [self._evidence(rule, "shadowed", {}) for rule in shadowed]
        alive = {id(table): -1 for table in self.tables}
        for rule in shadowed:
            self._remove(rule, alive)
        redundant = []
        for _volume, rule in sorted(perhaps, key=lambda pair: (pair[0], -pair[1])):
            if self._is_redundant(rule, alive):
                redundant.append(rule)
                self._remove(rule, alive)
        found += [self._evidence(rule, "redundant", alive) for rule in redundant]
        order = {item.id: position for position, item in enumerate(self.items)}
        return sorted(found, key=lambda one: order[one.item.id])

    def _rows(self, rule: int) -> Iterator[tuple[Table, int]]:
        for table in self.tables:
            for position in positions_of(table.of_rule.get(rule, 0)):
                yield table, position

    def _remove(self, rule: int, alive: dict[int, int]) -> None:
        for table in self.tables:
            alive[id(table)] &= ~table.of_rule.get(rule, 0)

    def _volume(self, rule: int) -> int:
        return sum(_volume(table.rows[position].product) for table, position in self._rows(rule))

    def _first_look(self, rule: int) -> tuple[bool, bool]:
        """(shadowed, perhaps redundant). Most rules are told apart by counting: too little of them is shared."""
        dead, doubt, any_row = True, True, False
        for table, position in self._rows(rule):
            any_row = True
            row = table.rows[position]
            others = self.others(table, position, level=max(self.levels[rule], 1))
            if not self._enough(table, row, others):
                dead = False
                doubt = doubt and row.action == "pass"
            elif dead:
                here = [other for other in others if self._counts(table, other, rule)]
                dead = escaping(row.product, self.shadow_steps(table, row, here), table.space.exists, {}) is None
            if not dead and not doubt:
                break
        return any_row and dead, any_row and doubt

    def _counts(self, table: Table, other: int, rule: int) -> bool:
        position = table.rows[other].rule
        return position < 0 or self.levels[position] <= self.levels[rule]

    @staticmethod
    def _enough(table: Table, row: Row, others: Sequence[int]) -> bool:
        """Do the others share as many packets with the row, counted apart, as it has?"""
        own, far, services, moments = row.product
        pairs = own.bit_count() * far.bit_count() - table.space.to_itself(own, far)
        needed = pairs * services.bit_count() * moments.bit_count()
        for other in others:
            product = table.rows[other].product
            needed -= (
                (own & product[0]).bit_count()
                * (far & product[1]).bit_count()
                * (services & product[2]).bit_count()
                * (moments & product[3]).bit_count()
            )
            if needed <= 0:
                return True
        return needed <= 0

    def _is_redundant(self, rule: int, alive: Mapping[int, int]) -> bool:
        for table, position in self._rows(rule):
            row = table.rows[position]
            others = self._redundancy_others(table, position, alive)
            if row.action != "pass" and not self._enough(table, row, others):
                return False
            if escaping(row.product, self.redundant_steps(table, row, others), table.space.exists, {}) is not None:
                return False
        return True

    def _redundancy_others(self, table: Table, position: int, alive: Mapping[int, int]) -> list[int]:
        """Rows of the level, and those that would let a packet escape once staged rulesets count too."""
        row = table.rows[position]
        return [
            other
            for other in self.others(table, position, alive[id(table)], max(self.levels[row.rule], 1))
            if self._counts(table, other, row.rule) or _would_let_escape(row, table.rows[other])
        ]

    def _evidence(self, rule: int, kind: Literal["shadowed", "redundant"], alive: Mapping[int, int]) -> Covered:
        names: dict[str, None] = {}
        sample: Sample | None = None
        for table, position in self._rows(rule):
            row = table.rows[position]
            used: dict[int, Product] = {}
            if kind == "shadowed":
                others = self.others(table, position)
                steps = self.shadow_steps(table, row, others)
            else:
                steps = self.redundant_steps(table, row, self._redundancy_others(table, position, alive))
            escaping(row.product, steps, table.space.exists, used)
            names.update(dict.fromkeys(self.name(table.rows[other]) for other in used))
            if sample is None:
                where = next(iter(used.values()), row.product)
                sample = table.space.sample(where, table.direction)
        assert sample is not None  # a rule without packets is not judged
        return Covered(self.items[rule], kind, tuple(names), sample)


_NONE: tuple[list[int], list[int], list[int]] = ([], [], [])


def _would_let_escape(row: Row, other: Row) -> bool:
    """Would the other decide otherwise, were the row away?"""
    if row.action == "deny":
        return other.action == "allow" and other.tier >= row.tier
    return row.action == "allow" and other.action == "deny" and other.tier > row.tier


def _by_tier(table: Table, others: Sequence[int]) -> dict[int, tuple[list[int], list[int], list[int]]]:
    """tier -> (passes, denies, allows)"""
    found: dict[int, tuple[list[int], list[int], list[int]]] = {}
    for other in others:
        row = table.rows[other]
        found.setdefault(row.tier, ([], [], []))[("pass", "deny", "allow").index(row.action)].append(other)
    return found


def _steps(table: Table, product: Product, others: Sequence[int], target: int) -> Iterator[Step]:
    for other in sorted_rows(table, others, product):
        yield (*table.rows[other].product, target, other)


def _tier_steps(
    steps: list[Step],
    table: Table,
    product: Product,
    passes: Sequence[int],
    order: Sequence[tuple[Sequence[int], int]],
) -> None:
    """Steps of one tier; what a pass lifts goes on behind them."""
    deciders = [step for others, target in order for step in _steps(table, product, others, target)]
    if not deciders:
        return
    behind = len(steps) + len(passes) + len(deciders)
    steps.extend(_steps(table, product, passes, behind))
    steps.extend(deciders)


def _volume(product: Product) -> int:
    return product[0].bit_count() * product[1].bit_count() * product[2].bit_count() * product[3].bit_count()


__all__ = ["LEVELS", "Covered", "Deciding", "overlap"]
