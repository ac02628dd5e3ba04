# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the few programs a host has, always in one locale and one time zone, always with a time limit."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import NamedTuple, Optional, Sequence

from .errors import TOOL, HostError

SEARCH = os.pathsep.join(["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin"])
# nft shows times of day in the reader's zone and messages in the reader's language.
ENVIRONMENT = {"PATH": SEARCH, "LC_ALL": "C", "TZ": "UTC"}
LIMIT = 120.0  # seconds; a hundred thousand elements load in less than one


class Finished(NamedTuple):
    code: int
    out: str
    err: str


def find(name: str) -> Optional[str]:
    """Absolute path of a program, also where the caller's PATH lacks the sbin directories."""
    return shutil.which(name, path=SEARCH) or shutil.which(name)


def need(name: str) -> str:
    path = find(name)
    if path is None:
        raise HostError(TOOL, "{0} is not installed on this host. Install it and run again.".format(name), tool=name)
    return path


def run(words: Sequence[str], text: str = "", limit: float = LIMIT) -> Finished:
    """Run and wait; ``text`` goes to its standard input. Never raises for an exit code."""
    try:
        done = subprocess.run(
            list(words),
            input=text.encode("utf-8"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise HostError(TOOL, "{0} did not answer within {1:.0f} s.".format(words[0], limit)) from error
    except OSError as error:
        raise HostError(TOOL, "{0} cannot be run: {1}".format(words[0], error)) from error
    return Finished(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
