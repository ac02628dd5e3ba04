# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts as network namespaces: real sshd, real nftables, real packets, on one machine and without touching it.

Library: ``with Lab(spec, directory) as lab: lab.connect("web-1", "db-1", "tcp/5432")``.
Command: ``lab.py up SPEC.yml --dir RUN``, ``lab.py exec HOST --dir RUN -- CMD``, ``lab.py down --dir RUN``; README.md has the rest.

Everything a lab makes is either below its run directory, or inside namespaces that end with its processes.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, Any, NamedTuple, Self

HERE = pathlib.Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
CONTROLLER = "controller"
MARK = "run/.microseg-lab"
SBIN = ":/usr/sbin:/sbin"
HIDDEN = ("/run", "/etc", "/var/lib")  # host.sh gives each host its own
ALLOWED = ("open", "closed")
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


class LabError(Exception):
    """The lab cannot do what was asked; the message says why."""


@dataclass
class Host:
    """One host of the lab. ``pid`` is the process that keeps its namespaces."""

    name: str
    ipv4: list[str] = field(default_factory=list)
    ipv6: list[str] = field(default_factory=list)
    listeners: list[str] = field(default_factory=list)
    unmanaged: bool = False
    groups: list[str] = field(default_factory=list)
    vars: dict[str, Any] = field(default_factory=dict)
    pid: int = 0

    def addresses(self) -> list[str]:
        return [*self.ipv4, *self.ipv6]

    def address(self, family: int) -> str:
        found = self.ipv6 if family == 6 else self.ipv4
        if not found:
            raise LabError(f"{self.name} has no IPv{family} address")
        return found[0]


class Cell(NamedTuple):
    """A question: may ``consumer`` (a host) reach this address on this service? ``source`` picks one of its addresses."""

    consumer: str
    address: str
    service: str
    source: str | None = None


def probe_ability() -> tuple[str, str]:
    """What this machine permits -> ("root-namespaces" | "user-namespaces" | "none", reason)."""
    path = os.environ.get("PATH", "/usr/bin:/bin") + SBIN
    missing = [program for program in ("ip", "unshare", "nsenter", "mount", "hostname") if not shutil.which(program, path=path)]
    if missing:
        return "none", f"not installed: {', '.join(missing)}"
    as_root = os.geteuid() == 0
    options = ["-nmu"] if as_root else ["-Urnmu"]
    script = "mount -t tmpfs t /run && ip link add v0 type veth peer name v1"
    run = subprocess.run(
        ["unshare", *options, "sh", "-c", script], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=environment()
    )
    if run.returncode:
        return "none", f"unshare {options[0]}: {run.stderr.strip() or f'exit code {run.returncode}'}"
    if not as_root:
        return "user-namespaces", "not root: hosts are entered by the netns connection plugin, without sshd"
    if not shutil.which("sshd", path=path):
        return "none", "sshd is not installed (make packages)"
    return "root-namespaces", "root: hosts run a real sshd"


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    env = dict(os.environ)
    env["PATH"] = env.get("PATH", "/usr/bin:/bin") + SBIN
    env.update(extra or {})
    return env


def default_directory(name: str = "default") -> pathlib.Path:
    return CHECKOUT / ".cache" / "lab" / name


