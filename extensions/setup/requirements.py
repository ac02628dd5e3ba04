# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Print the requirements of pyproject.toml, one a line: those of the core, or with an argument those of that extra."""

from __future__ import annotations

import pathlib
import sys
import tomllib

project = tomllib.loads((pathlib.Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = sys.argv[1:]
wanted = (
    [line for extra in extras for line in project["optional-dependencies"][extra]]
    if extras
    else project["dependencies"]
)
print("\n".join(wanted))
