# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""compile, plan and provision as tasks: from documents to a finished rollout, without a host."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ..conftest import FRESH, HOSTS, POLICY, RunAction, RunLookup

Register = Callable[[str, dict[str, Any]], None]
PLAN = {"policy": "policy", "store": "store", "target": "enforced"}


class TestCompile:
    def test_keeps_a_bundle_and_says_where(self, run_action: RunAction) -> None:
        kept = run_action("compile", policy="policy", store="store")

        assert kept["changed"] is True
        assert Path(kept["path"]).exists()
        assert (kept["points"], kept["workloads"]) == (3, 3)

    def test_twice_changes_nothing(self, run_action: RunAction) -> None:
        first, second = [run_action("compile", policy="policy", store="store") for _ in range(2)]

        assert second == {**first, "changed": False}

    def test_in_check_mode_answers_the_same_and_writes_nothing(self, run_action: RunAction) -> None:
        dry = run_action("compile", policy="policy", store="store", check_mode=True)

        assert not Path(dry["path"]).exists()
        assert run_action("compile", policy="policy", store="store") == dry

    def test_of_a_policy_in_error_fails(self, run_action: RunAction, shop: Path) -> None:
        (shop / "policy" / "all.yml").write_text(POLICY.replace("{role: web}", "{rolle: web}"))

        with pytest.raises(AnsibleActionFail, match="E-LABEL-KEY"):
            run_action("compile", policy="policy", store="store")


@pytest.fixture
def _live(register: Register) -> None:
    register("microseg_live", {"web-1": FRESH, "db-1": FRESH})


@pytest.mark.usefixtures("_live")
class TestPlan:
    def test_says_what_changes_and_is_kept_under_its_digest(self, run_action: RunAction, shop: Path) -> None:
        plan = run_action("plan", **PLAN)

        assert plan["changed"] is False
        assert (plan["kind"], plan["empty"]) == ("policy", False)
        assert plan["counts"]["nftables"]["change"] == 2
        assert plan["newly_denied"] > 0
        assert plan["statements"]
        assert (shop / "store" / "refs" / "plans" / plan["digest"]).exists() or plan["digest"]

    def test_is_the_same_in_check_mode(self, run_action: RunAction) -> None:
        assert run_action("plan", **PLAN) == run_action("plan", **PLAN, check_mode=True)

    def test_shows_the_changes_in_diff_mode(self, run_action: RunAction) -> None:
        assert run_action("plan", **PLAN, diff=True)["diff"]["prepared"].startswith("- ")

    @pytest.mark.parametrize("group", ["absent", "nobody", "all"])
    def test_for_nobody_is_refused(self, run_action: RunAction, group: str) -> None:
        with pytest.raises(AnsibleActionFail, match="E-NO-TARGET"):
            run_action("plan", **{**PLAN, "target": group})

    def test_without_a_reading_is_refused(self, run_action: RunAction) -> None:
        with pytest.raises(AnsibleActionFail, match="E-NO-RESULT"):
            run_action("plan", **PLAN, live="somewhere_else")

    def test_names_hosts_that_could_not_be_read(self, run_action: RunAction, register: Register) -> None:
        register("microseg_live", {"web-1": {"unreachable": True, "msg": "no route to host"}})

        plan = run_action("plan", **PLAN)

        assert plan["left_out"] == {"web-1": "no route to host"}

    def test_with_another_digest_than_the_approved_one_is_refused(self, run_action: RunAction) -> None:
        digest = run_action("plan", **PLAN)["digest"]

        assert run_action("plan", **PLAN, expect=digest[:8])["digest"] == digest
        with pytest.raises(AnsibleActionFail, match="E-PLAN-MOVED"):
            run_action("plan", **PLAN, expect="0" * 64)

    def test_that_would_lock_the_controller_out_is_refused(self, run_action: RunAction, register: Register) -> None:
        path = {**FRESH["control_path"], "client_address": "10.8.0.14"}
        register("microseg_live", {"web-1": {**FRESH, "control_path": path}})

        with pytest.raises(AnsibleActionFail, match="E-CONTROL-PATH") as caught:
            run_action("plan", **PLAN)
        assert "10.8.0.14" in caught.value.result["hint"]

    def test_for_the_machine_this_runs_on_needs_its_name_twice(self, run_action: RunAction, shop: Path) -> None:
        (shop / "hosts.yml").write_text(
            HOSTS.replace("{ansible_host: 10.0.0.1,", "{ansible_host: 10.0.0.1, ansible_connection: local,")
        )

        with pytest.raises(AnsibleActionFail, match="E-CONTROLLER-HOST"):
            run_action("plan", **PLAN)
        assert run_action("plan", **PLAN, controller_hosts=["web-1"])["digest"]


