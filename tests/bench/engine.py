# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Measurements of the engine: compile, documents, bundle, estate, plan, reach, explain. Nothing but Python."""

from __future__ import annotations

import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.bundle import Bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import Estate
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.live import ControlPath, PointState
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.policy import Policy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.sharing import BundleForms
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.bundles import (
    load_artifact,
    load_bundle,
    save_bundle,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.plan import PlanOptions, make_plan
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.store import Store
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy import documents
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.bundling import make_bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.compile import compile_policy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.estate_builder import build_estate
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow import inputs as workflow_inputs
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.check import check
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.explain import explain
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.from_bundle import (
    explain_from_bundle,
    reach_from_bundle,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import Inputs
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.reach import reach

from . import estates, naive, written
from .measuring import CouldNotRun, Figure, Figures, children_cpu, cost, measurement, median_cpu

AT = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
ROOT = Path(__file__).resolve().parents[2]
CLI = "ansible_collections.bulkhead.microseg.plugins.plugin_utils.cli.main"


def sized(workloads: int, rules: int) -> tuple[Policy, Estate]:
    """An estate of another size than S, M and L, by the same generator."""
    name = f"{workloads}x{rules}"
    estates.SIZES[name] = (workloads, rules)
    return estates.parsed(name)


def compiled_bundle(policy: Policy, estate: Estate) -> Bundle:
    return make_bundle(policy, compile_policy(policy, estate))


# -- compile ---------------------------------------------------------------------------------------------------------


def _compile(size: str, quick: bool) -> Figures:
    """From parsed documents to the bundle: both directions, IPv4 and IPv6."""
    workloads, rules = (200, 40) if quick else estates.SIZES[size]
    policy, estate = sized(workloads, rules)
    first, bundle = cost(lambda: compiled_bundle(policy, estate))
    if len(bundle.policies) * 20 < workloads:
        raise AssertionError(f"{len(bundle.policies)} policies: the rules of the bench bind nobody")
    again = [first.cpu, *(cost(lambda: compiled_bundle(policy, estate))[0].cpu for _ in range(0 if quick else 2))]
    promised = size == "L" and not quick
    detail = (
        f"{workloads:,} workloads x {rules:,} rules: {len(bundle.policies):,} policies, {len(bundle.sets):,} peer sets"
    )
    yield Figure(f"compile-{size}", statistics.median(again), "s", 2.0 if promised else None, detail)
    yield Figure(
        f"compile-{size}-memory",
        first.peak,
        "MB",
        300.0 if promised else None,
        f"peak of the process; {first.added:.0f} MB over the parsed input",
    )


for _size in estates.SIZES:
    measurement(f"compile-{_size}", pure=True)(partial(_compile, _size))


@measurement("naive", pure=True)
def _naive(quick: bool) -> Figures:
    """A loop over every workload and every rule, at size S; answers compared with the compiler's."""
    workloads, rules = (100, 30) if quick else estates.SIZES["S"]
    policy, estate = sized(workloads, rules)
    ours = median_cpu(lambda: compiled_bundle(policy, estate), 5)
    bundle = compiled_bundle(policy, estate)
    loop, lists = cost(lambda: naive.lists_of_everybody(policy, estate))
    sample = sorted(estate.workloads)[:: max(1, workloads // 100)]
    for name in sample:
        if naive.lists_in(bundle.artifact(name)) != lists[name]:
            raise AssertionError(f"the compiler and the loop disagree about {name}")
    yield Figure(
        "naive-S",
        loop.cpu,
        "s",
        None,
        f"{workloads:,} x {rules:,}; the same lists on {len(sample)} of {workloads:,} workloads",
        f"{loop.cpu / ours:,.0f} times our compile ({ours:.3f} s)",
    )


# -- documents -------------------------------------------------------------------------------------------------------


def _documents(rules: int, target: float | None, quick: bool) -> Figures:
    """A fresh process: documents parsed, estate joined, rules, guardrails and tests judged; without start-up."""
    count = 100 if quick else rules
    with tempfile.TemporaryDirectory() as directory:
        policy = Path(directory) / "policy"
        apps = written.write_documents(policy, count)
        hosts = written.inventory_hosts(apps)
        parts: list[float] = []

        def run():
            start = time.process_time()
            parsed, findings = documents.load(policy)
            parts.append(time.process_time() - start)
            joined = workflow_inputs.join(parsed, findings, hosts, AT)
            parts.append(time.process_time() - start)
            return check(joined)

        used, report = cost(run)
    if not report.ok or report.rules != count:
        raise AssertionError(f"the documents are not in order: {report.findings[:3]}")
    yield Figure(
        f"check-{rules}-rules",
        used.cpu,
        "s",
        None if quick else target,
        f"{len(hosts):,} hosts; parse {parts[0]:.2f}, join {parts[1] - parts[0]:.2f}, "
        f"judge {used.cpu - parts[1]:.2f} s; peak {used.peak:.0f} MB",
    )


measurement("check-1000-rules", pure=True)(partial(_documents, 1_000, 1.5))
measurement("check-20000-rules", pure=True)(partial(_documents, 20_000, 8.0))


@measurement("check-command", pure=True)
def _command(quick: bool) -> Figures:
    """The whole command `microseg check`: start of Python and Ansible, inventory, 1,000 rules, JSON."""
    rules = 50 if quick else 1_000
    with tempfile.TemporaryDirectory() as directory:
        apps = written.write_documents(Path(directory) / "policy", rules)
        hosts = written.write_inventory(Path(directory) / "hosts.yml", apps)

        def command(*words: str) -> float:
            before = children_cpu()
            run = subprocess.run(
                [sys.executable, "-m", CLI, *words, "--format", "json"],
                cwd=directory,
                env={**os.environ, "ANSIBLE_HOME": str(ROOT / ".ansible")},
                capture_output=True,
                text=True,
                check=False,
            )
            if run.returncode:
                raise CouldNotRun(f"microseg {words[0]} ended with {run.returncode}: {run.stderr[-300:]}")
            json.loads(run.stdout)
            return children_cpu() - before

        times = 1 if quick else 3
        start = statistics.median(command("version") for _ in range(times))
        whole = statistics.median(command("check", "-i", "hosts.yml", "-p", "policy") for _ in range(times))
    yield Figure(
        "check-command", whole, "s", None, f"{rules:,} rules, {hosts:,} hosts; `microseg version` {start:.2f} s"
    )


# -- bundle, estate --------------------------------------------------------------------------------------------------


def _bundle(size: str, quick: bool) -> Figures:
    """A bundle saved into a store and loaded again; one point's slice, explain and reach read from it."""
    workloads, rules = (200, 40) if quick else estates.SIZES[size]
    bundle = compiled_bundle(*sized(workloads, rules))
    promised = size == "L" and not quick
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "store"
        store = Store.open(path, lambda: AT)
        saved, digest = cost(lambda: save_bundle(store, bundle))
        file = (store.path / "bundles" / digest).stat().st_size / 1e6
        names = sorted(bundle.points)
        point = names[workloads // 2]
        slice_cpu = median_cpu(lambda: load_artifact(store, digest, point), 5)
        if load_artifact(store, digest, point) != bundle.artifact(point):
            raise AssertionError("the slice is not what was saved")
        explained = median_cpu(lambda: explain_from_bundle(path, digest, names[3], names[-4], "tcp/443", AT), 5)
        pair = median_cpu(lambda: reach_from_bundle(path, digest, names[3], names[-4], AT), 5)
        reached, answer = cost(lambda: reach_from_bundle(path, digest, names[3], None, AT))
        loaded, whole = cost(lambda: load_bundle(store, digest))
        if whole.policies.keys() != bundle.policies.keys() or whole.artifact(point) != bundle.artifact(point):
            raise AssertionError("what was loaded is not what was saved")
    yield Figure(
        f"bundle-save-{size}",
        saved.cpu,
        "s",
        5.0 if promised else None,
        f"{workloads:,} points, file of {file:.1f} MB",
    )
    yield Figure(f"bundle-save-{size}-memory", saved.peak, "MB", 600.0 if promised else None, "peak of the process")
    yield Figure(f"bundle-slice-{size}", slice_cpu * 1000, "ms", None, "one point read from the file and verified")
    yield Figure(f"bundle-load-{size}", loaded.cpu, "s", None, f"all of it, verified; peak {loaded.peak:.0f} MB")
    limit = 300.0 if promised else None
    yield Figure(f"bundle-explain-{size}", explained * 1000, "ms", limit, "explain from two slices of the file")
    yield Figure(f"bundle-reach-{size}", pair * 1000, "ms", limit, "reach from one workload to one other, from slices")
    opened = sum(bool(allowed) for *_names, allowed in answer.pairs)
    yield Figure(
        f"bundle-reach-all-{size}",
        reached.cpu,
        "s",
        None,
        f"reach from one workload to all {len(answer.pairs):,} others, {opened:,} of them open; reads the whole file",
    )


for _size in ("M", "L"):
    measurement(f"bundle-{_size}", pure=True)(partial(_bundle, _size))


@measurement("estate", pure=True)
def _estate(quick: bool) -> Figures:
    """A YAML inventory of 3,000 hosts read by Ansible, and the estate made of it, once; with two Ansible settings."""
    from ansible import constants

    from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.sources import Sources, open_inventory

    with tempfile.TemporaryDirectory() as directory:
        policy_dir, file = Path(directory) / "policy", Path(directory) / "hosts.yml"
        apps = written.write_documents(policy_dir, 50 if quick else 3_000)
        count = written.write_inventory(file, apps)
        policy, _findings = documents.load(policy_dir)
        for name, plugins, said in (
            ("estate-3000", constants.INVENTORY_ENABLED, "Ansible as installed, which reads YAML files twice"),
            ("estate-3000-yaml", ["yaml"], "ansible.cfg with [inventory] enable_plugins = yaml"),
        ):
            with mock.patch.object(constants, "INVENTORY_ENABLED", plugins):
                used, inventory = cost(lambda: open_inventory(Sources((str(file),))))
            plain, hosts = cost(lambda inventory=inventory: inventory.hosts(documents.label_variables(policy)))
            built, (estate, _findings) = cost(lambda hosts=hosts: build_estate(policy, hosts, AT))
            if len(estate.workloads) != count or any("env" not in one.labels for one in estate.workloads.values()):
                raise AssertionError("the estate lacks hosts or labels")
            yield Figure(
                name,
                used.cpu + plain.cpu + built.cpu,
                "s",
                None if quick else 5.0,
                f"{count:,} hosts, {said}: inventory {used.cpu:.2f}, variables {plain.cpu:.2f}, "
                f"estate {built.cpu:.2f} s; peak {built.peak:.0f} MB",
            )


# -- plan ------------------------------------------------------------------------------------------------------------


@measurement("plan", pure=True)
def _plan(quick: bool) -> Figures:
    """A plan over 3,000 hosts and 300 rules: nothing there yet, and one rule in thirty changed."""
    workloads, rules = (100, 30) if quick else (3_000, 300)
    policy, estate = sized(workloads, rules)
    new = compiled_bundle(policy, estate)
    old = compiled_bundle(_older(policy), estate)
    control = ControlPath("10.0.0.5", 22)
    absent = {name: PointState(True, control_path=control) for name in new.points}
    forms = BundleForms(old, AT)
    carried = {
        name: PointState(
            reachable=True,
            hash="0" * 64,
            form=(form := forms[name]),
            own_form=form,
            record={"policy_digest": old.artifact(name).policy_digest()},
            control_path=control,
        )
        for name in old.points
    }
    options = PlanOptions(renderer="bench")
    for name, previous, live in (("first", None, absent), ("change", old, carried)):
        used, plan = cost(lambda previous=previous, live=live: make_plan(new, previous, live, AT, options))
        yield Figure(
            f"plan-{name}",
            used.cpu,
            "s",
            None,
            f"{workloads:,} hosts x {rules:,} rules: {len(plan.body.points):,} points change, "
            f"{len(plan.evidence.statements):,} statements; peak {used.peak:.0f} MB",
        )


def _older(policy: Policy) -> Policy:
    """The policy without every thirtieth rule."""
    scope = policy.scopes[0]
    rulesets = tuple(
        replace(ruleset, rules=tuple(rule for rule in ruleset.rules if int(rule.id[1:]) % 30))
        for ruleset in scope.rulesets
    )
    return replace(policy, scopes=(replace(scope, rulesets=rulesets),), digest="bench-before")


# -- answers ---------------------------------------------------------------------------------------------------------


def _inputs(workloads: int, rules: int) -> Inputs:
    policy, estate = sized(workloads, rules)
    return Inputs(policy, estate, AT, ())


@measurement("reach", pure=True)
def _reach(quick: bool) -> Figures:
    """All pairs of 1,000 workloads in both families, compile included."""
    workloads, rules = (60, 30) if quick else estates.SIZES["S"]
    used, report = cost(lambda: reach(_inputs(workloads, rules)))
    written_out, _data = cost(report.to_dict)
    yield Figure(
        "reach-1000",
        used.cpu,
        "s",
        None,
        f"{len(report.pairs):,} pairs, and {written_out.cpu:.1f} s to write them out; peak {used.peak:.0f} MB",
    )


@measurement("explain", pure=True)
def _explain(quick: bool) -> Figures:
    """One connection explained at size M: the first answer, which compiles, and each further one."""
    workloads, rules = (100, 30) if quick else estates.SIZES["M"]
    inputs = _inputs(workloads, rules)
    names = sorted(inputs.estate.workloads)

    def ask(number: int) -> object:
        return explain(inputs, names[number], names[-1 - number], "tcp/443")

    first, _answer = cost(lambda: ask(0))
    further = sorted(cost(partial(ask, n))[0].cpu for n in range(1, 21))
    yield Figure("explain-first", first.cpu, "s", None, f"{workloads:,} x {rules:,}; active and staged compiled")
    yield Figure("explain-further", statistics.median(further) * 1000, "ms", None, "another connection, median of 20")
