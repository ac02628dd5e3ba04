# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Allow rules that are broad by what they say, whatever was observed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...model import services as line
from ...model.addresses import WHOLE_FAMILY
from ...model.intervals import covers
from ..classes import positions_of
from ..resolve import Element
from .context import Context
from .report import LintFinding, about

#: Workloads on both sides from which `any` services are worth a finding.
LARGE = 20


def broad_rules(context: Context) -> Iterator[LintFinding]:
    sizes: dict[int, int] = {}
    everything = context.compiled.classes.everything
    for item in context.items:
        if item.rule.action != "allow":
            continue
        consumers, providers = anybody(item.consumers), anybody(item.providers)
        everything_said = item.rule.services == line.ANY
        if consumers and providers and (everything_said or covers(item.rule.services, line.WHOLE["tcp"])):
            yield about(
                item,
                "W-ANY-ANY",
                "warning",
                f"lets anybody reach anybody on {' '.join(line.show(item.rule.services)[:3])}.",
                "Name the consumers, the providers or the services it is for.",
                {"services": line.show(item.rule.services)},
            )
        elif everything_said:
            counts = []
            for side, whole in ((item.consumers, consumers), (item.providers, providers)):
                bits = context.classes_of(side, deny=False)
                bits = everything if whole or bits is None else bits
                if bits not in sizes:
                    members = context.compiled.classes.items
                    sizes[bits] = sum(len(members[position].members) for position in positions_of(bits))
                counts.append(sizes[bits])
            if min(counts) >= LARGE:
                yield about(
                    item,
                    "W-ANY-SERVICE",
                    "warning",
                    f"opens every service from {counts[0]:,} to {counts[1]:,} workloads.",
                    "Name the services in use; `microseg lint --flows` counts them.",
                    {"consumers": counts[0], "providers": counts[1]},
                )


def anybody(side: Sequence[Element]) -> bool:
    """Does the side mean everybody: `any`, all workloads, or a whole address family?"""
    return any(
        element.kind in ("any", "all")
        or any(((prefix.low, prefix.high),) == WHOLE_FAMILY[prefix.family] for prefix in element.prefixes)
        for element in side
    )


__all__ = ["LARGE", "anybody", "broad_rules"]
