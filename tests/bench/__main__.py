# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""`python -m tests.bench [NAME ...]`: run measurements, each in its own process, and print a table.

Exit code 0 unless a measurement could not run. Slowness is a figure, not a failure.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .machine import ROOT, describe
from .measuring import MEASUREMENTS, CouldNotRun, LeftOut, Measurement
from .table import page, text

#: Importing them registers their measurements. `hosts` is first: what it imports must come before the collection.
MODULES = ("hosts", "peer", "engine", "diff", "inventory_diff", "edits", "simulation", "lint", "rollout")
#: In the order they are run and shown.
SHOWN = ("engine", "diff", "inventory_diff", "edits", "simulation", "lint", "hosts", "rollout", "peer")
RESULTS = ROOT / ".cache" / "bench.jsonl"
KEPT = ROOT / "tests" / "bench" / "measured.jsonl"
PAGE = ROOT / "docs" / "performance.md"
#: Seconds after which a measurement is given up. Generous: a slow machine is no reason to fail.
PATIENCE = 1800


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="CPU seconds and memory of the product.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="measurements to run; all when none is named")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where JSON lines go")
    parser.add_argument("--quick", action="store_true", help="small inputs, and only what needs nothing but Python")
    parser.add_argument("--list", action="store_true", help="say what there is to measure")
    parser.add_argument("--write-docs", action="store_true", help="write docs/performance.md from --json; no measuring")
    parser.add_argument("--alone", metavar="MODULE:NAME", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.alone:
        return _alone(*given.alone.split(":"), given.quick)
    everything = _all()
    if given.list:
        for one in everything:
            print(f"{one.name:18} {one.says}")
        return 0
    for name in given.names:
        if name not in MEASUREMENTS:
            parser.error(f"there is no measurement {name}; see --list")
    if given.write_docs:
        publish(given.json.read_text(encoding="utf-8"))
        return 0
    names = given.names or [one.name for one in everything if one.pure or not given.quick]
    results = [{"kind": "machine", "quick": given.quick, **describe()}]
    given.json.parent.mkdir(parents=True, exist_ok=True)
    with given.json.open("w", encoding="utf-8") as file:
        file.write(json.dumps(results[0]) + "\n")
        for number, name in enumerate(names, 1):
            print(f"{number}/{len(names)} {name}", file=sys.stderr, flush=True)
            for result in measured(name, given.quick):
                results.append(result)
                file.write(json.dumps(result) + "\n")
                file.flush()
    print(text(results))
    return 1 if any(item["kind"] == "could-not-run" for item in results) else 0


def publish(lines: str) -> None:
    """The results are kept beside the page, so that a test can see that nobody has touched a number by hand."""
    results = [json.loads(line) for line in lines.splitlines()]
    KEPT.write_text(lines, encoding="utf-8")
    PAGE.write_text(page(results), encoding="utf-8")


def measured(name: str, quick: bool = False) -> Iterator[dict[str, Any]]:
    """Run one measurement in a new process; what it prints is its results."""
    what = f"{MEASUREMENTS[name].module}:{name}"
    command = [sys.executable, "-m", "tests.bench", "--alone", what, *(["--quick"] if quick else [])]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        yield _unable(name, "could-not-run", f"not done after {PATIENCE} seconds")
        return
    for line in run.stdout.splitlines():
        yield json.loads(line)
    if run.returncode:
        last = (run.stderr.strip() or f"ended with {run.returncode}").splitlines()[-1]
        yield _unable(name, "could-not-run", last)


def _all() -> list[Measurement]:
    for module in MODULES:
        importlib.import_module(f".{module}", __package__)
    return sorted(MEASUREMENTS.values(), key=lambda one: SHOWN.index(one.module.rpartition(".")[2]))


def _alone(module: str, name: str, quick: bool) -> int:
    importlib.import_module(module)
    try:
        one = MEASUREMENTS[name]
        for figure in one.run(quick):
            print(json.dumps({"kind": "figure", "measurement": name, "says": one.says, **figure.to_dict()}), flush=True)
    except CouldNotRun as reason:
        print(json.dumps(_unable(name, "left-out" if isinstance(reason, LeftOut) else "could-not-run", str(reason))))
    return 0


def _unable(name: str, kind: str, reason: str) -> dict[str, Any]:
    return {"kind": kind, "measurement": name, "name": name, "reason": reason}


if __name__ == "__main__":
    sys.exit(main())
