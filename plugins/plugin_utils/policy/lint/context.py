# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What every lint check looks at: the rules of all stages, compiled as if drafts and staged rulesets were added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from ...model.edges import Edges
from ...model.estate import Estate
from ...model.policy import Policy
from ..compile import Compiled, compile_policy
from ..resolve import Element, ResolvedRule, resolve
from .deciding import Deciding


@dataclass(frozen=True)
class Context:
    """`soon`: what ends within this time is said. `edges`: what was observed, if anything was."""

    policy: Policy
    estate: Estate
    at: datetime
    soon: timedelta = timedelta(days=30)
    edges: Edges | None = None

    @cached_property
    def items(self) -> tuple[ResolvedRule, ...]:
        return resolve(self.policy, self.estate.workloads)[0]

    @cached_property
    def compiled(self) -> Compiled:
        return compile_policy(everything_staged(self.policy), self.estate, "staged")

    @cached_property
    def deciding(self) -> Deciding:
        return Deciding(self.compiled, self.items, self.at)

    def classes_of(self, side: Sequence[Element], deny: bool) -> int | None:
        """The classes a side ever means by labels or names; None where it means anybody."""
        classes = self.compiled.classes
        bits = 0
        for element in side:
            if element.kind in ("any", "all"):
                return None
            bits |= self.classes_of_element(element, deny) if not element.by_address else 0
        return bits & classes.everything

    def classes_of_element(self, element: Element, deny: bool) -> int:
        """The classes an element that is no address ever matches."""
        classes = self.compiled.classes
        if element.kind in ("labels", "users"):
            bits = 0
            for _window, part in classes.matching(element.selector, deny):
                bits |= part
            return bits
        if element.kind == "scope":
            return classes.last_known(element.selector)
        if element.kind == "all":
            return classes.everything
        return 1 << classes.of[element.name] if element.name in classes.of else 0


def everything_staged(policy: Policy) -> Policy:
    """The same policy with its drafts staged, so that one compile has the rules of all stages."""
    return replace(
        policy,
        scopes=tuple(
            replace(
                scope,
                rulesets=tuple(
                    replace(ruleset, stage="staged") if ruleset.stage == "draft" else ruleset
                    for ruleset in scope.rulesets
                ),
            )
            for scope in policy.scopes
        ),
    )


__all__ = ["Context", "everything_staged"]
