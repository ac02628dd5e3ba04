# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""lint: its screen, and its findings as SARIF or JUnit for pipelines."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .job import FINDINGS, OK, Answer, Job
from .screen import ROWS, Screen, plural

if TYPE_CHECKING:
    from ..model.errors import Severity
    from ..workflow.lint import LintReport

Pipeline = Literal["", "sarif", "junit"]
#: Findings of one code on a screen; the others are counted.
EACH = 5


def lint(job: Job, flows: Path | None, fail_on: Severity, within: int, pipeline: Pipeline) -> Answer:
    """`within`: days in which an end is near. `pipeline`: the form that is printed instead of a screen."""
    from ..workflow.lint import lint_with_flows as run

    report = run(job.inputs(), flows, timedelta(days=within), fail_on)
    code = OK if report.ok else FINDINGS
    if pipeline:
        return Answer(report.to_dict(), lambda: _written(report, pipeline), code)
    return Answer(report.to_dict(), lambda: _screen(job, report), code)


def _written(report: LintReport, pipeline: Pipeline) -> str:
    from ..monitoring.writers import junit, sarif

    return sarif.render(report.report()) if pipeline == "sarif" else junit.render(report.report(failures=True))


def _screen(job: Job, report: LintReport) -> str:
    screen = Screen()
    counting = Counter(finding.severity for finding in report.findings if report.counts(finding))
    beside = Counter(finding.severity for finding in report.findings if not report.counts(finding))
    screen.line(
        f"LINT  {job.policy}  {plural(report.rules, 'rule')}  {plural(report.workloads, 'workload')}",
        "IN ORDER" if report.ok else plural(sum(counting.values()), "finding").upper(),
    )
    use = "judged by flows" if report.use_judged else f"not judged: {report.use}"
    screen.rows(
        [
            ("findings", _counted(counting) or "none"),
            *_beside(beside),
            ("waived", _waived(report)),
            ("use of rules", use),
        ]
    )
    seen: Counter[str] = Counter()
    shown = []
    for finding in report.findings:
        seen[finding.code] += 1
        if seen[finding.code] <= EACH:
            shown.append(finding.finding)
    screen.findings(shown)
    more = {code: count - EACH for code, count in seen.items() if count > EACH}
    if more and len(shown) <= ROWS:
        said = ", ".join(f"{count:,} {code}" for code, count in sorted(more.items()))
        screen.line(f"… and more of the same: {said} (--format json has all of them)")
    for finding in report.waived[:EACH]:
        if finding.waiver is not None:
            until, reason = finding.waiver.until, finding.waiver.reason
            screen.line(f"  waived until {until:%Y-%m-%d}: {finding.code} {finding.rule} ({reason})")
    screen.more(len(report.waived), EACH)
    if report.ok:
        screen.next(job.command("check"))
    else:
        screen.next(f"mend or waive them, then: {job.command('lint')}")
    return screen.text()


_WORDS: tuple[tuple[Severity, str], ...] = (("error", "error"), ("warning", "warning"), ("info", "note"))


def _counted(severities: Counter[Severity]) -> str:
    return ", ".join(plural(severities[one], word) for one, word in _WORDS if severities[one])


def _beside(severities: Counter[Severity]) -> list[tuple[str, str]]:
    """The row of what does not count; mere notes need no other word."""
    if set(severities) == {"info"}:
        return [("notes", f"{severities['info']:,}")]
    return [("not counted", _counted(severities))] if severities else []


def _waived(report: LintReport) -> str:
    untils = [finding.waiver.until for finding in report.waived if finding.waiver is not None]
    return f"{len(untils):,}, the first until {min(untils):%Y-%m-%d}" if untils else "none"
