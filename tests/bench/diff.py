# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Exact difference of two first-match lists: our decision diagrams, and beside them BDD libraries and a solver."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.diagram import OVERRIDE, Diagrams

from .lists import FIELDS, Rule, as_json, rewritten, rules
from .machine import ROOT
from .measuring import Figure, Figures, LeftOut, cost, measurement

HOME = ROOT / ".cache" / "peers" / "lists-dd-oxidd-z3"
PACKAGES = {"cudd": "dd==0.6.0", "oxidd": "oxidd==0.13.0", "z3": "z3-solver==5.4.1.0"}
RULES = 1_000
#: Seconds a peer may take; an answer after that is none.
PATIENCE = 60


def compared(before: list[Rule], after: list[Rule]) -> tuple[bool, int, int]:
    """Equal? How many packets differ, and in how many boxes; both lists built from nothing."""
    diagrams = Diagrams([(1 << bits) - 1 for bits in FIELDS.values()])
    left, right = (
        diagrams.all_of(OVERRIDE, [diagrams.box([tuple(part) for part in ranges], value) for ranges, value in one])
        for one in (before, after)
    )
    # What no rule decides is denied.
    left, right = (diagrams.mapped(node, [0, 1, 0]) for node in (left, right))
    boxes = [item.box for item in diagrams.difference(left, right)]
    volume = 0
    for box in boxes:
        size = 1
        for part in box:
            size *= sum(high - low + 1 for low, high in part)
        volume += size
    return left == right, volume, len(boxes)


@measurement("list-diff", pure=True)
def _ours(quick: bool) -> Figures:
    """Exact difference of a list of 1,000 rules and its rewriting, with 0 and with 3 rules changed."""
    before = rules(100 if quick else RULES)
    for mutations in (0, 3):
        after = rewritten(before, mutations)
        used, (equal, volume, boxes) = cost(lambda after=after: compared(before, after))
        if equal != (volume == 0) or (equal and mutations) or not (equal or mutations):
            raise AssertionError(f"{mutations} changed rules, and equal is {equal} with {volume} packets")
        yield Figure(
            f"list-diff-{mutations}",
            used.cpu,
            "s",
            None if quick else 0.5,
            f"{len(before):,} and {len(after):,} rules, {mutations} changed: {volume:.3g} packets in {boxes:,} boxes",
        )


@measurement("list-diff-peers", pure=False)
def _peers(_quick: bool) -> Figures:
    """The same lists in CUDD, OxiDD and z3: both sides built, equality, and the volume of the difference."""
    python = _installed()
    before = rules(RULES)
    with tempfile.TemporaryDirectory() as directory:
        for mutations in (0, 3):
            after = rewritten(before, mutations)
            ours, (equal, volume, _boxes) = cost(lambda after=after: compared(before, after))
            path = Path(directory) / "lists.json"
            path.write_text(json.dumps({"fields": FIELDS, "before": as_json(before), "after": as_json(after)}))
            for tool, package in PACKAGES.items():
                found = _run(python, tool, path)
                name = f"list-diff-{tool}-{mutations}"
                if found is None or found["equal"] is None:
                    spent = PATIENCE if found is None else found["cpu"]
                    yield Figure(name, spent, "s", None, f"{package}: no answer within {PATIENCE} seconds")
                    continue
                if found["equal"] != equal or found["volume"] not in (None, volume):
                    raise AssertionError(f"{tool} finds {found}, we equal {equal} with {volume} packets")
                says = "equality and one witness" if found["volume"] is None else "same equality, same volume"
                yield Figure(
                    name,
                    found["cpu"],
                    "s",
                    None,
                    f"{package}: {says}",
                    f"{found['cpu'] / ours.cpu:.1f} times our {ours.cpu:.2f} s",
                )


def _run(python: Path, tool: str, path: Path) -> dict[str, Any] | None:
    script = Path(__file__).with_name("peer_lists.py")
    command = [str(python), "-I", str(script), tool, str(path), str(PATIENCE)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=4 * PATIENCE)
    except subprocess.TimeoutExpired:
        return None
    if run.returncode:
        said = run.stderr.strip().splitlines()
        raise LeftOut(f"{tool} ended with {run.returncode}: {said[-1] if said else 'no reason given'}")
    return dict(json.loads(run.stdout))


def _installed() -> Path:
    """The interpreter of an environment with the peers in it; made when it is not there yet."""
    python = HOME / "bin" / "python"
    if (HOME / "complete").exists():
        return python
    HOME.parent.mkdir(parents=True, exist_ok=True)
    steps = (
        [sys.executable, "-m", "venv", "--clear", str(HOME)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES.values()],
    )
    for step in steps:
        run = subprocess.run(step, capture_output=True, text=True, check=False)
        if run.returncode:
            said = (run.stderr or run.stdout).strip().splitlines()
            raise LeftOut(f"{', '.join(PACKAGES)} cannot be installed: {said[-1] if said else run.returncode}")
    (HOME / "complete").touch()
    return python
