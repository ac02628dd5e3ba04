# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demo where neither root nor user namespaces are permitted: all that needs no kernel, on recorded live state."""

from __future__ import annotations

import json
import shlex

from extensions.demo.screen import Screen
from extensions.demo.stage import Stage
from extensions.lab import access
from extensions.lab.topology import controller_of, hosts_of

LEFT_OUT = "discover, enforce, proof by packets, drift, repair, safety: they need network namespaces"
#: What a host without any rule of ours answers; the plan below is made against this.
BARE = {
    "hash": "absent",
    "listing": [],
    "foreign": [],
    "record": None,
    "control_path": {"client_address": "10.254.0.1", "client_port": 50022, "server_port": 22},
}


def play(screen: Screen, stage: Stage) -> None:
    """Estate, check, explain, reach, plan and the reports of them."""
    _write_inventory(stage)
    check(screen, stage)
    reach(screen, stage)
    plan(screen, stage)


def _write_inventory(stage: Stage) -> None:
    """As the lab writes it, with the addresses that discovery would have found."""
    controller = controller_of(stage.spec)
    hosts = [host for host in hosts_of(stage.spec, controller).values() if not host.unmanaged]
    for host in hosts:
        host.vars = {**host.vars, "microseg_addresses": host.addresses()}
    (stage.place / "lab").mkdir()
    access.write_inventory(stage.place / "lab" / "inventory.yml", hosts, {})
    answers = {
        host.name: {**BARE, "control_path": {**BARE["control_path"], "server_address": host.addresses()[0]}}
        for host in hosts
    }  # type: ignore[dict-item]
    (stage.place / "live.json").write_text(json.dumps({"at": "recorded", "answers": answers}), encoding="utf-8")


def check(screen: Screen, stage: Stage) -> None:
    screen.step("CHECK  estate, documents, guardrails, policy tests")
    screen.command("microseg check -i inventory.yml")
    shown = stage.microseg("check")
    screen.body(shown.output)
    run = stage.playbook("check")
    screen.prove("the policy is in order (bulkhead.microseg.check)", run.code == 0, run.tail())


def reach(screen: Screen, stage: Stage) -> None:
    screen.step("REACH  who may do what, and why")
    screen.command("microseg reach --from shop-web")
    screen.body(stage.microseg("reach", "--from", "shop-web").output, 12)
    pairs = json.loads(stage.reach())["pairs"]
    screen.prove(f"every one of {len(pairs)} pairs has an answer", len(pairs) == 2 * 14 * 13)
    screen.command("microseg explain shop-dev-app shop-db postgresql")
    explained = stage.microseg("explain", "shop-dev-app", "shop-db", "postgresql")
    screen.body(explained.output, 8)
    screen.prove("explain names who decides", "DENIED" in explained.output)


def plan(screen: Screen, stage: Stage) -> None:
    screen.step("PLAN  against recorded live state")
    words = ["plan", "-i", "inventory.yml", "--live", "live.json", "--target", "microseg_enforced"]
    screen.command(shlex.join(["microseg", *words]))
    shown = stage.microseg(*words)
    screen.body(shown.output, 22, last=4)
    first, second = (json.loads(stage.microseg(*words, "--format", "json").output)["digest"] for _ in range(2))
    screen.prove("the plan has a digest to approve, and the same inputs give the same digest", first == second)
