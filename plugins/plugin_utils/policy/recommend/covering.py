# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Cover what was observed by products of groups: from wide to single, and never over what was filtered.

A product says: everybody of these consumers may use these services of these providers. It is accepted where no
unwanted talk lies in it, and where enough of its pairs were observed; else it is split by the next level of groups. At
single workloads it is exact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from ...model.addresses import Address
from .groups import Cell, Levels, in_order
from .homes import Homes
from .learning import Learning
from .observed import Party, Talk, order_of

Pair = tuple[Party, Party]
ANY = "any"
#: Cells of workloads, addresses of nobody, or everybody.
Side = frozenset[Cell] | frozenset[Address] | str


@dataclass(frozen=True)
class Product:
    """One proposal before it has words. `points` are service points, `talks` what it was made for."""

    home: str
    consumers: Side
    providers: Side
    points: frozenset[int]
    talks: tuple[Talk, ...]


#: Does this cell, written in a scope, mean exactly the workloads it should: those of the scope, or all of them?
Exact = Callable[[str, Cell, bool], bool]


class Covering:
    """`strict`: nobody is widened to `any`."""

    def __init__(
        self, levels: Levels, homes: Homes, learning: Learning, unwanted: Iterable[Talk], exact: Exact, strict: bool
    ) -> None:
        self.levels = levels
        self.homes = homes
        self.learning = learning
        self.exact = exact
        self.strict = strict
        self.unwanted: dict[int, set[Pair]] = defaultdict(set)
        self._by_consumer: dict[int, dict[Party, set[Party]]] = defaultdict(lambda: defaultdict(set))
        for talk in unwanted:
            self.unwanted[talk.point].add((talk.consumer, talk.provider))
            self._by_consumer[talk.point][talk.consumer].add(talk.provider)

    def products(self, talks: Iterable[Talk]) -> list[Product]:
        """In an order that follows from what they say."""
        by_place: dict[tuple[str, int], list[Talk]] = defaultdict(list)
        for talk in talks:
            by_place[self.homes.of_talk(talk), talk.point].append(talk)
        found: list[Product] = []
        for (home, point), some in sorted(by_place.items()):
            inside = [one for one in some if isinstance(one.consumer, str) and isinstance(one.provider, str)]
            found += _merged(self._pairs(home, point, inside, 0))
            for outside in ("consumer", "provider"):
                found += self._outside(home, point, outside, [one for one in some if _is_outside(one, outside)], 0)
        return _services_joined(found)

    # --- workloads with workloads -------------------------------------------------------------------------------------

    def _pairs(self, home: str, point: int, talks: list[Talk], level: int) -> list[Product]:
        cells = self.levels.cells[level]
        split: dict[tuple[Cell, Cell], list[Talk]] = defaultdict(list)
        for talk in talks:
            split[cells[str(talk.consumer)], cells[str(talk.provider)]].append(talk)
        found = []
        for (source, target), some in split.items():
            product = Product(home, frozenset([source]), frozenset([target]), frozenset([point]), tuple(some))
            if level == self.levels.last or self._fits(product, source, target, level):
                found.append(product)
            else:
                found += self._pairs(home, point, some, level + 1)
        return found

    def _fits(self, product: Product, source: Cell, target: Cell, level: int) -> bool:
        consumers, providers = self.levels.members[level][source], self._owned(product.home, target, level)
        (point,) = product.points
        if self.conflicts(point, consumers, providers):
            return False
        opened = len(consumers) * len(providers) - len(consumers & providers)
        if len(product.talks) < self.learning.least_confidence * opened:
            return False
        return self.exact(product.home, source, False) and self.exact(product.home, target, True)

    def _owned(self, home: str, cell: Cell, level: int) -> frozenset[str]:
        members = self.levels.members[level][cell]
        return frozenset(name for name in members if self.homes.of_workload.get(name) == home)

    def conflicts(self, point: int, consumers: Collection[Party], providers: Collection[Party]) -> bool:
        """Does an unwanted talk lie in the product?"""
        by_consumer = self._by_consumer.get(point)
        if not by_consumer:
            return False
        fewer, others = sorted((consumers, by_consumer), key=len)
        return any(one in others and not by_consumer[one].isdisjoint(providers) for one in fewer)

    # --- one side outside the estate ----------------------------------------------------------------------------------

    def _outside(self, home: str, point: int, outside: str, talks: list[Talk], level: int) -> list[Product]:
        cells = self.levels.cells[level]
        split: dict[Cell, list[Talk]] = defaultdict(list)
        for talk in talks:
            split[cells[str(talk.provider if outside == "consumer" else talk.consumer)]].append(talk)
        found = []
        for cell, some in split.items():
            far = frozenset(one for talk in some if isinstance(one := getattr(talk, outside), Address))
            own = self._owned(home, cell, level)
            last = level == self.levels.last
            if not last and (self._conflicts_outside(point, outside, far, own) or not self.exact(home, cell, True)):
                found += self._outside(home, point, outside, some, level + 1)
                continue
            side: Side = far
            if len(far) > self.learning.public_above and not self.strict and not self._taken(point, outside, own):
                side = ANY
            sides = {outside: side, "provider" if outside == "consumer" else "consumer": frozenset([cell])}
            found.append(Product(home, sides["consumer"], sides["provider"], frozenset([point]), tuple(some)))
        return _outside_merged(found)

    def _conflicts_outside(self, point: int, outside: str, far: Collection[Address], own: Collection[str]) -> bool:
        if outside == "consumer":
            return self.conflicts(point, far, own)
        return self.conflicts(point, own, far)

    def _taken(self, point: int, outside: str, own: Collection[str]) -> bool:
        """Is there any unwanted talk of anybody with these workloads on the service?"""
        position = 1 if outside == "consumer" else 0
        return any(pair[position] in own for pair in self.unwanted.get(point, ()))


