# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""simulate: what a draft would have done to observed flows."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ..boundary.moments import bound
from ..model.errors import PolicyError
from .job import FINDINGS, OK, Answer, Job
from .screen import Screen, plural, shortened

#: Lines of one kind on a screen.
MOST = 12
HEADINGS = {
    "newly_blocked": "NEWLY BLOCKED",
    "newly_allowed": "NEWLY ALLOWED",
    "would_block": "BLOCKED IN FULL MODE, passes only because a side enforces nothing today",
    "escaped": "ESCAPED, got through and would have been denied",
    "misdropped": "MISDROPPED, was dropped and would have been allowed",
    "rejected": "REJECTED, was dropped and would have been denied",
    "unknown": "UNKNOWN",
}
LOUD = ("newly_blocked", "escaped", "misdropped")


def simulate(
    job: Job, draft: Path | None, flows: Path, since: str, until: str, revision: str, intent: bool, cached: bool
) -> Answer:
    from ..workflow.inputs import Inputs, load
    from ..workflow.revisions import AtRevision, read
    from ..workflow.simulate import FlowsAsked, simulate_draft, simulate_revision, simulate_staged

    if draft is not None and revision:
        raise PolicyError(
            "E-SIMULATE",
            "a draft and a revision are asked about at once.",
            hint="Name a draft directory, or give --revision.",
        )

    def zone() -> ZoneInfo:
        source = AtRevision(revision, job.policy) if revision else job.policy
        return ZoneInfo(read(source)[0].settings.timezone)

    low, high = bound(since, zone, end=False), bound(until, zone, end=True)
    asked = FlowsAsked(flows, low, high, job.store if cached else None)
    if asked.since is not None and asked.until is not None and asked.since >= asked.until:
        raise PolicyError("E-SIMULATE", f"--from {since} is not before --until {until}.", hint="Exchange them.")
    at = job.moment()
    hosts = job.inventory().hosts

    def today() -> Inputs:
        return load(job.policy, hosts, at, job.facts)

    if revision:
        report = simulate_revision(revision, job.policy, hosts, asked, at=at, intent=intent, facts=job.facts)
    elif draft is not None:
        report = simulate_draft(draft, today(), hosts, asked, intent=intent, facts=job.facts)
    else:
        report = simulate_staged(today(), asked, intent=intent)
    data = report.to_dict()

    def screen() -> str:
        return _screen(job, data, draft, revision)

    return Answer(data, screen, OK if report.ok else FINDINGS)


def _screen(job: Job, data: dict[str, Any], draft: Path | None, revision: str) -> str:
    screen = Screen()
    loud = sum(data["flows"].get(kind, 0) for kind in LOUD)
    words = "IN ORDER" if not loud else f"{plural(loud, 'flow')} {'otherwise' if revision else 'blocked'}".upper()
    screen.line(f"SIMULATE  {data['basis']}", words)
    screen.line(f"  {_coverage(data['coverage'])}")
    for kind, heading in HEADINGS.items():
        if data.get(kind):
            _lines(screen, heading, data[kind], data["flows"][kind], kind in LOUD)
    rest = {kind: data["flows"][kind] for kind in ("unchanged", "permitted") if kind in data["flows"]}
    screen.line(", ".join(f"{kind}: {plural(count, 'flow')}" for kind, count in rest.items()))
    for finding in data["findings"]:
        screen.line(f"{finding['code']}  {finding['file']}: {finding['message']} {finding['hint']}")
    screen.next(_next(job, data, draft))
    return screen.text()


def _coverage(coverage: dict[str, Any]) -> str:
    hosts = f"{coverage['reported']} of {plural(coverage['expected'], 'host')} reported"
    loss = f"loss {coverage['loss'] * 100:.2g} %" if coverage["loss"] else "no loss known"
    start, end = (coverage[key][:16].replace("T", " ") for key in ("start", "end"))
    return f"flows of {coverage['window']} ({start} to {end}), {hosts}, {loss}: no data is not no traffic"


def _lines(screen: Screen, heading: str, lines: list[dict[str, Any]], flows: int, loud: bool) -> None:
    screen.line(f"{heading}   {plural(flows, 'flow')} in {plural(len(lines), 'line')}")
    for one in lines[:MOST]:
        ends = f"{'!' if loud else ' '} {one['from']} -> {one['to']}"
        last = one["last_seen"][:16].replace("T", " ")
        counts = f"{plural(one['flows'], 'flow')}, {plural(one['pairs'], 'pair')}, last {last}"
        screen.line(f"{ends}  {one['service']}", counts)
        example = one["example"]
        said = f"      {example['from']} -> {example['to']}  {_why(one['decided'])}"
        screen.line(shortened(said, 100))
    screen.more(len(lines), MOST)


def _why(decided: dict[str, Any]) -> str:
    if "side" not in decided:
        return str(decided["reason"])
    if decided["decided_by"] == "rule":
        return f"{decided['side']}: {decided['action']} {decided['rule']} ({decided['file']}:{decided['line']})"
    if decided["decided_by"] == "mode":
        return f"{decided['side']}: mode {decided['mode']}, no rule matches"
    return f"{decided['side']}: {'failsafe' if decided['decided_by'] == 'failsafe' else 'not enforced'}"


def _next(job: Job, data: dict[str, Any], draft: Path | None) -> str:
    policy = () if draft is None else ("-p", str(draft))
    for kind in (*LOUD, "newly_allowed", "would_block"):
        if data.get(kind):
            example = data[kind][0]["example"]
            stage = ("--stage", "staged") if draft is None and kind in ("newly_blocked", "newly_allowed") else ()
            return job.command("explain", example["from"], example["to"], example["service"], *stage, *policy)
    return job.command("check", *policy)
