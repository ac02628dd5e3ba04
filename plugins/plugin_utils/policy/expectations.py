# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Policy tests: sentences about single pairs that every version must satisfy."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

from ..model import services as line
from ..model.errors import MicrosegError
from ..model.intervals import Intervals
from ..model.policy import Policy, PolicyTest
from .decide import Decider
from .explain import explain, find_targets


@dataclass(frozen=True, slots=True)
class TestResult:
    test: PolicyTest
    passes: bool
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.test.name,
            "text": self.test.text,
            "expect": self.test.expect,
            "because": self.test.because,
            "at": self.test.at.isoformat() if self.test.at else None,
            "passes": self.passes,
            "detail": self.detail,
            "file": self.test.place.file,
            "line": self.test.place.line,
        }


def run_tests(policy: Policy, decider: Decider) -> list[TestResult]:
    """`decider` must judge intent; a test with a moment of its own is asked for that.

    An allow-test needs every pair of addresses, a deny-test none (DESIGN §3.11).
    """
    cuts = _cuts(decider) if policy.tests else []
    return [_run(test, decider, cuts) for test in policy.tests]


def _run(test: PolicyTest, decider: Decider, cuts: list[int]) -> TestResult:
    if test.at is not None:
        decider = Decider(decider.compiled, test.at, decider.intent, decider.failsafe)
    try:
        consumer, provider = find_targets(decider, test.consumer, test.provider)
        for point in _points(test.services, cuts):
            answer = explain(decider, consumer, provider, point, line.show(((point, point),))[0])
            if answer.verdict != test.expect:
                return TestResult(test, False, f"{answer.service} is {answer.verdict}")
    except MicrosegError as error:
        return TestResult(test, False, error.message)
    return TestResult(test, True)


def _cuts(decider: Decider) -> list[int]:
    """Where rules, the failsafe and service addresses divide the service line, ascending."""
    sets = {copy.artifact.services for copies in decider.compiled.copies.values() for copy in copies}
    cuts = {cut for services in sets for low, high in services for cut in (low, high + 1)}
    addresses = decider.compiled.estate.service_addresses
    cuts |= {cut for item in addresses for low, _to in item.ports for cut in (low, low + 1)}
    return sorted(cuts)


def _points(services: Intervals, cuts: list[int]) -> list[int]:
    """One point of every stretch of the set that nothing divides."""
    points: list[int] = []
    for low, high in services:
        points.append(low)
        points.extend(cuts[bisect_right(cuts, low) : bisect_right(cuts, high)])
    return points
