# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tables of the old iptables, as nft would list them if it knew of them: one rule that nobody can read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

#: Where a table may first and last touch a packet. `filter` only drops what came past us; the others may rewrite.
_HOOKS = {"filter": (("input", 0), ("output", 0)), "security": (("input", 50), ("output", 50))}
_ELSEWHERE = (("prerouting", -300), ("output", -300), ("input", 100), ("postrouting", 100))


def as_listed(legacy: Iterable[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    """`legacy`: what `nftables_policy_info` returned under that name."""
    for one in legacy:
        place = {"family": str(one["family"]), "table": f"{one['table']} (iptables-legacy)"}
        yield {"table": {"family": place["family"], "name": place["table"]}}
        for hook, priority in _HOOKS.get(str(one["table"]), _ELSEWHERE):
            yield {"chain": {**place, "name": hook, "type": "filter", "hook": hook, "prio": priority}}
            target = {"xt": {"type": "target", "name": "iptables-legacy"}}
            yield {"rule": {**place, "chain": hook, "handle": 0, "expr": [target]}}
