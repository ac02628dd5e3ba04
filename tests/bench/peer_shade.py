# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs inside aerleon's own environment: `python peer_shade.py NEUTRAL.json`, its shade check on the neutral policy.

Prints CPU seconds of generation without and with the check (both optimised, as the check wants), and the terms it calls
shaded.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import re
import sys
import time
from pathlib import Path


class _Collected(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.shaded: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        found = re.fullmatch(r"(\S+) is shaded by (\S+)", record.getMessage())
        if found:
            self.shaded.add(found[1])


def main(source: str) -> None:
    collected = _Collected()
    logging.getLogger().handlers = [collected]
    neutral = json.loads(Path(source).read_text(encoding="utf-8"))
    plain, shade = generated(neutral, False), generated(neutral, True)
    version = importlib.metadata.version("aerleon")
    print(json.dumps({"version": version, "generate": plain, "shade": shade, "shaded": sorted(collected.shaded)}))


def generated(neutral: dict, shade_check: bool) -> float:
    from absl import logging as absl_logging
    from aerleon import api
    from aerleon.lib import naming  # noqa: F401 - imports are not measured

    sys.path.append(str(Path(__file__).parent))  # the interpreter is isolated: it does not look beside the script
    from peer_terms import in_its_words

    absl_logging.get_absl_logger().propagate = True
    start = time.process_time()
    definitions, policy = in_its_words(neutral)
    api.Generate([policy], definitions, optimize=True, shade_check=shade_check)
    return time.process_time() - start


if __name__ == "__main__":
    main(*sys.argv[1:])
