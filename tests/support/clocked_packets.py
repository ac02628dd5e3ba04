# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The same packets again and again while the clock goes on: when did which of them arrive?

As `packets.py`, with `seconds` in the request. Answers with a list of [wall clock before, after, [arrived, ...]].
"""

from __future__ import annotations

import json
import sys
import time

from packets import Bed, tried


def main() -> None:
    request = json.load(sys.stdin)
    bed = Bed(request["own"], request["peers"])
    bed.load(request["transaction"])
    until = time.time() + request["seconds"]
    seen = []
    while time.time() < until:
        before = time.time()
        arrived = tried(bed, request["packets"])
        seen.append([before, time.time(), arrived])
        time.sleep(0.05)
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
