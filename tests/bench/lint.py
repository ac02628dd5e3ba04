# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Lint: rules that decide nothing. How long it takes, and whether all planted ones are found and no others."""

from __future__ import annotations

import datetime as dt
import json
import random
import subprocess
import tempfile
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import Estate
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.policy import Policy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.check import check_rules
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.lint.context import Context
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.lint.deciding import Covered, Deciding
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import Inputs
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.lint import lint

from .estates import SIZES, parsed
from .measuring import Figure, Figures, LeftOut, cost, measurement, median_cpu
from .neutral import Neutral, as_estate, neutral
from .peer import VERSION, installed

AT = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
#: Terms and the CPU seconds they may take.
NEUTRAL = {1_000: 0.08, 10_000: 3.0}
#: Planted rules of every kind.
PLANTED = 40
#: Rules and workloads of the whole verb, and its target.
WHOLE = (20_000, 10_000, 15.0)


@measurement("lint", pure=True)
def _lint(quick: bool) -> Figures:
    """Lint of a neutral policy and of our own model, and the recall on planted rules that decide nothing."""
    for terms, target in NEUTRAL.items():
        if quick and terms > 1_000:
            continue
        context = _context(*as_estate(neutral(terms)))
        compiled, _ = cost(lambda context=context: context.compiled)  # type: ignore[misc]
        used = median_cpu(partial(_covered, context), 5 if terms == 1_000 else 1)
        yield Figure(f"lint-neutral-{terms}", used, "s", target, f"compiling before it {compiled.cpu:.2f} s")
    policy, planted = with_planted(neutral(1_000))
    yield from _recall(planted, found_in(policy))
    for size in ("S", "M"):
        if quick and size == "M":
            continue
        context = _context(*parsed(size))
        found = _covered(context)
        used = median_cpu(partial(_covered, context), 3)
        yield Figure(f"lint-rules-{size}", used, "s", None, f"{SIZES[size][1]:,} rules; {len(found)} found")
    if not quick:
        rules, workloads, target = WHOLE
        inputs = _inputs(*parsed("whole", size=(workloads, rules)))
        used, report = cost(lambda: lint(inputs))
        detail = f"{rules:,} rules, {workloads:,} workloads, compile included; {len(report.findings):,} findings"
        yield Figure("lint-whole", used.cpu, "s", target, f"{detail}; {used.peak:.0f} MB")


def _recall(planted: dict[str, set[str]], found: dict[str, set[str]]) -> Figures:
    for kind, names in planted.items():
        missed = names - called(kind, names, found)
        yield Figure(f"lint-missed-{kind}", len(missed), "rules", 0, f"of {len(names)} planted")
    wrong = found["shadowed"] - planted["union"] - planted["single"]
    yield Figure(
        "lint-false", len(wrong), "rules", 0, f"called shadowed, not planted; {len(found['shadowed'])} called so"
    )


def _context(policy: Policy, estate: Estate) -> Context:
    context = Context(policy, estate, AT)
    _ = context.items
    return context


def _covered(context: Context) -> list[Covered]:
    """All of it anew: the space of packets, the tables, the search."""
    return Deciding(context.compiled, context.items, AT).covered()


def _inputs(policy: Policy, estate: Estate) -> Inputs:
    return Inputs(policy, estate, AT, tuple(check_rules(policy, estate, AT)))


def found_in(policy: Neutral) -> dict[str, set[str]]:
    """Kind -> names of terms."""
    covered: list[Covered] = _context(*as_estate(policy)).deciding.covered()
    return {kind: {one.item.rule.id for one in covered if one.kind == kind} for kind in ("shadowed", "redundant")}


def called(kind: str, names: set[str], found: dict[str, set[str]]) -> set[str]:
    """Planted terms that were found. Of a redundant set either the wide term or both narrow ones can go."""
    if kind != "redundant":
        return names & found["shadowed"]
    parts = {name: {name.replace("-", f"-{letter}") for letter in "ab"} for name in names}
    return {name for name in names if name in found["redundant"] or parts[name] <= found["redundant"]}


