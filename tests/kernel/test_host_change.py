# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Arm, confirm, revert: what a host does with a change, on a real kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import arm, confirm, revert
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.errors import HostError
from ansible_collections.bulkhead.microseg.plugins.modules import nftables_policy_info
from tests.kernel.host_machine import TestedHost, host, payload, ruleset, until

__all__ = ["host"]
pytestmark = pytest.mark.kernel

OLD = payload(ruleset(1001), {"m4_web": ["192.0.2.1"]}, "aa")
NEW = payload(ruleset(1002), {"m4_web": ["192.0.2.2"]}, "bb")


def test_an_armed_change_is_live_and_a_confirmed_one_is_the_boot_policy(host: TestedHost) -> None:
    armed = host.arm(OLD)

    assert armed["changed"]
    assert armed["hash"] == host.hash() == host.record()["pending"]["hash_after"]
    assert host.state.confirmed() is None, "only confirm writes the boot policy"

    done = confirm.confirm(host.machine, armed["token"])

    assert done["changed"]
    assert host.record()["pending"] is None
    assert host.record()["policy_digest"] == OLD["policy_digest"]
    stored = host.state.confirmed()
    assert stored is not None
    assert stored.policy.ruleset == OLD["ruleset"]


def test_the_same_policy_again_changes_nothing_and_arms_nothing(host: TestedHost) -> None:
    host.provision(OLD)
    before = host.record()

    again = host.arm(OLD)

    assert not again["changed"]
    assert again["token"] is None
    assert host.record() == before
    assert host.watchdogs() == []


def test_a_new_plan_with_the_same_rules_only_renames_them(host: TestedHost) -> None:
    host.provision(OLD)
    renamed = dict(OLD, policy_digest="cc" * 32)

    again = host.arm(renamed, plan="new")

    assert not again["changed"]
    assert again["token"] is None
    assert (host.record()["plan"], host.record()["policy_digest"]) == ("new", "cc" * 32)


def test_check_mode_foretells_the_hash_and_writes_nothing(host: TestedHost) -> None:
    host.nft("add", "table", "ip", "foreign")
    before = host.nft("list", "ruleset")

    foretold = host.arm(OLD, check=True)

    assert foretold["changed"]
    assert host.nft("list", "ruleset") == before
    assert not Path(host.state.directory).exists()
    assert host.arm(OLD)["hash"] == foretold["hash"]
    assert foretold["diff"]["before"] == ""
    assert "tcp dport 1001" in foretold["diff"]["after"]
    assert "192.0.2.1" not in foretold["diff"]["after"], "members are no policy"


def test_foreign_tables_survive_everything(host: TestedHost) -> None:
    host.nft("add table ip foreign; add chain ip foreign c { type filter hook input priority 5; }")
    before = host.nft("list", "table", "ip", "foreign")

    host.provision(OLD)
    revert.revert(host.machine, host.arm(NEW)["token"], "test")
    host.provision(NEW)

    assert host.nft("list", "table", "ip", "foreign") == before


def test_a_moved_base_is_refused_and_nothing_changes(host: TestedHost) -> None:
    host.provision(OLD)
    before, record = host.nft("list", "ruleset"), host.record()

    with pytest.raises(HostError, match=r"^E-BASE-MOVED .* live .*, plan expects 90ab") as refused:
        host.arm(NEW, base="90ab" * 16)

    assert refused.value.details["hash"] == host.hash()
    assert host.nft("list", "ruleset") == before
    assert host.record() == record
    assert host.watchdogs() == []


def test_info_tells_what_the_other_module_acts_on(host: TestedHost) -> None:
    host.nft("add", "table", "ip", "foreign")
    host.provision(OLD)
    armed = host.arm(NEW)

    told = nftables_policy_info.read(host.machine)

    assert told["hash"] == armed["hash"]
    assert next(one for one in told["foreign"] if "table" in one)["table"]["name"] == "foreign"
    assert told["pending"]["token"] == armed["token"]
    assert told["pending"]["guarded"]
    assert 0 < told["pending"]["remaining"] <= 60
    assert told["boot_policy"]["state"] == "usable"
    assert told["boot_policy"]["policy_digest"] == OLD["policy_digest"]


