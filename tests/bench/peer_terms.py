# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The neutral policy in aerleon's words, for the scripts that run inside its own environment."""

from __future__ import annotations

from typing import Any


def in_its_words(neutral: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Definitions, and one nftables input filter."""
    from aerleon.lib import naming

    definitions = naming.Naming()
    definitions.ParseDefinitionsObject(
        {
            "networks": {
                name: {"values": [{"address": f"{address}/32"} for address in addresses]}
                for name, addresses in neutral["groups"].items()
            },
            "services": {
                name: [{"protocol": protocol, "port": str(low) if low == high else f"{low}-{high}"}]
                for name, (protocol, low, high) in neutral["services"].items()
            },
        },
        "",
    )
    terms = [
        {
            "name": term["name"],
            "source-address": " ".join(term["sources"]),
            "destination-address": " ".join(term["destinations"]),
            "protocol": term["protocol"],
            "destination-port": " ".join(term["services"]),
            "action": term["action"],
        }
        for term in neutral["terms"]
    ]
    header = {"targets": {"nftables": "inet INPUT"}}
    return definitions, {"filename": "neutral", "filters": [{"header": header, "terms": terms}]}
