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

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import Estate
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.keys import Keys
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.policy import Policy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.compile import Compiled, compile_policy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.resolve import resolve_rule
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate import Simulation
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_changes import CHANGES, change_of
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_draft import tried
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_edit import KeyedVerdicts
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_keys import (
    answer_by_keys,
    build_keys,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_questions import Question
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.visibility.edges_file import read_edges, write_edges
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.visibility.keys_cache import content_digest
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.flows_asked import FlowsAsked, judged

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


@measurement("simulate-kept", pure=False)
def _kept(quick: bool) -> Figures:
    """A draft through the workflow, with the sums of the flows that an earlier run kept in the store."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise CouldNotRun(f"{error.name} is not installed (extra flows)") from None
    count = 100_000 if quick else COLD
    policy, estate = estates.parsed("S" if quick else "M")
    compiled, draft = compile_policy(policy, estate), compile_policy(without_rules(policy, 20), estate)
    questions = [Question(one, intent) for intent in (False, True) for one in (compiled, draft)]
    with tempfile.TemporaryDirectory() as directory:
        path, store = Path(directory) / "flows.parquet", Path(directory) / "store"
        write_edges(Traffic(compiled).edges(count, 3), path)

        def asked(kept: bool):
            flows = FlowsAsked(path, store=store if kept else None)
            return judged(flows, compiled, questions, CHANGES, change_of, "unchanged")

        without, plain = cost(lambda: asked(False))
        first, _made = cost(lambda: asked(True))
        again, found = cost(lambda: asked(True))
        totals = [
            [int(one.simulation.edges.count[one.kinds == place].sum()) for place in range(1, len(CHANGES))]
            for one in (plain, found)
        ]
        if totals[0] != totals[1] or not sum(totals[0]) or found.findings:
            raise AssertionError(f"the kept sums say {totals[1]}, the flows {totals[0]}")
        digest = cost(lambda: content_digest(path))[0].cpu
        size = sum(item.stat().st_size for item in store.rglob("*") if item.is_file())
        yield Figure(
            "simulate-kept", again.cpu, "s", None,
            f"{count:,} flows, a draft without 20 rules by modes and by intent; without the cache {without.cpu:.2f} s, "
            f"the first run, which makes it, {first.cpu:.2f} s; of it {digest:.2f} s look at the content of "
            f"{path.stat().st_size / 1e6:.0f} MB; the entry takes {size / 1e6:.0f} MB, "
            f"{len(found.kinds):,} of its flows are read",
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
    ready, verdicts = cost(lambda: _ready(keys, compiled))
    full = []
    for number in range(3 if quick else 7):
        draft = compile_policy(without_rules(policy, 5 + number), estate)

        def trial(draft=draft):
            found = tried(verdicts, draft)
            return found, np.flatnonzero(found.codes != verdicts.codes)

        used, (found, changed) = cost(trial)
        full.append(used.cpu)
        if found.split.any() or found.whole or not len(changed):
            raise AssertionError("a draft that only lacks rules changes keys, splits none and leaves most alone")
    anew, answers = cost(lambda: answer_by_keys(keys, [Question(draft)], _no_edges))
    if not np.array_equal(answers.codes, found.codes):
        raise AssertionError("the keys whose rules did not change have other answers anew")
    yield Figure(
        "simulate-keys-draft", statistics.median(full), "s", None if quick else 0.3,
        f"{flows:,} flows, drawn and summed up in {batches} batches: {len(keys):,} keys; from a compiled draft to the "
        f"keys that change; compile not included, nor the {ready.cpu:.1f} s in which the policy's own verdicts are "
        f"made ready; all keys anew, as where the draft tells workloads apart otherwise: {anew.cpu:.2f} s",
    )  # fmt: skip
    times, none = _edits(policy, estate, verdicts, 20 if quick else 300)
    every = sorted(time for found in times.values() for time in found)
    kinds = ", ".join(f"{kind} {sorted(found)[int(len(found) * 0.95)]:.2f}" for kind, found in times.items())
    yield Figure(
        "simulate-keys-edit", every[int(len(every) * 0.95)], "ms", None if quick else 2.0,
        f"one rule taken away, added or changed, 95 of 100; median {statistics.median(every):.2f}, most "
        f"{every[-1]:.1f} ms; by kind {kinds} ms; {len(every)} edits, "
        f"and {none} (rules with addresses) that want a draft",
    )  # fmt: skip


def _ready(keys: Keys, compiled: Compiled) -> KeyedVerdicts:
    verdicts = KeyedVerdicts(keys, compiled)
    verdicts.without("none")
    if not verdicts.editable or not verdicts.sides:
        raise AssertionError("rules of the estate have no times")
    return verdicts


def _edits(policy: Policy, estate: Estate, verdicts: KeyedVerdicts, count: int) -> tuple[dict[str, list[float]], int]:
    """Milliseconds of every edit by its kind, and how many edits only a draft can answer."""
    [scope] = policy.scopes
    rules = [(rule, ruleset) for ruleset in scope.rulesets for rule in ruleset.rules]
    random.Random(11).shuffle(rules)
    times: dict[str, list[float]] = {"removed": [], "added": [], "services": [], "action": []}
    none = changed = 0
    for rule, ruleset in rules[:count]:
        other = "deny" if rule.action == "allow" else "allow"
        edits = {
            "removed": (f"{rule.id}@{scope.name}/{ruleset.name}", None),
            "added": ("", replace(rule, id="new", consumers=rule.providers, providers=rule.consumers)),
            "services": (f"{rule.id}@{scope.name}/{ruleset.name}", replace(rule, services=((22, 22), (443, 443)))),
            "action": (f"{rule.id}@{scope.name}/{ruleset.name}", replace(rule, action=other)),
        }
        for kind, (old, new) in edits.items():
            item = None if new is None else resolve_rule(new, scope, ruleset, estate.workloads)
            start = time.process_time()
            change = verdicts.edited(old, item)
            if change is None:
                none += 1
                continue
            times[kind].append(1e3 * (time.process_time() - start))
            changed += len(change.keys) > 0
    if not changed:
        raise AssertionError("no edit changes a key")
    return times, none


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
