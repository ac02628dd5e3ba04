# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Randomised provisions with faults: nobody is locked out, and every state lies between the old and the new policy.

Four hosts go from one random policy to the next, in two phases, host by host. On the way hosts are left out, and the
controller dies between arm and confirm (the host then takes the change back by itself). After every step the rules of
all hosts are read back: each packet that passes end to end is allowed by the old or the new policy, and each packet
both allow passes. Real packets are tried too, and the management port from the controller after every step.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.read import read
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import Form, of_artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import contains
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.live import allow_everything
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.journal import Entry, Journal
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.store import Store
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.plan import PlanRequest, plan
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.provision import (
    barrier,
    begin,
    finish,
    record_wave,
    slice_for,
)
from extensions.lab.lab import Cell, Lab

from ..semantics.fixtures import NOW, inputs_of
from ..support.policies import POINTS, random_world

pytestmark = [pytest.mark.lab, pytest.mark.kernel]
HOSTS = [f"w{index}" for index in range(1, 5)]
AGENT = Path(__file__).parent.parent / "support" / "host_agent.py"
CONTROLLER = {4: "10.0.0.250", 6: "2001:db8::250"}
SAMPLE = 3
FULL = max(2, int(300 * float(os.environ.get("MICROSEG_PROOF_FRACTION", "1"))))
#: Longer than any test step, shorter than patience: how long a host waits for its confirmation.
PATIENCE = 0.8


@pytest.fixture(scope="module")
def lab(make_lab) -> Lab:
    hosts = [
        {
            "name": name,
            "ipv4": [f"10.0.0.{i}"],
            "ipv6": [f"2001:db8::{i}"],
            "listeners": ["udp/53", "tcp/443", "tcp/5432"],
        }
        for i, name in enumerate(HOSTS, 1)
    ]
    return make_lab({"controller": {"ipv4": [CONTROLLER[4]], "ipv6": [CONTROLLER[6]]}, "hosts": hosts})


class Killed(BaseException):
    """The controller is no more."""


@contextlib.contextmanager
def dying_journal(fatal: int, when: str) -> Iterator[None]:
    """The journal write number `fatal` kills the controller, before or after the line is on the disk."""
    written = Journal.record
    count = 0

    def record(self: Journal, *words: str, **detail: object) -> Entry:
        nonlocal count
        count += 1
        if count == fatal and when == "before":
            raise Killed
        entry = written(self, *words, **detail)
        if count == fatal:
            raise Killed
        return entry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "record", record)
        yield


