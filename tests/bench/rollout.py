# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A real rollout on hosts of the lab, counted: how many tasks does each host see in each phase?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from extensions.lab.lab import Lab, LabError, probe_ability

from .measuring import CouldNotRun, Figure, Figures, children_cpu, measurement

HOSTS = 4
POLICY = """\
settings: {{labels: {{app: {{}}, role: {{}}}}, controllers: [10.254.0.1, "fd00:254::1"]}}
---
modes: [{{match: {{app: shop}}, mode: full}}]
---
scope: shop
match: {{app: shop}}
owners: [team-shop]
rulesets:
  - name: core
    stage: active
    rules:
      - {{id: metrics, from: {{role: web}}, to: {{role: db}}, services: [tcp/9100]}}
      - {{id: changed, from: {{role: web}}, to: {{role: db}}, services: [{service}]}}
"""
#: A callback that notes what really ran: one JSON line per result.
COUNTER = """\
import json, os
from ansible.plugins.callback import CallbackBase
class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "aggregate", "counter"
    CALLBACK_NEEDS_ENABLED = False
    play = ""
    def v2_playbook_on_play_start(self, play):
        self.play = play.get_name()
    def v2_runner_on_ok(self, result):
        task, said = result._task, result._result
        times = sum(not one.get("skipped") for one in said["results"]) if "results" in said else 1
        line = [self.play, result._host.get_name(), times, task.action, task.get_name()]
        with open(os.environ["BENCH_COUNTED"], "a") as file:
            file.write(json.dumps(line) + "\\n")
"""
MODULE = "bulkhead.microseg.nftables_policy"
PROBE = "bulkhead.microseg.probe"
#: What a phase does without asking a host.
ON_CONTROLLER = {"ansible.builtin.set_fact", "ansible.builtin.meta", "bulkhead.microseg.provision"}


@measurement("tasks", pure=False)
def _tasks(_quick: bool) -> Figures:
    """Hosts of the lab moved from one policy to another in two phases; tasks that reach a host are counted."""
    word, reason = probe_ability()
    if word == "none":
        raise CouldNotRun(reason)
    with tempfile.TemporaryDirectory(prefix="microseg-bench-") as name:
        directory = Path(name)
        try:
            with Lab(_spec(), directory / "lab") as lab:
                yield from _rollout(lab, directory)
        except LabError as error:
            raise CouldNotRun(str(error)) from None


def _spec() -> dict[str, Any]:
    return {
        "hosts": [
            {
                "name": f"host-{number}",
                "ipv4": [f"10.1.1.{number + 1}"],
                "listeners": ["tcp/9100", "tcp/8080", "tcp/8081"],
                "groups": ["microseg_enforced"],
                "vars": {"microseg_labels": {"app": "shop", "role": "web" if number % 2 else "db"}},
            }
            for number in range(HOSTS)
        ]
    }


def _rollout(lab: Lab, directory: Path) -> Figures:
    counted = directory / "counted.jsonl"
    (directory / "callbacks").mkdir()
    (directory / "callbacks" / "counter.py").write_text(COUNTER, encoding="utf-8")
    (directory / "policy").mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")} | {
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_CALLBACK_PLUGINS": str(directory / "callbacks"),
        "ANSIBLE_FORKS": "4",
        "ANSIBLE_HOST_KEY_CHECKING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "BENCH_COUNTED": str(counted),
    }

    def playbook(verb: str, **variables: str) -> str:
        words = [word for key, value in variables.items() for word in ("-e", f"microseg_{key}={value}")]
        program = Path(sys.executable).with_name("ansible-playbook")
        command = [str(program), "-i", str(lab.inventory), f"bulkhead.microseg.{verb}", *words]
        run = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
        if run.returncode:
            said = [
                line for line in run.stdout.splitlines() if "E-" in line or "fatal" in line
            ] or run.stdout.splitlines()
            raise CouldNotRun(f"{verb} ended with {run.returncode}: {(said or [run.stderr])[-1][:300]}")
        return run.stdout

    used = 0.0
    for service in ("tcp/8080", "tcp/8081"):
        (directory / "policy" / "all.yml").write_text(POLICY.format(service=service), encoding="utf-8")
        playbook("plan")
        digest = _latest(directory)
        counted.write_text("", encoding="utf-8")
        before = children_cpu()
        playbook("enforce", plan=digest)
        used = children_cpu() - before
    yield from _figures([json.loads(line) for line in counted.read_text(encoding="utf-8").splitlines()], used)


def _latest(directory: Path) -> str:
    """The digest of the plan that was made last."""
    command = [str(Path(sys.executable).with_name("microseg")), "plan", "latest", "--format", "json"]
    run = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if run.returncode > 1:
        raise CouldNotRun(f"microseg plan latest: {run.stderr.strip()[-300:]}")
    return str(json.loads(run.stdout)["digest"])


def _figures(lines: list[tuple[str, str, int, str, str]], used: float) -> Figures:
    moved: Counter[tuple[str, str]] = Counter()
    names, others, probes = set(), set(), 0
    for play, host, times, action, task in lines:
        if not play.startswith("Phase") or action in ON_CONTROLLER:
            continue
        if action == PROBE:
            probes += times
        elif action == MODULE:
            moved[play, host] += times
            names.add(task.rpartition(" : ")[2])
        else:
            others.add(action)
    if len(moved) != 2 * HOSTS or others:
        raise AssertionError(f"expected {HOSTS} hosts in two phases and nothing else: {dict(moved)}, {others}")
    yield Figure(
        "tasks-per-phase",
        max(moved.values()),
        "tasks",
        2.0,
        f"on each of {HOSTS} hosts in both phases: {'; '.join(sorted(names))}. Peers made {probes} probes in all",
    )
    yield Figure("rollout-cpu", used / HOSTS, "s", None, "a host: two phases and reading back, controller and hosts")
