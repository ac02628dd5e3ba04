# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Measurements of simulate: millions of flows from Parquet, the same question as a DuckDB join, and the key store."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.keys import Keys
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.policy import Policy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.compile import compile_policy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate import Simulation
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_edit import KeyedVerdicts
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_keys import (
    answer_by_keys,
    build_keys,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_questions import Question
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.visibility.edges_file import read_edges, write_edges

from . import estates
from .measuring import CouldNotRun, Figure, Figures, cost, measurement
from .traffic import Traffic

COLD = 10_000_000
#: Flows per CPU second that a cold simulation should reach.
PROMISED = 8_000_000
#: Numbers of the protocols in the order of the service line.
PROTOCOLS = np.array([6, 17, 132, 1, 58], np.uint8)


def without_rules(policy: Policy, count: int) -> Policy:
    """A draft: the policy without some rules of applications, always the same ones."""
    [scope] = policy.scopes
    *others, apps = scope.rulesets
    gone = set(random.Random(5).sample(range(len(apps.rules)), min(count, len(apps.rules))))
    kept = tuple(rule for number, rule in enumerate(apps.rules) if number not in gone)
    return replace(policy, scopes=(replace(scope, rulesets=(*others, replace(apps, rules=kept))),))


@measurement("simulate-cold", pure=False)
def _cold(quick: bool) -> Figures:
    """Flows from a Parquet file judged for both sides, nothing known before but the compiled policy."""
    try:
        import duckdb
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise CouldNotRun(f"{error.name} is not installed (extra flows)") from None
    count = 100_000 if quick else COLD
    policy, estate = estates.parsed("S" if quick else "M")
    compiled, draft = compile_policy(policy, estate), compile_policy(without_rules(policy, 20), estate)
    traffic = Traffic(compiled)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "flows.parquet"
        write_edges(traffic.edges(count, 3), path)
        size = path.stat().st_size / count
        del traffic

        def judged(questions):
            start = time.process_time()
            edges = read_edges(path)
            read = time.process_time()
            simulation = Simulation(questions, edges)
            codes = simulation.codes()
            done = time.process_time()
            return simulation, codes, read - start, done - read

        before, (simulation, codes, read, looked) = cost(lambda: judged([Question(compiled)]))
        blocked = int(simulation.edges.count[codes & 3 == 0].sum())
        detail = (
            f"{count:,} flows of {size:.1f} bytes, {len(estate.workloads):,} workloads: "
            f"{count / before.cpu / 1e6:.1f} million flows a second; read {read:.2f}, judge {looked:.2f} s; "
            f"peak {before.peak:,.0f} MB"
        )
        theirs, seconds = _by_join(duckdb, path, simulation)
        if theirs != blocked:
            raise AssertionError(f"DuckDB counts {theirs:,} blocked conversations, we {blocked:,}")
        peer = (
            f"DuckDB {duckdb.__version__}, one thread, given all our tables, joins in {seconds:.2f} s: compare it with "
            "read and simulate-lookup"
        )
        yield Figure("simulate-cold", before.cpu, "s", None if quick else COLD / PROMISED, detail, peer)
        again = cost(simulation.codes)[0].cpu
        rate = f"{count / again / 1e6:.0f} million flows a second"
        yield Figure("simulate-lookup", again, "s", None, f"the same again, columns and tables in memory: {rate}")
        del simulation, codes
        questions = [Question(compiled), Question(draft), Question(compiled, True), Question(draft, True)]
        both, (_simulation, codes, _read, _looked) = cost(lambda: judged(questions))
        changed = int(np.count_nonzero((codes & 3) != (codes >> 2 & 3)))
        yield Figure(
            "simulate-cold-draft", both.cpu, "s", None,
            f"the policy and a draft without 20 rules, by modes and by intent: {changed:,} flows change; "
            f"{count / both.cpu / 1e6:.1f} million flows a second",
        )  # fmt: skip


@measurement("simulate-keys", pure=True)
def _keys(quick: bool) -> Figures:
    """The key store: flows summed up once, a draft tried on the sums."""
    batches, size = (2, 20_000) if quick else (5, COLD)
    policy, estate = estates.parsed("S" if quick else "M")
    compiled = compile_policy(policy, estate)
    traffic = Traffic(compiled)
    built, parts = [], []
    for batch in range(batches):
        edges = traffic.edges(size, batch)
        used, keys = cost(lambda edges=edges: build_keys(edges, compiled))
        built.append(used.cpu)
        parts.append(keys)
        del edges
    keys = merged(parts)
    flows = batches * size
    yield Figure(
        "simulate-keys-build", statistics.median(built), "s", None,
        f"{size:,} flows summed up by what the policy tells apart; "
        f"{size / statistics.median(built) / 1e6:.1f} million a second",
    )  # fmt: skip
    verdicts = KeyedVerdicts(keys, compiled)
    full = []
    for number in range(3 if quick else 7):
        draft = compile_policy(without_rules(policy, 5 + number), estate)

        def tried(draft=draft):
            answers = answer_by_keys(keys, [Question(draft)], _no_edges)
            return answers, np.flatnonzero(answers.codes != verdicts.codes)

        used, (answers, changed) = cost(tried)
        full.append(used.cpu)
        if answers.split.any() or not len(changed):
            raise AssertionError("a draft that only lacks rules changes keys and splits none")
    lookup = cost(lambda: answers.simulation.codes(keys.itself))[0].cpu
    yield Figure(
        "simulate-keys-draft", statistics.median(full), "s", None if quick else 0.3,
        f"{flows:,} flows, drawn and summed up in {batches} batches: {len(keys):,} keys; from a compiled draft to the "
        f"keys that change, the verdicts of the policy known; the lookups alone {lookup:.3f} s; compile not included",
    )  # fmt: skip
    names = sorted({copy.artifact.id for copy in compiled.copies["ingress"] if copy.origin is not None})
    random.Random(11).shuffle(names)
    edits, changed = [], []
    for name in names[: 20 if quick else 400]:
        start = time.process_time()
        change = verdicts.without(name)
        edits.append(time.process_time() - start)
        changed.append(len(change.keys))
    edits.sort()
    yield Figure(
        "simulate-keys-edit", 1e3 * edits[int(len(edits) * 0.95)], "ms", None if quick else 2.0,
        f"one rule taken away, 95 of 100; median {1e3 * statistics.median(edits):.2f}, most {1e3 * edits[-1]:.1f} ms; "
        f"{len(edits)} rules, up to {max(changed):,} keys change",
    )  # fmt: skip


def _no_edges():
    raise AssertionError("nobody should ask for edges")


def merged(parts: list[Keys]) -> Keys:
    """Keys of several batches over the same ends as one; pairs of batches are added up."""
    numbers = np.concatenate([part.numbers for part in parts])
    _distinct, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)

    def joined(take):
        return np.concatenate([take(part) for part in parts])

    def summed(take):
        total = np.zeros(len(first), np.int64)
        np.add.at(total, inverse, joined(take))
        return total

    def most(take, operation):
        found = joined(take)[first].copy()
        operation.at(found, inverse, joined(take))
        return found

    count, dropped = summed(lambda part: part.edges.count), summed(lambda part: part.dropped)
    edges = replace(
        parts[0].edges,
        consumer=joined(lambda part: part.edges.consumer)[first],
        provider=joined(lambda part: part.edges.provider)[first],
        service=most(lambda part: part.edges.service, np.minimum),
        count=count,
        first=most(lambda part: part.edges.first, np.minimum),
        last=most(lambda part: part.edges.last, np.maximum),
        dropped=count == dropped,
        sensor=np.zeros(len(first), np.int32),
    )
    return replace(
        parts[0],
        edges=edges,
        high=most(lambda part: part.high, np.maximum),
        dropped=dropped,
        rows=summed(lambda part: part.rows),
        pairs=summed(lambda part: part.pairs),
        itself=joined(lambda part: part.itself)[first],
        example_consumer=joined(lambda part: part.example_consumer)[first],
        example_provider=joined(lambda part: part.example_provider)[first],
    )


