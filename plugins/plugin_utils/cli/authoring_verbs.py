# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""rule and grant: what a change of the policy files looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .job import Answer, Job
from .screen import Screen, plural

if TYPE_CHECKING:
    from ..workflow.authoring import Desk, RuleEdit


def change(job: Job, dry_run: bool, verb: Callable[[Desk], RuleEdit]) -> Answer:
    """Run one verb of `workflow.authoring` on the policy directory; with an inventory rules meet the estate too."""
    from ..workflow.authoring import Desk

    hosts = job.inventory().hosts if job.inventories else None
    report = verb(Desk(job.policy, hosts, job.moment(), dry_run, job.facts))
    return Answer(report.to_dict(), lambda: _screen(job, report))


def _screen(job: Job, report: RuleEdit) -> str:
    screen = Screen()
    done = "WRITTEN" if report.written else "NOT WRITTEN" if report.diff else "NOTHING TO DO"
    what = report.rules[0] if len(report.rules) == 1 else plural(len(report.rules), "rule")
    home = f"  {report.scope}/{report.ruleset}" if report.ruleset else ""
    screen.line(f"{report.action.upper()}  {what}{home}", done)
    for text in report.diff.values():
        for line in text.split("\n"):
            screen.line(f"  {line}")
    screen.findings(report.findings)
    screen.next(job.command("check"))
    return screen.text()
