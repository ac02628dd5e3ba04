# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Steps 1 to 5 of the demo: discover, check, plan, enforce, proof."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from typing import Any

from extensions.demo.screen import Screen
from extensions.demo.stage import Stage, playbook_words
from extensions.demo.traffic import CONVERSATIONS, PORTS, UNWANTED, Traffic, whole_matrix


def discover(screen: Screen, stage: Stage) -> None:
    screen.step("DISCOVER  who talks to whom, told by the hosts themselves")
    assert stage.lab is not None
    stage.traffic = Traffic(stage.lab)
    screen.command(shlex.join(playbook_words("discover")))
    run = stage.playbook("discover")
    screen.insist("every host reported addresses, listeners and connections", run.code == 0, run.tail())
    report = stage.report("discover.json")
    seen = Counter((edge["from"], edge["to"], edge["service"]) for edge in report["edges"])
    rows: dict[tuple[str, str], set[str]] = {}
    for consumer, provider, service in seen:
        if consumer in stage.lab.hosts and provider in stage.lab.hosts:
            rows.setdefault((consumer, service), set()).add(provider)
    screen.table(
        [("CONSUMER", "SERVICE", "PROVIDERS"), *((a, b, ", ".join(sorted(c))) for (a, b), c in sorted(rows.items()))]
    )
    wanted = {(consumer, provider, service) for consumer, provider, service, _ in CONVERSATIONS}
    missing = sorted(wanted - set(seen))
    screen.prove(
        f"{len(wanted)} of {len(wanted)} running conversations were seen ({report['flows']} flows, "
        f"coverage {report['coverage']:.0%})",
        not missing,
        f"not seen: {missing}",
    )
    ports = {row["port"] for host in report["hosts"].values() for row in host["listeners"]}
    screen.prove("the services of the hosts were found listening", {22, 443, 8080, 5432, 9100} <= ports, str(ports))


def check(screen: Screen, stage: Stage) -> None:
    screen.step("CHECK  documents, guardrails, policy tests")
    screen.command("microseg check -i inventory.yml")
    screen.body(stage.microseg("check").output)
    run = stage.playbook("check")
    report = stage.report("check.json")
    screen.insist("the policy is in order (bulkhead.microseg.check)", run.code == 0, run.tail())
    guardrails, tests = report["guardrails"], report["tests"]
    screen.prove(
        f"{len(guardrails)} guardrails hold and {len(tests)} policy tests pass",
        all(one["outcome"] == "holds" for one in guardrails) and all(one["passes"] for one in tests),
    )
    asked = ("shop-dev-app", "shop-db", "postgresql")
    screen.command("microseg explain -i inventory.yml " + " ".join(asked))
    explained = stage.microseg("explain", *asked)
    screen.body(explained.output, 8)
    screen.prove("explain says who decides: development never reaches production data", "DENIED" in explained.output)


def plan(screen: Screen, stage: Stage) -> None:
    screen.step("PLAN  which packets become denied or allowed, and what would break")
    screen.command(shlex.join(playbook_words("plan")))
    run = stage.playbook("plan")
    screen.insist("the plan was made; nothing was sent", run.code == 0, run.tail())
    data = stage.plan_document()
    stage.plan = data["digest"]
    screen.command(f"microseg plan {stage.plan[:8]}")
    screen.body(stage.microseg("plan", stage.plan[:8]).output, 20, last=4)
    cut = sum(one["flows"] for one in data["evidence"]["statements"])
    screen.prove(
        f"exactly the {len(UNWANTED)} running conversations that nobody meant to allow would be cut",
        cut == len(UNWANTED),
        f"{cut} would be",
    )
    screen.prove(
        "nothing of ours is on any host yet", not any("microseg" in stage.ruleset(name) for name in stage.managed)
    )


def enforce(screen: Screen, stage: Stage) -> None:
    screen.step("ENFORCE  canary, waves; each host confirmed over a new connection and by its peers")
    assert stage.lab is not None
    digest = stage.plan[:8]
    screen.command(shlex.join(playbook_words("enforce", microseg_plan=digest)))
    before = {name: stage.logins(name) for name in stage.managed}
    run = stage.playbook("enforce", microseg_plan=digest)
    rows = [("TIME", "PHASE", "OUTCOME", "HOSTS")]
    for time, phase, outcome, names in stage.journal(stage.plan):
        rows.append((time, phase, outcome, ", ".join(names)))
    screen.table(rows)
    screen.insist("the rollout is complete", run.code == 0, run.tail())
    arrived = {name for _, _, outcome, names in stage.journal(stage.plan) if outcome == "confirmed" for name in names}
    screen.prove(f"{len(arrived)} of {len(stage.managed)} hosts confirmed", arrived == set(stage.managed))
    if not stage.lab.rootless:
        fresh = min(stage.logins(name) - before[name] for name in stage.managed)
        screen.prove("every host was confirmed over a new login, as its sshd counts", fresh >= 1, f"{fresh} new logins")
    tried = len(re.findall(r"^(?:ok): \[\S+ -> \S+\] => \(item=", run.output, re.MULTILINE))
    screen.prove(f"peers tried the plan's packets {tried} times before hosts were confirmed", tried > 0)


def proof(screen: Screen, stage: Stage) -> None:
    screen.step("PROOF  every pair, every interesting port, both families, by real packets")
    assert stage.lab is not None
    screen.command("microseg reach -i inventory.yml --with-failsafe --format json")
    pairs: list[dict[str, Any]] = json.loads(stage.reach())["pairs"]
    matrix = whole_matrix(stage.lab, pairs)
    screen.say(f"  {len(pairs)} ordered pairs with family, {len(PORTS)} services each: {', '.join(PORTS)}")
    screen.body("\n".join(matrix.differences()), 10)
    screen.prove(
        f"{matrix.equal:,} of {len(matrix.intended):,} cells are what reach says ({matrix.allowed} allowed)",
        matrix.equal == len(matrix.intended) and matrix.allowed > 0,
    )
    assert stage.traffic is not None
    alive = stage.traffic.stop()
    screen.prove(
        f"{sum(alive)} of {len(alive)} sessions that ran before still run: a new denial leaves them alone", all(alive)
    )
    closed = [name for name in stage.managed if stage.lab.connect("controller", name, "tcp/22") != "allowed"]
    screen.prove("the controller reaches port 22 of every host", not closed, ", ".join(closed))
