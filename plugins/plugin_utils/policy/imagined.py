# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Two policies compared without an inventory: by decision diagrams, or where those become too big, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..model.addresses import FAMILIES, cidrs
from ..model.diagram import BUDGET, Exhausted
from ..model.intervals import Intervals, union
from ..model.policy import Policy
from .combinations import combinations, selectors_of, synthetic_estate
from .compile import Stage, compile_policy
from .decide import Decider, End
from .difference import PolicyDifference, compare_over_time
from .ends import Group
from .label_difference import compare_labels
from .label_space import Space
from .label_words import in_words
from .resolve import ResolvedRule, resolve

#: Blocks of addresses that are listed before the rest is counted.
_SHOWN_BLOCKS = 8


def compare_imagined(
    before: Policy, after: Policy, stage: Stage, at: datetime, budget: int = BUDGET
) -> PolicyDifference:
    """By intent (every side in full mode), over every label combination, from `at` on.

    Raises PolicyError (E-TOO-MANY-CLASSES) where the diagrams exceed the budget and there are too many classes.
    """
    policies = (before, after)
    rules = [resolve(policy, {})[0] for policy in policies]
    together = [item for mine in rules for item in mine]
    try:
        spaces = [Space(together, policies, family) for family in FAMILIES]
        found = compare_labels(rules, policies, spaces, stage, at, budget)
    except Exhausted:
        return compare_classes(together, policies, stage, at)
    return in_words(found.boxes, found.complete, at)


def compare_classes(
    rules: Sequence[ResolvedRule], policies: tuple[Policy, Policy], stage: Stage, at: datetime
) -> PolicyDifference:
    """Over an estate with every class that the rules tell apart. Raises PolicyError (E-TOO-MANY-CLASSES)."""
    elements = [element for item in rules for element in (*item.consumers, *item.providers)]
    named = {element.name for element in elements if element.kind == "workload"}
    prefixes = [prefix for element in elements for prefix in element.prefixes]
    reserved = [address for policy in policies for address in policy.settings.controllers]
    reserved += [item.address for policy in policies for item in policy.service_addresses]
    classes = combinations(selectors_of(rules, policies))

    def decider(policy: Policy) -> Decider:
        estate = synthetic_estate(classes, named, prefixes, policy, reserved)
        return Decider(compile_policy(policy, estate, stage), at, intent=True)

    old, new = map(decider, policies)
    return compare_over_time(old, new, _in_combinations, _combination, imagined=True)


def _in_combinations(groups: list[Group]) -> str:
    texts = sorted({_combination(group.representative) for group in groups if group.ends})
    outside: Intervals = ()
    for group in groups:
        outside = union(outside, group.region)
    if outside:
        blocks = cidrs(groups[0].family, outside)
        more = f" and {len(blocks) - _SHOWN_BLOCKS} more" if len(blocks) > _SHOWN_BLOCKS else ""
        texts.append(",".join(blocks[:_SHOWN_BLOCKS]) + more + " outside the estate")
    return " | ".join(texts)


def _combination(end: End) -> str:
    """A class by its labels; where written addresses tell ends apart, with the address."""
    if end.workload is None:
        return str(end.address)
    labels = ",".join(f"{key}={fact.value}" for key, fact in sorted(end.workload.labels.items()))
    text = labels or (end.workload.name if not end.workload.name.startswith("class-") else "(no labels)")
    several = len(end.workload.of_family(end.address.family)) > 1
    return f"{text} at {end.address}" if several else text


__all__ = ["compare_classes", "compare_imagined"]
