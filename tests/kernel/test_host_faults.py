# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What breaks on hosts: full disks, flushed tables, copied disks, foreign commands in a policy."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import boot, breakglass, confirm, install, removal
from ansible_collections.bulkhead.microseg.plugins.module_utils.host import revert as revert_module
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.errors import HostError
from tests.kernel.host_machine import TestedHost, host, payload, ruleset, until

__all__ = ["host"]
pytestmark = pytest.mark.kernel

OLD = payload(ruleset(1001), {"m4_web": ["192.0.2.1"]}, "aa")
NEW = payload(ruleset(1002), {"m4_web": ["192.0.2.2"]}, "bb")


# -- a full disk -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(host: TestedHost) -> Iterator[TestedHost]:
    """The same host with its state on a file system of half a megabyte."""
    directory = Path(host.state.directory)
    directory.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(directory)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting a tmpfs is not permitted")
    try:
        yield host
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(host: TestedHost) -> Path:
    filler = Path(host.state.path("filler"))
    with filler.open("wb", buffering=0) as target, contextlib.suppress(OSError):
        while True:
            target.write(b"x" * 4096)
    return filler


def test_a_full_disk_refuses_the_change_and_touches_nothing(small_disk: TestedHost) -> None:
    host = small_disk
    host.provision(OLD)
    live, record = host.nft("list", "ruleset"), host.record()
    fill(host)

    with pytest.raises(HostError, match=r"^E-HOST-DISK .*No space left"):
        host.arm(NEW)

    assert host.nft("list", "ruleset") == live
    assert host.record() == record
    until(lambda: host.watchdogs() == [])


def test_a_disk_full_from_the_start_refuses_to_install(small_disk: TestedHost) -> None:
    fill(small_disk)

    with pytest.raises(HostError, match=r"^E-HOST-DISK"):
        small_disk.arm(OLD)

    assert small_disk.hash() == "absent"


def test_a_disk_that_fills_before_the_confirmation_reverts(small_disk: TestedHost) -> None:
    host = small_disk
    before = host.provision(OLD)["hash"]
    armed = host.arm(NEW, timeout=2.0)
    filler = fill(host)

    with pytest.raises(HostError, match=r"^E-HOST-DISK"):
        confirm.confirm(host.machine, armed["token"])

    stored = host.state.confirmed()
    assert stored is not None
    assert stored.policy.ruleset == OLD["ruleset"], "the boot policy is still the old one"
    until(lambda: host.hash() == before)
    host.clock.ahead = 3.0
    with pytest.raises(HostError, match="E-REVERTED"):
        confirm.confirm(host.machine, armed["token"])
    filler.unlink()
    assert host.arm(NEW, step="2")["changed"], "with space again, the next change goes through"


# -- hostile payloads --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        ruleset(1) + "flush ruleset\n",
        ruleset(1) + "table ip nat { chain c { } }\n",
        'include "/etc/shadow"\n' + ruleset(1),
        ruleset(1).replace("chain input {", 'include "/etc/shadow"\n chain input {'),
        ruleset(1).replace("table inet microseg", "table inet other"),
        ruleset(1).replace("table inet microseg", "add table ip x; table inet microseg"),
    ],
)
def test_a_policy_that_wants_more_than_our_table_never_reaches_nft(host: TestedHost, text: str) -> None:
    host.nft("add", "table", "ip", "foreign")
    before = host.nft("list", "ruleset")

    with pytest.raises(HostError, match=r"^E-HOST-PAYLOAD"):
        host.arm(payload(text))

    assert host.nft("list", "ruleset") == before


# -- boot and check ----------------------------------------------------------------------------------------------------


def test_a_restart_brings_back_the_last_confirmed_policy_with_current_members(host: TestedHost) -> None:
    confirmed = host.provision(OLD)["hash"]
    host.arm(payload(OLD["ruleset"], {"m4_web": ["192.0.2.7"]}, "aa"))
    host.arm(NEW)
    host.nft("flush", "ruleset")
    host.clock.boot = 1

    boot.boot(host.machine)

    assert host.hash() == confirmed
    assert host.members() == {"m4_web": ["192.0.2.7"]}
    assert host.record()["reverted"]["why"] == "the host was restarted"