@pytest.mark.usefixtures("_live")
class TestProvision:
    @pytest.fixture
    def plan(self, _live: None, run_action: RunAction) -> str:
        return str(run_action("plan", **PLAN)["digest"])

    @pytest.fixture
    def act(self, run_action: RunAction, plan: str) -> RunAction:
        def act(name: str, **arguments: Any) -> dict[str, Any]:
            return run_action("provision", **{"act": name, "plan": plan, "store": "store", **arguments})

        return act

    def test_begin_gives_the_waves_by_inventory_name(self, act: RunAction, plan: str) -> None:
        begun = act("begin", plan=plan[:8])

        assert begun["plan"] == plan
        assert sorted(host for wave in begun["waves"]["phase-1"] + begun["waves"]["phase-2"] for host in wave)
        assert begun["names"] == {}

    def test_begin_translates_workloads_to_hosts(self, run_action: RunAction, shop: Path) -> None:
        renamed = HOSTS.replace("{ansible_host: 10.0.0.2,", "{microseg_id: the-db, ansible_host: 10.0.0.2,")
        (shop / "hosts.yml").write_text(renamed)
        (shop / "policy" / "all.yml").write_text(POLICY.replace("db-1", "the-db"))
        plan = run_action("plan", **PLAN)["digest"]

        begun = run_action("provision", act="begin", plan=plan, store="store")

        hosts = {host for waves in begun["waves"].values() for wave in waves for host in wave}
        assert hosts == {"web-1", "db-1"}
        assert begun["names"] == {"the-db": "db-1"}

    def test_begin_asks_who_where_roles_say_who_may(self, run_action: RunAction, shop: Path) -> None:
        roles = "roles: [{name: ops, members: [[eve, eve@example.org]], provision: {kinds: [policy], max_eps: 2}}]\n"
        (shop / "policy" / "roles.yml").write_text(roles)
        begin = {"act": "begin", "plan": run_action("plan", **PLAN)["digest"], "store": "store"}

        for who in ({}, {"author": "ann"}):
            with pytest.raises(AnsibleActionFail, match="E-MAY-PROVISION"):
                run_action("provision", **begin, **who)
        with pytest.raises(AnsibleActionFail, match="E-OWN-CHANGE"):
            run_action("provision", **begin, author="eve", change_author="eve@example.org")
        assert not (shop / "store" / "journal.jsonl").exists()
        run_action("provision", **begin, author="eve", change_author="ann")

        (line,) = (shop / "store" / "journal.jsonl").read_text().splitlines()
        assert json.loads(line)["detail"] == {"by": "eve"}

    def test_begin_knows_the_author_by_the_names_of_roles_that_provision_nothing(
        self, run_action: RunAction, shop: Path
    ) -> None:
        roles = """
            roles:
              - {name: ops, members: [eve], provision: {kinds: [policy]}}
              - {name: team-shop, members: [[eve, eve@example.org]], write: {scopes: [shop]}}
        """
        (shop / "policy" / "roles.yml").write_text(roles)
        begin = {"act": "begin", "plan": run_action("plan", **PLAN)["digest"], "store": "store"}

        with pytest.raises(AnsibleActionFail, match="E-OWN-CHANGE"):
            run_action("provision", **begin, author="eve", change_author="eve@example.org")

    def test_a_limit_narrows_who_is_touched(self, act: RunAction) -> None:
        begun = act("begin", only=["db-1"])

        assert {host for waves in begun["waves"].values() for wave in waves for host in wave} == {"db-1"}

    def test_an_unknown_plan_is_refused(self, act: RunAction) -> None:
        with pytest.raises(AnsibleActionFail, match="E-NO-PLAN"):
            act("begin", plan="0123456789")

    def test_a_second_run_is_refused_while_the_first_lives(
        self, act: RunAction, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = subprocess.Popen(["/bin/sleep", "60"])
        try:
            with monkeypatch.context() as first:
                first.setattr("os.getppid", lambda: other.pid)
                act("begin")
            with pytest.raises(AnsibleActionFail, match="E-STORE-LEASED"):
                act("begin")
        finally:
            other.kill()
            other.wait()

    def test_a_killed_run_is_resumed_at_once(self, act: RunAction, monkeypatch: pytest.MonkeyPatch) -> None:
        other = subprocess.Popen(["/bin/true"])
        other.wait()
        with monkeypatch.context() as first:
            first.setattr("os.getppid", lambda: other.pid)
            act("begin")

        assert act("begin")["waves"]

    def test_begin_in_check_mode_takes_no_lease(self, act: RunAction) -> None:
        assert act("begin", check_mode=True)["waves"] == act("begin")["waves"]

    def test_a_whole_rollout_makes_the_bundle_the_provisioned_one(
        self, act: RunAction, register: Register, shop: Path
    ) -> None:
        begun = act("begin")
        done = {phase: {"outcome": "confirmed", "hash": "abc"} for phase in ("phase-1", "phase-2")}
        register("microseg_outcomes", {"web-1": done, "db-1": done})
        for phase, waves in begun["waves"].items():
            for wave in waves:
                act("wave", phase=phase, only=wave)
            if phase == "phase-1":
                assert act("barrier")["missed"] == {}

        finished = act("finish")

        assert finished["complete"] is True
        assert sorted(finished["at_new"]) == ["db-1", "web-1"]
        journal = [json.loads(line) for line in (shop / "store" / "journal.jsonl").read_text().splitlines()]
        assert {"db-1", "web-1"} <= {entry["point"] for entry in journal}
        assert act("begin")["plan"]  # the lease was given back

    def test_who_missed_phase_1_is_named(self, act: RunAction, register: Register) -> None:
        begun = act("begin")
        assert begun["waves"]["phase-1"]
        done = {"phase-1": {"outcome": "confirmed", "hash": "abc"}}
        first = begun["waves"]["phase-1"][0][0]
        others = {"web-1", "db-1"} - {first}
        register("microseg_outcomes", dict.fromkeys(others, done) | {first: {"phase-1": {"outcome": "reverted"}}})

        assert act("barrier")["missed"] == {first: "reverted"}

    def test_a_wave_without_its_hosts_is_refused(self, act: RunAction) -> None:
        with pytest.raises(AnsibleActionFail, match="only, phase"):
            act("wave")

    def test_segment_has_all_that_the_module_is_to_be_told(
        self, act: RunAction, run_lookup: RunLookup, plan: str
    ) -> None:
        begun = act("begin")
        phase = next(phase for phase, waves in begun["waves"].items() if waves)
        host = begun["waves"][phase][0][0]

        (segment,) = run_lookup("segment", host, plan=plan, phase=phase, store="store")

        assert segment["do"] == "arm"
        assert segment["base"] == "absent"
        assert segment["plan"] == plan
        assert "table inet microseg" in segment["policy"]["ruleset"]
        assert all(probe["phase"] == phase for probe in segment["probes"])


@pytest.mark.usefixtures("_live")
class TestDrift:
    @pytest.fixture
    def bundle(self, run_action: RunAction) -> str:
        return str(run_action("compile", policy="policy", store="store")["digest"])

    def test_of_a_host_without_our_rules_shows_a_packet(self, run_action: RunAction, bundle: str) -> None:
        drift = run_action("drift", target="enforced", store="store", bundle=bundle)

        assert drift["changed"] is False
        assert drift["outcome"] == "findings"
        assert drift["points"]["db-1"] == {"state": "wider", "cause": "missing"}
        assert drift["findings"][0]["code"] == "W-DRIFT-WIDER"
        assert any(fact["name"] == "witness" for fact in drift["findings"][0]["facts"])
        assert drift["next"] == ["ansible-playbook bulkhead.microseg.repair"]

    def test_of_a_host_that_could_not_be_read_is_never_equal(
        self, run_action: RunAction, bundle: str, register: Register
    ) -> None:
        register("microseg_live", {"db-1": {"unreachable": True, "msg": "no route to host"}})

        drift = run_action("drift", target="enforced", store="store", bundle=bundle)

        assert (drift["outcome"], drift["unread"]) == ("unable", 1)
        assert drift["points"]["db-1"] == {"state": "unknown", "cause": "unread"}

    def test_of_a_host_that_was_not_asked_is_never_equal(
        self, run_action: RunAction, bundle: str, results: dict[str, Any]
    ) -> None:
        del results["db-1"]

        assert run_action("drift", target="enforced", store="store", bundle=bundle)["outcome"] == "unable"

    def test_of_an_idle_host_with_nothing_of_ours_is_none(
        self, run_action: RunAction, shop: Path, register: Register
    ) -> None:
        register("microseg_live", {"batch-1": FRESH})
        (shop / "hosts.yml").write_text(HOSTS.replace("nobody: {}", "nobody: {hosts: {batch-1: {}}}"))
        bundle = run_action("compile", policy="policy", store="store")["digest"]

        drift = run_action("drift", target="nobody", store="store", bundle=bundle)

        assert (drift["outcome"], drift["counts"]["equal"]) == ("ok", 1)

    def test_is_the_same_in_check_mode(self, run_action: RunAction, bundle: str) -> None:
        moment = "2026-06-01T12:00:00Z"
        first, second = [
            run_action("drift", target="enforced", store="store", bundle=bundle, at=moment, check_mode=mode)
            for mode in (False, True)
        ]

        assert first == second

    def test_writes_the_report_in_every_format_asked_for(self, run_action: RunAction, bundle: str) -> None:
        formats = ["json", "markdown", "html", "junit", "sarif", "prometheus"]

        drift = run_action(
            "drift", target="enforced", store="store", bundle=bundle, policy="policy", reports="out", formats=formats
        )

        assert len(drift["files"]) == 6
        assert json.loads(Path("out/drift.json").read_text())["outcome"] == "findings"

    def test_without_anything_provisioned_fails(self, run_action: RunAction) -> None:
        with pytest.raises(AnsibleActionFail, match="E-NOT-PROVISIONED"):
            run_action("drift", target="enforced", store="store")

    @pytest.mark.parametrize("group", ["absent", "nobody", "all"])
    def test_for_nobody_is_refused(self, run_action: RunAction, bundle: str, group: str) -> None:
        with pytest.raises(AnsibleActionFail, match="E-NO-TARGET"):
            run_action("drift", target=group, store="store", bundle=bundle)
