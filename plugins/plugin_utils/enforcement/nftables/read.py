# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Listings of nft as forms: what our table alone lets through, and what the host lets through with everybody's tables.

Our table can deny but cannot guarantee an allow: each base chain of every table on the way must accept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ...model import services as line
from ...model.addresses import FAMILIES, WHOLE_FAMILY, Family
from ...model.allocation import allocating
from ...model.estate import DIRECTIONS, Direction
from ...model.forms import Cell, Form, Slice, build_slices
from ...model.intervals import EMPTY, Intervals, intersection, subtraction, union
from ..driver import Reading
from .evaluate import Judge, lost_connections
from .fields import Situation
from .listing import LiveTable, tables
from .moments import horizon_of, times, times_untrusted, trusted, withheld
from .program import HOOKS, compile_program

#: Hooks of other layers a packet of a direction may meet; our walk does not model them.
_BESIDE: dict[Direction, frozenset[str]] = {
    "ingress": frozenset(("netdev ingress", "inet ingress", "bridge prerouting", "bridge input", "bridge forward")),
    "egress": frozenset(("netdev egress", "inet egress", "bridge output", "bridge postrouting", "bridge forward")),
}
#: Without an answer to a question for an address no IPv4 packet leaves, in either direction. (IPv6 asks with ICMPv6.)
_NEIGHBOURS = frozenset(("arp input", "arp output"))
_OTHER_WAY: dict[Direction, Direction] = {"ingress": "egress", "egress": "ingress"}


@dataclass
class Live:
    """What was read, kept for attribution: per direction and family, the program and its answers so far."""

    judges: dict[tuple[Direction, Family], Judge] = field(default_factory=dict)


def read(
    own: Mapping[str, Any] | None,
    everything: Mapping[str, Any] | None,
    addresses: Mapping[Family, Intervals],
    at: datetime,
    trusting: bool | None = None,
) -> Reading:
    """`own`: `nft -j list table inet microseg`, None where it was not listed. `everything`: `nft -j list ruleset`, None
    where nobody else has rules; our table is taken from it only without `own`. `addresses`: the local addresses the
    forms cover. `trusting`: as if the host trusted its clock, or did not; None as it is.

    Never raises for rules it does not understand.
    """
    with allocating():
        ours = [table for table in tables(everything if own is None else own) if table.ours]
        others = [table for table in tables(everything) if not table.ours]
        holding = withheld(ours)
        doubted = times_untrusted(ours, others)
        in_time = [trusted(table) for table in ours]
        if trusting is not None:
            ours = [trusted(table, trusting) for table in ours]
        own_form, live = _form(ours, addresses, at)
        if not _matters(others):
            return Reading(own_form, own_form, live, times(in_time), horizon_of(ours), holding, doubted)
        everybody = [*ours, *others]
        form, live = _form(everybody, addresses, at)
        return Reading(own_form, form, live, times([*in_time, *others]), horizon_of(ours), holding, doubted)


def _matters(others: Iterable[LiveTable]) -> bool:
    return any(chain.hook for table in others for chain in table.chains.values())


def _form(seen: list[LiveTable], addresses: Mapping[Family, Intervals], at: datetime) -> tuple[Form, Live]:
    live = Live()
    reasons: dict[str, None] = {}
    slices: dict[tuple[Direction, Family], tuple[Slice, ...]] = {}
    losses: dict[tuple[Direction, Family], tuple[Slice, ...]] = {}
    active = [table for table in seen if not table.flags or table.flags == "owner"]
    for way in DIRECTIONS:
        for family in FAMILIES:
            local = addresses.get(family, EMPTY)
            judge = live.judges[way, family] = Judge(compile_program(active, Situation(way, family, at)))
            program = judge.program
            shape = (local, program.own_sets, program.peer_sets, family)
            slices[way, family] = build_slices(*shape, judge.cells)
            if judge.loses:
                losses[way, family] = build_slices(*shape, judge.losses)
            reasons.update(judge.reasons)
    for (way, family), lost in losses.items():
        other = _OTHER_WAY[way]
        slices[other, family] = _without_replies(slices[other, family], lost, way, family, reasons)
    for way in DIRECTIONS:
        for reason in _unmodelled(seen, way):
            reasons[reason] = None
            for family in FAMILIES:
                slices[way, family] = _all_unknown(addresses.get(family, EMPTY), family)
    return Form(slices, tuple(reasons)), live


def _without_replies(
    slices: tuple[Slice, ...], losses: tuple[Slice, ...], way: Direction, family: Family, reasons: dict[str, None]
) -> tuple[Slice, ...]:
    """Connections whose replies may be lost on the way back are not proven to work."""
    by_cells: dict[tuple[Cell, ...], Intervals] = {}
    for part in slices:
        for loss in losses:
            own = intersection(part.own, loss.own)
            if not own:
                continue
            found: dict[tuple[Intervals, Intervals], Intervals] = {}
            for cell in part.cells:
                for lost in loss.cells:
                    peers = intersection(cell.peers, lost.peers)
                    broken = intersection(cell.allowed, lost_connections(lost.allowed, way, family))
                    if not peers:
                        continue
                    if broken:
                        reasons[f"established traffic dropped ({way}): replies do not come through"] = None
                    key = (subtraction(cell.allowed, broken), union(cell.unknown, broken))
                    found[key] = union(found.get(key, EMPTY), peers)
            cells = tuple(sorted((Cell(peers, *key) for key, peers in found.items()), key=lambda cell: cell.peers))
            by_cells[cells] = union(by_cells.get(cells, EMPTY), own)
    return tuple(sorted((Slice(own, cells) for cells, own in by_cells.items()), key=lambda part: part.own))


def _unmodelled(seen: Iterable[LiveTable], way: Direction) -> Iterable[str]:
    """Tables that may drop packets of a direction where this reader does not look."""
    for table in seen:
        if table.flags and table.flags != "owner":
            touched = any(chain.hook in HOOKS[way] for chain in table.chains.values())
            if touched and table.family in ("inet", "ip", "ip6"):
                yield f"{table.family} {table.name}: table with flags {table.flags!r}, perhaps switched off"
        for chain in table.chains.values():
            place = f"{table.family} {chain.hook}"
            if (place in _BESIDE[way] or place in _NEIGHBOURS) and _may_drop(table):
                name = f"{table.family} {table.name} {chain.name}"
                yield f"{name}: may drop or rewrite packets before or after the IP layer"


def _may_drop(table: LiveTable) -> bool:
    """Textual on purpose: any word that could end or change a packet counts, wherever it stands."""
    if any(chain.hook and chain.policy == "drop" for chain in table.chains.values()):
        return True
    rules = [rule.expressions for chain in table.chains.values() for rule in chain.rules]
    text = json.dumps([rules, list(table.sets.values())])
    return any(f'"{word}"' in text for word in ("drop", "reject", "queue", "fwd", "xt", "synproxy", "tproxy", "mangle"))


def _all_unknown(own: Intervals, family: Family) -> tuple[Slice, ...]:
    return (Slice(own, (Cell(WHOLE_FAMILY[family], EMPTY, line.UNIVERSE[family]),)),) if own else ()


__all__ = ["Live", "read"]
