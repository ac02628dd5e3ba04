# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Classes that come and go one by one, and an index from a class to the elements of rules that mean it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

from ..model.addresses import FAMILIES, Family, Prefix
from ..model.estate import Estate, Workload
from ..model.labels import Truth
from ..model.selectors import Selector
from .classes import Classes, WorkloadClass, class_keys, class_of, to_bits
from .resolve import Element

#: An element of a rule, and whether it stands in a deny rule.
ElementKey = tuple[Element, bool]


class LivingClasses(Classes):
    """Positions of classes that are gone are used again, so bitsets stay short."""

    def __init__(self, estate: Estate, keys: Iterable[str], named: Iterable[str], controllers: Iterable[str]) -> None:
        super().__init__(estate, keys, named, controllers)
        alone = set(named) | set(controllers)
        self.workloads: dict[str, Workload] = dict(estate.workloads)
        self.members: list[dict[str, None]] = [dict.fromkeys(item.members) for item in self.items]
        keyed = zip(class_keys(estate.workloads.values(), self.wanted, alone), estate.workloads, strict=True)
        self._by_key = {key: self.of[name] for key, name in keyed}
        self._keys = {position: key for key, position in self._by_key.items()}
        self._free: list[int] = []
        self._holders: dict[tuple[Family, int], tuple[str, ...]] = {}
        for name, workload in self.workloads.items():
            for address in workload.addresses:
                key = (address.family, address.number)
                self._holders[key] = (*self._holders[key], name) if key in self._holders else (name,)
        self._numbers: dict[Family, list[int]] = {
            family: sorted(number for kind, number in self._holders if kind == family) for family in FAMILIES
        }

    def holders(self, family: Family, number: int) -> tuple[str, ...]:
        """Workloads with this address, whatever their zone: peer sets do not know zones."""
        return self._holders.get((family, number), ())

    def leave(self, name: str) -> tuple[int, bool]:
        """The class a workload was in, and whether it was the last of it; its addresses are nobody's any more."""
        workload, position = self.workloads.pop(name), self.of.pop(name)
        for family, number in {(address.family, address.number) for address in workload.addresses}:
            rest = tuple(other for other in self._holders[family, number] if other != name)
            if rest:
                self._holders[family, number] = rest
            else:
                del self._holders[family, number]
                del self._numbers[family][bisect_left(self._numbers[family], number)]
        del self.members[position][name]
        return position, not self.members[position]

    def join(self, workload: Workload, alone: bool) -> tuple[int, bool]:
        """The class a workload is in from now on, and whether it is new."""
        name = workload.name
        key = next(class_keys((workload,), self.wanted, {name} if alone else ()))
        position = self._by_key.get(key)
        new = position is None
        if position is None:
            position = self._by_key[key] = self._insert(class_of(workload, self.wanted, (), alone))
            self._keys[position] = key
        self.workloads[name] = workload
        self.of[name] = position
        self.members[position][name] = None
        for family, number in {(address.family, address.number) for address in workload.addresses}:
            if (family, number) not in self._holders:
                insort(self._numbers[family], number)
            self._holders[family, number] = (*self.holders(family, number), name)
        return position, new

    def _insert(self, item: WorkloadClass) -> int:
        if self._free:
            position = self._free.pop()
            self.items[position], self.members[position] = item, {}
        else:
            position = len(self.items)
            self.items.append(item)
            self.members.append({})
        bit = 1 << position
        self.everything |= bit
        for key, fact in item.labels.items():
            values = self._values.setdefault(key, {})
            values[fact.value] = values.get(fact.value, 0) | bit
            self._present[key] = self._present.get(key, 0) | bit
            if fact.expires is not None:
                self._expiring.setdefault(key, []).append(position)
        self._forget()
        return position

    def drop(self, position: int) -> None:
        """Forget a class without members."""
        item, bit = self.items[position], 1 << position
        self.everything ^= bit
        for key, fact in item.labels.items():
            self._values[key][fact.value] ^= bit
            self._present[key] ^= bit
            if fact.expires is not None:
                self._expiring[key].remove(position)
                if not self._expiring[key]:
                    del self._expiring[key]
        del self._by_key[self._keys.pop(position)]
        self._free.append(position)
        self._forget()

    def _forget(self) -> None:
        self._known.clear()
        self._resolved.clear()

    def holding(self, prefixes: Iterable[Prefix]) -> int:
        found: set[int] = set()
        for prefix in prefixes:
            numbers = self._numbers[prefix.family]
            for number in numbers[bisect_left(numbers, prefix.low) : bisect_right(numbers, prefix.high)]:
                for name in self._holders[prefix.family, number]:
                    zones = {
                        one.zone
                        for one in self.workloads[name].addresses
                        if (one.family, one.number) == (prefix.family, number)
                    }
                    if prefix.zone is None or prefix.zone in zones:
                        found.add(self.of[name])
        return to_bits(sorted(found))

    def rarest(self, selector: Selector) -> tuple[str, tuple[str, ...]] | None:
        """The requirement by which few classes are in question: a key and its values. None where there is no such."""
        best: tuple[int, str, tuple[str, ...]] | None = None
        for requirement in selector.requirements:
            if requirement.operator == "in":
                values = self._values.get(requirement.key, {})
                count = sum(values.get(value, 0).bit_count() for value in requirement.values)
                if best is None or count < best[0]:
                    best = count, requirement.key, requirement.values
        return None if best is None else best[1:]