def test_a_hand_edit_moves_the_base_and_traffic_and_members_do_not(host: TestedHost) -> None:
    base = host.provision(OLD)["hash"]
    host.reach(1001)
    host.nft("add element inet microseg m4_web { 192.0.2.99 }")
    assert host.hash() == base

    host.nft("add element inet microseg a4_office { 203.0.113.1 }")

    assert host.hash() != base
    with pytest.raises(HostError, match="E-BASE-MOVED"):
        host.arm(NEW, base=base)


def test_without_confirmation_the_watchdog_takes_the_change_back(host: TestedHost) -> None:
    before = host.provision(OLD)["hash"]

    armed = host.arm(NEW, timeout=1.0)

    until(lambda: host.hash() == before)
    until(lambda: host.record()["pending"] is None)
    assert host.record()["reverted"]["token"] == armed["token"]
    assert host.members() == {"m4_web": ["192.0.2.1"]}
    until(lambda: host.watchdogs() == [])
    with pytest.raises(HostError, match=r"E-REVERTED .* taken back at .*: nobody confirmed it"):
        confirm.confirm(host.machine, armed["token"])


def test_the_first_policy_of_a_host_is_taken_back_to_nothing(host: TestedHost) -> None:
    host.arm(OLD, timeout=1.0)

    until(lambda: host.hash() == "absent")


def test_confirmation_ends_the_watchdog(host: TestedHost) -> None:
    armed = host.arm(OLD)
    assert len(host.watchdogs()) == 1

    confirm.confirm(host.machine, armed["token"])

    until(lambda: host.watchdogs() == [])


def test_confirming_twice_is_no_error(host: TestedHost) -> None:
    armed = host.arm(OLD)
    confirm.confirm(host.machine, armed["token"])

    assert not confirm.confirm(host.machine, armed["token"])["changed"]


def test_a_killed_controller_leaves_a_host_that_reverts(host: TestedHost) -> None:
    before = host.provision(OLD)["hash"]
    text = (
        "import os, signal, sys\n"
        "from ansible_collections.bulkhead.microseg.plugins.module_utils.host import arm\n"
        "from tests.kernel.host_machine import TestedHost, payload, ruleset\n"
        "import pathlib\n"
        "host = TestedHost(pathlib.Path(sys.argv[1]))\n"
        "host.arm(payload(ruleset(1002), {}, 'bb'), timeout=1.5)\n"
        "os.killpg(0, signal.SIGKILL)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", text, host.state.directory],
        start_new_session=True,
        check=False,
        env=dict(os.environ, PYTHONPATH=os.getcwd()),
    )

    assert killed.returncode == -signal.SIGKILL
    assert host.record()["pending"] is not None
    until(lambda: host.hash() == before)


def test_a_second_plan_waits_for_the_first(host: TestedHost) -> None:
    first = host.arm(OLD)
    live = host.hash()

    with pytest.raises(HostError, match="E-PENDING plan 7f3a step 1 waits here for confirmation"):
        host.arm(NEW, plan="other")

    assert host.hash() == live
    assert host.record()["pending"]["token"] == first["token"]


def test_the_same_step_again_is_a_resume(host: TestedHost) -> None:
    first = host.arm(OLD, base="absent")

    again = host.arm(OLD, base="absent")

    assert again["resumed"]
    assert not again["changed"]
    assert (again["token"], again["deadline"]) == (first["token"], first["deadline"])
    assert len(host.watchdogs()) == 1


def test_a_resumed_rollout_leaves_a_host_alone_that_is_further(host: TestedHost) -> None:
    first = host.arm(OLD, base="absent", plan="p", step="phase-1")
    confirm.confirm(host.machine, first["token"])
    second = host.arm(NEW, base=first["hash"], plan="p", step="phase-2")
    confirm.confirm(host.machine, second["token"])

    again = host.arm(OLD, base="absent", plan="p", step="phase-1")

    assert again["ahead"]
    assert not again["changed"]
    assert again["token"] is None
    assert again["hash"] == host.hash() == second["hash"]
    host.nft("flush", "table", "inet", "microseg")
    with pytest.raises(HostError, match="E-BASE-MOVED"):
        host.arm(OLD, base="absent", plan="p", step="phase-1")


