# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""documented.py ANSIBLE-DOC PLUGINS: an installed collection documents every plugin of the source tree."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

KINDS = {
    "modules": "module",
    "lookup": "lookup",
    "callback": "callback",
    "connection": "connection",
    "filter": "filter",
}


def main() -> int:
    program, plugins = sys.argv[1], pathlib.Path(sys.argv[2])
    wrong = 0
    for directory, kind in KINDS.items():
        names = [
            f"bulkhead.microseg.{p.stem}" for p in sorted((plugins / directory).glob("*.py")) if p.stem != "__init__"
        ]
        if not names:
            continue
        run = subprocess.run([program, "--json", "-t", kind, *names], capture_output=True, text=True, check=False)
        shown = json.loads(run.stdout) if run.returncode == 0 else {}
        for name in names:
            if not shown.get(name, {}).get("doc", {}).get("short_description"):
                print(f"{kind} {name} has no documentation in the installed collection {run.stderr.strip()}")
                wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
