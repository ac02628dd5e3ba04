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
    from aerleon.lib import naming  # noqa: F401 - imports are not measured

    sys.path.append(str(Path(__file__).parent))  # the interpreter is isolated: it does not look beside the script
    from peer_terms import in_its_words

    neutral = json.loads(Path(source).read_text(encoding="utf-8"))
    start = time.process_time()
    definitions, policy = in_its_words(neutral)
    output = api.Generate([policy], definitions)
    used = time.process_time() - start
    Path(target).write_text("\n".join(output.values()), encoding="utf-8")
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    print(json.dumps({"version": importlib.metadata.version("aerleon"), "cpu": used, "peak": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
