# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Load rendered tables into the kernel, in a network namespace of their own, and read them back as a host would."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ENVIRONMENT = {**os.environ, "TZ": "UTC", "LC_ALL": "C", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}


class Listing(NamedTuple):
    own: dict[str, Any] | None
    everything: dict[str, Any]


def transaction(payload: Mapping[str, Any], trusted: bool = True) -> str:
    """The table and its members, as one input of `nft -f`; `trusted`: on a host with a synchronised clock."""
    members = [
        f"add element inet microseg {name} {{ {', '.join(addresses)} }}"
        for name, addresses in payload["members"].items()
        if addresses
    ]
    timed = "set clock {" in payload["ruleset"]
    clock = ["add element inet microseg clock { ipv4, ipv6 }"] if timed and trusted else []
    return "\n".join([payload["ruleset"], *members, *clock, ""])


def listed(prefix: Sequence[str], *steps: str) -> Listing:
    """What `nft -j` lists after loading the steps, one `nft -f` each, into a new namespace.

    Raises AssertionError with the message of nft.
    """
    with tempfile.TemporaryDirectory() as directory:
        files = []
        for number, step in enumerate(steps):
            files.append(os.path.join(directory, f"{number}.nft"))
            Path(files[-1]).write_text(step + "\n")
        script = 'for file in "$@"; do nft -f "$file" || exit 3; done; nft -j list ruleset'
        command = [*prefix, "sh", "-c", script, "sh", *files]
        run = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert run.returncode == 0, f"{run.stderr[:2000]}\n{steps[-1][:3000]}"
    everything = json.loads(run.stdout)
    return Listing(only_ours(everything), everything)


def only_ours(everything: Mapping[str, Any]) -> dict[str, Any] | None:
    """As `nft -j list table inet microseg` prints it; None where the table is not there."""

    def home(body: Mapping[str, Any], kind: str) -> tuple[Any, Any]:
        return body.get("family"), body.get("name") if kind == "table" else body.get("table")

    ours = [
        item
        for item in everything["nftables"]
        if "metainfo" in item or home(*reversed(next(iter(item.items())))) == ("inet", "microseg")
    ]
    return {"nftables": ours} if len(ours) > 1 else None