def _is_outside(talk: Talk, side: str) -> bool:
    return isinstance(getattr(talk, side), Address)


def _merged(products: list[Product]) -> list[Product]:
    """First all consumers of the same providers, then all providers of the same consumers."""
    return _joined(_joined(products, "consumers"), "providers")


def _joined(products: list[Product], side: str) -> list[Product]:
    other = "providers" if side == "consumers" else "consumers"
    groups: dict[object, list[Product]] = defaultdict(list)
    for product in products:
        groups[getattr(product, other)].append(product)
    found = []
    for some in groups.values():
        united = frozenset(one for product in some for one in getattr(product, side))
        talks = tuple(talk for product in some for talk in product.talks)
        found.append(replace(some[0], **{side: united, "talks": talks}))  # type: ignore[arg-type]
    return found


def _outside_merged(products: list[Product]) -> list[Product]:
    """Groups that the very same addresses talk to are one side."""
    groups: dict[object, list[Product]] = defaultdict(list)
    for product in products:
        outside_consumers = product.consumers == ANY or any(isinstance(one, Address) for one in product.consumers)
        groups[outside_consumers, product.consumers if outside_consumers else product.providers].append(product)
    found = []
    for (outside_consumers, _far), some in groups.items():  # type: ignore[misc]
        side = "providers" if outside_consumers else "consumers"
        united = frozenset(one for product in some for one in getattr(product, side))
        talks = tuple(talk for product in some for talk in product.talks)
        found.append(replace(some[0], **{side: united, "talks": talks}))  # type: ignore[arg-type]
    return found


def _services_joined(products: list[Product]) -> list[Product]:
    """Services between the very same sides are one rule."""
    groups: dict[tuple[str, Side, Side], list[Product]] = defaultdict(list)
    for product in products:
        groups[product.home, product.consumers, product.providers].append(product)
    found = [
        replace(
            some[0],
            points=frozenset(point for product in some for point in product.points),
            talks=tuple(sorted((talk for product in some for talk in product.talks), key=lambda talk: talk.order)),
        )
        for some in groups.values()
    ]
    return sorted(
        found, key=lambda one: (one.home, side_order(one.consumers), side_order(one.providers), min(one.points))
    )


def side_order(side: Side) -> str:
    if isinstance(side, str):
        return side
    addresses = sorted(order_of(one) for one in side if isinstance(one, Address))
    return repr(addresses) if addresses else repr(in_order(one for one in side if not isinstance(one, Address)))


def members_of(side: Side, levels: Levels, home: str, homes: Homes | None) -> frozenset[str]:
    """Workloads of the cells of a side; with `homes` only those of the scope."""
    if isinstance(side, str):
        return frozenset()
    found = {name for cell in side if not isinstance(cell, Address) for name in levels.everyone[cell]}
    if homes is not None:
        found = {name for name in found if homes.of_workload.get(name) == home}
    return frozenset(found)


__all__ = ["ANY", "Covering", "Exact", "Pair", "Product", "Side", "members_of", "side_order"]
