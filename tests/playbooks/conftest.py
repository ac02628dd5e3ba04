# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A site of five hosts whose user runs the public playbooks."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from extensions.lab.lab import Lab
from tests.lab.conftest import (  # noqa: F401  fixtures
    LabMaker,
    ansible_environment,
    lab_ability,
    make_lab,
    run_directory,
)

POLICY = """\
settings:
  labels: {role: {required: true}}
  controllers: [10.254.0.1, "fd00:254::1"]
  management_ports: [tcp/22]
label_rules:
  - {set: {role: web}, group: web}
  - {set: {role: app}, group: app}
  - {set: {role: db}, group: db}
workloads:
  - {name: printer, addresses: [10.1.9.9, "2001:db8::99"], labels: {role: printer}}
modes:
  - {match: {role: [web, app, db]}, mode: full}
---
scope: shop
estate: true
match: {}
rulesets:
  - name: tiers
    stage: active
    rules:
      - {id: web-to-app, from: {role: web}, to: {role: app}, services: [tcp/8080]}
      - {id: app-to-db, from: {role: app}, to: {role: db}, services: [tcp/5432]}
"""
PRINTING = "      - {id: printing, from: {role: app}, to: {role: printer}, services: [tcp/9100]}\n"
HOSTS = (("web-1", 1, "web"), ("web-2", 2, "web"), ("app-1", 3, "app"), ("db-1", 4, "db"))
PORTS = {"web": ["tcp/80"], "app": ["tcp/8080"], "db": ["tcp/5432"]}


@dataclass(frozen=True)
class Run:
    code: int
    output: str

    @property
    def changed(self) -> int:
        lines = self.output.partition("PLAY RECAP")[2].splitlines()
        return sum(int(line.partition("changed=")[2].split()[0]) for line in lines if "changed=" in line)

    @property
    def published(self) -> dict[str, Any]:
        """What set_stats told AWX."""
        text = self.output.partition("RUN: ")[2]
        return dict(json.JSONDecoder().raw_decode(text)[0]) if text else {}


class Site:
    """What a user has: an inventory, a policy directory, and a directory to run commands in."""

    def __init__(self, lab: Lab, place: pathlib.Path, environment: dict[str, str]) -> None:
        self.lab = lab
        self.place = place
        self.environment = environment | {"ANSIBLE_SHOW_CUSTOM_STATS": "1", "ANSIBLE_TIMEOUT": "4"}
        self.write_policy(POLICY)

    def write_policy(self, text: str, name: str = "policy") -> None:
        (self.place / name).mkdir(exist_ok=True)
        (self.place / name / "site.yml").write_text(text, encoding="utf-8")

    def words(self, name: str, *options: str, **variables: Any) -> list[str]:
        extra = ["-e", json.dumps({"microseg_batches": ["1", "100%"], **variables})]
        return ["ansible-playbook", "-i", str(self.lab.inventory), f"bulkhead.microseg.{name}", *options, *extra]

    def play(self, name: str, *options: str, **variables: Any) -> Run:
        run = subprocess.run(
            self.words(name, *options, **variables), cwd=self.place, env=self.environment, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240,
        )  # fmt: skip
        return Run(run.returncode, run.stdout)

    def play_and_kill(self, moment: Callable[[], bool], name: str, **variables: Any) -> None:
        """Kill the controller, and all it started, as soon as the moment has come."""
        child = subprocess.Popen(
            self.words(name, **variables), cwd=self.place, env=self.environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            while not moment():
                assert child.poll() is None, "the playbook ended before the moment came"
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def plan(self, *options: str, **variables: Any) -> dict[str, Any]:
        run = self.play("plan", *options, **variables)
        assert run.code == 0, run.output
        return dict(run.published["microseg_plan"])

    def enforce(self, digest: str, *options: str, **variables: Any) -> Run:
        return self.play("enforce", *options, microseg_plan=digest[:8], **variables)

    def ruleset(self, host: str) -> str:
        return self.lab.run(host, ["nft", "-s", "list", "ruleset"]).stdout

    def rulesets(self) -> dict[str, str]:
        return {name: self.ruleset(name) for name, _number, _role in HOSTS}

    def record(self, host: str) -> dict[str, Any]:
        text = self.lab.run(host, ["cat", "/var/lib/microseg/record.json"], check=False).stdout
        return dict(json.loads(text)) if text else {"pending": None}

    def reach(self) -> dict[tuple[str, str, str], list[str]]:
        words = ["microseg", "reach", "-i", str(self.lab.inventory), "--with-failsafe", "--format", "json"]
        run = subprocess.run(words, cwd=self.place, env=self.environment, check=True, capture_output=True, text=True)
        return {(one["from"], one["to"], one["family"]): one["allowed"] for one in json.loads(run.stdout)["pairs"]}


def spec() -> dict[str, Any]:
    hosts: list[dict[str, Any]] = [
        {
            "name": name,
            "ipv4": [f"10.1.0.{number}"],
            "ipv6": [f"2001:db8::{number}"],
            "listeners": PORTS[role],
            "groups": ["microseg_enforced", role],
            "vars": {"microseg_addresses": [f"10.1.0.{number}", f"2001:db8::{number}"]},
        }
        for name, number, role in HOSTS
    ]
    printer = {"name": "printer", "ipv4": ["10.1.9.9"], "ipv6": ["2001:db8::99"], "listeners": ["tcp/9100"]}
    return {"hosts": [*hosts, {**printer, "unmanaged": True}]}


@pytest.fixture(scope="module")
def site(
    make_lab: LabMaker,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
    ansible_environment: dict[str, str],  # noqa: F811
) -> Site:
    """Planned and enforced."""
    site = Site(make_lab(spec()), tmp_path_factory.mktemp("site"), ansible_environment)
    run = site.enforce(site.plan()["digest"])
    assert run.code == 0, run.output
    return site