class Rig:
    """The controller's side of one lab, with a memory of what every host is allowed to be."""

    def __init__(self, lab: Lab, store: Store, seed: int) -> None:
        self.lab, self.store = lab, store
        self.chooser = random.Random(seed)
        self.seed = seed
        self.forms: dict[str, Form] = {}
        self.told: list[str] = []
        self.steps = self.killed = self.skipped = self.packets = 0

    def ask(self, host: str, **order):
        run = self.lab.run(host, [sys.executable, AGENT], input=json.dumps(order))
        return json.loads(run.stdout)

    def answers(self):
        path = {"client_address": CONTROLLER[4], "server_port": 22}
        return {host: {**self.ask(host, verb="info"), "control_path": path} for host in HOSTS}

    def read_back(self, bundle) -> None:
        for host in HOSTS:
            self.read_host(bundle, host, self.ask(host, verb="info"))

    def read_host(self, bundle, host: str, answer) -> None:
        own = bundle.points[host].own
        listing = {"nftables": answer["listing"]} if answer["listing"] else None
        self.forms[host] = read(listing, None, own, NOW).own_form if listing else allow_everything(own)

    # --- what must hold after every step ----------------------------------------------------------------------------

    def hold(self, before: dict[str, Form], after: dict[str, Form], estate) -> None:
        self.steps += 1
        for consumer, provider in itertools.permutations(HOSTS, 2):
            for family in (4, 6):
                source = estate.workloads[consumer].of_family(family)[0].number
                target = estate.workloads[provider].of_family(family)[0].number
                for text in POINTS:
                    point = line.parse(text)[0][0]
                    if not contains(line.UNIVERSE[family], point):
                        continue
                    was, will, now = (
                        passes(forms, consumer, provider, family, source, target, point)
                        for forms in (before, after, self.forms)
                    )
                    assert now or not (was and will), self.complain("closed", consumer, provider, family, text)
                    assert not now or was or will, self.complain("opened", consumer, provider, family, text)
                    self.packets += 1
        reached = self.lab.matrix(
            [Cell("controller", self.lab.address(host, family), "tcp/22") for host in HOSTS for family in (4,)]
        )
        assert set(reached.values()) == {"allowed"}, f"seed {self.seed}: locked out: {reached}"

    def complain(self, what: str, consumer: str, provider: str, family: int, text: str) -> str:
        told = "; ".join(self.told)
        return f"seed {self.seed}: {what} in between: {consumer} -> {provider} {text} IPv{family} after {told}"

    def real_packets(self, estate, take: int) -> None:
        cells = {}
        for _ in range(take):
            consumer, provider = self.chooser.sample(HOSTS, 2)
            family = self.chooser.choice([4, 6])
            service = self.chooser.choice(["tcp/22", "tcp/443", "tcp/5432", "udp/53"])
            source = estate.workloads[consumer].of_family(family)[0].number
            target = estate.workloads[provider].of_family(family)[0]
            point = line.parse(service)[0][0]
            cells[Cell(consumer, str(target), service)] = passes(
                self.forms, consumer, provider, family, source, target.number, point
            )
        seen = self.lab.matrix(cells)
        wrong = {cell: word for cell, word in seen.items() if (word == "allowed") != cells[cell]}
        assert not wrong, f"seed {self.seed}: {wrong}"

    def inputs(self, number: int):
        world = random_world(number, hosts=len(HOSTS), kernel=True)
        for document in world.documents:
            if "settings" in document:
                document["settings"]["controllers"] = list(CONTROLLER.values())
                document["settings"]["management_ports"] = ["tcp/22"]
        return inputs_of(world.documents, world.hosts)

    # --- one provision ----------------------------------------------------------------------------------------------

    def provision(self, number: int, faults: bool) -> None:
        inputs = self.inputs(number)
        request = PlanRequest(answers=self.answers(), record=False)
        made = plan(inputs, self.store, request)
        self.read_back(made.bundle)
        before = dict(self.forms)
        after = {host: of_artifact(made.bundle.artifact(host), NOW) for host in HOSTS}
        rollout = begin(self.store, made.plan.digest)
        outcomes: dict[str, dict[str, str]] = {"phase-1": {}, "phase-2": {}}
        steps = {host: point.steps for host, point in made.plan.body.points.items()}
        self.told = [f"policy {number}", *(f"{host} {one.first}/{one.second}" for host, one in steps.items())]
        hashes: dict[str, str] = {}
        for phase in ("phase-1", "phase-2"):
            for wave in rollout.waves[phase]:
                for host in wave:
                    missed = phase == "phase-2" and outcomes["phase-1"].get(host, "unchanged") not in (
                        "confirmed",
                        "unchanged",
                    )
                    outcomes[phase][host] = "skipped" if missed else self.step(made, host, phase, hashes, faults)
                    self.told.append(f"{phase} {host} {outcomes[phase][host]}")
                    self.read_host(made.bundle, host, self.ask(host, verb="info"))
                    self.hold(before, after, inputs.estate)
            if phase == "phase-1":
                barrier(self.store, made.plan.digest, outcomes["phase-1"], NOW)
        self.real_packets(inputs.estate, 12)
        finished = finish(self.store, made.plan.digest, outcomes)
        if not faults:
            assert finished.complete, finished
            assert {host: self.forms[host] for host in HOSTS} == after

    # --- a controller that dies at a journal write ------------------------------------------------------------------

    def provision_dying(self, number: int, fatal: int, when: str) -> bool:
        """One provision whose controller dies around its journal write number `fatal`, and is then run again.

        False where there are not so many writes.
        """
        inputs = self.inputs(number)
        made = plan(inputs, self.store, PlanRequest(answers=self.answers(), record=False))
        self.read_back(made.bundle)
        before = dict(self.forms)
        after = {host: of_artifact(made.bundle.artifact(host), NOW) for host in HOSTS}
        died = False
        with dying_journal(fatal, when):
            try:
                self.roll_out(made, before, after, inputs.estate)
            except Killed:
                died = True
        finished = self.roll_out(made, before, after, inputs.estate)
        assert finished.complete, (self.seed, number, fatal, when, finished)
        assert self.forms == after, (self.seed, number, fatal, when)
        return died

    def roll_out(self, made, before, after, estate):
        """From the beginning, as a user runs the same command again; what is done already is found done."""
        rollout = begin(self.store, made.plan.digest)
        outcomes: dict[str, dict[str, str]] = {"phase-1": {}, "phase-2": {}}
        hashes: dict[str, str] = {}
        self.told = [f"policy {made.plan.digest[:8]}"]
        for phase in ("phase-1", "phase-2"):
            for wave in rollout.waves[phase]:
                for host in wave:
                    outcomes[phase][host] = self.step(made, host, phase, hashes, faults=False)
                    self.told.append(f"{phase} {host} {outcomes[phase][host]}")
                    self.read_host(made.bundle, host, self.ask(host, verb="info"))
                    self.hold(before, after, estate)
                results = {host: {"outcome": outcomes[phase][host], "hash": hashes.get(host)} for host in wave}
                record_wave(self.store, made.plan.digest, phase, results)
            if phase == "phase-1":
                barrier(self.store, made.plan.digest, outcomes["phase-1"], NOW)
        return finish(self.store, made.plan.digest, outcomes)

    def step(self, made, host: str, phase: str, hashes: dict[str, str], faults: bool) -> str:
        fate = self.chooser.choice(["die", "skip", "go", "go", "go"]) if faults else "go"
        if fate == "skip":
            self.skipped += 1
            return "skipped"
        order = slice_for(self.store, made.plan.digest, host, phase)
        if order["do"] == "nothing":
            return "unchanged"
        timeout = PATIENCE if fate == "die" else 60.0
        base = hashes.get(host, order["base"])
        wish = {"policy": order["policy"], "base": base, "plan": order["plan"], "step": phase, "timeout": timeout}
        armed = self.ask(host, verb="arm", **wish)
        assert "code" not in armed, (self.seed, host, phase, armed)
        if armed["token"] is None:
            hashes[host] = armed["hash"]
            return "unchanged"
        if fate == "die":
            self.killed += 1
            self.wait_for_revert(host)
            return "reverted"
        confirmed = self.ask(host, verb="confirm", token=armed["token"])
        assert "code" not in confirmed, (self.seed, host, phase, confirmed)
        hashes[host] = armed["hash"]
        return "confirmed"

    def wait_for_revert(self, host: str) -> None:
        deadline = time.monotonic() + PATIENCE + 10
        while self.ask(host, verb="info")["record"]["pending"] is not None:
            assert time.monotonic() < deadline, f"{host} did not take the change back"
            time.sleep(0.1)


