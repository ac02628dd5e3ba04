# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""An estate of every label combination that some selectors tell apart, for questions without an inventory.

Keys are added one by one; combinations that satisfy and can still satisfy the same requirements are merged at once, so
the number stays that of the distinguishable classes. Values that nobody names appear once, as `other` (DESIGN §3.22).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..model.addresses import FAMILIES, WHOLE_FAMILY, Address, Prefix
from ..model.errors import PolicyError
from ..model.estate import Estate, Workload
from ..model.labels import Fact, Truth
from ..model.policy import Policy
from ..model.selectors import Selector
from .resolve import ResolvedRule

OTHER = "other"
#: More classes than this make an answer that nobody reads and that takes minutes to find.
MOST_CLASSES = 5_000


def selectors_of(rules: Iterable[ResolvedRule], policies: Iterable[Policy]) -> set[Selector]:
    found = {element.selector for item in rules for element in (*item.consumers, *item.providers)}
    found |= {scope.match for policy in policies for scope in policy.scopes}
    found |= {item.members for policy in policies for item in policy.service_addresses}
    found.discard(Selector())
    return found


def combinations(selectors: Iterable[Selector]) -> list[dict[str, str]]:
    """One label combination for every class the selectors tell apart; an absent key is left out.

    Raises PolicyError (E-TOO-MANY-CLASSES).
    """
    chosen = sorted(set(selectors), key=str)
    keys = sorted({key for selector in chosen for key in selector.keys})
    everything = (1 << len(chosen)) - 1
    classes: dict[int, dict[str, str]] = {everything: {}}
    for key in keys:
        values = sorted({value for item in chosen for r in item.requirements if r.key == key for value in r.values})
        options: list[str | None] = [None, *values, unnamed(values)]
        fitting = [(option, _fitting(chosen, key, option)) for option in options]
        merged: dict[int, dict[str, str]] = {}
        for alive, labels in classes.items():
            for option, mask in fitting:
                extended = labels if option is None else {**labels, key: option}
                merged.setdefault(alive & mask, extended)
        classes = merged
        if len(classes) > MOST_CLASSES:
            raise PolicyError(
                "E-TOO-MANY-CLASSES",
                f"the two policies tell more than {MOST_CLASSES:,} label combinations apart.",
                hint="Give an inventory (-i); only the workloads it has are then compared.",
            )
    return list(classes.values())


def unnamed(values: Sequence[str]) -> str:
    """A value that none of them is."""
    name = OTHER
    while name in values:
        name = f"{name}-"
    return name


def _fitting(selectors: list[Selector], key: str, option: str | None) -> int:
    """Bitset of the selectors whose requirements on this key the option satisfies."""
    fact = None if option is None else Fact(option)
    mask = 0
    for index, selector in enumerate(selectors):
        mine = [requirement for requirement in selector.requirements if requirement.key == key]
        if all(requirement.matches(fact, None) is Truth.YES for requirement in mine):
            mask |= 1 << index
    return mask


def synthetic_estate(
    classes: Iterable[dict[str, str]],
    named: Iterable[str],
    prefixes: Iterable[Prefix],
    policy: Policy,
    reserved: Iterable[Address] = (),
) -> Estate:
    """Two managed workloads per class (so that every class also meets itself) and one per named workload.

    Each has an address in every region the prefixes cut out, so that rules by address are compared too. Workloads
    stand in the same places; only questions about whole ends make sense here, not who owns an address. Nobody stands at
    a `reserved` address (a controller, a service address): it would make everybody one.
    """
    taken = {(address.family, address.number) for address in reserved}
    addresses = tuple(
        Address("", family, low)
        for family in FAMILIES
        for low in sorted(
            {WHOLE_FAMILY[family][0][0]}
            | {
                cut
                for item in prefixes
                if item.family == family
                for cut in (item.low, item.high + 1)
                if cut <= WHOLE_FAMILY[family][0][1]
            }
        )
        if (family, low) not in taken
    )
    workloads = {
        f"class-{index:04d}{twin}": Workload(
            f"class-{index:04d}{twin}", {key: Fact(value) for key, value in labels.items()}, addresses
        )
        for index, labels in enumerate(classes)
        for twin in ("a", "b")
    }
    workloads.update({name: Workload(name, {}, addresses) for name in named})
    return Estate(
        workloads,
        service_addresses=policy.service_addresses,
        controllers=policy.settings.controllers,
        management_ports=policy.settings.management_ports,
    )
