# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules of the old iptables, which nft does not list: whether there are any. What they say is not read."""

from __future__ import annotations

import re
from typing import Dict, Iterator, List

from . import programs

_FAMILIES = (("ip", "iptables"), ("ip6", "ip6tables"), ("arp", "arptables"))
#: A line of a saved table that can change what becomes of a packet: a rule, or a chain that drops by itself.
_SPEAKS = re.compile(r"^(\[\d+:\d+\] )?-A |^:\S+ DROP\b", re.MULTILINE)


def tables() -> List[Dict[str, str]]:
    """``{"family": "ip", "table": "filter"}`` of every old table of this network namespace that may hold rules.

    A table that is there and empty is left out where the old program can say so.
    """
    return [{"family": family, "table": name} for family, tool in _FAMILIES for name in _names(family, tool)]


def _names(family: str, tool: str) -> Iterator[str]:
    try:
        with open("/proc/self/net/{0}_tables_names".format(family), encoding="ascii", errors="replace") as source:
            names = source.read().split()
    except OSError:
        return
    program = programs.find(tool + "-legacy-save") if names else None
    for name in names:
        done = None if program is None else programs.run([program, "-t", name])
        if done is None or done.code != 0 or "COMMIT" not in done.out or _SPEAKS.search(done.out):
            yield name
