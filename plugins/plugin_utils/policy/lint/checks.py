# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Every check of lint, in the order of the page docs/lint.md."""

from __future__ import annotations

from collections.abc import Iterator

from ..compile import Compiled
from .breadth import broad_rules
from .conflicts import conflicting_owners
from .context import Context
from .coverage import covered_rules
from .families import forgotten_families, packetless_rules
from .moments import ends_and_openings
from .needs import cut_dependencies
from .people import others_scopes, owners_and_reasons
from .report import LintFinding
from .selectors import dead_selectors, mistyped_labels
from .usage import use_of_rules


def lint_findings(context: Context, active: Compiled) -> Iterator[LintFinding]:
    """`active`: what is in force today; dependencies are judged by it."""
    yield from covered_rules(context)
    yield from conflicting_owners(context)
    yield from broad_rules(context)
    yield from use_of_rules(context)
    yield from dead_selectors(context)
    yield from mistyped_labels(context)
    yield from ends_and_openings(context)
    yield from forgotten_families(context)
    yield from packetless_rules(context)
    yield from cut_dependencies(context, active)
    yield from owners_and_reasons(context)
    yield from others_scopes(context)


__all__ = ["lint_findings"]
