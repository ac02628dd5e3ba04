# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Peer sets as nft sets: membership apart from policy.

`m4_ID`, `m6_ID` are hash sets of single addresses, declared without elements: the membership travels beside the text
and changes without it. `a4_ID`, `a6_ID` are interval sets whose elements are part of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ...model.addresses import WHOLE_FAMILY, Family, show
from ...model.artifact import Artifact, PeerSet
from ...model.errors import EnforcementError
from ...model.intervals import Intervals, size
from .capabilities import EXPANDED_MEMBERS, LONGEST_COMMENT

ADDRESS_TYPES: Mapping[Family, str] = {4: "ipv4_addr", 6: "ipv6_addr"}
_IDENTIFIER = re.compile(r"[A-Za-z0-9_]{1,64}\Z")
_UNPRINTABLE = re.compile(r"[^ !#-~]|[\\]")


def quoted(text: str) -> str:
    """A comment nft accepts: printable, without quotes, short enough."""
    return '"' + _UNPRINTABLE.sub("_", text)[:LONGEST_COMMENT] + '"'


@dataclass
class AddressSets:
    """Names for the peer sets of one artifact. Only sets that were asked for are declared."""

    artifact: Artifact
    _used: dict[str, tuple[PeerSet, Family]] = field(default_factory=dict)

    def condition(self, name: str, family: Family, field_name: str) -> str | None:
        """`ip saddr @m4_ID` and its like; None where nothing of the family can ever be in the set."""
        peers = self.artifact.sets[name]
        addresses = peers.addresses.get(family, ())
        if peers.kind == "static" and not addresses:
            return None
        if addresses == WHOLE_FAMILY[family]:
            return f"meta nfproto ipv{family}"
        if not _IDENTIFIER.match(name):
            raise EnforcementError("E-INEXACT", f"{self.artifact.point}: set id {name!r} is no nft identifier.")
        label = f"{'m' if _as_members(peers, addresses) else 'a'}{family}_{name}"
        self._used[label] = (peers, family)
        return f"{'ip' if family == 4 else 'ip6'} {field_name} @{label}"

    def declarations(self) -> Iterator[str]:
        for label, (peers, family) in sorted(self._used.items()):
            yield f"\tset {label} {{"
            yield f"\t\ttype {ADDRESS_TYPES[family]}"
            if label.startswith("a"):
                elements = ", ".join(_interval(family, low, high) for low, high in peers.addresses[family])
                yield "\t\tflags interval"
                yield f"\t\telements = {{ {elements} }}"
            yield "\t}"

    def members(self) -> dict[str, list[str]]:
        return {
            label: [
                show(family, number) for low, high in peers.addresses.get(family, ()) for number in range(low, high + 1)
            ]
            for label, (peers, family) in sorted(self._used.items())
            if label.startswith("m")
        }


def _as_members(peers: PeerSet, addresses: Intervals) -> bool:
    if peers.kind != "members":
        return False
    return size(tuple(pair for pair in addresses if pair[0] != pair[1])) <= EXPANDED_MEMBERS


def _interval(family: Family, low: int, high: int) -> str:
    return show(family, low) if low == high else f"{show(family, low)}-{show(family, high)}"
