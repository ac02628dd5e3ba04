# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""check: documents, estate, rules, guardrails and policy tests in one report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..model.errors import Finding
from ..policy.ambiguity import ambiguous_addresses
from ..policy.decide import Decider
from ..policy.expectations import TestResult, run_tests
from ..policy.guardrails import GuardrailResult, judge_guardrails
from .inputs import Inputs


@dataclass(frozen=True)
class CheckReport:
    """`findings` include a violated guardrail and a failed test, as errors."""

    findings: tuple[Finding, ...]
    guardrails: tuple[GuardrailResult, ...]
    tests: tuple[TestResult, ...]
    rules: int
    workloads: int

    @property
    def ok(self) -> bool:
        return not any(finding.severity == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        return {
            "outcome": "ok" if self.ok else "findings",
            "rules": self.rules,
            "workloads": self.workloads,
            "findings": [finding.to_dict() for finding in self.findings],
            "guardrails": [result.to_dict() for result in self.guardrails],
            "tests": [result.to_dict() for result in self.tests],
        }


def check(inputs: Inputs, as_enforced: bool = False) -> CheckReport:
    """Guardrails and tests judge intent on active rulesets; `as_enforced` asks about today's modes instead.

    They are left out while a rule is wrong: what a broken policy allows says nothing.
    """
    guardrails: list[GuardrailResult] = []
    tests: list[TestResult] = []
    ambiguous: list[Finding] = []
    if not inputs.errors:
        ambiguous = list(ambiguous_addresses(Decider(inputs.active, inputs.at)))
        plain = Decider(inputs.active, inputs.at, intent=not as_enforced, failsafe=False)
        guardrails = judge_guardrails(inputs.policy, plain)
        tests = run_tests(inputs.policy, Decider(inputs.active, inputs.at, intent=not as_enforced))
    findings = [*inputs.findings, *ambiguous, *map(_guardrail_finding, guardrails), *map(_test_finding, tests)]
    return CheckReport(
        findings=tuple(finding for finding in findings if finding is not None),
        guardrails=tuple(guardrails),
        tests=tuple(tests),
        rules=sum(len(ruleset.rules) for scope in inputs.policy.scopes for ruleset in scope.rulesets),
        workloads=len(inputs.estate.workloads),
    )


def _guardrail_finding(result: GuardrailResult) -> Finding | None:
    if result.outcome == "holds" or result.witness is None:
        return None
    consumer, provider, service = result.witness
    return Finding(
        "E-GUARDRAIL",
        "error",
        f"guardrail {result.guardrail.id} ({result.guardrail.severity}) is violated by {result.pairs} pairs, "
        f"for example {consumer} -> {provider} {service}.",
        result.guardrail.place,
        f"See: microseg explain {consumer} {provider} {service}",
    )


def _test_finding(result: TestResult) -> Finding | None:
    if result.passes:
        return None
    because = f" ({result.test.because})" if result.test.because else ""
    word = "allow" if result.test.expect == "allowed" else "deny"
    return Finding(
        "E-TEST", "error", f"test {word} {result.test.text!r}{because} fails: {result.detail}.", result.test.place
    )
