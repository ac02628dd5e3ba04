# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real Debian hosts with systemd, in containers: what namespaces alone cannot show (boot order, units, timers, reboot).

``with Machines() as machines: web = machines.boot("web-1"); web.run("systemctl is-system-running")``. Root only.

The file systems come from debootstrap, once per release and list of packages; the tree is kept as a tarball in
``$XDG_CACHE_HOME/microseg`` (default ``~/.cache/microseg``). Everything else lives in a private directory and inside
network and mount namespaces of their own, which end with ``close``.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import hashlib
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

from extensions.lab import access
from extensions.lab.topology import CONTROLLER, Host

PACKAGES = (
    "systemd", "systemd-sysv", "libpam-systemd", "dbus", "nftables", "openssh-server",
    "python3-minimal", "python3", "iproute2", "conntrack", "procps",
)  # fmt: skip
CONTROLLER_ADDRESSES = Host(CONTROLLER, ipv4=["10.77.0.1"], ipv6=["fd77::1"])
NETWORK = """\
[Match]
Name=host0
[Network]
Address={ipv4}/16
Address={ipv6}/64
LinkLocalAddressing=ipv6
IPv6AcceptRA=no
IPv6DuplicateAddressDetection=0
"""


class MachineError(Exception):
    """A machine cannot do what was asked; the message says why."""


def inability() -> str:
    """Why this machine cannot boot containers; empty if it can."""
    if os.geteuid() != 0:
        return "booting a real Debian needs root"
    missing = [
        name for name in ("debootstrap", "systemd-nspawn", "unshare", "nsenter", "ssh", "tar") if not which(name)
    ]
    return f"not installed: {', '.join(missing)} (debootstrap, systemd-container)" if missing else ""


def which(program: str) -> str | None:
    return shutil.which(program, path=access.environment()["PATH"])


def command(*words: str | os.PathLike[str], **options: Any) -> str:
    """Run to the end; what it says becomes the error."""
    options = {"stdin": subprocess.DEVNULL, **options}
    run = subprocess.run(words, capture_output=True, text=True, check=False, env=access.environment(), **options)
    if run.returncode:
        raise MachineError(f"{words[0]} ended with {run.returncode}: {(run.stderr or run.stdout).strip()[-2000:]}")
    return run.stdout


