# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Authoring: policy documents edited in place, so that nothing but the rule in question changes in the file."""

from __future__ import annotations

from .edits import Edit, add_rule, add_ruleset, move_rule, remove_rules, remove_rulesets
from .files import PolicyFiles, read_files
from .naming import rule_id

__all__ = [
    "Edit",
    "PolicyFiles",
    "add_rule",
    "add_ruleset",
    "move_rule",
    "read_files",
    "remove_rules",
    "remove_rulesets",
    "rule_id",
]