def _by_join(duckdb, path: Path, simulation: Simulation) -> tuple[int, float]:
    """Blocked conversations by SQL over the very tables that our lookups use, and the CPU seconds of the query.

    The tables are there before: ends with policy and kind, atoms of services, rows of (policy, atom), and the pairs of
    row and kind that are not allowed through.
    """
    import pyarrow as pa

    kinds = simulation.kinds
    width, atoms = len(kinds.items), len(simulation.atoms)
    points = np.arange(0x50100)
    plain = points < 0x50000
    tables = {
        "atoms": {
            "protocol": np.where(plain, PROTOCOLS[np.minimum(points >> 16, 4)], points & 0xFF).astype(np.uint8),
            "port": np.where(plain, points & 0xFFFF, 0).astype(np.uint16),
            "atom": simulation.atoms.of[points],
        },
        "ends": {
            "number": np.array([end.number for end in simulation.edges.ends], np.uint32),
            "kind": kinds.of.astype(np.int64),
            "home": kinds.homes[0],
        },
    }
    for name in ("ingress", "egress"):
        table = simulation.table(name)
        pairs, begins = table.pairs()
        tables["ends"][name] = table.rows.policy[kinds.of] * atoms
        tables[f"rows_{name}"] = {"pair": pairs, "begin": begins}
        answers = table.rows.matrix[: int(begins.max()) + width]
        tables[f"allowed_{name}"] = {"place": np.flatnonzero(answers & 3)}
    with duckdb.connect(config={"threads": 1}) as connection:
        for name, columns in tables.items():
            connection.register("given", pa.table(columns))
            connection.execute(f"create table {name} as select * from given")
        start = time.process_time()
        [(blocked,)] = connection.execute(
            f"""
            select sum(flow."count") from '{path}' flow
            join ends consumer on consumer.number = flow.consumer
            join ends provider on provider.number = flow.provider
            join atoms on atoms.protocol = flow.protocol and atoms.port = flow.port
            join rows_egress on rows_egress.pair = consumer.egress + atom
            join rows_ingress on rows_ingress.pair = provider.ingress + atom
            where consumer.home <> provider.home
            and (rows_egress.begin + provider.kind not in (select place from allowed_egress)
                 or rows_ingress.begin + consumer.kind not in (select place from allowed_ingress))
            """
        ).fetchall()
        return int(blocked or 0), time.process_time() - start
