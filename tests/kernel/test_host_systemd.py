# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real Debian with systemd: timers, restarts, other firewall services, removal."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import install
from tests.kernel.host_machine import ruleset, until

pytestmark = [pytest.mark.kernel, pytest.mark.systemd]

PACKAGES = "systemd,systemd-sysv,dbus,nftables,python3,iproute2,conntrack,procps"
STATE = "/var/lib/microseg"

# Runs on the container, on the package alone: one act, its answer as JSON.
_ACT = """
import json, sys
sys.path.insert(0, "/opt")
from microseg_host import arm, confirm
from microseg_host.errors import HostError
from microseg_host.listing import canonical_hash
from microseg_host.machine import Machine
from microseg_host.payload import Policy
from microseg_host.state import State
machine, (act, *words) = Machine(State()), json.loads(sys.argv[1])
if act == "confirm":
    answer = confirm.confirm(machine, *words)
else:
    raw, timeout = words
    policy = None if raw is None else Policy.parse(raw)
    answer = arm.arm(machine, arm.Wish(policy, canonical_hash(machine.nft.table()), "plan", "1", timeout))
print(json.dumps(answer))
"""


class Debian:
    """One container: an overlay over the shared tree, booted by systemd-nspawn with a network of its own."""

    def __init__(self, tree: Path, directory: Path) -> None:
        self.root = directory / "root"
        self.log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("upper", "work", "root"):
            (directory / name).mkdir()
        layers = f"lowerdir={tree},upperdir={directory}/upper,workdir={directory}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)], check=True)
        self.new_machine_id()
        package = self.root / "opt/microseg_host"
        package.mkdir(parents=True)
        for name, text in install.sources().items():
            (package / name).write_text(text, encoding="utf-8")

    def new_machine_id(self) -> None:
        (self.root / "etc/machine-id").write_text(uuid.uuid4().hex + "\n", encoding="ascii")

    def start(self) -> None:
        name = "microseg-" + uuid.uuid4().hex[:8]
        words = [
            "systemd-nspawn",
            "-D",
            str(self.root),
            "-M",
            name,
            "--private-network",
            "--register=no",
            "--keep-unit",
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*words, "--console=pipe", "-b"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(lambda: self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"), 60.0)

    def stop(self) -> None:
        if self._process is None:
            return
        self.run("systemctl", "poweroff")
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self._process = None

    def restart(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Power off and on: the kernel's rules of the container are gone with its network."""
        self.stop()
        meanwhile()
        self.start()

    def close(self) -> None:
        self.stop()
        subprocess.run(["umount", str(self.root)], check=True)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        prefix = ["nsenter", "-t", children[0] if children else "0", "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        return subprocess.run(
            [*prefix, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60
        )

    def act(self, *words: Any) -> dict[str, Any]:
        done = self.run("python3", "-c", _ACT, json.dumps(words))
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def provision(self, port: int) -> dict[str, Any]:
        return self.act("confirm", self.act("arm", payload(port), 60.0)["token"])

    def rules(self) -> str:
        return self.run("nft", "list", "ruleset").stdout

    def record(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.run("cat", STATE + "/record.json").stdout)
        return answer


def payload(port: int) -> dict[str, Any]:
    digests = {"policy_digest": "ab" * 32, "artifact_digest": "cd" * 32}
    return {"format": 1, "ruleset": ruleset(port), "members": {"m4_web": ["192.0.2.1"]}, **digests}


@pytest.fixture(scope="session")
def debian_tree() -> Path:
    """The unpacked system, made once and kept: MICROSEG_DEBIAN_TREE, or the user's cache directory."""
    for program in ("debootstrap", "systemd-nspawn", "nsenter"):
        if shutil.which(program) is None:
            pytest.skip(f"optional: {program} is not installed")
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian":
        pytest.skip("optional: the tree is made from the mirror of a Debian")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bulkhead-microseg"
    tree = Path(os.environ.get("MICROSEG_DEBIAN_TREE", cache / ("debian-" + release["VERSION_CODENAME"])))
    if not (tree / "usr/bin/nsenter").exists():
        tree.parent.mkdir(parents=True, exist_ok=True)
        made = tree.with_name(f"{tree.name}.{os.getpid()}")
        done = subprocess.run(
            [
                "debootstrap",
                "--variant=minbase",
                "--include=" + PACKAGES,
                release["VERSION_CODENAME"],
                str(made),
                mirror(),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            shutil.rmtree(made, ignore_errors=True)
            pytest.skip(f"optional: debootstrap failed: {done.stdout[-300:]}")
        if tree.exists():
            shutil.rmtree(made)
        else:
            made.rename(tree)
    return tree


def mirror() -> str:
    """The mirror apt already uses."""
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    sites = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()
    for site in sites:
        if site.rstrip("/").endswith("/debian"):
            return site
    pytest.skip("optional: apt has no Debian mirror to take a system from")


@pytest.fixture
def debian(debian_tree: Path, tmp_path: Path) -> Iterator[Debian]:
    booted = Debian(debian_tree, tmp_path)
    try:
        booted.start()
        yield booted
    finally:
        booted.close()


def test_a_timer_of_systemd_takes_an_unconfirmed_change_back(debian: Debian) -> None:
    debian.provision(1001)

    armed = debian.act("arm", payload(1002), 2.0)

    assert armed["record"]["pending"]["guard"]["kind"] == "systemd-timer"
    assert "tcp dport 1002" in debian.rules()
    until(lambda: "tcp dport 1001" in debian.rules())
    until(lambda: debian.record()["pending"] is None)
    until(lambda: debian.run("systemctl", "list-units", "--all", "--no-legend", "microseg-revert-*").stdout == "")


def test_a_restart_brings_back_the_last_confirmed_policy_before_the_network(debian: Debian) -> None:
    assert debian.provision(1001)["boot"] == {"installed": True, "reason": None}
    debian.act("arm", payload(1002), 600.0)

    debian.restart()

    assert "tcp dport 1001" in debian.rules()
    assert debian.record()["reverted"]["why"] == "the host was restarted"
    assert debian.run("systemctl", "--failed", "--no-legend").stdout == ""
    assert "network-pre.target" in debian.run("systemctl", "show", "-p", "Before", "microseg.service").stdout


def test_a_copied_disk_boots_without_the_policy_of_another_machine(debian: Debian) -> None:
    debian.provision(1001)

    debian.restart(debian.new_machine_id)

    assert "microseg" not in debian.rules()
    assert debian.run("systemctl", "is-failed", "microseg.service").stdout.strip() == "failed"
    assert debian.record()["alarms"][-1]["code"] == "boot-policy-unusable"


def test_what_other_firewall_services_flush_comes_back(debian: Debian) -> None:
    debian.provision(1001)

    for verb in (["enable", "--now"], ["reload"], ["restart"]):
        before = len(debian.record()["alarms"])
        assert debian.run("systemctl", *verb, "nftables.service").returncode == 0
        until(lambda: "tcp dport 1001" in debian.rules())
        until(lambda before=before: len(debian.record()["alarms"]) > before)  # type: ignore[misc]

    assert {one["code"] for one in debian.record()["alarms"]} == {"table-missing"}
    debian.restart()
    assert "tcp dport 1001" in debian.rules(), "nftables.service flushes at boot as well"


def test_a_table_flushed_by_hand_is_back_within_a_minute(debian: Debian) -> None:
    debian.provision(1001)
    until(lambda: debian.run("systemctl", "is-active", "microseg.service").stdout.strip() == "active")

    debian.run("nft", "flush", "ruleset")

    until(lambda: "tcp dport 1001" in debian.rules(), 60.0)


def test_break_glass_is_ended_by_a_timer(debian: Debian) -> None:
    debian.provision(1001)

    opened = debian.run(STATE + "/lib/microseg-host", "break-glass", "0.05", "drill")

    assert opened.returncode == 0, opened.stderr
    assert "policy drop" not in debian.rules()
    until(lambda: "tcp dport 1001" in debian.rules())
    until(lambda: debian.record()["break_glass"] is None)


def test_a_removal_leaves_no_unit_and_no_file(debian: Debian) -> None:
    debian.provision(1001)

    done = debian.act("confirm", debian.act("arm", None, 60.0)["token"])

    assert done["remains"] == []
    assert debian.run("systemctl", "list-units", "--all", "--no-legend", "microseg*").stdout == ""
    assert debian.run("find", "/", "-xdev", "-name", "microseg*", "-not", "-path", "/opt/*").stdout == ""
