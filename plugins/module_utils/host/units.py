# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The units that bring the policy back: at boot, after another firewall service flushed it, and once a minute."""

from __future__ import annotations

import contextlib
import os
import shlex
from typing import Any, Dict, List

from . import guard, systemd
from .errors import HostError
from .state import State, write_durably

DIRECTORY = "/etc/systemd/system"
BOOT = "microseg.service"
CHECK = "microseg-check.service"
TIMER = "microseg-check.timer"

_NEIGHBOURS = "nftables.service firewalld.service ufw.service"

# nftables.service flushes every table when it starts and when it reloads. A reload reaches us as a reload; a start
# reaches the check through its [Install] section, because a unit that is already active is not started again.
_BOOT = """[Unit]
Description=bulkhead.microseg: load the last confirmed policy
DefaultDependencies=no
RequiresMountsFor={directory}
After=local-fs.target {neighbours}
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target
ReloadPropagatedFrom={neighbours} docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={boot}
ExecReload={check}

[Install]
WantedBy=multi-user.target
"""
_CHECK = """[Unit]
Description=bulkhead.microseg: restore a missing table
RequiresMountsFor={directory}
After=microseg.service {neighbours} docker.service

[Service]
Type=oneshot
ExecStart={check}

[Install]
WantedBy={neighbours} docker.service
"""
_TIMER = """[Unit]
Description=bulkhead.microseg: look for a missing table

[Timer]
OnBootSec=30s
OnUnitActiveSec=40s
AccuracySec=5s

[Install]
WantedBy=timers.target
"""


def texts(state: State) -> Dict[str, str]:
    """Unit name -> text."""
    words = {
        "directory": state.directory,
        "neighbours": _NEIGHBOURS,
        "boot": _command(state, "boot"),
        "check": _command(state, "check"),
    }
    return {BOOT: _BOOT.format(**words), CHECK: _CHECK.format(**words), TIMER: _TIMER}


def _command(state: State, verb: str) -> str:
    # systemd reads % and $ in its own way.
    line = " ".join(shlex.quote(word) for word in guard.command(state, verb))
    return line.replace("%", "%%").replace("$", "$$")


def install(state: State) -> Dict[str, Any]:
    """Install and enable the units where systemd runs this host. Returns installed and, if not, the reason."""
    if not systemd.usable():
        return {"installed": False, "reason": "systemd does not run this host; a restart leaves it without a policy"}
    try:
        changed = [name for name, text in texts(state).items() if _put(os.path.join(DIRECTORY, name), text)]
        if changed:
            systemd.insist(["daemon-reload"])
            systemd.insist(["reenable", BOOT, CHECK, TIMER])
        systemd.insist(["start", TIMER])
        # Active from now on, so that the reload of a neighbour reaches it.
        systemd.insist(["start", "--no-block", BOOT])
    except (HostError, OSError) as error:
        return {"installed": False, "reason": str(error)}
    return {"installed": True, "reason": None}


def remove() -> None:
    names = [os.path.basename(path) for path in present()]
    if not names:
        return
    if systemd.usable():
        systemd.systemctl(["disable", *names])
        systemd.systemctl(["stop", TIMER, BOOT])
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(DIRECTORY, name))
    if systemd.usable():
        systemd.systemctl(["daemon-reload"])
        systemd.systemctl(["reset-failed", *names])


def present() -> List[str]:
    """Paths of our unit files on this host."""
    paths = [os.path.join(DIRECTORY, name) for name in (BOOT, CHECK, TIMER)]
    return [path for path in paths if os.path.lexists(path)]


def _put(path: str, text: str) -> bool:
    try:
        with open(path, encoding="utf-8") as source:
            if source.read() == text:
                return False
    except OSError:
        pass
    write_durably(path + ".new", text, 0o644)
    os.replace(path + ".new", path)
    return True
