# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Measurement of diff with an inventory: one rule of a big policy changed, both policies loaded and compiled."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.policy import Policy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.services import parse_all
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.diff import compare_inputs
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import Inputs

from . import estates
from .engine import sized
from .measuring import Figure, Figures, cost, measurement

AT = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
#: A port that no rule of the generator names, so that the change is seen.
FRESH = parse_all(["tcp/7777"])


def with_port(policy: Policy, home: str, number: int) -> Policy:
    """One rule of a ruleset opens (or closes) one more port; number -1 is the last."""
    (scope,) = policy.scopes
    rulesets = []
    for ruleset in scope.rulesets:
        rules = list(ruleset.rules)
        if ruleset.name == home:
            rules[number] = replace(rules[number], services=tuple(sorted((*rules[number].services, *FRESH))))
        rulesets.append(replace(ruleset, rules=tuple(rules)))
    return replace(policy, scopes=(replace(scope, rulesets=tuple(rulesets)),))


@measurement("diff-inventory-L", pure=True)
def _with_inventory(quick: bool) -> Figures:
    """diff -i after one rule changed, size L: a rule within applications, and the widest sort; loading not counted."""
    workloads, rules = (200, 40) if quick else estates.SIZES["L"]
    policy, estate = sized(workloads, rules)
    for sort, home, number, target in (("narrow", "apps", 0, 3.0), ("wide", "shared", -1, 10.0)):
        old, new = (Inputs(one, estate, AT, ()) for one in (policy, with_port(policy, home, number)))
        compiled = [one.compiled("active") for one in (old, new)]
        used, found = cost(lambda old=old, new=new: compare_inputs(old, new))
        if not found.complete or found.newly_denied or not (quick or found.newly_allowed):
            raise AssertionError(f"one more open port: {found.to_dict()}")
        pairs = sum(box.pairs for box in found.newly_allowed)
        size = f"{workloads:,} workloads x {rules:,} rules, {len(compiled[0].classes.items):,} classes"
        detail = f"{size}: {len(found.newly_allowed)} boxes of {pairs:,} pairs"
        yield Figure(f"diff-inventory-{sort}", used.cpu, "s", None if quick else target, detail)
        yield Figure(
            f"diff-inventory-{sort}-memory",
            used.added,
            "MB",
            None if quick else 500,
            f"{detail}; over the two compiled policies",
        )
