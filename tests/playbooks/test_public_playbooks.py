# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The public playbooks as a user runs them, on one site of five hosts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest

from extensions.lab.lab import Cell
from tests.playbooks.conftest import HOSTS, POLICY, PRINTING, Run, Site

pytestmark = [pytest.mark.kernel, pytest.mark.lab]

PORTS = ("tcp/22", "tcp/80", "tcp/8080", "tcp/8081", "tcp/5432", "tcp/9100")
FOREIGN = """\
table inet legacy {
	chain in {
		type filter hook input priority 10; policy accept;
		tcp dport 3000 drop
	}
}
"""


def packets(site: Site) -> dict[tuple[str, str, str, str], bool]:
    cells = {
        (consumer, provider, family, port): Cell(
            consumer, site.lab.address(provider, 6 if family == "ipv6" else 4), port
        )
        for consumer, provider, family in site.reach()
        for port in PORTS
    }
    seen = site.lab.matrix(cells.values())
    return {key: seen[cell] == "allowed" for key, cell in cells.items()}


def intended(site: Site) -> dict[tuple[str, str, str, str], bool]:
    """The policy here speaks of single ports only, so the words can be compared."""
    return {
        (*pair, port): port in allowed or "any" in allowed for pair, allowed in site.reach().items() for port in PORTS
    }


def first_chain(site: Site, host: str) -> str:
    lines = site.ruleset(host).split("table inet microseg {")[1].splitlines()
    hook = next(number for number, line in enumerate(lines) if "hook input" in line)
    return lines[hook - 1].split()[1]


def test_check_finds_the_policy_in_order(site: Site) -> None:
    run = site.play("check")

    assert run.code == 0, run.output
    assert run.published["microseg_check"]["outcome"] == "ok"
    assert run.changed == 0


def test_a_target_must_be_named(site: Site) -> None:
    for group in ("all", "nobody"):
        run = site.play("plan", microseg_hosts=group)

        assert run.code != 0
        assert "E-NO-TARGET" in run.output


def test_packets_go_as_reach_says(site: Site) -> None:
    wanted = intended(site)

    assert any(wanted.values())
    assert packets(site) == wanted


def test_the_second_run_changes_nothing(site: Site) -> None:
    before = site.rulesets()
    plan = site.plan()
    again = site.play("enforce", microseg_plan="000000")
    run = site.enforce(provisioned(site))

    assert plan["empty"]
    assert again.code != 0
    assert "E-NO-PLAN" in again.output
    assert run.code == 0, run.output
    assert run.changed == 0
    assert site.rulesets() == before


def provisioned(site: Site) -> str:
    """The plan that the records on the hosts name."""
    digests = {site.record(name)["plan"] for name, _number, _role in HOSTS}
    assert len(digests) == 1
    return digests.pop()


def test_check_mode_changes_nothing(site: Site) -> None:
    before, records = site.rulesets(), [site.record(name) for name, _number, _role in HOSTS]
    site.write_policy(POLICY + PRINTING)
    try:
        digest = site.plan()["digest"]
        run = site.enforce(digest, "--check", "--diff")
    finally:
        site.write_policy(POLICY)

    assert run.code == 0, run.output
    assert site.rulesets() == before
    assert [site.record(name) for name, _number, _role in HOSTS] == records


def test_tampering_is_found_and_repaired_and_strangers_stay(site: Site) -> None:
    lab = site.lab
    lab.nft("db-1", f"insert rule inet microseg {first_chain(site, 'db-1')} ip saddr 10.1.0.1 tcp dport 5432 accept")
    lab.nft("app-1", f"insert rule inet microseg {first_chain(site, 'app-1')} tcp dport 8080 drop")
    lab.nft("web-1", FOREIGN)
    legacy = lab.run("web-1", ["nft", "list", "table", "inet", "legacy"]).stdout
    found = site.play("drift")
    dry = site.play("repair", "--check")
    still = site.play("drift")
    repaired = site.play("repair")
    clean = site.play("drift")

    assert found.code != 0
    verdict = found.published["microseg_drift"]
    assert verdict["outcome"] == "findings"
    assert {name: one["state"] for name, one in verdict["points"].items()} == {"db-1": "wider", "app-1": "narrower"}
    facts = {fact["name"] for finding in verdict["findings"] for fact in finding["facts"]}
    assert {"witness", "live rule", "intended"} <= facts
    assert dry.code == 0, dry.output
    assert still.code != 0
    assert repaired.code == 0, repaired.output
    assert clean.code == 0, clean.output
    assert clean.published["microseg_drift"]["outcome"] == "ok"
    assert lab.run("web-1", ["nft", "list", "table", "inet", "legacy"]).stdout == legacy
    lab.nft("web-1", "delete table inet legacy")


