# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts as network namespaces: real sshd, real nftables, real packets, on one machine and without touching it.

Library: ``with Lab(spec, directory) as lab: lab.connect("web-1", "db-1", "tcp/5432")``.
Command: ``lab.py up SPEC.yml --dir RUN``, ``lab.py exec HOST --dir RUN -- CMD``, ``lab.py down --dir RUN``.
README.md beside this file has the rest.

Everything a lab makes is either below its run directory, or inside namespaces that end with its processes.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import pathlib
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

HERE = pathlib.Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
if __name__ == "__main__":  # as a program; as a library the checkout is on the path already
    sys.path[0] = str(CHECKOUT)

from extensions.lab import access, topology
from extensions.lab.access import environment
from extensions.lab.channel import Channel, Session
from extensions.lab.topology import CONTROLLER, Cell, Host, LabError

__all__ = ["CONTROLLER", "Cell", "Host", "Lab", "LabError", "Session", "default_directory", "probe_ability"]

MARK = "run/.microseg-lab"
HIDDEN = ("/run", "/etc", "/var/lib")  # host.sh gives each host its own
ALLOWED = ("open", "closed")


def probe_ability() -> tuple[str, str]:
    """What this machine permits -> ("root-namespaces" | "user-namespaces" | "none", reason)."""
    path = environment()["PATH"]
    missing = [
        program for program in ("ip", "unshare", "nsenter", "mount", "hostname") if not shutil.which(program, path=path)
    ]
    if missing:
        return "none", f"not installed: {', '.join(missing)}"
    as_root = os.geteuid() == 0
    options = ["-nmu"] if as_root else ["-Urnmu"]
    script = "mount -t tmpfs t /run && ip link add v0 type veth peer name v1"
    run = subprocess.run(
        ["unshare", *options, "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment(),
    )
    if run.returncode:
        return "none", f"unshare {options[0]}: {run.stderr.strip() or f'exit code {run.returncode}'}"
    if not as_root:
        return "user-namespaces", "not root: hosts are entered by the netns connection plugin, without sshd"
    if not shutil.which("sshd", path=path):
        return "none", "sshd is not installed (make packages)"
    return "root-namespaces", "root: hosts run a real sshd"


def default_directory(name: str = "default") -> pathlib.Path:
    return CHECKOUT / ".cache" / "lab" / name


class Lab:
    """A lab of hosts on one segment, with a controller whose key they accept.

    ``spec``: mapping (or path of a YAML file) with ``hosts`` and optionally ``controller``; see README.md.
    ``directory``: private run directory; default is below .cache/lab of the checkout.
    ``rootless``: force (True) or forbid (False) the mode without root; default is what this machine permits.
    """

    def __init__(
        self,
        spec: Mapping[str, Any] | str | os.PathLike[str],
        directory: str | os.PathLike[str] | None = None,
        *,
        rootless: bool | None = None,
    ) -> None:
        if not isinstance(spec, Mapping):
            spec = topology.read_spec(pathlib.Path(spec))
        self.directory = pathlib.Path(directory or default_directory()).absolute()
        if any(self.directory.resolve().is_relative_to(place) for place in HIDDEN):
            raise LabError(
                f"the run directory may not be below {', '.join(HIDDEN)} (hosts have their own): {self.directory}"
            )
        self.rootless = os.geteuid() != 0 if rootless is None else rootless
        self.token = ""
        self.control_directory = ""
        self._children: list[subprocess.Popen[bytes]] = []
        self.controller = topology.controller_of(spec)
        self.hosts = topology.hosts_of(spec, self.controller)

    # -- life -----------------------------------------------------------------------------------------------------

    def up(self) -> Self:
        """Start everything; on any failure, and on Ctrl-C, take it down again."""
        if (self.directory / "lab.json").exists():
            raise LabError(f"{self.directory} already holds a lab; take it down first")
        for name in ("sockets", "pids", "log"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        self.token = secrets.token_hex(12)
        # ssh's own control sockets need a short path as well.
        self.control_directory = tempfile.mkdtemp(prefix="microseg-")
        self._save()
        try:
            self._start()
        except BaseException:
            logs = "".join(
                f"{path.name}: {text}"
                for path in sorted((self.directory / "log").glob("*"))
                if (text := path.read_text()[-500:])
            )
            self.down()
            if logs:
                print(logs, file=sys.stderr)
            raise
        return self

    def _start(self) -> None:
        self._keep(self.controller, [])
        self._wait_for([self.controller])
        self._channel_once(CONTROLLER, {"op": "ip", "batch": topology.controller_links(self.controller)})
        hosts = list(self.hosts.values())
        if not self.rootless:
            access.make_keys(self.directory)
        self._boot(hosts)
        if not self.rootless:
            access.write_client(self.directory / "ssh", self.controller)
        self._save()

    def _boot(self, hosts: list[Host]) -> None:
        for host in hosts:
            # Without root no sshd can run (it has to change groups): a listener plays the management port.
            management = ["tcp/22"] if self.rootless and not host.unmanaged else []
            self._keep(host, [*host.listeners, *management])
        self._wait_for(hosts)
        ports = "".join(topology.port(self._number(host), host.pid) for host in hosts)
        self._channel_once(CONTROLLER, {"op": "ip", "batch": ports})
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(self._link, hosts))
        managed = [host for host in hosts if not host.unmanaged]
        if not self.rootless:
            for host in managed:
                log = self.directory / "log" / f"{host.name}.sshd"
                command = [access.sshd(), "-D", "-f", str(self.directory / "sshd_config"), "-E", str(log)]
                self._spawn(host.name, "sshd", [*self.enter(host.name), *command])
        self._wait_for_management(managed)

    def _number(self, host: Host) -> int:
        return list(self.hosts).index(host.name) + 1

    def _link(self, host: Host) -> None:
        self._channel_once(host.name, {"op": "ip", "batch": topology.host_links(host, self._number(host))})

    def _wait_for_management(self, managed: list[Host]) -> None:
        end = time.monotonic() + 20
        cells = [(host.addresses()[0], "tcp/22") for host in managed if host.addresses()]
        while cells:
            words = self.probe(CONTROLLER, cells, timeout=1.0, retries=0)
            cells = [cell for cell, word in zip(cells, words, strict=True) if word != "open"]
            if cells and time.monotonic() > end:
                raise LabError(f"management port of {', '.join(address for address, _ in cells)} does not answer")
            if cells:
                time.sleep(0.05)

    def down(self) -> None:
        """End every process of the lab, and with them its namespaces and mounts; then remove the run directory."""
        for _ in range(50):
            members = self.members()
            if not members:
                break
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._reap()
            time.sleep(0.02)
        else:
            raise LabError(f"processes do not end: {self.members()}")
        # Those that were started but had not got as far as marking themselves.
        for child in self._children:
            child.kill()
            child.wait()
        self._children = []
        if self.control_directory:
            shutil.rmtree(self.control_directory, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def members(self, name: str | None = None) -> list[int]:
        """Processes that live in the lab (or in one host of it), whoever started them."""
        found: list[int] = []
        if not self.token:
            return found
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                with open(f"/proc/{entry}/root/{MARK}", encoding="utf-8") as file:
                    token, _, host = file.read().strip().partition(" ")
            except OSError:
                token, host = self._starting(entry)
            if token == self.token and name in (None, host):
                found.append(int(entry))
        return found

    def _starting(self, pid: str) -> tuple[str, str]:
        """(token, host) of a process that is on its way to mark itself, from its command line."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            return self.token, words[words.index(self.token) + 1]
        return "", ""

    def reboot(self, name: str) -> None:
        """Power cut and start: the host's processes and kernel rules are gone, /etc and /var/lib are still there.

        Nothing is started at boot but sshd and the listeners; a boot command of the product has to be ``run``.
        """
        host = self.hosts[name]
        while members := self.members(name):
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._reap()
            time.sleep(0.01)
        # The kernel removes the old port together with the namespace, a moment later.
        with contextlib.suppress(LabError):
            batch = f"link del {topology.port_name(self._number(host))}\n"
            self._channel_once(CONTROLLER, {"op": "ip", "batch": batch})
        (self.directory / "sockets" / name).unlink(missing_ok=True)
        self._boot([host])
        self._save()

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(self, *_: object) -> None:
        self.down()

    @classmethod
    def attach(cls, directory: str | os.PathLike[str] | None = None) -> Self:
        """The lab that runs in this directory."""
        place = pathlib.Path(directory or default_directory()).absolute()
        try:
            state = json.loads((place / "lab.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise LabError(f"no lab in {place}") from None
        lab = cls({"hosts": state["hosts"], "controller": None}, place, rootless=state["rootless"])
        lab.token, lab.control_directory = state["token"], state["control_directory"]
        lab.controller = Host(**state["controller"])
        return lab

    # -- use ------------------------------------------------------------------------------------------------------

    def host(self, name: str) -> Host:
        if name == CONTROLLER:
            return self.controller
        try:
            return self.hosts[name]
        except KeyError:
            raise LabError(f"no host {name!r} in this lab") from None

    @property
    def inventory(self) -> pathlib.Path:
        """Ansible inventory of the managed hosts."""
        return self.directory / "inventory.yml"

    def enter(self, name: str) -> list[str]:
        """Put this in front of a command to run it on a host, as its root."""
        return access.enter(self.host(name).pid, self.rootless)

    def run(
        self,
        name: str,
        command: Sequence[str | os.PathLike[str]],
        *,
        input: str | None = None,
        check: bool = True,
        timeout: float = 60,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host, without ssh (it works also when a policy has locked everybody out)."""
        source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        run = subprocess.run(
            [*self.enter(name), *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=environment(env),
            **source,
        )
        if check and run.returncode:
            words = shlex.join(str(word) for word in command)
            raise LabError(f"{name}: {words} ended with {run.returncode}: {(run.stderr or run.stdout).strip()}")
        return run

    def nft(self, name: str, rules: str) -> None:
        """Load nft text on a host in one transaction."""
        self.run(name, ["nft", "-f", "-"], input=rules)

    def ssh(
        self, name: str, command: str, *, check: bool = True, timeout: float = 30
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command over a new, real ssh connection from the controller."""
        options = [*access.SSH_OPTIONS, "-o", "ConnectTimeout=5", "-i", str(self.directory / "id")]
        run = subprocess.run(
            [str(self.directory / "ssh"), *options, f"root@{self.host(name).addresses()[0]}", command],
            capture_output=True, text=True, check=False, timeout=timeout, stdin=subprocess.DEVNULL, env=environment(),
        )  # fmt: skip
        if check and run.returncode:
            raise LabError(f"ssh to {name} ended with {run.returncode}: {run.stderr.strip()}")
        return run

    def address(self, target: str, family: int = 4) -> str:
        """The first address of a host; an address stays itself."""
        known = target == CONTROLLER or target in self.hosts
        return self.host(target).address(family) if known else target

    def probe(
        self,
        name: str,
        cells: Iterable[tuple[str, str] | tuple[str, str, str | None]],
        *,
        timeout: float = 0.6,
        retries: int = 1,
    ) -> list[str]:
        """From one host: (address, service[, source address]) cells -> what came back, in prober.py's words."""
        wanted = [[cell[0], cell[1], cell[2] if len(cell) > 2 else None] for cell in cells]
        return list(self._channel_once(name, {"op": "probe", "cells": wanted, "timeout": timeout, "retries": retries}))

    def matrix(self, cells: Iterable[Cell], *, timeout: float = 0.6, retries: int = 1) -> dict[Cell, str]:
        """Many cells at once -> "allowed" or "denied" each. All consumers try at the same time."""
        by_consumer: dict[str, list[Cell]] = {}
        for cell in cells:
            by_consumer.setdefault(cell.consumer, []).append(Cell(*cell))

        def ask(name: str) -> list[tuple[Cell, str]]:
            part = by_consumer[name]
            words = self.probe(
                name, [(cell.address, cell.service, cell.source) for cell in part], timeout=timeout, retries=retries
            )
            return list(zip(part, (verdict(word) for word in words), strict=True))

        with concurrent.futures.ThreadPoolExecutor(max(1, len(by_consumer))) as pool:
            return {cell: word for part in pool.map(ask, by_consumer) for cell, word in part}

    def connect(
        self,
        consumer: str,
        provider: str,
        service: str,
        family: int = 4,
        *,
        source: str | None = None,
        timeout: float = 0.6,
        retries: int = 1,
    ) -> str:
        """One connection, host to host or to an address -> "allowed" or "denied"."""
        if service.startswith("icmpv6"):
            family = 6
        return verdict(
            self.probe(consumer, [(self.address(provider, family), service, source)], timeout=timeout, retries=retries)[
                0
            ]
        )

    def session(
        self,
        consumer: str,
        provider: str,
        service: str,
        family: int = 4,
        *,
        source: str | None = None,
        timeout: float = 3.0,
    ) -> Session:
        """Open a connection and keep it; ask it later whether it is ``alive()``."""
        channel = Channel(self.directory / "sockets", consumer)
        channel.ask(
            {
                "op": "session",
                "address": self.address(provider, family),
                "service": service,
                "source": source,
                "timeout": timeout,
            }
        )
        return Session(channel)

    def listen(self, name: str, *services: str) -> None:
        self._channel_once(name, {"op": "listen", "services": services})

    def close(self, name: str, *services: str) -> None:
        """Stop listening: TCP answers with a reset from then on."""
        self._channel_once(name, {"op": "close", "services": services})

    # -- parts ----------------------------------------------------------------------------------------------------

    def _keep(self, host: Host, listeners: list[str]) -> None:
        """Start the process that holds a host's namespaces."""
        python = [sys.executable, "-E", "-s", "-S", str(HERE / "agent.py"), host.name, *listeners]
        disk = "" if host.name == CONTROLLER else f"/run/disks/{host.name}"
        command = ["unshare", "-n", "-m", "-u", "sh", str(HERE / "host.sh"), self.token, host.name, disk, *python]
        sockets = self.directory / "sockets"
        if host.name == CONTROLLER:
            if self.rootless:
                command[1:2] = ["-U", "-r", "-n"]
        else:
            user = ["-U", "--preserve-credentials"] if self.rootless else []
            command = ["nsenter", "-t", str(self.controller.pid), *user, "-m", f"--wd={sockets}", "--", *command]
        host.pid = self._spawn(host.name, "agent", command, cwd=sockets)

    def _spawn(self, name: str, what: str, command: list[str], cwd: pathlib.Path | None = None) -> int:
        """Start a process of its own session that outlives us; its pid goes to a file."""
        with open(self.directory / "log" / f"{name}.{what}", "ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                start_new_session=True,
                env=environment({"LC_ALL": "C"}),
            )
        self._children.append(child)
        (self.directory / "pids" / f"{name}.{what}").write_text(f"{child.pid}\n", encoding="ascii")
        return child.pid

    def _reap(self) -> None:
        self._children = [child for child in self._children if child.poll() is None]

    def _wait_for(self, hosts: Iterable[Host]) -> None:
        end = time.monotonic() + 20
        for host in hosts:
            while True:
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                    Channel(self.directory / "sockets", host.name).close()
                    break
                ended = any(child.pid == host.pid and child.poll() is not None for child in self._children)
                if ended or time.monotonic() > end:
                    log = (
                        (self.directory / "log" / f"{host.name}.agent")
                        .read_text(encoding="utf-8", errors="replace")
                        .strip()
                    )
                    raise LabError(f"{host.name} does not start: {log or 'no answer'}")
                time.sleep(0.005)

    def _channel_once(self, name: str, request: Mapping[str, Any]) -> Any:
        self.host(name)
        channel = Channel(self.directory / "sockets", name)
        try:
            return channel.ask(request)
        finally:
            channel.close()

    def _save(self) -> None:
        state = {
            "token": self.token,
            "rootless": self.rootless,
            "control_directory": self.control_directory,
            "controller": asdict(self.controller),
            "hosts": [asdict(host) for host in self.hosts.values()],
        }
        temporary = self.directory / "lab.json.new"
        temporary.write_text(json.dumps(state, indent=1), encoding="utf-8")
        os.replace(temporary, self.directory / "lab.json")
        managed = [host for host in self.hosts.values() if not host.unmanaged]
        connection = (
            access.netns_variables(self.controller)
            if self.rootless
            else access.ssh_variables(self.directory, self.control_directory)
        )
        access.write_inventory(self.inventory, managed, connection)


def verdict(word: str) -> str:
    """A prober's word -> "allowed" or "denied"; a packet that cannot be sent has no verdict."""
    if word == "unable":
        raise LabError("this kernel cannot send packets of that protocol")
    return "allowed" if word in ALLOWED else "denied"


if __name__ == "__main__":
    from extensions.lab.command import main

    sys.exit(main())
