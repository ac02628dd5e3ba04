# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ways into the hosts of a lab: namespaces, sshd and its keys, the controller's ssh client, the inventory."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from extensions.lab.topology import Host, LabError

SBIN = ":/usr/sbin:/sbin"
SSHD_CONFIG = """\
Port 22
HostKey "{directory}/host_key"
AuthorizedKeysFile "{directory}/id.pub"
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
UseDNS no
PrintMotd no
MaxStartups 200:30:400
MaxSessions 100
Subsystem sftp internal-sftp
"""
SSH_OPTIONS = [
    word
    for option in (
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "IdentitiesOnly=yes",
        "LogLevel=ERROR",
        # A policy that cuts an open connection shall be noticed in seconds, not in hours.
        "ServerAliveInterval=3",
        "ServerAliveCountMax=2",
    )
    for word in ("-o", option)
] + ["-F", "none"]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    env = dict(os.environ)
    env["PATH"] = env.get("PATH", "/usr/bin:/bin") + SBIN
    env.update(extra or {})
    return env


def enter(pid: int, rootless: bool) -> list[str]:
    """Put this in front of a command to run it in the namespaces of a process."""
    user = ["-U", "--preserve-credentials"] if rootless else []
    return ["nsenter", "-t", str(pid), *user, "-m", "-u", "-n", "--"]


def make_keys(directory: pathlib.Path) -> None:
    """A host key, a key for the controller, and the sshd configuration that all hosts share."""
    for name in ("host_key", "id"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", directory / name]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    (directory / "sshd_config").write_text(SSHD_CONFIG.format(directory=directory), encoding="utf-8")


def sshd() -> str:
    """sshd insists on being started by its full path."""
    path = shutil.which("sshd", path=environment()["PATH"])
    if path is None:
        raise LabError("sshd is not installed (make packages)")
    return path


def write_client(script: pathlib.Path, controller: Host) -> None:
    """The ssh client of the controller as one program, for ansible_ssh_executable."""
    script.write_text(f'#!/bin/sh\nexec {shlex.join(enter(controller.pid, False))} ssh "$@"\n', encoding="utf-8")
    script.chmod(0o700)


def ssh_variables(directory: pathlib.Path, control_directory: str) -> dict[str, Any]:
    """Connection variables of hosts that run sshd."""
    return {
        "ansible_ssh_executable": str(directory / "ssh"),
        "ansible_ssh_private_key_file": str(directory / "id"),
        "ansible_ssh_common_args": shlex.join(SSH_OPTIONS),
        "ansible_ssh_pipelining": True,
        "ansible_ssh_transfer_method": "piped",
        "ansible_control_path_dir": control_directory,
    }


def netns_variables(controller: Host) -> dict[str, Any]:
    """Connection variables of hosts that are entered by the netns connection plugin."""
    return {
        "ansible_connection": "bulkhead.microseg.netns",
        "ansible_netns_userns": True,
        "ansible_netns_controller_pid": controller.pid,
        "ansible_netns_controller_address": controller.addresses()[0],
    }


def write_inventory(path: pathlib.Path, managed: Iterable[Host], connection: Mapping[str, Any]) -> None:
    """An Ansible inventory of the managed hosts (JSON is YAML)."""
    common = {
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        # The hosts share root's home directory, but each has its own /run.
        "ansible_remote_tmp": "/run/ansible/tmp",
        "ansible_async_dir": "/run/ansible/async",
        # Their clock is that of the machine they are on, which may be right without its kernel knowing.
        "microseg_nftables_clock_kept": True,
        **connection,
    }
    hosts: dict[str, dict[str, Any]] = {}
    groups: dict[str, dict[str, Any]] = {}
    for host in managed:
        place = {"ansible_netns_pid": host.pid} if "ansible_connection" in connection else {}
        hosts[host.name] = {"ansible_host": host.addresses()[0], **place, **host.vars}
        for group in host.groups:
            groups.setdefault(group, {"hosts": {}})["hosts"][host.name] = {}
    inventory = {"all": {"vars": common, "hosts": hosts, "children": groups}}
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(inventory, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)
