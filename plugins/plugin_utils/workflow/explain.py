# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""explain: may A open this connection to B, and who says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..policy.compile import Stage
from ..policy.decide import Decider
from ..policy.explain import Explanation, find_targets, matching_rules, parse_point
from ..policy.explain import explain as explain_pair
from .inputs import Inputs


@dataclass(frozen=True)
class ExplainReport:
    """`staged` is the verdict with staged rulesets; `rules` every rule that looks at the first pair, per side."""

    answer: Explanation
    staged: Explanation
    rules: dict[str, list[dict[str, Any]]]

    def to_dict(self) -> dict[str, Any]:
        return {**self.answer.to_dict(), "with_staged": self.staged.verdict, "rules": self.rules}


def explain(inputs: Inputs, consumer: str, provider: str, service: str, *, stage: Stage = "active") -> ExplainReport:
    """`consumer`, `provider`: workload, service address or IP address. `service`: one point, or a named service.

    A named service with several points is explained by the first one. Raises PolicyError (E-TARGET, E-SERVICE).
    """
    inputs.usable()
    point = parse_point(service, inputs.policy.services)

    def answer(which: Stage) -> Explanation:
        decider = Decider(inputs.compiled(which), inputs.at)
        return explain_pair(decider, *find_targets(decider, consumer, provider), point, service)

    decider = Decider(inputs.compiled(stage), inputs.at)
    explanation = answer(stage)
    first = explanation.pairs[0]
    rules = {
        "egress": matching_rules(decider, "egress", first.consumer, first.provider, point),
        "ingress": matching_rules(decider, "ingress", first.provider, first.consumer, point),
    }
    return ExplainReport(explanation, answer("staged"), rules)