def test_the_installed_program_boots_without_the_collection(host: TestedHost) -> None:
    confirmed = host.provision(OLD)["hash"]
    host.nft("flush", "ruleset")

    done = host.program("boot")

    assert (done.returncode, done.stderr) == (0, "")
    assert host.hash() == confirmed


def test_a_copied_disk_does_not_load_another_hosts_policy(host: TestedHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.provision(OLD)
    host.nft("flush", "ruleset")
    monkeypatch.setattr(revert_module, "machine_identity", lambda: "another")

    with pytest.raises(HostError, match="belongs to another machine"):
        boot.boot(host.machine)

    assert host.hash() == "absent"
    assert [one["code"] for one in host.record()["alarms"]] == ["boot-policy-unusable"]


def test_boot_leaves_a_pending_change_alone(host: TestedHost) -> None:
    host.provision(OLD)
    armed = host.arm(NEW)

    boot.boot(host.machine)

    assert host.hash() == armed["hash"]
    assert host.record()["pending"]["token"] == armed["token"]


def test_check_restores_a_flushed_table_and_says_so(host: TestedHost) -> None:
    confirmed = host.provision(OLD)["hash"]
    host.nft("flush", "ruleset")

    done = host.program("check")

    assert done.returncode == 0, done.stderr
    assert host.hash() == confirmed
    assert [one["code"] for one in host.record()["alarms"]] == ["table-missing"]


def test_check_has_nothing_to_say_about_a_healthy_host(host: TestedHost) -> None:
    host.provision(OLD)
    before = host.record()

    boot.check(host.machine)

    assert host.record() == before


def test_a_table_that_vanishes_while_it_waits_is_taken_back(host: TestedHost) -> None:
    confirmed = host.provision(OLD)["hash"]
    host.arm(NEW)
    host.nft("flush", "ruleset")

    boot.check(host.machine)

    assert host.hash() == confirmed
    assert "removed the table" in host.record()["reverted"]["why"]
    until(lambda: host.watchdogs() == [])


def test_a_damaged_record_keeps_no_host_from_its_policy(host: TestedHost) -> None:
    confirmed = host.provision(OLD)["hash"]
    Path(host.state.path("record.json")).write_text("{", encoding="utf-8")
    host.nft("flush", "ruleset")

    boot.boot(host.machine)

    assert host.hash() == confirmed
    assert [one["code"] for one in host.record()["alarms"]] == ["record-damaged"]


# -- break-glass -------------------------------------------------------------------------------------------------------


def test_break_glass_opens_the_host_and_ends_by_itself(host: TestedHost) -> None:
    closed = host.provision(OLD)["hash"]
    assert host.reach(4444) == "denied"

    done = host.program("break-glass", "0.03", "cannot", "log", "in")

    assert done.returncode == 0, done.stderr
    assert host.reach(4444) == "allowed"
    assert host.record()["break_glass"]["reason"] == "cannot log in"
    until(lambda: host.hash() == closed)
    until(lambda: host.record()["break_glass"] is None)
    assert [one["code"] for one in host.record()["alarms"]] == ["break-glass", "break-glass-ended"]
    assert host.reach(4444) == "denied"


def test_break_glass_can_be_closed_earlier(host: TestedHost) -> None:
    closed = host.provision(OLD)["hash"]
    breakglass.open_host(host.machine, 5, "drill")

    assert host.program("revert").returncode == 0

    assert host.hash() == closed
    until(lambda: host.watchdogs() == [])


def test_break_glass_takes_a_pending_change_back_and_keeps_others_out(host: TestedHost) -> None:
    base = host.provision(OLD)["hash"]
    host.arm(NEW)
    breakglass.open_host(host.machine, 5, "drill")

    assert host.record()["reverted"]["why"] == "break-glass: drill"
    with pytest.raises(HostError, match=r"E-PENDING .* is opened by break-glass"):
        host.arm(NEW, base=base)


def test_break_glass_survives_a_check_but_not_a_restart(host: TestedHost) -> None:
    closed = host.provision(OLD)["hash"]
    breakglass.open_host(host.machine, 5, "drill")
    boot.check(host.machine)
    assert host.hash() != closed

    host.clock.boot = 1
    boot.check(host.machine)

    assert host.hash() == closed


@pytest.mark.parametrize(("minutes", "reason"), [(0, "x"), (1441, "x"), (5, " "), (5, "a\nb")])
def test_break_glass_needs_an_end_and_a_reason(host: TestedHost, minutes: float, reason: str) -> None:
    host.provision(OLD)

    with pytest.raises(HostError, match="E-HOST-PAYLOAD"):
        breakglass.open_host(host.machine, minutes, reason)


# -- leaving and entering ----------------------------------------------------------------------------------------------


def test_a_confirmed_removal_leaves_nothing(host: TestedHost) -> None:
    host.provision(OLD)
    host.nft("add", "table", "ip", "foreign")

    armed = host.arm(None)
    assert host.hash() == "absent"
    done = confirm.confirm(host.machine, armed["token"])

    assert done["remains"] == []
    assert not os.path.exists(host.state.directory)
    assert host.nft("list", "tables").split() == ["table", "ip", "foreign"]
    until(lambda: host.watchdogs() == [])


def test_an_unconfirmed_removal_is_taken_back(host: TestedHost) -> None:
    before = host.provision(OLD)["hash"]

    host.arm(None, timeout=1.0)

    until(lambda: host.hash() == before)


def test_what_others_put_into_the_state_directory_is_kept_and_reported(host: TestedHost) -> None:
    host.provision(OLD)
    Path(host.state.path("notes.txt")).write_text("mine", encoding="utf-8")

    done = confirm.confirm(host.machine, host.arm(None)["token"])

    assert done["remains"] == [host.state.directory] == removal.remains(host.machine)


def test_the_warm_up_starts_connection_tracking_before_the_strict_table(host: TestedHost) -> None:
    seen: list[Any] = []

    class Pausing(type(host.clock)):  # type: ignore[misc]
        def sleep(self, seconds: float) -> None:
            seen.append((seconds, host.nft("list", "table", "inet", "microseg")))

    host.machine.clock = Pausing()

    armed = host.arm(OLD, warm_up=1.5)

    ((seconds, table),) = seen
    assert seconds == 1.5
    assert "policy accept" in table
    assert "policy drop" not in table
    assert armed["will_break"] == []


def test_the_module_installs_the_program_out_of_the_archive_ansible_sends(host: TestedHost, tmp_path: Path) -> None:
    options = {"policy": OLD, "base": "absent", "plan": "p", "step": "1", "state_dir": host.state.directory}
    words = ["ansible", "all", "-i", "here,", "-c", "local", "-m", "bulkhead.microseg.nftables_policy"]
    python = {"ansible_python_interpreter": "/usr/bin/python3"}

    done = subprocess.run(
        [*words, "-a", json.dumps(options), "-e", json.dumps(python)],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ, ANSIBLE_HOME=str(tmp_path / "ansible"), ANSIBLE_LOCAL_TEMP=str(tmp_path / "local")),
    )

    assert done.returncode == 0, done.stdout + done.stderr
    installed = {path.name: path.read_text() for path in Path(host.state.path("lib/microseg_host")).iterdir()}
    assert installed == install.sources()
    assert len(host.watchdogs()) == 1
    assert host.hash() == host.record()["pending"]["hash_after"]


def test_the_installed_program_is_this_package(host: TestedHost) -> None:
    host.arm(OLD)

    installed = {path.name: path.read_text() for path in Path(host.state.path("lib/microseg_host")).iterdir()}

    assert installed == install.sources()
    status = host.program("status")
    assert status.returncode == 0
    assert '"guarded": true' in status.stdout
