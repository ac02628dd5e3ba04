# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""systemd, where it is the init of this very host: not of the machine around a container or a network namespace."""

from __future__ import annotations

import os
from typing import Sequence

from . import programs
from .errors import TOOL, HostError


def usable() -> bool:
    """May units be trusted to act on *our* kernel rules and *our* files?

    A unit runs in the namespaces of process 1. Seen from a network namespace of its own, such a unit would load rules
    into somebody else's network.
    """
    if not os.path.isdir("/run/systemd/system") or programs.find("systemctl") is None:
        return False
    return all(_same_namespace(kind) for kind in ("net", "mnt"))


def _same_namespace(kind: str) -> bool:
    try:
        return os.readlink("/proc/1/ns/" + kind) == os.readlink("/proc/self/ns/" + kind)
    except OSError:
        return False


def systemctl(words: Sequence[str]) -> programs.Finished:
    return programs.run([programs.need("systemctl"), "--no-ask-password", *words], limit=60.0)


def insist(words: Sequence[str]) -> None:
    """Run systemctl; a failure is an error."""
    done = systemctl(words)
    if done.code != 0:
        raise HostError(TOOL, "systemctl {0}: {1}".format(" ".join(words), done.err.strip() or done.code))


def start_timer(unit: str, seconds: float, command: Sequence[str]) -> None:
    """Run a command once, ``seconds`` from now, whatever happens to the session that asked.

    Timers are a minute inexact unless told otherwise.
    """
    done = programs.run(
        [
            programs.need("systemd-run"),
            "--quiet",
            "--unit=" + unit,
            "--on-active={0:.3f}s".format(max(seconds, 0.1)),
            "--timer-property=AccuracySec=100ms",
            "--property=Type=oneshot",
            "--",
            *command,
        ],
        limit=60.0,
    )
    if done.code != 0:
        raise HostError(TOOL, "systemd-run: {0}".format(done.err.strip() or done.code))


def active(unit: str) -> bool:
    return systemctl(["is-active", "--quiet", unit]).code == 0