def test_a_policy_that_cuts_the_controller_off_is_refused(site: Site) -> None:
    before = site.rulesets()
    text = POLICY.replace("10.254.0.1", "10.254.0.99").replace("fd00:254::1", "fd00:254::99")
    site.write_policy(text, "locked-out")
    run = site.play("plan", microseg_policy="locked-out")

    assert run.code != 0
    assert "E-CONTROL-PATH" in run.output
    assert site.rulesets() == before


def test_a_change_that_takes_a_host_what_it_needs_is_not_confirmed(site: Site) -> None:
    """Last word for the host: its peers would not notice that it lost its printer."""
    needs = "  dependencies: [{to: {workload: printer}, services: [tcp/9100]}]\nlabel_rules:\n"
    site.write_policy(POLICY + PRINTING)
    assert site.enforce(site.plan()["digest"]).code == 0
    assert site.lab.connect("app-1", "printer", "tcp/9100") == "allowed"
    site.write_policy(POLICY.replace("label_rules:\n", needs))

    run = site.enforce(site.plan()["digest"])

    assert run.code != 0
    assert "E-DEPENDENCY" in run.output
    assert site.lab.connect("app-1", "printer", "tcp/9100") == "allowed"
    site.write_policy(POLICY)
    assert site.enforce(site.plan()["digest"]).code == 0
    assert site.lab.connect("app-1", "printer", "tcp/9100") == "denied"


@dataclass(frozen=True)
class Change:
    """A change of which one host has seen its part, by --limit."""

    digest: str
    touched: list[str]
    narrow: dict[str, Any]
    whole: dict[str, Any]
    run: Run


@pytest.fixture(scope="module")
def half_way(site: Site) -> Change:
    """The application moves to another port: both web servers and the application change, in both phases."""
    before = site.rulesets()
    site.write_policy(POLICY.replace("[tcp/8080]", "[tcp/8081]"))
    narrow, whole = site.plan("--limit", "web-1"), site.plan()
    run = site.enforce(whole["digest"], "--limit", "web-1")
    touched = [name for name, text in site.rulesets().items() if text != before[name]]
    return Change(whole["digest"], touched, narrow, whole, run)


def test_limit_narrows_who_is_touched_and_not_what_is_compiled(site: Site, half_way: Change) -> None:
    assert half_way.run.code == 0, half_way.run.output
    assert half_way.touched == ["web-1"]
    assert half_way.narrow["counts"]["nftables"]["change"] == 1
    assert half_way.whole["counts"]["nftables"]["change"] == 3
    # web-1 opens nothing towards app-1, which still is where it was
    assert half_way.run.published["microseg_enforce"]["waiting"] == {"web-1": ["app-1"]}
    assert site.lab.connect("web-2", "app-1", "tcp/8080") == "allowed"


def test_an_unconfirmed_change_reverts_and_a_rerun_finishes(site: Site, half_way: Change) -> None:
    hosts = ("web-2", "app-1")
    site.play_and_kill(
        lambda: any(site.record(name)["pending"] for name in hosts),
        "enforce", microseg_plan=half_way.digest[:8], microseg_timeout=30,
    )  # fmt: skip
    waiting = [name for name in hosts if site.record(name)["pending"]]
    looked = site.play("drift", microseg_fail_on="never")
    end = time.monotonic() + 45
    while any(site.record(name)["pending"] for name in hosts) and time.monotonic() < end:
        time.sleep(0.5)
    reverted = [site.record(name)["reverted"] for name in waiting]
    open_again = site.lab.connect("web-2", "app-1", "tcp/8080")
    finished = site.enforce(half_way.digest)

    assert waiting
    assert looked.code == 0, looked.output  # somebody else may look meanwhile
    assert all(reverted)
    assert open_again == "allowed"
    assert finished.code == 0, finished.output
    assert finished.published["microseg_enforce"]["complete"]
    assert site.lab.connect("web-1", "app-1", "tcp/8080") == "denied"
    assert site.lab.connect("web-1", "app-1", "tcp/8081") == "allowed"
    assert packets(site) == intended(site)


def test_rollback_returns_to_what_was_meant_before(site: Site, half_way: Change) -> None:
    back = site.play("rollback", microseg_plan=half_way.digest[:8])
    site.write_policy(POLICY)

    assert back.code == 0, back.output
    assert packets(site) == intended(site)


def test_an_unreachable_host_is_left_out_and_named(site: Site) -> None:
    site.lab.nft("web-2", "table inet gone { chain in { type filter hook input priority -300; tcp dport 22 drop; }; }")
    site.write_policy(POLICY + PRINTING)
    plan = site.plan()
    run = site.enforce(plan["digest"])
    drift = site.play("drift")

    assert "web-2" in plan["left_out"]
    assert run.code == 0, run.output
    assert site.lab.connect("app-1", "printer", "tcp/9100") == "allowed"
    assert drift.code != 0
    assert drift.published["microseg_drift"]["outcome"] == "unable"