class ElementIndex:
    """Elements by their rarest label, so that few are in question for a class."""

    def __init__(self, classes: LivingClasses) -> None:
        self._classes = classes
        self._by_label: dict[tuple[str, str], dict[ElementKey, None]] = {}
        self._by_name: dict[str, dict[ElementKey, None]] = {}
        self._others: dict[ElementKey, None] = {}
        self._homes: dict[ElementKey, list[dict[ElementKey, None]]] = {}

    def add(self, key: ElementKey) -> None:
        element = key[0]
        if element.kind == "workload":
            homes = [self._by_name.setdefault(element.name, {})]
        else:
            rarest = self._classes.rarest(element.selector)
            if rarest is None:
                homes = [self._others]
            else:
                homes = [self._by_label.setdefault((rarest[0], value), {}) for value in rarest[1]]
        self._homes[key] = homes
        for home in homes:
            home[key] = None

    def remove(self, key: ElementKey) -> None:
        for home in self._homes.pop(key):
            home.pop(key, None)

    def candidates(self, item: WorkloadClass) -> Iterator[ElementKey]:
        """Elements that may mean a class. After a fact has ended a deny rule means whatever it may have been."""
        if any(fact.expires is not None for fact in item.labels.values()):
            yield from self._homes
            return
        yield from self._others
        for key, fact in item.labels.items():
            yield from self._by_label.get((key, fact.value), ())
        if item.workload:
            yield from self._by_name.get(item.workload, ())


def means(element: Element, item: WorkloadClass) -> bool:
    """Does an element mean a class by what is known last? Addresses, names and `any` mean no class."""
    if element.kind == "workload":
        return bool(element.name) and element.name == item.workload
    if element.kind in ("addresses", "any", "fqdn"):
        return False
    for requirement in element.selector.requirements:
        fact = item.labels.get(requirement.key)
        if requirement.operator == "in":
            if fact is None or fact.value not in requirement.values:
                return False
        elif requirement.matches(fact, None) is not Truth.YES:
            return False
    return True


def bits_of(meaning: Iterable[tuple[object, str, int]]) -> int:
    bits = 0
    for _window, _name, some in meaning:
        bits |= some
    return bits


__all__ = ["ElementIndex", "ElementKey", "LivingClasses", "bits_of", "means"]
