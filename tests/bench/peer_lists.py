# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs inside the environment of decision diagrams and solvers, where nothing of ours is installed.

`python peer_lists.py TOOL LISTS.json SECONDS`: both lists of rules as functions, whether they are equal, and how many
packets they treat differently. Prints CPU seconds without imports and without the start of the tool.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


class Cudd:
    def __init__(self, bits):
        from dd import cudd

        self.manager = cudd.BDD(memory_estimate=2 * 2**30)
        self.manager.configure(reordering=False)
        self.manager.declare(*(f"v{number:03}" for number in range(bits)))
        self.variables = [self.manager.var(f"v{number:03}") for number in range(bits)]
        self.true, self.false = self.manager.true, self.manager.false
        self.bits = bits

    def count(self, function):
        return int(self.manager.count(function, nvars=self.bits))


class Oxidd:
    def __init__(self, bits):
        from oxidd.bdd import BDDManager

        self.manager = BDDManager(8_000_000, 4_000_000, 1)
        numbers = self.manager.add_vars(bits)
        self.variables = [self.manager.var(number) for number in numbers]
        self.true, self.false = self.manager.true(), self.manager.false()
        self.bits = bits

    def count(self, function):
        return int(function.sat_count(self.bits))


def at_least(tool, first, width, number):
    node = tool.true
    for bit in range(width):
        variable = tool.variables[first + width - 1 - bit]
        node = variable & node if number >> bit & 1 else variable | node
    return node


def within(tool, first, width, low, high):
    """Shared prefix bits first: a block costs no more nodes than its length."""
    if low == 0 and high == (1 << width) - 1:
        return tool.true
    node = at_least(tool, first, width, low)
    return node if high == (1 << width) - 1 else node & ~at_least(tool, first, width, high + 1)


def balanced(pairs, true, false):
    """(allowed, decided) of a list, halves first: an earlier half overrides a later one."""
    row = list(pairs)
    while len(row) > 1:
        joined = []
        for index in range(0, len(row) - 1, 2):
            (allowed, decided), (later, more) = row[index], row[index + 1]
            joined.append((allowed | (later & ~decided), decided | more))
        row = joined + ([row[-1]] if len(row) % 2 else [])
    return row[0][0] if row else false


def diagrams(kind, data):
    fields = list(data["fields"].values())
    tool = kind(sum(fields))
    known = {}
    start = time.process_time()

    def field(first, width, ranges):
        key = first, str(ranges)
        if key not in known:
            node = tool.false
            for low, high in ranges:
                node = node | within(tool, first, width, low, high)
            known[key] = node
        return known[key]

    def function(rules):
        pairs = []
        for ranges, action in rules:
            node, first = tool.true, sum(fields)
            for width, part in reversed(list(zip(fields, ranges, strict=True))):
                first -= width
                node = field(first, width, part) & node
            pairs.append((node if action == 1 else tool.false, node))
        return balanced(pairs, tool.true, tool.false)

    before, after = function(data["before"]), function(data["after"])
    different = (before & ~after) | (after & ~before)
    equal = before == after
    used = time.process_time() - start
    return {"cpu": used, "equal": equal, "volume": 0 if equal else tool.count(different)}


def z3(data, seconds):
    import z3 as solver

    start = time.process_time()
    fields = [solver.BitVec(name, width) for name, width in data["fields"].items()]
    widths = list(data["fields"].values())

    def function(rules):
        result = solver.BoolVal(False)
        for ranges, action in reversed(rules):
            parts = []
            for variable, width, part in zip(fields, widths, ranges, strict=True):
                if part == [[0, (1 << width) - 1]]:
                    continue
                parts.append(
                    solver.Or([solver.And(solver.UGE(variable, low), solver.ULE(variable, high)) for low, high in part])
                )
            result = solver.If(solver.And(parts), solver.BoolVal(action == 1), result)
        return result

    checker = solver.Solver()
    checker.set("timeout", int(seconds * 1000))
    checker.add(function(data["before"]) != function(data["after"]))
    said = str(checker.check())
    return {"cpu": time.process_time() - start, "equal": {"unsat": True, "sat": False}.get(said), "volume": None}


def main(tool: str, path: str, seconds: str) -> None:
    sys.setrecursionlimit(100_000)
    data = json.loads(Path(path).read_text(encoding="utf-8"))
    if tool == "z3":
        found = z3(data, float(seconds))
    else:
        found = diagrams({"cudd": Cudd, "oxidd": Oxidd}[tool], data)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
