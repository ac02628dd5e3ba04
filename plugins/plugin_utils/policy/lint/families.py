# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The other address family, forgotten: rules by addresses of one family, about workloads that have both; and rules
whose sides and services have no family in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from ...model import services as line
from ...model.addresses import FAMILIES, FAMILY_NAMES, Family, Prefix
from ...model.estate import Workload
from ...model.intervals import Intervals, intersection, subtraction, union
from ..classes import positions_of
from ..decide import Decider, End
from ..resolve import Element, ResolvedRule
from .context import Context
from .report import LintFinding, about

#: Pairs of classes that are looked at for one rule.
MOST = 400
_BOTH = intersection(line.UNIVERSE[4], line.UNIVERSE[6])


def forgotten_families(context: Context) -> Iterator[LintFinding]:
    """Only where the two families come to different verdicts about the services of the rule, today or once staged."""
    decider: Decider | None = None
    for item in context.items:
        if item.rule.action == "pass":
            continue
        for word, side, far in (
            ("from", item.consumers, item.providers),
            ("to", item.providers, item.consumers),
        ):
            family = _only_family(side)
            if family is None:
                continue
            meant = _meant(context, [prefix for element in side for prefix in element.prefixes], family)
            if not meant:
                continue
            decider = decider or Decider(context.compiled, context.at, intent=True)
            found = _differing(context, decider, item, word, meant, far, family)
            if found is not None:
                yield found


def packetless_rules(context: Context) -> Iterator[LintFinding]:
    """A packet has one family: that of both its addresses, and of its service."""
    classes = context.compiled.classes
    having = dict.fromkeys(FAMILIES, 0)
    for workload in context.estate.workloads.values():
        for address in workload.addresses:
            having[address.family] |= 1 << classes.of[workload.name]
    for item in context.items:
        services = {family for family in FAMILIES if intersection(item.rule.services, line.UNIVERSE[family])}
        parts = {
            "from has": _families(context, item.consumers, item, having),
            "to has": _families(context, item.providers, item, having),
            "services are": services,
        }
        if not all(parts.values()) or set.intersection(*parts.values()):
            continue
        told = [f"{words} {FAMILY_NAMES[min(some)]} only" for words, some in parts.items() if len(some) == 1]
        yield about(
            item,
            "W-NO-PACKET",
            "warning",
            f"can match no packet: {', '.join(told)}.",
            "Name services and addresses of the family that the other side has.",
            {words.split()[0]: sorted(FAMILY_NAMES[one] for one in some) for words, some in parts.items()},
        )


def _families(
    context: Context, side: Sequence[Element], item: ResolvedRule, having: Mapping[Family, int]
) -> set[Family]:
    """Those of the addresses a side can mean; none where it means nobody today."""
    if any(element.kind in ("any", "fqdn") for element in side):
        return set(FAMILIES)
    found = {prefix.family for element in side for prefix in element.prefixes}
    bits = context.classes_of(side, item.rule.action == "deny")
    return found | {family for family in FAMILIES if bits is None or bits & having[family]}


def _only_family(side: Sequence[Element]) -> Family | None:
    """The family of a side that consists of address blocks of one family only."""
    families = {prefix.family for element in side for prefix in element.prefixes}
    if any(element.kind != "addresses" for element in side) or len(families) != 1:
        return None
    return families.pop()


def _other(family: Family) -> Family:
    return FAMILIES[1] if family == FAMILIES[0] else FAMILIES[0]


def _meant(context: Context, prefixes: Sequence[Prefix], family: Family) -> list[Workload]:
    """A workload of every class that has an address in the blocks and one of the other family too."""
    classes = context.compiled.classes
    found = {}
    for position in positions_of(classes.holding(prefixes)):
        for name in classes.items[position].members:
            workload = context.estate.workloads[name]
            inside = any(prefix.holds(one, workload.zone) for prefix in prefixes for one in workload.addresses)
            if inside and workload.of_family(_other(family)):
                found[position] = workload
                break
    return list(found.values())


def _differing(
    context: Context,
    decider: Decider,
    item: ResolvedRule,
    word: str,
    meant: list[Workload],
    far: Sequence[Element],
    family: Family,
) -> LintFinding | None:
    classes = context.compiled.classes
    bits = context.classes_of(far, item.rule.action == "deny")
    bits = classes.everything if bits is None else bits
    bits |= classes.holding([prefix for element in far for prefix in element.prefixes])
    partners = [context.estate.workloads[name] for name in _representatives(context, bits)]
    services = intersection(item.rule.services, _BOTH)
    for looked, (one, partner) in enumerate(product(meant, partners)):
        if looked == MOST:
            break
        if one is partner or not partner.of_family(_other(family)) or not partner.of_family(family):
            continue
        consumer, provider = (one, partner) if word == "from" else (partner, one)
        here = _allowed(decider, consumer, provider, family)
        there = _allowed(decider, consumer, provider, _other(family))
        differing = union(subtraction(here, there), subtraction(there, here))
        differing = intersection(differing, services)
        if differing:
            point = line.representative(differing)
            allowed_there = bool(intersection(there, ((point, point),)))
            return _finding(item, word, one, consumer, provider, family, point, allowed_there)
    return None


def _representatives(context: Context, bits: int) -> Iterator[str]:
    """Of every class a member with both families, if it has one."""
    for position in positions_of(bits):
        for name in context.compiled.classes.items[position].members:
            if len({address.family for address in context.estate.workloads[name].addresses}) == len(FAMILIES):
                yield name
                break


def _allowed(decider: Decider, consumer: Workload, provider: Workload, family: Family) -> Intervals:
    """What some pair of addresses of the family may do."""
    found: Intervals = ()
    for source, target in product(consumer.of_family(family), provider.of_family(family)):
        found = union(found, decider.allowed(End(source, consumer), End(target, provider)))
    return found


def _finding(
    item: ResolvedRule,
    word: str,
    meant: Workload,
    consumer: Workload,
    provider: Workload,
    family: Family,
    point: int,
    allowed_there: bool,
) -> LintFinding:
    service = line.show(((point, point),))[0]
    mine, other = FAMILY_NAMES[family], FAMILY_NAMES[_other(family)]
    verdict = "allowed" if allowed_there else "denied"
    return about(
        item,
        "W-ONE-FAMILY",
        "warning",
        f"names only {mine} addresses in {word}, and {meant.name} has {other} too: {consumer.name} -> {provider.name} "
        f"{service} is {verdict} over {other}, and not over {mine}."
        if allowed_there
        else f"names only {mine} addresses in {word}, and {meant.name} has {other} too: {consumer.name} -> "
        f"{provider.name} {service} is allowed over {mine} and denied over {other}.",
        f"Add the {other} addresses ({', '.join(str(one) for one in meant.of_family(_other(family)))} …), "
        "or name the workloads by label.",
        {
            "side": word,
            "family": mine,
            "packet": {"from": consumer.name, "to": provider.name, "service": service},
            "verdict_of_other_family": verdict,
        },
    )


__all__ = ["MOST", "forgotten_families", "packetless_rules"]
