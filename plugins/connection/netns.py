# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
name: netns
short_description: Run tasks inside the namespaces of a lab host on this machine
version_added: 0.1.0
author:
  - bulkhead.microseg contributors (@bulkhead)
description:
  - Enters the network, mount and UTS namespaces of a process on the controller and runs tasks there, without ssh.
    Meant for laboratories and tests on machines where no sshd can run in a namespace, such as without root.
  - Before each task a new TCP connection is made from the controller's own namespace to the management port of the
    host, as ssh would do. A policy that locks the controller out therefore makes the host unreachable here as well.
  - Tasks see E(SSH_CONNECTION) as they would under sshd.
requirements:
  - C(nsenter) on the controller
options:
  host:
    description: Address at which the management port is reached.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: ansible_netns_host
  port:
    description: Management port, tried from the controller's namespace.
    type: int
    default: 22
    vars:
      - name: ansible_port
      - name: ansible_netns_port
  remote_user:
    description: Who runs the tasks. Inside the namespaces that is always root; C(become) to root is then not needed.
    type: str
    default: root
    vars:
      - name: ansible_user
  pid:
    description: Process whose namespaces are entered.
    type: int
    required: true
    vars:
      - name: ansible_netns_pid
  userns:
    description: Enter the user namespace of the process too. Needed when the namespaces were made without root.
    type: bool
    default: false
    vars:
      - name: ansible_netns_userns
  controller_pid:
    description: Process in the network namespace from which the management port is tried. Without it nothing is tried.
    type: int
    vars:
      - name: ansible_netns_controller_pid
  controller_address:
    description: Address that the host sees as the source of the connection, for E(SSH_CONNECTION).
    type: str
    vars:
      - name: ansible_netns_controller_address
  timeout:
    description: Seconds to wait for the management port.
    type: int
    default: 10
    env:
      - name: ANSIBLE_TIMEOUT
    ini:
      - section: defaults
        key: timeout
    vars:
      - name: ansible_netns_timeout
"""

import os
import shlex
import subprocess
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

display = Display()

# A shell's own TCP client: there on every controller, and its source address is that of the namespace.
KNOCK = 'exec 3<>"/dev/tcp/$1/$2"'


class Connection(ConnectionBase):
    """Run commands in the namespaces of a process."""

    transport = "bulkhead.microseg.netns"
    has_pipelining = True

    def _enter(self, pid: int) -> list[str]:
        user = ["--user", "--preserve-credentials"] if self.get_option("userns") else []
        return ["nsenter", "--target", str(pid), *user, "--mount", "--uts", "--net", "--"]

    def _connect(self) -> Connection:
        """Knock at the management port once for each new connection, as ssh does."""
        if self._connected:
            return self
        controller = self.get_option("controller_pid")
        if controller:
            host, port, timeout = self.get_option("host"), self.get_option("port"), self.get_option("timeout")
            knock = ["timeout", str(timeout), "bash", "-c", KNOCK, "knock", host, str(port)]
            run = subprocess.run(
                [*self._enter(controller), *knock], stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
            if run.returncode:
                reason = (
                    "no answer"
                    if run.returncode == 124
                    else run.stderr.decode(errors="replace").strip().rpartition("\n")[2]
                )
                raise AnsibleConnectionFailure(
                    f"management port {port} of {host} cannot be reached from the controller: {reason}"
                )
        self._connected = True
        return self

    def _environment(self) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        env["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        source = self.get_option("controller_address")
        if source:
            env["SSH_CONNECTION"] = f"{source} 50022 {self.get_option('host')} {self.get_option('port')}"
        return env

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        display.vvv(f"EXEC {cmd}", host=self.get_option("host"))
        return self._run(["/bin/sh", "-c", cmd], in_data)

    def _run(self, command: list[str], in_data: bytes | None) -> tuple[int, bytes, bytes]:
        self._connect()
        source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if in_data is None else {"input": in_data}
        run = subprocess.run(
            [*self._enter(self.get_option("pid")), *command],
            capture_output=True,
            check=False,
            env=self._environment(),
            **source,
        )
        return run.returncode, run.stdout, run.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        try:
            with open(in_path, "rb") as file:
                data = file.read()
        except FileNotFoundError as error:
            raise AnsibleFileNotFound(f"file or module does not exist: {in_path}") from error
        code, _, stderr = self._run(["/bin/sh", "-c", f"cat > {shlex.quote(out_path)}"], data)
        if code:
            raise AnsibleError(f"could not write {out_path}: {stderr.decode(errors='replace').strip()}")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)
        code, data, stderr = self._run(["cat", in_path], None)
        if code:
            raise AnsibleError(f"could not read {in_path}: {stderr.decode(errors='replace').strip()}")
        with open(out_path, "wb") as file:
            file.write(data)

    def reset(self) -> None:
        self.close()
        self._connect()

    def close(self) -> None:
        self._connected = False
