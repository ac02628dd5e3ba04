# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Policy documents: from a directory of YAML files to a validated policy (DESIGN §4)."""

from __future__ import annotations

from .assemble import assemble, load, loads
from .digest import digest
from .files import ENDINGS
from .problems import Problems
from .shortform import parse_rule, print_rule
from .variables import label_variables

__all__ = [
    "ENDINGS",
    "Problems",
    "assemble",
    "digest",
    "label_variables",
    "load",
    "loads",
    "parse_rule",
    "print_rule",
]
