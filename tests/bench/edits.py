# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Measurements of the incremental engine: single edits in compiled policy, and what they change."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from dataclasses import replace

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.delta import Delta
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.incremental import Engine

from . import estates
from .engine import sized
from .measuring import Figure, Figures, cost, measurement

#: The generator writes all rules into one scope.
SCOPE = "estate"


@measurement("incremental", pure=True)
def _incremental(quick: bool) -> Figures:
    """One rule or one workload edited in the compiled policy of size L: the exact difference, p50, p95 and p99."""
    workloads, rules = (200, 40) if quick else estates.SIZES["L"]
    policy, estate = sized(workloads, rules)
    start, engine = cost(lambda: Engine(policy, estate))
    size = f"{workloads:,} workloads x {rules:,} rules"
    yield Figure("incremental-start", start.cpu, "s", None, f"{size}; {start.added:.0f} MB over the parsed input")
    chooser = random.Random(5)
    written = [(ruleset.name, rule) for ruleset in policy.scopes[0].rulesets for rule in ruleset.rules]
    names = sorted(estate.workloads)
    times = 30 if quick else 2_000
    gc.collect()
    gc.freeze()  # the state of the engine lives as long as the process

    def rule() -> Delta:
        home, one = chooser.choice(written)
        other = chooser.choice(written)[1]
        return engine.put_rule(SCOPE, home, replace(one, consumers=other.consumers, services=other.services))

    def relabel() -> Delta:
        one, other = (engine.classes.workloads[chooser.choice(names)] for _ in range(2))
        return engine.put_workload(replace(one, labels=other.labels))

    for name, edit, target in (("rule", rule, 1.0), ("relabel", relabel, 2.0)):
        used, points = _timed(edit, times)
        detail = f"{size}, {times:,} edits; p50 {_share(used, 0.5):.3f}, p95 {_share(used, 0.95):.3f}, "
        detail += f"max {used[-1]:.1f} ms; {_share(points, 0.5):,.0f} points concerned (median)"
        yield Figure(f"incremental-{name}-p99", _share(used, 0.99), "ms", None if quick else target, detail)
    gc.unfreeze()


def _timed(edit: Callable[[], Delta], times: int) -> tuple[list[float], list[int]]:
    """CPU milliseconds of edits, ascending, without naming the points; and how many points some of them concern."""
    used, points = [], []
    for number in range(times):
        start = time.process_time()
        delta = edit()
        used.append((time.process_time() - start) * 1000)
        if number % 20 == 0:
            points.append(len(delta.policy_points) + len(delta.membership_points))
        if delta.rebuilt and times > 100:
            raise AssertionError("an edit of the bench compiles everything again")
    return sorted(used), sorted(points)


def _share(ascending: list[float] | list[int], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(len(ascending) * share))]
