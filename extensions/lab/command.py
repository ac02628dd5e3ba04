# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command line of the lab."""

from __future__ import annotations

import argparse
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

from extensions.lab import access, topology
from extensions.lab.lab import Lab, default_directory, environment, probe_ability
from extensions.lab.topology import LabError


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="lab.py", description="Namespace lab: hosts with real sshd, nftables and packets."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--dir", type=pathlib.Path, default=default_directory(), help="run directory (default %(default)s)"
    )
    up = verbs.add_parser("up", parents=[common], help="start a lab")
    up.add_argument("spec", type=pathlib.Path)
    up.add_argument("--rootless", action="store_true", help="use a user namespace and no sshd also as root")
    verbs.add_parser("down", parents=[common], help="end it and remove everything of it")
    verbs.add_parser("status", parents=[common], help="hosts, addresses, processes")
    execute = verbs.add_parser("exec", parents=[common], help="run a command on a host")
    execute.add_argument("host")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    connect = verbs.add_parser(
        "connect", parents=[common], help="try connections: CONSUMER PROVIDER SERVICE [SERVICE ...]"
    )
    connect.add_argument("consumer")
    connect.add_argument("provider")
    connect.add_argument("services", nargs="+")
    connect.add_argument("--family", type=int, choices=(4, 6), default=4)
    inventory = verbs.add_parser("inventory", help="write the inventory of a spec without starting anything")
    inventory.add_argument("spec", type=pathlib.Path)
    inventory.add_argument("target", type=pathlib.Path)
    verbs.add_parser("probe-ability", help="what this machine permits, and why")
    options = parser.parse_args(arguments)
    try:
        return VERBS[options.verb](options)
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
        kind = "unmanaged" if host.unmanaged else "managed"
        print(f"{host.name:16} {kind:9}  processes {len(lab.members(host.name))}  {' '.join(host.addresses())}")
    return 0


def _exec(options: argparse.Namespace) -> int:
    directory, command = options.dir, options.command
    if command[:1] == ["--dir"]:  # everything after the host belongs to the command, as far as the parser sees it
        directory, command = pathlib.Path(command[1]), command[2:]
    command = command[1:] if command[:1] == ["--"] else command
    if not command:
        raise LabError("exec needs a command")
    lab = Lab.attach(directory)
    return subprocess.run([*lab.enter(options.host), *command], check=False, env=environment()).returncode


def _connect(options: argparse.Namespace) -> int:
    lab = Lab.attach(options.dir)
    words = [lab.connect(options.consumer, options.provider, service, options.family) for service in options.services]
    for service, word in zip(options.services, words, strict=True):
        print(f"{options.consumer} -> {options.provider} {service} {word}")
    return 1 if "denied" in words else 0


def _inventory(options: argparse.Namespace) -> int:
    """For commands that only read variables; there are no connection variables in it."""
    spec = topology.read_spec(options.spec)
    hosts = topology.hosts_of(spec, topology.controller_of(spec))
    access.write_inventory(options.target, [host for host in hosts.values() if not host.unmanaged], {})
    return 0


def _probe_ability(_: argparse.Namespace) -> int:
    word, reason = probe_ability()
    print(f"{word}: {reason}")
    return 0


VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "up": _up,
    "down": _down,
    "status": _status,
    "exec": _exec,
    "connect": _connect,
    "inventory": _inventory,
    "probe-ability": _probe_ability,
}
