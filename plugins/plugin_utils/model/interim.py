# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A form as an artifact again: how a state between two policies, old ∩ new, is put on an enforcement point.

Forms speak about the local addresses of the workload only. Where all of them agree, the rules here name none, so that
packets to groups, broadcasts and addresses the estate does not know are treated like packets to the known ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from . import services as line
from .addresses import FAMILIES, WHOLE_FAMILY, Family, ranges
from .artifact import FAILSAFE, Artifact, ArtifactRule, DirectionPolicy, PeerSet, set_id
from .calendar import Validity
from .compare import combine, intersect
from .estate import DIRECTIONS, Direction
from .forms import Form, Slice, partition
from .intervals import EMPTY, Intervals, covers, intersection, normalised, subtraction, union
from .windows import Windows


@dataclass(frozen=True, slots=True)
class Piece:
    """What is to be let through in some windows."""

    form: Form
    windows: Windows


def artifact_of_form(form: Form, template: Artifact, tag: str) -> Artifact:
    """An artifact that means exactly the form, whatever the time. What the form cannot judge is denied.

    Rules are named `TAG/NUMBER`. Failsafe rules of the template stay where the form grants all they open. A direction
    that allows everything becomes mode `selective` without rules; every other is mode `full`.
    """
    return _artifact(form, template, tag, Validity())


def artifact_of_forms(pieces: Sequence[Piece], until: datetime, template: Artifact, tag: str) -> Artifact:
    """An artifact that means each form in its windows. Out of all windows it opens what all forms allow, and from
    `until` on the failsafe alone: so it is never wider than whatever the forms stand for, however late it is.

    Names are those of `artifact_of_form`, with the number of the piece where a rule has windows.
    """
    common = pieces[0].form
    for piece in pieces[1:]:
        common = intersect(common, piece.form)
    result = _artifact(common, template, tag, Validity(expires=until))
    bare = replace(template, ingress=DirectionPolicy("full"), egress=DirectionPolicy("full"))
    for number, piece in enumerate(pieces, start=1):
        more = combine(piece.form, common, subtraction)
        part = _artifact(more, bare, f"{tag}-{number}", Validity(schedule=piece.windows))
        result = replace(
            result,
            ingress=_joined(result.ingress, part.ingress),
            egress=_joined(result.egress, part.egress),
            sets={**result.sets, **part.sets},
        )
    return result


def _joined(first: DirectionPolicy, second: DirectionPolicy) -> DirectionPolicy:
    return replace(first, rules=tuple(sorted((*first.rules, *second.rules), key=lambda rule: rule.order)))


def _artifact(form: Form, template: Artifact, tag: str, valid: Validity) -> Artifact:
    sets: dict[str, PeerSet] = {}
    policies = {way: _policy(form, template, way, tag, sets, valid) for way in DIRECTIONS}
    return replace(template, ingress=policies["ingress"], egress=policies["egress"], sets=sets)


def _policy(
    form: Form, template: Artifact, way: Direction, tag: str, sets: dict[str, PeerSet], valid: Validity
) -> DirectionPolicy:
    if not valid.timed and _allows_everything(form, template, way):
        return DirectionPolicy("selective")
    rules = [rule for rule in template.of(way).rules if rule.tier == FAILSAFE and _granted(rule, form, template, way)]
    for rule in rules:
        for name in (*(rule.peers or ()), *(rule.own or ())):
            sets[name] = template.sets[name]
    found: dict[tuple[tuple[str, ...], tuple[str, ...] | None], Intervals] = {}
    for family in FAMILIES:
        for local, addresses, services in _grants(form.slices.get((way, family), ()), family):
            key = (_named(addresses, family, sets), None if local is None else _named(local, family, sets))
            found[key] = union(found.get(key, EMPTY), services)
    rules.extend(
        ArtifactRule(
            f"{tag}/{number}",
            "application",
            "allow",
            services,
            peers,
            own,
            expires=valid.expires,
            schedule=valid.schedule,
        )
        for number, ((peers, own), services) in enumerate(found.items(), start=1)
    )
    return DirectionPolicy("full", tuple(sorted(rules, key=lambda rule: rule.order)))


def _allows_everything(form: Form, template: Artifact, way: Direction) -> bool:
    """For a family without a known local address the form says nothing; then the template must not deny there."""
    known = [family for family in FAMILIES if form.slices.get((way, family))]
    if not known or (len(known) < len(FAMILIES) and template.of(way).mode == "full"):
        return False
    return all(
        cell.allowed == line.UNIVERSE[family]
        for family in known
        for part in form.slices[way, family]
        for cell in part.cells
    )


def _granted(rule: ArtifactRule, form: Form, template: Artifact, way: Direction) -> bool:
    """Does the form allow all that a failsafe rule opens? Then keeping the rule changes nothing."""
    if rule.timed:
        return False
    for family in FAMILIES:
        services = intersection(rule.services, line.UNIVERSE[family])
        peers = _addresses(rule.peers, template, family)
        own = _addresses(rule.own, template, family)
        for part in form.slices.get((way, family), ()):
            if not intersection(part.own, own):
                continue
            for cell in part.cells:
                if intersection(cell.peers, peers) and not covers(cell.allowed, services):
                    return False
    return True


def _addresses(names: tuple[str, ...] | None, template: Artifact, family: Family) -> Intervals:
    if names is None:
        return WHOLE_FAMILY[family]
    return normalised(pair for name in names for pair in template.sets[name].addresses.get(family, EMPTY))


def _grants(slices: tuple[Slice, ...], family: Family) -> list[tuple[Intervals | None, Intervals, Intervals]]:
    """(own, peers, services) products that together are what the slices allow; own None is every local address.

    One product per group of services that the same peers get, not one per group of peers: an enforcement point then
    looks a packet's peer up once.
    """
    result: list[tuple[Intervals | None, Intervals, Intervals]] = []
    per_slice: list[dict[Intervals, Intervals]] = []
    for part in slices:
        cells: dict[Intervals, Intervals] = {}
        for cell in part.cells:
            if cell.allowed:
                cells[cell.allowed] = union(cells.get(cell.allowed, EMPTY), cell.peers)
        per_slice.append(cells)
    kinds = sorted({allowed for one in per_slice for allowed in one})
    for mask, services in partition(kinds, line.UNIVERSE[family]).items():
        holding = [kind for index, kind in enumerate(kinds) if mask >> index & 1]
        if not holding:
            continue
        peers = [normalised(pair for kind in holding for pair in one.get(kind, EMPTY)) for one in per_slice]
        common = peers[0]
        for more in peers[1:]:
            common = intersection(common, more)
        if common:
            result.append((None, common, services))
        for part, mine in zip(slices, peers, strict=True):
            rest = subtraction(mine, common)
            if rest:
                result.append((part.own, rest, services))
    return result


def _named(addresses: Intervals, family: Family, sets: dict[str, PeerSet]) -> tuple[str, ...]:
    """The static set of these addresses, made if it is not there."""
    text = ",".join(ranges(family, addresses)) if addresses != WHOLE_FAMILY[family] else f"any ipv{family}"
    name = set_id("static", text)
    meaning = text if len(text) <= 80 else f"{text[:77]}..."
    other: Family = 6 if family == 4 else 4
    sets[name] = PeerSet(name, "static", meaning, {family: addresses, other: EMPTY})
    return (name,)


__all__ = ["Piece", "artifact_of_form", "artifact_of_forms"]