def with_planted(policy: Neutral, seed: int = 23) -> tuple[Neutral, dict[str, set[str]]]:
    """`union`: accepts under two denies that only together cover them. `single`: under one. `redundant`: under two
    accepts that only together cover them. Each about groups of its own, which no other term names."""
    result = deepcopy(policy)
    chooser = random.Random(seed)
    used = {name for term in policy["terms"] for name in (*term["sources"], *term["destinations"])}
    free = sorted(set(policy["groups"]) - used - {"DEVICE"})
    planted: dict[str, set[str]] = {"union": set(), "single": set(), "redundant": set()}
    denies: list[dict[str, Any]] = []
    accepts: list[dict[str, Any]] = []

    def term(name: str, action: str, sources: list[str], target: str, services: list[str]) -> dict[str, Any]:
        return {
            "name": name,
            "action": action,
            "sources": sources,
            "destinations": [target],
            "protocol": "tcp",
            "services": services,
        }

    for number in range(PLANTED):
        left, right, target = chooser.sample(free, 3)
        free = [name for name in free if name not in (left, right, target)]
        for kind, covering, into in (("union", "deny", denies), ("redundant", "accept", accepts)):
            # The sources apart, or the services apart: a union in either field.
            by_source = number % 2 == 0
            service = ["PG", "SSH"] if kind == "union" else ["HTTP", "HTTPS"]
            into.append(
                term(
                    f"{kind}-a{number}",
                    covering,
                    [left] if by_source else [left, right],
                    target,
                    service if by_source else service[:1],
                )
            )
            into.append(
                term(
                    f"{kind}-b{number}",
                    covering,
                    [right] if by_source else [left, right],
                    target,
                    service if by_source else service[1:],
                )
            )
            accepts.append(term(f"{kind}-{number}", "accept", [left, right], target, service))
            planted[kind].add(f"{kind}-{number}")
        denies.append(term(f"single-a{number}", "deny", [left, right], target, ["REDIS"]))
        accepts.append(term(f"single-{number}", "accept", [left], target, ["REDIS"]))
        planted["single"].add(f"single-{number}")
    chooser.shuffle(denies)
    result["terms"] = [
        *denies,
        *(item for item in result["terms"] if item["action"] == "deny"),
        *(item for item in result["terms"] if item["action"] == "accept"),
        *accepts,
    ]
    return result, planted


@measurement("lint-aerleon", pure=False)
def _beside_aerleon(_quick: bool) -> Figures:
    """Lint beside aerleon's shade check on one neutral policy, with and without planted terms that decide nothing."""
    python = installed()
    plain = neutral(1_000)
    seeded, planted = with_planted(plain)
    theirs = {name: _shaded(python, policy) for name, policy in (("plain", plain), ("planted", seeded))}
    context = _context(*as_estate(plain))
    compiled, _ = cost(lambda: context.compiled)
    ours = median_cpu(partial(_covered, context), 5)
    found = found_in(seeded)
    check = theirs["plain"]["shade"] - theirs["plain"]["generate"]
    said = f"aerleon {theirs['plain']['version']}"
    yield Figure(
        "aerleon-shade", check, "s", None, f"its shade check on 1,000 terms, beside {theirs['plain']['generate']:.2f} s"
    )
    yield Figure(
        "lint-same-terms",
        ours,
        "s",
        NEUTRAL[1_000],
        f"the same 1,000 terms; compiling before it {compiled.cpu:.2f} s",
        f"{said} needs {check / ours:.0f} times as much ({check / (ours + compiled.cpu):.0f} with compiling)",
    )
    shaded = set(theirs["planted"]["shaded"])
    for kind, names in planted.items():
        yield Figure(
            f"missed-{kind}",
            len(names - called(kind, names, found)),
            "rules",
            0,
            f"of {len(names)} planted ({'one term covers' if kind == 'single' else 'two terms cover'})",
            f"{said} misses {len(names - shaded)}",
        )


def _shaded(python: Path, policy: Neutral) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "neutral.json"
        source.write_text(json.dumps(policy), encoding="utf-8")
        script = Path(__file__).with_name("peer_shade.py")
        run = subprocess.run(
            [str(python), "-I", str(script), str(source)], capture_output=True, text=True, cwd=name, check=False
        )
    if run.returncode:
        raise LeftOut(f"aerleon {VERSION} ended with {run.returncode}: {run.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(run.stdout))
