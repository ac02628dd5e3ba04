# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machines themselves: a real init, their own identity, a reboot that forgets, and nothing that stays."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

from tests.servers.nspawn import Machine, MachineError, Machines, inability

pytestmark = [pytest.mark.systemd]


@pytest.fixture(scope="module")
def pair(machines: Machines) -> list[Machine]:
    return machines.boot_all("alpha", "beta")


def test_systemd_runs_and_they_are_different_machines(pair: list[Machine]) -> None:
    for machine in pair:
        assert machine.run("systemctl is-system-running --wait", check=False).stdout.strip() == "running"
        assert machine.run("cat /etc/machine-id").stdout.strip() == machine.machine_id
        assert machine.run("hostname").stdout.strip() == machine.name
        assert machine.run("cat /proc/1/comm").stdout.strip() == "systemd"
    assert pair[0].machine_id != pair[1].machine_id


def test_ssh_sessions_have_their_own_cgroup_and_address(pair: list[Machine]) -> None:
    said = pair[0].run("cat /proc/self/cgroup; echo $SSH_CONNECTION").stdout
    assert "session" in said
    assert "10.77.0.1 " in said
    assert f"{pair[0].ipv4} 22" in said


def test_machines_reach_each_other_over_both_families(pair: list[Machine]) -> None:
    for address in (pair[1].ipv4, pair[1].ipv6):
        script = f"import socket; print(socket.create_connection(('{address}', 22), 3).recv(4))"
        assert "SSH-" in pair[0].run(f'python3 -c "{script}"').stdout


def test_timer_fires_and_nftables_service_flushes_what_is_not_its_own(pair: list[Machine]) -> None:
    pair[0].run(
        "nft add table inet foreign; systemd-run --on-active=1 --timer-property=AccuracySec=100ms touch /run/fired"
    )
    assert pair[0].run("sleep 2; ls /run/fired").stdout
    pair[0].run("systemctl restart nftables")
    assert "foreign" not in pair[0].run("nft list tables").stdout


def test_locked_out_machine_can_still_be_entered(pair: list[Machine]) -> None:
    machine = pair[1]
    machine.enter("nft", "add table inet t; add chain inet t c { type filter hook input priority 0; policy drop; }")
    try:
        assert machine.run("true", check=False, timeout=10).returncode == 255
    finally:
        machine.enter("nft", "delete", "table", "inet", "t")
    assert machine.run("true").returncode == 0


def test_reboot_forgets_rules_and_keeps_disk_and_identity(pair: list[Machine]) -> None:
    machine = pair[0]
    machine.run("nft add table inet t; echo kept > /var/lib/kept; echo lost > /run/lost")
    boot = machine.run("cat /proc/1/stat | cut -d' ' -f22").stdout
    machine.reboot()
    assert machine.run("cat /proc/1/stat | cut -d' ' -f22").stdout != boot
    assert "inet t" not in machine.run("nft list tables").stdout
    assert machine.run("cat /var/lib/kept").stdout == "kept\n"
    assert machine.run("ls /run/lost", check=False).returncode != 0
    assert machine.run("cat /etc/machine-id").stdout.strip() == machine.machine_id


def test_power_cut(pair: list[Machine]) -> None:
    machine = pair[0]
    machine.pull_the_plug()
    with pytest.raises(MachineError, match="is off"):
        machine.enter("true")
    machine.power_on()
    assert machine.run("hostname").stdout.strip() == "alpha"


def test_ansible_works(machines: Machines, pair: list[Machine], tmp_path: pathlib.Path) -> None:
    inventory = machines.write_inventory({"alpha": {"colour": "red"}})
    env = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    env |= {"ANSIBLE_HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    run = subprocess.run(
        ["ansible", "-i", inventory, "all", "-m", "service_facts"],
        env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("nftables.service") >= 2


def test_nothing_stays() -> None:
    if reason := inability():
        pytest.skip(reason)
    before = {path.name for path in pathlib.Path("/run/systemd/nspawn").rglob("*")}
    with Machines() as machines:
        machine = machines.boot("gone")
        leader = machine.leader
        directory = machines.directory
    assert not pathlib.Path(f"/proc/{leader}").exists()
    assert not directory.exists()
    assert str(directory) not in pathlib.Path("/proc/self/mountinfo").read_text()
    assert {path.name for path in pathlib.Path("/run/systemd/nspawn").rglob("*")} == before
