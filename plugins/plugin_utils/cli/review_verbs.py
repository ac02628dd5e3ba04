# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""owners, review and revisions: what the verbs of the way through Git do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model.errors import PolicyError, Rejected
from .job import FINDINGS, OK, Answer, Job
from .screen import Screen, plural

if TYPE_CHECKING:
    from ..workflow.history import History
    from ..workflow.owners import OwnersReport


def owners(job: Job, write: Path | None, check: Path | None) -> Answer:
    from ..workflow.owners import owners as run
    from ..workflow.owners import write_owners

    if write is not None and check is not None:
        raise PolicyError("E-OWNERS-FILE", "--write and --check exclude each other.", hint="Name one of them.")
    file = write or check or Path("CODEOWNERS")
    report = run(job.policy, file)
    stale = check is not None and not report.current
    if write is not None and not report.current:
        write_owners(write, report.text)
    data: dict[str, Any] = {
        **report.to_dict(),
        "outcome": "findings" if stale else "ok",
        "file": str(file),
        "changed": write is not None and not report.current,
    }
    if stale:
        data["findings"].append(
            {
                "code": "E-OWNERS-STALE",
                "severity": "error",
                "message": "the file is not what the policy says about owners.",
                "file": str(file),
                "line": 0,
                "hint": f"Write it: {job.command('owners', '--write', str(file), inventory=False)}.",
            }
        )
    return Answer(data, lambda: _owners_screen(job, file, report, data), FINDINGS if stale else OK)


def _owners_screen(job: Job, file: Path, report: OwnersReport, data: dict[str, Any]) -> str:
    screen = Screen()
    state = "WRITTEN" if data["changed"] else "UP TO DATE" if report.current else "OUT OF DATE"
    screen.line(f"OWNERS  {file}  {plural(len(report.lines), 'line')}", state)
    screen.rows((line.pattern, " ".join(line.owners), line.why) for line in report.lines)
    screen.findings(report.findings)
    if report.current or data["changed"]:
        screen.next(f"git add {file}" if data["changed"] else job.command("check"))
    else:
        screen.next(job.command("owners", "--write", str(file), inventory=False))
    return screen.text()


@dataclass(frozen=True)
class Asked:
    """What `review` was asked. `after` "" is the working tree, `approved_by` None lists approvals only."""

    before: str
    after: str
    flows: Path | None
    author: str | None
    approved_by: tuple[str, ...] | None
    out: Path | None
    full: str


def review(job: Job, asked: Asked) -> Answer:
    from ..visibility.edges_file import read_edges
    from ..workflow.review import ReviewRequest, refused, write_comment
    from ..workflow.review import review as run
    from ..workflow.revisions import AtRevision
    from .policy_verbs import author_named

    request = ReviewRequest(
        hosts=job.inventory().hosts if job.inventories else None,
        edges=None if asked.flows is None else read_edges(asked.flows),
        author=author_named(asked.author),
        approved_by=asked.approved_by,
        at=job.moment(),
        facts=job.facts,
    )
    after = AtRevision(asked.after, job.policy) if asked.after else job.policy
    try:
        made = run(AtRevision(asked.before, job.policy), after, request)
    except Rejected as error:
        if asked.out is not None:
            write_comment(asked.out, refused(error.findings, asked.full))
        raise
    text = made.markdown(asked.full)
    if asked.out is not None:
        write_comment(asked.out, text)
    return Answer(made.to_dict(), lambda: text, OK if made.ok else FINDINGS)


def revisions(job: Job, limit: int) -> Answer:
    from ..workflow.history import history
    from ..workflow.store import open_store

    store = open_store(job.store) if (job.store / "format").exists() else None  # looking makes no store
    found = history(store, job.policy, limit)
    return Answer(found.to_dict(), lambda: _revisions_screen(job, found))


def _revisions_screen(job: Job, found: History) -> str:
    screen = Screen()
    state = f"LIVE {found.live[:8]}" if found.live else "NOTHING PROVISIONED"
    screen.line(f"REVISIONS  {job.policy}  working tree {found.tree[:8] or 'cannot be read'}", state)
    screen.rows(
        (
            "live" if one.live else "",
            one.commit[:8],
            one.date[:16].replace("T", " "),
            one.policy[:8] or one.problem,
            one.author,
            one.subject,
        )
        for one in found.revisions
    )
    if found.provisioned:
        screen.line("PROVISIONED")
        screen.rows(
            (one.time[:16].replace("T", " "), f"plan {one.plan[:8]}", one.policy[:8], one.kind, one.outcome, one.by)
            for one in found.provisioned
        )
    if found.before:
        screen.line("  back to what was live before: ansible-playbook bulkhead.microseg.rollback, or")
        screen.next(job.command("plan", "--revision", found.before[:8]))
    else:
        screen.next(job.command("plan", "--revision", found.revisions[0].commit[:8]) if found.revisions else "git log")
    return screen.text()


__all__ = ["Asked", "owners", "review", "revisions"]
