# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs inside aerleon's own environment, where nothing of ours is installed.

`python peer_aerleon.py NEUTRAL.json OUT.nft`: the neutral policy as one nftables input filter; prints CPU seconds of
definitions and generation, without imports, and the peak of the process in MB.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import sys
import time
from pathlib import Path


def main(source: str, target: str) -> None:
    logging.disable(logging.CRITICAL)
    from aerleon import api
    from aerleon.lib import naming

    neutral = json.loads(Path(source).read_text(encoding="utf-8"))
    start = time.process_time()
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
    policy = {"filename": "neutral", "filters": [{"header": header, "terms": terms}]}
    output = api.Generate([policy], definitions)
    used = time.process_time() - start
    Path(target).write_text("\n".join(output.values()), encoding="utf-8")
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    print(json.dumps({"version": importlib.metadata.version("aerleon"), "cpu": used, "peak": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
