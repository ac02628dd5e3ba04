# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Declared dependencies (settings.dependencies) that today's policy cuts for workloads in full mode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ...model import services as line
from ...model.addresses import Address
from ...model.estate import Direction
from ...model.intervals import intersection, subtraction
from ...model.labels import Truth
from ...model.policy import AddressPeer, Dependency, Scope
from ...model.selectors import Selector
from ..compile import Compiled
from ..decide import Decider, End, deciding
from ..ends import Ends, Group
from ..resolve import Element, ResolvedRule, resolve_peer
from .context import Context
from .report import LintFinding, about

_EVERYWHERE = Scope("", Selector(), estate=True)


@dataclass
class _Cut:
    """What one rule (None: the lack of one) cuts of a dependency, with the first packet that was found."""

    item: ResolvedRule | None
    side: Direction
    packet: dict[str, str]
    workloads: set[str] = field(default_factory=set)


def cut_dependencies(context: Context, active: Compiled) -> Iterator[LintFinding]:
    """One finding per dependency and rule that cuts it, or the lack of one that opens it."""
    dependencies = context.policy.settings.dependencies
    if not dependencies:
        return
    decider = Decider(active, context.at)
    ends = Ends(
        active, [one for item in dependencies if isinstance(item.peer, AddressPeer) for one in item.peer.prefixes]
    )
    for dependency in dependencies:
        cuts: dict[str, _Cut] = {}
        targets = list(_targets(context, dependency, ends))
        for group in ends.groups:
            for target in targets:
                _look(decider, dependency, group, target, cuts)
        for cut in cuts.values():
            yield _finding(context, dependency, cut)


def _look(decider: Decider, dependency: Dependency, group: Group, target: End, cuts: dict[str, _Cut]) -> None:
    consumer = group.representative
    if group.family != target.address.family or (target.workload is not None and consumer.workload is target.workload):
        return
    wanted = intersection(dependency.services, line.UNIVERSE[group.family])
    sides: tuple[tuple[Direction, End, End], ...] = (("egress", consumer, target), ("ingress", target, consumer))
    for direction, own, peer in sides:
        if decider.mode(direction, own.workload) != "full":
            continue
        missing = subtraction(wanted, decider.side_allowed(direction, own, peer))
        if not missing:
            continue
        point = line.representative(missing)
        copies = decider.compiled.copies[direction]
        copy = deciding([copies[index] for index in decider.matching(direction, own, peer)], point)
        item = None if copy is None else copy.origin
        packet = {"from": _name(consumer), "to": _name(target), "service": line.show(((point, point),))[0]}
        cut = cuts.setdefault(item.id if item else "", _Cut(item, direction, packet))
        cut.workloads.update(end.name for end in group.ends)


def _targets(context: Context, dependency: Dependency, ends: Ends) -> Iterator[End]:
    """One of every group that the dependency means, and of every block an address that nobody has."""
    element = resolve_peer(dependency.peer, _EVERYWHERE, context.estate.workloads)
    for group in ends.groups:
        if _means(element, group.representative):
            yield group.representative
    for prefix in element.prefixes:
        first = Address(prefix.zone or "", prefix.family, prefix.low)
        if not context.estate.holders(first):
            yield End(first)


def _means(element: Element, end: End) -> bool:
    if element.kind == "addresses":
        return any(prefix.holds(end.address, end.address.zone) for prefix in element.prefixes)
    if end.workload is None:
        return False
    if element.kind == "labels":
        return element.selector.matches(end.workload.labels, None) is Truth.YES
    return element.kind == "workload" and element.name == end.name


def _name(end: End) -> str:
    return end.name or str(end.address)


def _finding(context: Context, dependency: Dependency, cut: _Cut) -> LintFinding:
    text = f"{cut.packet['from']} -> {cut.packet['to']} {cut.packet['service']}"
    concerned = f"{len(cut.workloads):,} workload{'' if len(cut.workloads) == 1 else 's'}"
    evidence = {
        "side": cut.side,
        "packet": cut.packet,
        "workload_count": len(cut.workloads),
        "workloads": sorted(cut.workloads)[:20],
        "services": line.show(dependency.services),
    }
    if cut.item is not None:
        return about(
            cut.item,
            "W-DEPENDENCY-CUT",
            "error",
            f"cuts a declared dependency of {concerned} in full mode: {text} ({cut.side}).",
            "Except those services or providers from the deny, or allow them in a higher tier.",
            evidence,
        )
    return LintFinding(
        "W-DEPENDENCY-CUT",
        "error",
        f"no rule opens a declared dependency of {concerned} in full mode: {text} ({cut.side}).",
        context.policy.settings.place,
        f"Allow it, and see: microseg explain {text.replace(' ->', '')}",
        evidence=evidence,
    )


__all__ = ["cut_dependencies"]
