# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""diff: what changes for packets between two policy revisions, with or without an inventory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..model import services as line
from ..model.addresses import FAMILIES, FAMILY_NAMES
from ..model.bundle import Bundle
from ..model.calendar import Validity
from ..model.forms import of_artifact
from ..model.intervals import Intervals, normalised, union
from ..model.lifting import Lifter
from ..model.live import allow_everything
from ..orchestration.bundles import load_bundle, whole_bundle_digest
from ..orchestration.pairs import Pairs, PointForms
from ..orchestration.planstore import provisioned
from ..orchestration.said import Said
from ..orchestration.statements import Statement, statements
from ..orchestration.store import Store
from ..policy.bundling import workload_entries
from ..policy.compile import Stage
from ..policy.decide import Decider, End
from ..policy.difference import ChangedBox, PolicyDifference, compare_over_time
from ..policy.ends import Group
from ..policy.imagined import compare_imagined
from ..policy.moments import moments_of
from .inputs import Hosts, Inputs, load
from .revisions import Source, read


@dataclass(frozen=True)
class DiffReport:
    """`basis`: the modes of an inventory as they are, or every label combination as intent."""

    difference: PolicyDifference
    basis: str
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.difference.to_dict(),
            "basis": self.basis,
            "workloads_only_before": list(self.only_before),
            "workloads_only_after": list(self.only_after),
        }


def diff(
    before: Source,
    after: Source,
    hosts: Hosts | None = None,
    *,
    stage: Stage = "active",
    at: datetime | None = None,
    facts: Sequence[Path] = (),
) -> DiffReport:
    """`before` and `after` are policy directories, as they are or at a git revision.

    With `hosts` packets are judged as enforced by the modes each policy gives the workloads of that inventory; without,
    by intent (every side in full mode), over every label combination the two policies tell apart.

    Raises Rejected for a policy in error, PolicyError (E-TOO-MANY-CLASSES, E-GIT, E-REVISION).
    """
    if hosts is None:
        return _without_inventory(before, after, stage, at or datetime.now(UTC))
    old, new = load(before, hosts, at, facts).usable(), load(after, hosts, at, facts).usable()
    return DiffReport(
        compare_inputs(old, new, stage),
        "inventory",
        tuple(sorted(set(old.estate.workloads) - set(new.estate.workloads))),
        tuple(sorted(set(new.estate.workloads) - set(old.estate.workloads))),
    )


def compare_inputs(old: Inputs, new: Inputs, stage: Stage = "active", intent: bool = False) -> PolicyDifference:
    """Packets between the workloads that both have. `intent`: as if every managed side were in full mode."""
    lifter = Lifter(workload_entries(new.policy, new.estate))
    return compare_over_time(
        Decider(old.compiled(stage), old.at, intent),
        Decider(new.compiled(stage), new.at, intent),
        lambda groups: _in_labels(groups, lifter),
        _name,
    )


def diff_bundles(before: Bundle, after: Bundle, at: datetime) -> DiffReport:
    """What two bundles let through from `at` on, end to end, by the modes they were compiled with.

    What differs only later says since when; of what was said for an earlier moment it repeats only services between
    addresses that were not all said then.
    """
    workloads = {**before.workloads, **after.workloads}
    lifter = Lifter(workloads)
    moments = moments_of(_validities(before, after), at)
    boxes: dict[str, list[ChangedBox]] = {"allowed": [], "denied": []}
    said = Said()
    for moment in moments.moments:
        changes = pairs_of(before, after, moment, lifter).changes()
        fresh = changes if len(moments.moments) == 1 else said.fresh(changes)
        for one in statements(fresh, workloads, lifter):
            if one.verdict in boxes:
                boxes[one.verdict].extend(_changed_boxes(one, None if moment == at else moment))
    return DiffReport(
        PolicyDifference(tuple(boxes["allowed"]), tuple(boxes["denied"]), moments.complete),
        "bundles",
        tuple(sorted(set(before.workloads) - set(after.workloads))),
        tuple(sorted(set(after.workloads) - set(before.workloads))),
    )


def _validities(before: Bundle, after: Bundle) -> set[Validity]:
    """When rules of the two count; nothing where they are one bundle."""
    if before.digest == after.digest:
        return set()
    return {
        rule.validity
        for bundle in (before, after)
        for policy in {entry.policy for entry in bundle.points.values()}
        for part in bundle.policies[policy]
        for rule in part.rules
        if rule.timed
    }


def pairs_of(before: Bundle, after: Bundle, at: datetime, lifter: Lifter) -> Pairs:
    """Who may talk to whom in two bundles, end to end."""
    forms = [_point_forms(name, before, after, at) for name in sorted({*before.points, *after.points})]
    return Pairs({**before.workloads, **after.workloads}, forms, lifter)


def _point_forms(name: str, before: Bundle, after: Bundle, at: datetime) -> PointForms:
    """A point that only one of them has is unenforced in the other."""
    entry = (after if name in after.points else before).points[name]
    old, new = (
        of_artifact(bundle.artifact(name), at, entry.own) if name in bundle.points else allow_everything(entry.own)
        for bundle in (before, after)
    )
    return PointForms(name, entry.workload, old, new)


def _changed_boxes(one: Statement, since: datetime | None) -> Iterator[ChangedBox]:
    witness = one.witness
    ends = (witness.consumer or witness.consumer_address, witness.provider or witness.provider_address)
    for family in FAMILIES:
        if FAMILY_NAMES[family] in one.families:
            services = line.parse_all(one.services)
            shown = (*ends, witness.service)
            words = one.consumers.words, one.providers.words
            yield ChangedBox(family, *words, services, one.pairs, shown, since=since)


def bundle_named(store: Store, text: str) -> Bundle | None:
    """A bundle by the beginning of its digest, or the word provisioned; None where the store has no such bundle."""
    if text == "provisioned":
        return provisioned(store)
    digest = whole_bundle_digest(store, text)
    return load_bundle(store, digest) if digest else None


def _in_labels(groups: list[Group], lifter: Lifter) -> str:
    """Whole workloads in label words, single addresses of others, and regions outside as blocks."""
    texts: list[str] = []
    by_zone: dict[str, list[tuple[int, int]]] = {}
    for group in groups:
        for end in group.ends:
            by_zone.setdefault(end.address.zone, []).append((end.address.number, end.address.number))
    for zone, numbers in sorted(by_zone.items()):
        texts.append(lifter.say(zone, groups[0].family, normalised(numbers)))
    outside = _regions(groups)
    if outside:
        texts.append(lifter.outside("", groups[0].family, outside))
    return " | ".join(texts)


def _regions(groups: list[Group]) -> Intervals:
    region: Intervals = ()
    for group in groups:
        region = union(region, group.region)
    return region


def _without_inventory(before: Source, after: Source, stage: Stage, at: datetime) -> DiffReport:
    difference = compare_imagined(read(before)[0], read(after)[0], stage, at)
    return DiffReport(difference, "label combinations")


def _name(end: End) -> str:
    return end.workload.name if end.workload is not None else str(end.address)


__all__ = [
    "DiffReport",
    "bundle_named",
    "compare_imagined",
    "compare_inputs",
    "diff",
    "diff_bundles",
    "pairs_of",
]
