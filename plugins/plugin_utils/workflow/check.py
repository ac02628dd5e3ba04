# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""check: documents, estate, rules, guardrails and policy tests in one report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..model.allocation import allocating
from ..model.errors import Finding
from ..policy.ambiguity import ambiguous_addresses
from ..policy.compile import Stage
from ..policy.decide import Decider
from ..policy.expectations import TestResult, run_tests
from ..policy.guardrails import GuardrailResult
from ..policy.guardrails_in_time import JudgedInTime, judge_in_time, not_all_moments
from .inputs import Inputs


@dataclass(frozen=True)
class CheckReport:
    """`findings` include a violated guardrail and a failed test, as errors; with staged rulesets they are warnings.

    `staged_guardrails` and `staged_tests` are the answers with staged rulesets, in the same order. `judged` is False
    where a rule is wrong, so that neither guardrails nor tests were asked.
    """

    findings: tuple[Finding, ...]
    guardrails: tuple[GuardrailResult, ...]
    tests: tuple[TestResult, ...]
    staged_guardrails: tuple[GuardrailResult, ...]
    staged_tests: tuple[TestResult, ...]
    rules: int
    workloads: int
    judged: bool = True

    @property
    def ok(self) -> bool:
        return not any(finding.severity == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        return {
            "outcome": "ok" if self.ok else "findings",
            "rules": self.rules,
            "workloads": self.workloads,
            "judged": self.judged,
            "findings": [finding.to_dict() for finding in self.findings],
            "guardrails": [
                {**result.to_dict(), "with_staged": staged.outcome}
                for result, staged in zip(self.guardrails, self.staged_guardrails, strict=True)
            ],
            "tests": [
                {**result.to_dict(), "passes_with_staged": staged.passes}
                for result, staged in zip(self.tests, self.staged_tests, strict=True)
            ],
        }


@dataclass(frozen=True)
class _Judged:
    guardrails: tuple[GuardrailResult, ...] = ()
    tests: tuple[TestResult, ...] = ()
    cut_short: Finding | None = None


def check(inputs: Inputs, as_enforced: bool = False) -> CheckReport:
    """Guardrails and tests judge intent, on active rulesets and beside them with the staged ones (DESIGN §3.21).

    Guardrails are judged now and whenever a schedule or an end changes the answer within a year, tests at `inputs.at`.
    `as_enforced` asks about today's modes instead. They are left out while a rule is wrong: what a broken policy
    allows says nothing.
    """
    with allocating():
        return _check(inputs, as_enforced)


def _check(inputs: Inputs, as_enforced: bool) -> CheckReport:
    active = staged = _Judged()
    ambiguous: list[Finding] = []
    if not inputs.errors:
        ambiguous = list(ambiguous_addresses(Decider(inputs.active, inputs.at)))
        active = _judged(inputs, "active", as_enforced)
        staging = any(ruleset.stage == "staged" for scope in inputs.policy.scopes for ruleset in scope.rulesets)
        staged = _judged(inputs, "staged", as_enforced) if staging else active
    findings = [
        *inputs.findings,
        *ambiguous,
        *map(_guardrail_finding, active.guardrails, staged.guardrails),
        *map(_test_finding, active.tests, staged.tests),
        active.cut_short or staged.cut_short,
    ]
    return CheckReport(
        findings=tuple(finding for finding in findings if finding is not None),
        guardrails=active.guardrails,
        tests=active.tests,
        staged_guardrails=staged.guardrails,
        staged_tests=staged.tests,
        rules=sum(len(ruleset.rules) for scope in inputs.policy.scopes for ruleset in scope.rulesets),
        workloads=len(inputs.estate.workloads),
        judged=not inputs.errors,
    )


def _judged(inputs: Inputs, stage: Stage, as_enforced: bool) -> _Judged:
    intent = not as_enforced
    judged = _guardrails(inputs, stage, intent)
    tests = run_tests(inputs.policy, Decider(inputs.compiled(stage), inputs.at, intent=intent))
    return _Judged(judged.results, tuple(tests), not_all_moments(judged))


def _guardrails(inputs: Inputs, stage: Stage, intent: bool) -> JudgedInTime:
    compiled = inputs.compiled(stage)
    return judge_in_time(
        inputs.policy, compiled, inputs.at, lambda at: Decider(compiled, at, intent=intent, failsafe=False)
    )


def guardrail_findings(inputs: Inputs) -> list[Finding]:
    """Violated guardrails of active rulesets, and of staged ones beside them, judged as intent."""
    if not inputs.policy.guardrails:
        return []
    stages: tuple[Stage, ...] = ("active", "staged")
    judged = [_guardrails(inputs, stage, intent=True) for stage in stages]
    found = [*map(_guardrail_finding, *(one.results for one in judged)), *map(not_all_moments, judged[:1])]
    return [finding for finding in found if finding is not None]


def _guardrail_finding(active: GuardrailResult, staged: GuardrailResult) -> Finding | None:
    result = active if active.witness is not None else staged
    if result.witness is None:
        return None
    consumer, provider, service = result.witness
    now = result is active
    later = f" from {result.at:%Y-%m-%d %H:%MZ} on" if result.at else ""
    asked = f" --at {result.at:%Y-%m-%dT%H:%M:%SZ}" if result.at else ""
    return Finding(
        "E-GUARDRAIL" if now else "W-GUARDRAIL",
        "error" if now else "warning",
        f"guardrail {result.guardrail.id} ({result.guardrail.severity}) {'is' if now else 'would be'} violated{later} "
        f"by {result.pairs} pairs{'' if now else ' with staged rulesets'}, "
        f"for example {consumer} -> {provider} {service}.",
        result.guardrail.place,
        f"See: microseg explain {consumer} {provider} {service}{asked}",
    )


def _test_finding(active: TestResult, staged: TestResult) -> Finding | None:
    if active.passes and staged.passes:
        return None
    result = staged if active.passes else active
    now = result is active
    because = f" ({result.test.because})" if result.test.because else ""
    word = "allow" if result.test.expect == "allowed" else "deny"
    return Finding(
        "E-TEST" if now else "W-TEST",
        "error" if now else "warning",
        f"test {word} {result.test.text!r}{because} {'fails' if now else 'would fail with staged rulesets'}: "
        f"{result.detail}.",
        result.test.place,
    )
