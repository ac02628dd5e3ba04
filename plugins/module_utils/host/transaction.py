# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The transactions we load: each replaces our table, or members of its sets, at once, and touches nothing else."""

from __future__ import annotations

from typing import Any, FrozenSet, Iterable, List, Mapping, Optional

from .listing import CLOCK, FAMILY, TABLE, own
from .payload import Policy

CHUNK = 2000  # addresses in one command: nft's parser keeps a whole command in memory

# Makes sure there is something to delete: `destroy` needs a newer nft.
REMOVE = "table {0} {1}\ndelete table {0} {1}\n".format(FAMILY, TABLE)

OPEN = "microseg_open"  # prefix of the chains of a table that lets everything through

_OPEN_CHAINS = "".join(
    "  chain {0}_{1} {{\n    type filter hook {1} priority 0; policy accept;\n"
    "    ct state new,established,related accept\n  }}\n".format(OPEN, hook)
    for hook in ("input", "forward", "output")
)


# Rules that depend on the time count from now on.
TRUST = "add element {0} {1} {2} {{ ipv4, ipv6 }}\n".format(FAMILY, TABLE, CLOCK)


def replace(policy: Policy, members: Mapping[str, FrozenSet[str]], trusted: bool) -> str:
    """Our table becomes this policy with these members. ``trusted``: the clock of this host is."""
    text = REMOVE + policy.ruleset.rstrip("\n") + "\n" + _elements("add", members)
    return text + TRUST if policy.timed and trusted else text


def replace_open() -> str:
    """Our table lets everything through but keeps connection tracking running, so that sessions survive what comes."""
    return REMOVE + "table {0} {1} {{\n{2}}}\n".format(FAMILY, TABLE, _OPEN_CHAINS)


def is_open(listing: Optional[Mapping[str, Any]]) -> bool:
    """Is our table the one that lets everything through?"""
    chains = [str(item["chain"]["name"]) for item in own(listing or {}) if "chain" in item]
    return bool(chains) and all(name.startswith(OPEN + "_") for name in chains)


def move_members(before: Mapping[str, FrozenSet[str]], after: Mapping[str, FrozenSet[str]]) -> str:
    """Membership alone: a reassigned address leaves its old set before it joins the new one."""
    gone = {name: addresses - after.get(name, frozenset()) for name, addresses in before.items()}
    come = {name: addresses - before.get(name, frozenset()) for name, addresses in after.items()}
    return _elements("delete", gone) + _elements("add", come)


def _elements(verb: str, members: Mapping[str, FrozenSet[str]]) -> str:
    lines: List[str] = []
    for name in sorted(members):
        head = "{0} element {1} {2} {3} {{ ".format(verb, FAMILY, TABLE, name)
        lines += [head + ", ".join(part) + " }\n" for part in _chunks(sorted(members[name]))]
    return "".join(lines)


def _chunks(addresses: List[str]) -> Iterable[List[str]]:
    return (addresses[start : start + CHUNK] for start in range(0, len(addresses), CHUNK))