class Session:
    """A connection that stays open between checks, to see whether a policy change cuts it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def alive(self, timeout: float = 1.0) -> bool:
        """Send a line through it and wait for the echo."""
        return bool(self._channel.ask({"op": "say", "timeout": timeout}))

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Channel:
    """A control connection to one host's agent."""

    def __init__(self, directory: pathlib.Path, name: str) -> None:
        self.name = name
        # Reached through a descriptor of the directory: socket paths are limited to 108 bytes, run directories are not.
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(f"/proc/self/fd/{descriptor}/{name}")
            except OSError:
                self._socket.close()
                raise
        finally:
            os.close(descriptor)
        self._lines: IO[str] = self._socket.makefile("r", encoding="utf-8")

    def ask(self, request: Mapping[str, Any]) -> Any:
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        line = self._lines.readline()
        if not line:
            raise LabError(f"{self.name}: the host process ended")
        reply = json.loads(line)
        if "error" in reply:
            raise LabError(f"{self.name}: {reply['error']}")
        return reply["ok"]

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class Lab:
    """A lab of hosts on one segment, with a controller that is the only one who can speak ssh to them.

    ``spec``: mapping (or path of a YAML file) with ``hosts`` and optionally ``controller``; see README.md.
    ``directory``: private run directory; default is below .cache/lab of the checkout.
    ``rootless``: force (True) or forbid (False) the mode without root; default is what this machine permits.
    """

    def __init__(self, spec: Mapping[str, Any] | str | os.PathLike[str], directory: str | os.PathLike[str] | None = None, *, rootless: bool | None = None) -> None:
        if not isinstance(spec, Mapping):
            spec = read_spec(pathlib.Path(spec))
        self.directory = pathlib.Path(directory or default_directory()).absolute()
        if any(self.directory.resolve().is_relative_to(place) for place in HIDDEN):
            raise LabError(f"the run directory may not be below {', '.join(HIDDEN)} (hosts have their own): {self.directory}")
        self.rootless = os.geteuid() != 0 if rootless is None else rootless
        self.token = ""
        self.control_directory = ""
        self._children: list[subprocess.Popen[bytes]] = []
        given = dict(spec.get("controller") or {})
        self.controller = Host(CONTROLLER, ipv4=list(given.get("ipv4", ["10.254.0.1"])), ipv6=list(given.get("ipv6", ["fd00:254::1"])))
        self.hosts: dict[str, Host] = {}
        for entry in spec["hosts"]:
            host = Host(**entry)
            if host.name in self.hosts or host.name == CONTROLLER or not host.name.replace("-", "").replace(".", "").isalnum():
                raise LabError(f"host name {host.name!r} is taken or not a host name")
            self.hosts[host.name] = host
        everyone = [address for host in [self.controller, *self.hosts.values()] for address in host.addresses()]
        if len(set(everyone)) != len(everyone):
            raise LabError("an address is given twice")

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
            logs = "".join(f"{path.name}: {text}" for path in sorted((self.directory / "log").glob("*")) if (text := path.read_text()[-500:]))
            self.down()
            if logs:
                print(logs, file=sys.stderr)
            raise
        return self

    def _start(self) -> None:
        self._keep(self.controller, [])
        self._wait_for([self.controller])
        self._channel_once(CONTROLLER, {"op": "ip", "batch": self._controller_links()})
        hosts = list(self.hosts.values())
        if not self.rootless:
            self._make_keys()
        self._boot(hosts)
        self._write_ssh()
        self.write_inventory()
        self._save()

    def _boot(self, hosts: list[Host]) -> None:
        for host in hosts:
            # Without root no sshd can run (it has to change groups): a listener plays the management port.
            management = ["tcp/22"] if self.rootless and not host.unmanaged else []
            self._keep(host, [*host.listeners, *management])
        self._wait_for(hosts)
        self._channel_once(CONTROLLER, {"op": "ip", "batch": "".join(self._port(host) for host in hosts)})
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda host: self._channel_once(host.name, {"op": "ip", "batch": self._host_links(host)}), hosts))
        managed = [host for host in hosts if not host.unmanaged]
        if not self.rootless:
            for host in managed:
                log = self.directory / "log" / f"{host.name}.sshd"
                command = [self._sshd(), "-D", "-f", str(self.directory / "sshd_config"), "-E", str(log)]
                self._spawn(host.name, "sshd", [*self.enter(host.name), *command])
        self._wait_for_management(managed)

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
        found = []
        if not self.token:
            return found
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                with open(f"/proc/{entry}/root/{MARK}", encoding="utf-8") as file:
                    token, _, host = file.read().strip().partition(" ")
            except OSError:
                continue
            if token == self.token and name in (None, host):
                found.append(int(entry))
        return found

    def reboot(self, name: str) -> None:
        """Power cut and start: the host's processes and kernel rules are gone, /etc and /var/lib are still there.

        Nothing is started at boot but sshd and the listeners; run the product's boot command with ``run`` if it has one.
        """
        host = self.hosts[name]
        while members := self.members(name):
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._reap()
            time.sleep(0.01)
        # The kernel removes the old port together with the namespace, a moment later.
        self._channel_once(CONTROLLER, {"op": "ip", "batch": f"link set {self._port_name(host)} down\nlink del {self._port_name(host)}\n"}, quiet=True)
        (self.directory / "sockets" / name).unlink(missing_ok=True)
        self._boot([host])
        self.write_inventory()
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

    def enter(self, name: str) -> list[str]:
        """Put this in front of a command to run it on a host, as its root."""
        user = ["-U", "--preserve-credentials"] if self.rootless else []
        return ["nsenter", "-t", str(self.host(name).pid), *user, "-m", "-u", "-n", "--"]

    def run(
        self, name: str, command: Sequence[str | os.PathLike[str]], *, input: str | None = None, check: bool = True, timeout: float = 60, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host, without ssh (it works also when a policy has locked everybody out)."""
        source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        run = subprocess.run(
            [*self.enter(name), *command], capture_output=True, text=True, check=False, timeout=timeout, env=environment(env), **source
        )
        if check and run.returncode:
            words = shlex.join(str(word) for word in command)
            raise LabError(f"{name}: {words} ended with {run.returncode}: {(run.stderr or run.stdout).strip()}")
        return run

    def nft(self, name: str, rules: str) -> None:
        """Load nft text on a host in one transaction."""
        self.run(name, ["nft", "-f", "-"], input=rules)

    def ssh(self, name: str, command: str, *, check: bool = True, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a shell command over a new, real ssh connection from the controller."""
        options = [*SSH_OPTIONS, "-o", "ConnectTimeout=5", "-i", str(self.directory / "id")]
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

    def probe(self, name: str, cells: Iterable[tuple[str, str] | tuple[str, str, str | None]], *, timeout: float = 0.6, retries: int = 1) -> list[str]:
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
            words = self.probe(name, [(cell.address, cell.service, cell.source) for cell in part], timeout=timeout, retries=retries)
            return list(zip(part, (verdict(word) for word in words), strict=True))

        with concurrent.futures.ThreadPoolExecutor(max(1, len(by_consumer))) as pool:
            return {cell: word for part in pool.map(ask, by_consumer) for cell, word in part}

    def connect(self, consumer: str, provider: str, service: str, family: int = 4, *, source: str | None = None, timeout: float = 0.6, retries: int = 1) -> str:
        """One connection, host to host or to an address -> "allowed" or "denied"."""
        if service.startswith("icmpv6"):
            family = 6
        return verdict(self.probe(consumer, [(self.address(provider, family), service, source)], timeout=timeout, retries=retries)[0])

    def session(self, consumer: str, provider: str, service: str, family: int = 4, *, source: str | None = None, timeout: float = 3.0) -> Session:
        """Open a connection and keep it; ask it later whether it is ``alive()``."""
        channel = Channel(self.directory / "sockets", consumer)
        channel.ask({"op": "session", "address": self.address(provider, family), "service": service, "source": source, "timeout": timeout})
        return Session(channel)

    def listen(self, name: str, *services: str) -> None:
        self._channel_once(name, {"op": "listen", "services": services})

    def close(self, name: str, *services: str) -> None:
        """Stop listening: TCP answers with a reset from then on."""
        self._channel_once(name, {"op": "close", "services": services})

    # -- Ansible --------------------------------------------------------------------------------------------------

    @property
    def inventory(self) -> pathlib.Path:
        return self.directory / "inventory.yml"

    def write_inventory(self, path: pathlib.Path | None = None) -> pathlib.Path:
        """Write the managed hosts as an Ansible inventory (JSON is YAML)."""
        groups: dict[str, dict[str, Any]] = {}
        hosts: dict[str, dict[str, Any]] = {}
        for host in self.hosts.values():
            if host.unmanaged:
                continue
            hosts[host.name] = {"ansible_host": host.addresses()[0], **host.vars}
            if self.rootless:
                hosts[host.name]["ansible_netns_pid"] = host.pid
            for group in host.groups:
                groups.setdefault(group, {"hosts": {}})["hosts"][host.name] = {}
        common: dict[str, Any] = {"ansible_user": "root", "ansible_python_interpreter": "/usr/bin/python3"}
        if self.rootless:
            common |= {
                "ansible_connection": "bulkhead.microseg.netns",
                "ansible_netns_userns": True,
                "ansible_netns_controller_pid": self.controller.pid,
                "ansible_netns_controller_address": self.controller.addresses()[0],
            }
        else:
            common |= {
                "ansible_ssh_executable": str(self.directory / "ssh"),
                "ansible_ssh_private_key_file": str(self.directory / "id"),
                "ansible_ssh_common_args": shlex.join(SSH_OPTIONS),
                "ansible_ssh_pipelining": True,
                "ansible_ssh_transfer_method": "piped",
                "ansible_control_path_dir": self.control_directory,
            }
        target = path or self.inventory
        target.write_text(json.dumps({"all": {"vars": common, "hosts": hosts, "children": groups}}, indent=2) + "\n", encoding="utf-8")
        return target

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
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd, start_new_session=True, env=environment({"LC_ALL": "C"})
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
                    log = (self.directory / "log" / f"{host.name}.agent").read_text(encoding="utf-8", errors="replace").strip()
                    raise LabError(f"{host.name} does not start: {log or 'no answer'}")
                time.sleep(0.005)

    def _channel_once(self, name: str, request: Mapping[str, Any], quiet: bool = False) -> Any:
        self.host(name)
        channel = Channel(self.directory / "sockets", name)
        try:
            return channel.ask(request)
        except LabError:
            if not quiet:
                raise
            return None
        finally:
            channel.close()

    def _index(self, host: Host) -> int:
        return list(self.hosts).index(host.name) + 1

    def _port_name(self, host: Host) -> str:
        return f"port{self._index(host)}"

    def _port(self, host: Host) -> str:
        index = self._index(host)
        mac = f"02:6d:73:00:{index >> 8:02x}:{index & 255:02x}"
        name = self._port_name(host)
        return f"link add {name} type veth peer name eth0 address {mac} netns {host.pid}\nlink set {name} master br0 up\n"

    def _controller_links(self) -> str:
        bridge = "link add br0 address 02:6d:73:ff:00:01 type bridge mcast_snooping 0\nlink set br0 addrgenmode none\nlink set br0 up\n"
        return bridge + self._addresses(self.controller, "br0", 0xFF01)

    def _host_links(self, host: Host) -> str:
        return "link set eth0 addrgenmode none\nlink set eth0 up\n" + self._addresses(host, "eth0", self._index(host))

    @staticmethod
    def _addresses(host: Host, device: str, index: int) -> str:
        """Every address is a single one and everything is on link, so any mixture of subnets works."""
        lines = [f"addr add {address}/32 dev {device}" for address in host.ipv4]
        lines += [f"addr add fe80::6d73:{index:x}/64 dev {device} nodad"]
        lines += [f"addr add {address}/128 dev {device} nodad" for address in host.ipv6]
        lines += [f"route add default dev {device} src {host.ipv4[0]}"] if host.ipv4 else []
        lines += [f"route add ::/0 dev {device} src {host.ipv6[0]}"] if host.ipv6 else []
        return "\n".join(lines) + "\n"

    def _make_keys(self) -> None:
        for name in ("host_key", "id"):
            path = self.directory / name
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", path], check=True, stdin=subprocess.DEVNULL)
        (self.directory / "sshd_config").write_text(SSHD_CONFIG.format(directory=self.directory), encoding="utf-8")

    @staticmethod
    def _sshd() -> str:
        """sshd insists on being started by its full path."""
        path = shutil.which("sshd", path=environment()["PATH"])
        if path is None:
            raise LabError("sshd is not installed (make packages)")
        return path

    def _write_ssh(self) -> None:
        """The ssh client of the controller, for ansible_ssh_executable."""
        script = self.directory / "ssh"
        script.write_text(f"#!/bin/sh\nexec {shlex.join(self.enter(CONTROLLER))} ssh \"$@\"\n", encoding="utf-8")
        script.chmod(0o700)

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


SSH_OPTIONS = [
    word
    for option in ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes", "LogLevel=ERROR")
    for word in ("-o", option)
] + ["-F", "none"]


def verdict(word: str) -> str:
    """A prober's word -> "allowed" or "denied"; a packet that cannot be sent has no verdict."""
    if word == "unable":
        raise LabError("this kernel cannot send packets of that protocol")
    return "allowed" if word in ALLOWED else "denied"


def read_spec(path: pathlib.Path) -> Mapping[str, Any]:
    import yaml  # only here: probe-ability also runs without it

    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(spec, Mapping) or not isinstance(spec.get("hosts"), list):
        raise LabError(f"{path}: a lab needs a list of hosts")
    return spec


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="lab.py", description="Namespace lab: hosts with real sshd, nftables and packets.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dir", type=pathlib.Path, default=default_directory(), help="run directory (default %(default)s)")
    up = verbs.add_parser("up", parents=[common], help="start a lab")
    up.add_argument("spec", type=pathlib.Path)
    up.add_argument("--rootless", action="store_true", help="use a user namespace and no sshd also as root")
    verbs.add_parser("down", parents=[common], help="end it and remove everything of it")
    verbs.add_parser("status", parents=[common], help="hosts, addresses, processes")
    execute = verbs.add_parser("exec", parents=[common], help="run a command on a host")
    execute.add_argument("host")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    connect = verbs.add_parser("connect", parents=[common], help="try connections: CONSUMER PROVIDER SERVICE [SERVICE ...]")
    connect.add_argument("consumer")
    connect.add_argument("provider")
    connect.add_argument("services", nargs="+")
    connect.add_argument("--family", type=int, choices=(4, 6), default=4)
    verbs.add_parser("probe-ability", help="what this machine permits, and why")
    options = parser.parse_args(arguments)
    try:
        return globals()["_" + options.verb.replace("-", "_")](options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2


def _up(options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    lab = Lab(options.spec, options.dir, rootless=options.rootless or None).up()
    print(f"{len(lab.hosts)} hosts; inventory {lab.inventory}")
    return 0


def _down(options: argparse.Namespace) -> int:
    Lab.attach(options.dir).down()
    return 0


def _status(options: argparse.Namespace) -> int:
    lab = Lab.attach(options.dir)
    for host in [lab.controller, *lab.hosts.values()]:
        print(f"{host.name:16} {'unmanaged' if host.unmanaged else 'managed':9}  processes {len(lab.members(host.name))}  {' '.join(host.addresses())}")
    return 0


def _exec(options: argparse.Namespace) -> int:
    lab = Lab.attach(options.dir)
    command = options.command
    if "--dir" in command[:1]:  # REMAINDER swallows options that follow the host
        lab, command = Lab.attach(command[1]), command[2:]
    command = command[1:] if command[:1] == ["--"] else command
    if not command:
        raise LabError("exec needs a command")
    return subprocess.run([*lab.enter(options.host), *command], check=False, env=environment()).returncode


def _connect(options: argparse.Namespace) -> int:
    lab = Lab.attach(options.dir)
    words = [lab.connect(options.consumer, options.provider, service, options.family) for service in options.services]
    for service, word in zip(options.services, words, strict=True):
        print(f"{options.consumer} -> {options.provider} {service} {word}")
    return 1 if "denied" in words else 0


def _probe_ability(_: argparse.Namespace) -> int:
    word, reason = probe_ability()
    print(f"{word}: {reason}")
    return 0


def labs(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """Run directories with a lab below ``root``."""
    yield from (path.parent for path in root.rglob("lab.json"))


if __name__ == "__main__":
    sys.exit(main())