def mirror() -> str:
    """The mirror that apt uses here for Debian itself."""
    targets = command("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages")
    for line in targets.splitlines():
        uri, _, release = line.partition(" ")
        if "-" not in release and "debian" in uri:
            return uri
    raise MachineError("apt has no Debian mirror to take a system from")


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def base_tarball(release: str = "bookworm", packages: tuple[str, ...] = PACKAGES) -> pathlib.Path:
    """The file system of a release with these packages, made at the first call (about a minute)."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "microseg"
    cache.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(" ".join(sorted(packages)).encode()).hexdigest()[:10]
    tarball = cache / f"debian-{release}-{key}.tar"
    with locked(cache / f"{tarball.name}.lock"):
        if not tarball.exists():
            with tempfile.TemporaryDirectory(prefix="microseg-debootstrap-") as place:
                include = "--include=" + ",".join(packages)
                command("debootstrap", "--variant=minbase", include, release, f"{place}/root", mirror())
                shutil.rmtree(f"{place}/root/var/cache/apt/archives", ignore_errors=True)
                partial = tarball.with_suffix(".partial")
                command("tar", "--numeric-owner", "--xattrs", "-C", f"{place}/root", "-cf", partial, ".")
                os.replace(partial, tarball)
    return tarball


class Machine:
    """One Debian. It keeps its disk and machine id over ``reboot``."""

    def __init__(self, owner: Machines, name: str, number: int, release: str) -> None:
        self.owner = owner
        self.release = release
        self.host = Host(name, ipv4=[f"10.77.{1 + number // 250}.{1 + number % 250}"], ipv6=[f"fd77::1:{number + 1:x}"])
        self.machine_id = secrets.token_hex(16)
        self.root = owner.disks / name / "root"  # seen in the controller's namespaces only
        self.log = owner.directory / f"{name}.log"
        self._container: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def ipv4(self) -> str:
        return self.host.ipv4[0]

    @property
    def ipv6(self) -> str:
        return self.host.ipv6[0]

    def _prepare(self) -> None:
        """An overlay over the release's tree, and in it what makes this machine itself."""
        place = self.root.parent
        command(*self.owner.enter, "mkdir", "-p", *(place / name for name in ("root", "upper", "work")))
        lower = self.owner.tree(self.release)
        options = f"lowerdir={lower},upperdir={place / 'upper'},workdir={place / 'work'}"
        command(*self.owner.enter, "mount", "-t", "overlay", "overlay", "-o", options, self.root)
        files = {
            "etc/hostname": f"{self.name}\n",
            "etc/machine-id": f"{self.machine_id}\n",
            "etc/hosts": f"127.0.0.1 localhost\n::1 localhost\n{self.ipv4} {self.name}\n",
            "etc/systemd/network/10-host0.network": NETWORK.format(ipv4=self.ipv4, ipv6=self.ipv6),
            "root/.ssh/authorized_keys": (self.owner.directory / "id.pub").read_text(encoding="ascii"),
        }
        for path, text in files.items():
            # through the namespace: it sees the overlay, we do not
            script = 'mkdir -p "$(dirname "$1")" && cat >"$1"'
            command(*self.owner.enter, "sh", "-c", script, "sh", self.root / path, input=text, stdin=None)
        wants = self.root / "etc/systemd/system/multi-user.target.wants"
        unit = "/lib/systemd/system/systemd-networkd.service"
        command(*self.owner.enter, "ln", "-sfn", unit, wants / "systemd-networkd.service")
        command(*self.owner.enter, "chmod", "700", self.root / "root/.ssh")

    def power_on(self, timeout: float = 60) -> None:
        """Start it and wait until a command can be run over ssh."""
        if self._container is not None:
            raise MachineError(f"{self.name} is running")
        words = [
            *self.owner.enter, "systemd-nspawn", "--quiet", "--directory", str(self.root), "--machine", self.name,
            "--network-bridge=br0", "--register=no", "--keep-unit", "--console=pipe", "--boot",
        ]  # fmt: skip
        with open(self.log, "ab") as log:
            self._container = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=access.environment(),
            )
        end = time.monotonic() + timeout
        while self.run("true", check=False, timeout=5).returncode:
            if self._container.poll() is not None or time.monotonic() > end:
                said = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise MachineError(f"{self.name} does not come up: {said}")
            time.sleep(0.1)

    def run(
        self, script: str, *, check: bool = True, timeout: float = 60, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell script over a new ssh connection from the controller: a real session, with its own cgroup."""
        options = [
            *access.SSH_OPTIONS,
            "-o",
            "ConnectTimeout=3",
            "-o",
            "ControlPath=none",
            "-i",
            str(self.owner.directory / "id"),
        ]
        return self._finish([*self.owner.enter, "ssh", *options, f"root@{self.ipv4}", script], check, timeout, input)

    def enter(
        self, *words: str, check: bool = True, timeout: float = 60, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside without the network: works also when a policy has locked everybody out."""
        spaces = ["-m", "-u", "-i", "-n", "-p"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]
        return self._finish(["nsenter", "-t", str(self.leader), *spaces, "--", *clean, *words], check, timeout, input)

    def _finish(
        self, words: list[str], check: bool, timeout: float, text: str | None
    ) -> subprocess.CompletedProcess[str]:
        source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
        try:
            run = subprocess.run(
                words, capture_output=True, text=True, check=False, timeout=timeout, env=access.environment(), **source
            )
        except subprocess.TimeoutExpired:
            if check:
                raise MachineError(f"{self.name}: no end after {timeout} s: {words[-1]}") from None
            return subprocess.CompletedProcess(words, 255, "", "timeout")
        if check and run.returncode:
            raise MachineError(
                f"{self.name}: {words[-1]} ended with {run.returncode}: {(run.stderr or run.stdout).strip()}"
            )
        return run

    @property
    def leader(self) -> int:
        """The container's first process, seen from outside."""
        if self._container is None:
            raise MachineError(f"{self.name} is off")
        # nspawn forks a helper that forks the payload; the payload is the one that is process 1 of its own namespace
        queue = [self._container.pid]
        while queue:
            pid = queue.pop()
            with contextlib.suppress(OSError):
                status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
                numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
                if len(numbers) > 1 and numbers[-1] == "1":
                    return pid
                for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                    queue += map(int, (task / "children").read_text(encoding="ascii").split())
        raise MachineError(f"{self.name} has no first process")

    def power_off(self, timeout: float = 30) -> None:
        """Shut down in order; pull the plug if that takes too long."""
        if self._container is None:
            return
        with contextlib.suppress(MachineError):
            self.enter("systemctl", "poweroff", check=False, timeout=10)
        try:
            self._container.wait(timeout)
        except subprocess.TimeoutExpired:
            self.pull_the_plug()
        self._container = None

    def pull_the_plug(self) -> None:
        """End it at once, as a power cut does."""
        if self._container is None:
            return
        with contextlib.suppress(MachineError, ProcessLookupError):
            os.kill(self.leader, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._container.wait(10)
        self._container.kill()
        self._container.wait()
        self._container = None

    def reboot(self) -> None:
        """Shut down and start again, in a new network namespace: the kernel's rules are really gone."""
        self.power_off()
        self.power_on()


class Machines:
    """A set of machines on one bridge, with a controller that has their ssh key."""

    def __init__(self) -> None:
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="microseg-machines-"))
        self.control_directory = tempfile.mkdtemp(prefix="microseg-")
        self.disks = self.directory / "disks"
        self.disks.mkdir()
        self.machines: dict[str, Machine] = {}
        self._holder: subprocess.Popen[bytes] | None = None
        self._trees: dict[str, pathlib.Path] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def _start(self) -> None:
        access.make_keys(self.directory)
        # Disks in memory: unpacking and removing a tree takes longer than everything else on a slow disk.
        script = 'mount -t tmpfs -o mode=755 tmpfs /run && mount -t tmpfs -o size=4g tmpfs "$1" && echo ready'
        self._holder = subprocess.Popen(
            ["unshare", "-n", "-m", "sh", "-c", f"{script} && exec sleep infinity", "sh", self.disks],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True, env=access.environment(),
        )  # fmt: skip
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"ready\n":
            raise MachineError("no network and mount namespaces here")
        own = CONTROLLER_ADDRESSES
        batch = (
            "link set lo up\nlink add br0 type bridge mcast_snooping 0\nlink set br0 up\n"
            f"addr add {own.ipv4[0]}/16 dev br0\naddr add {own.ipv6[0]}/64 dev br0 nodad\n"
        )
        command(*self.enter, "ip", "-batch", "-", input=batch, stdin=None)
        access.write_client(self.directory / "ssh", Host(CONTROLLER, pid=self._holder.pid))

    @property
    def enter(self) -> list[str]:
        """Put this in front of a command to run it as the controller."""
        assert self._holder is not None
        return access.enter(self._holder.pid, False)

    def tree(self, release: str) -> pathlib.Path:
        """The unpacked file system of a release, shared read-only by its machines."""
        if release not in self._trees:
            place = self.disks / f"tree-{release}"
            command(*self.enter, "mkdir", "-p", place)
            command(*self.enter, "tar", "--numeric-owner", "--xattrs", "-C", place, "-xf", base_tarball(release))
            self._trees[release] = place
        return self._trees[release]

    def boot(self, name: str, release: str = "bookworm") -> Machine:
        """A new machine, up and reachable."""
        machine = self.add(name, release)
        machine.power_on()
        return machine

    def boot_all(self, *names: str, release: str = "bookworm") -> list[Machine]:
        """Several at the same time."""
        machines = [self.add(name, release) for name in names]
        with concurrent.futures.ThreadPoolExecutor(max(1, len(machines))) as pool:
            list(pool.map(Machine.power_on, machines))
        return machines

    def add(self, name: str, release: str = "bookworm") -> Machine:
        """A new machine, still off. One at a time: the first one unpacks its release."""
        if name in self.machines:
            raise MachineError(f"there is a machine {name}")
        machine = self.machines[name] = Machine(self, name, len(self.machines), release)
        machine._prepare()
        return machine

    def write_inventory(self, variables: Mapping[str, Mapping[str, Any]] | None = None) -> pathlib.Path:
        """An Ansible inventory of all machines; ``variables``: machine name -> its variables."""
        for machine in self.machines.values():
            machine.host.vars = dict((variables or {}).get(machine.name, {}))
        path = self.directory / "inventory.yml"
        connection = access.ssh_variables(self.directory, self.control_directory)
        access.write_inventory(path, [machine.host for machine in self.machines.values()], connection)
        return path

    def close(self) -> None:
        """Shut all machines down and leave nothing."""
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(Machine.power_off, self.machines.values()))
        if self._holder is not None:
            # ssh masters of the controller live in its namespaces, too
            space = os.readlink(f"/proc/{self._holder.pid}/ns/net") if self._holder.poll() is None else ""
            for entry in os.listdir("/proc"):
                with contextlib.suppress(OSError):
                    if entry.isdigit() and os.readlink(f"/proc/{entry}/ns/net") == space:
                        os.kill(int(entry), signal.SIGKILL)
            self._holder.kill()
            self._holder.wait()
            if self._holder.stdout is not None:
                self._holder.stdout.close()
            self._holder = None
        for place in (self.directory, pathlib.Path(self.control_directory)):
            shutil.rmtree(place, ignore_errors=True)

    def __exit__(self, *_: object) -> None:
        self.close()