def test_a_resume_replaces_a_dead_watchdog(host: TestedHost) -> None:
    host.arm(OLD, base="absent", timeout=3.0)
    (pid,) = host.watchdogs()
    os.kill(pid, signal.SIGKILL)
    until(lambda: host.watchdogs() == [])

    host.arm(OLD, base="absent", timeout=3.0)

    assert len(host.watchdogs()) == 1
    until(lambda: host.hash() == "absent")


def test_of_two_controllers_at_once_one_wins(host: TestedHost) -> None:
    answers: list[Any] = []
    wishes = [host.wish(OLD, base="absent", plan="one"), host.wish(NEW, base="absent", plan="two")]

    def controller(wish: arm.Wish) -> None:
        try:
            answers.append(arm.arm(host.machine, wish)["record"]["pending"]["plan"])
        except HostError as error:
            answers.append(error.code)

    threads = [threading.Thread(target=controller, args=(wish,)) for wish in wishes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert "E-PENDING" in answers
    (winner,) = [one for one in answers if one != "E-PENDING"]
    assert host.record()["pending"]["plan"] == winner


def test_a_dead_watchdog_does_not_stop_a_confirmation_but_is_told(host: TestedHost) -> None:
    armed = host.arm(OLD)
    (pid,) = host.watchdogs()
    os.kill(pid, signal.SIGKILL)
    until(lambda: host.watchdogs() == [])

    done = confirm.confirm(host.machine, armed["token"])

    assert [one["code"] for one in done["findings"]] == ["guard-lost"]
    assert [one["code"] for one in host.record()["alarms"]] == ["guard-lost"]


def test_an_unguarded_change_past_its_deadline_cannot_be_confirmed(host: TestedHost) -> None:
    before = host.provision(OLD)["hash"]
    armed = host.arm(NEW)
    (pid,) = host.watchdogs()
    os.kill(pid, signal.SIGKILL)
    host.clock.ahead = 61.0

    with pytest.raises(HostError, match=r"E-REVERTED .* the deadline passed, unguarded"):
        confirm.confirm(host.machine, armed["token"])

    assert host.hash() == before


def test_the_next_call_settles_what_lost_its_guard(host: TestedHost) -> None:
    host.provision(OLD)
    base = host.hash()
    host.arm(NEW)
    (pid,) = host.watchdogs()
    os.kill(pid, signal.SIGKILL)
    host.clock.ahead = 61.0

    third = host.arm(payload(ruleset(1003), {}, "dd"), base=base, plan="next")

    assert third["hash_before"] == base
    assert third["changed"]


def test_the_wall_clock_decides_nothing(host: TestedHost) -> None:
    host.clock.shown = "1970-01-01T00:00:00Z"
    armed = host.arm(OLD)
    host.clock.shown = "2099-12-31T23:59:59Z"

    assert confirm.confirm(host.machine, armed["token"])["changed"]


def test_a_restart_passes_every_deadline(host: TestedHost) -> None:
    before = host.provision(OLD)["hash"]
    armed = host.arm(NEW)
    host.clock.boot = 1

    with pytest.raises(HostError, match=r"E-REVERTED .* the host was restarted"):
        confirm.confirm(host.machine, armed["token"])

    assert host.hash() == before


def test_a_table_changed_after_arming_is_not_confirmed(host: TestedHost) -> None:
    armed = host.arm(OLD)
    host.nft("add rule inet microseg input tcp dport 1 accept")

    with pytest.raises(HostError, match=r"E-BASE-MOVED .* somebody changed the table"):
        confirm.confirm(host.machine, armed["token"])

    assert host.record()["pending"]["token"] == armed["token"]


def test_a_confirmation_that_lost_power_between_its_renames_is_complete(host: TestedHost) -> None:
    armed = host.arm(OLD)
    pending = host.record()
    confirm.confirm(host.machine, armed["token"])
    host.state.write({"record.json": pending})
    host.clock.boot = 1

    again = confirm.confirm(host.machine, armed["token"])

    assert not again["changed"]
    assert host.record()["confirmed_token"] == armed["token"]
    assert host.record()["reverted"] is None


def test_a_controller_that_died_before_its_swap_starts_again(host: TestedHost) -> None:
    base = host.provision(OLD)["hash"]
    armed = host.arm(NEW, base=base)
    stored = host.state.confirmed()
    assert stored is not None
    host.machine.nft.load("delete table inet microseg\n" + stored.policy.ruleset)
    assert host.hash() == base

    again = host.arm(NEW, base=base)

    assert again["changed"]
    assert again["token"] != armed["token"]
    assert host.hash() == armed["hash"]


def test_revert_brings_back_policy_and_current_members(host: TestedHost) -> None:
    base = host.provision(OLD)["hash"]
    host.arm(payload(OLD["ruleset"], {"m4_web": ["192.0.2.1", "192.0.2.55"]}, "aa"))
    armed = host.arm(NEW)

    done = revert.revert(host.machine, armed["token"], "by hand")

    assert done["changed"]
    assert host.hash() == base
    assert host.members() == {"m4_web": ["192.0.2.1", "192.0.2.55"]}


def test_members_move_at_once_and_arm_nothing(host: TestedHost) -> None:
    host.provision(OLD)

    moved = host.arm(payload(OLD["ruleset"], {"m4_web": ["192.0.2.8", "192.0.2.9"]}, "aa"))

    assert moved["changed"]
    assert moved["token"] is None
    assert moved["members_changed"] == {"added": 2, "removed": 1}
    assert host.members() == {"m4_web": ["192.0.2.8", "192.0.2.9"]}
    stored = host.state.confirmed()
    assert stored is not None
    assert sorted(stored.members["m4_web"]) == ["192.0.2.8", "192.0.2.9"], "the boot policy follows"


def test_what_does_not_load_any_more_opens_the_host_and_raises_an_alarm(host: TestedHost) -> None:
    host.provision(OLD)
    host.arm(NEW, timeout=1.5)
    Path(host.state.path("confirmed.json")).write_text("{ truncated", encoding="utf-8")

    until(lambda: host.hash() == "absent")

    until(lambda: host.record()["pending"] is None)
    (alarm,) = host.record()["alarms"]
    assert alarm["code"] == "revert-opened"
    assert "damaged" in alarm["detail"]


def test_a_policy_the_kernel_refuses_leaves_the_old_one_alone(host: TestedHost) -> None:
    host.provision(OLD)
    before = host.nft("list", "ruleset")
    broken = payload("table inet microseg {\n chain a {\n jump nowhere\n }\n}\n", {}, "ee")

    with pytest.raises(HostError, match="E-HOST-NFT the kernel refuses this policy"):
        host.arm(broken)

    assert host.nft("list", "ruleset") == before
    assert host.watchdogs() == []


def test_a_newer_format_is_refused_and_the_last_policy_stays(host: TestedHost) -> None:
    host.provision(OLD)
    live = host.hash()

    with pytest.raises(HostError, match="E-HOST-FORMAT policy format 3 is newer"):
        host.arm(dict(NEW, format=3))

    assert host.hash() == live


def test_counters_are_handed_over_before_the_table_is_replaced(host: TestedHost) -> None:
    chain = "chain input {\n type filter hook input priority 0\n counter name c_1\n }\n"
    host.provision(payload("table inet microseg {\n counter c_1 {\n }\n" + chain + "}\n", {}, "aa"))
    host.reach(1001)

    taken = host.arm(NEW)["counters"]

    assert list(taken) == ["c_1"]


def test_without_scratch_namespaces_the_hash_is_learnt_from_the_kernel(
    host: TestedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(host.machine.nft), "preview", lambda _self, _text: None)

    armed = host.arm(OLD)

    assert armed["hash"] == host.hash() == host.record()["pending"]["hash_after"]
    confirm.confirm(host.machine, armed["token"])
    assert not host.arm(OLD)["changed"]
