# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""recommend: proposed rules, whether the observation is complete, and where the documents went."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .job import FINDINGS, OK, Answer, Job
from .screen import ROWS, Screen, plural

if TYPE_CHECKING:
    from ..workflow.recommend import Question, RecommendReport


def recommend(job: Job, question: Question, out: Path | None) -> Answer:
    from ..workflow.recommend import recommend as run
    from ..workflow.recommend import write

    report = run(job.inputs(), job.policy, question)
    written = write(report, job.policy, out) if out is not None else []
    data = {**report.to_dict(), "written": [str(path) for path in written]}
    code = OK if report.found.complete else FINDINGS
    return Answer(data, lambda: _screen(job, question, report, out), code)


def _screen(job: Job, question: Question, report: RecommendReport, out: Path | None) -> str:
    found = report.found
    screen = Screen()
    screen.line(
        f"RECOMMEND  {question.flows}  {plural(len(found.edges), 'flow')}  {plural(len(found.rules), 'rule')}",
        "COMPLETE" if found.complete else "NOT COMPLETE",
    )
    for name in sorted(found.gates):
        gate = found.gates[name]
        screen.line(f"  {name}: {gate.verdict}, unseen traffic at most {gate.unseen.upper:.1%}")
        for reason in gate.reasons:
            screen.line(f"    {reason}")
    screen.rows(
        (
            rule.id,
            rule.scope,
            str(rule.maturity),
            f"{rule.pairs_observed} of {rule.pairs_opened} pairs" if rule.pairs_opened else "any",
        )
        for rule in found.rules
    )
    if found.sifted.left_out:
        screen.line("LEFT OUT")
        screen.rows(
            (
                (reason, f"{len(talks):,}", f"{sum(talk.conversations for talk in talks):,} conversations")
                for reason, talks in found.sifted.left_out.items()
            ),
            most=ROWS,
        )
    if report.mined is not None:
        screen.line(f"TESTS  {plural(len(report.mined.tests), 'test')} mined")
    screen.findings(report.findings)
    if out is None:
        screen.next(job.command("recommend", "--flows", str(question.flows), "--out", f"{job.policy}-proposed"))
    else:
        screen.line(f"written to {out}: {', '.join([*sorted(report.texts), 'REVIEW.md'])}")
        screen.next(job.command("check", "-p", str(out)))
    return screen.text()