def passes(forms, consumer, provider, family, source, target, point) -> bool:
    egress = forms[consumer].at("egress", family, source, target)
    ingress = forms[provider].at("ingress", family, target, source)
    return contains(egress.allowed, point) and contains(ingress.allowed, point)


def run(lab: Lab, place: Path, seed: int, provisions: int) -> Rig:
    """Every third provision is without faults and must arrive."""
    rig = Rig(lab, Store.open(place), seed)
    for number in range(provisions):
        rig.provision(seed * 10_000 + number, faults=number % 3 != 2)
    return rig


def test_no_state_is_outside_old_and_new_and_nobody_is_locked_out(lab: Lab, tmp_path: Path) -> None:
    rig = run(lab, tmp_path / "store", 7, SAMPLE)
    assert rig.steps
    assert rig.packets


def die_at_every_write(lab: Lab, place: Path, policies: int, most: int) -> int:
    """How many controllers died."""
    rig = Rig(lab, Store.open(place), 9)
    deaths = 0
    for policy in range(policies):
        for fatal in range(1, most + 1):
            # another policy every time, so that there is something to do
            number = 90_000 + policy * 1000 + fatal
            deaths += rig.provision_dying(number, fatal, ("before", "after")[(policy + fatal) % 2])
    return deaths


def test_a_rollout_whose_controller_died_at_a_journal_write_is_finished_by_running_it_again(
    lab: Lab, tmp_path: Path
) -> None:
    assert die_at_every_write(lab, tmp_path / "store", 1, 4) >= 3


@pytest.mark.proof
def test_a_controller_may_die_at_every_journal_write(lab: Lab, tmp_path: Path) -> None:
    policies = max(1, FULL // 60)
    deaths = die_at_every_write(lab, tmp_path / "store", policies, 12)
    print(f"\n{deaths} controllers died at journal writes 1 to 12, before and after the line; every rerun finished")
    assert deaths


@pytest.mark.proof
def test_three_hundred_randomised_provisions(lab: Lab, tmp_path: Path) -> None:
    rig = run(lab, tmp_path / "store", 8, FULL)
    print(
        f"\n{FULL} provisions (seed 8): {rig.steps} steps, {rig.killed} controllers killed, "
        f"{rig.skipped} hosts left out, {rig.packets:,} packets compared; 0 lock-outs, 0 states outside old and new"
    )
