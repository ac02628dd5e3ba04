# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Every case of cases.yml, against the brute-force evaluator and against the product."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import Rejected
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import contains
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.decide import Decider
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.explain import explain, find_targets, parse_point
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.check import check
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.reach import reach

from .brute_force import BruteForce
from .fixtures import NOW, Case, Question, load_cases

CASES = load_cases()
FAMILIES = {"ipv4": 4, "ipv6": 6}


def families(case: Case, question: Question) -> list[int | None]:
    """The family asked for; by default ipv4, and ipv6 alike where both ends have one."""
    if "family" in question.options:
        return [FAMILIES[question.options["family"]]]
    ends = [case.hosts.get(name) or _unmanaged(case, name) for name in (question.consumer, question.provider)]
    both = all(end and any(":" in text for text in end["addresses"]) for end in ends)
    return [4, 6] if both and not question.service.startswith("icmp") else [None]


def _unmanaged(case: Case, name: str):
    for document in case.documents:
        for item in document.get("workloads", []):
            if item["name"] == name:
                return item
    return None


def questions():
    for case in CASES:
        for question in case.questions:
            yield pytest.param(
                case, question, id=f"{case.id}: {question.consumer} -> {question.provider} {question.service}"
            )


def asserted(question: Question, verdict: str, egress: str, ingress: str, one_sided: bool) -> None:
    assert verdict == question.answer
    if "by" in question.options:
        assert f"egress:{egress} ingress:{ingress}" == question.options["by"]
    if "one_sided" in question.options:
        assert one_sided == question.options["one_sided"]


@pytest.mark.parametrize(("case", "question"), list(questions()))
def test_the_brute_force_evaluator_says_what_the_case_says(case: Case, question: Question) -> None:
    reference = BruteForce(*case.reference())
    stage = question.options.get("stage", "active")
    for family in families(case, question):
        answer = reference.connection(
            question.consumer, question.provider, question.service, question.at, family, stage
        )
        asserted(question, answer["verdict"], answer["egress"], answer["ingress"], answer["one_sided"])
        if "would" in question.options:
            intent = reference.connection(
                question.consumer, question.provider, question.service, question.at, family, stage, intent=True
            )
            assert intent["verdict"] == question.options["would"]


@pytest.mark.parametrize(("case", "question"), list(questions()))
def test_explain_says_what_the_case_says(case: Case, question: Question) -> None:
    inputs = case.inputs(question.at)
    assert not inputs.errors
    decider = Decider(inputs.compiled(question.options.get("stage", "active")), question.at)
    for family in families(case, question):
        answer = explain(
            decider,
            *find_targets(decider, question.consumer, question.provider, family),
            parse_point(question.service, {}),
            question.service,
        )
        first = answer.pairs[0]
        asserted(question, answer.verdict, first.egress.decided_by, first.ingress.decided_by, answer.one_sided)
        if "would" in question.options:
            assert answer.would == question.options["would"]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_check_gives_exactly_the_errors_and_the_named_warnings(case: Case) -> None:
    times = [question.at for question in case.questions if "at" in question.options]
    try:
        findings = case.inputs(*times[-1:]).findings
    except Rejected as rejected:
        findings = rejected.findings
    assert sorted({finding.code for finding in findings if finding.severity == "error"}) == sorted(case.errors)
    warnings = {finding.code for finding in findings if finding.severity == "warning"}
    if case.warnings is not None:
        assert set(case.warnings) <= warnings
        assert case.warnings or "W-EXTRA-SCOPE" not in warnings


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES if case.guardrails or case.tests])
def test_guardrails_and_policy_tests_come_out_as_the_case_says(case: Case) -> None:
    report = check(case.inputs())
    assert {result.guardrail.id: result.outcome for result in report.guardrails} == case.guardrails
    assert {result.guardrail.id: result.outcome for result in report.staged_guardrails} == case.staged_guardrails
    assert ["passes" if result.passes else "fails" for result in report.tests] == [
        outcome for _test, outcome in case.tests
    ]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES if not case.errors])
def test_reach_and_explain_by_name_give_one_answer(case: Case) -> None:
    """For every pair of workloads: what reach lists is what explain says of it, also where ends look alike."""
    inputs = case.inputs()
    pairs = {(pair.consumer, pair.provider, pair.family): pair for pair in reach(inputs, with_failsafe=True).pairs}
    decider = Decider(inputs.active, NOW)
    for (consumer, provider, family), pair in pairs.items():
        for text in ("tcp/1", "tcp/80", "tcp/5432", "udp/53"):
            point = parse_point(text, {})
            ends = find_targets(decider, consumer, provider, family)
            verdicts = {found.verdict for found in explain(decider, *ends, point, text).pairs}
            assert ("allowed" in verdicts) == contains(pair.allowed, point), (consumer, provider, text)
            if "allowed" not in verdicts:
                assert ("unknown" in verdicts) == contains(pair.unknown, point), (consumer, provider, text)
            assert (pair.by_address is None) or len(pair.by_address) > 1
