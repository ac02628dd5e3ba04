# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""check, reach, diff: the verbs that need the policy and the inventory, and nothing live."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model.errors import MicrosegError, PolicyError
from .job import FINDINGS, OK, Answer, Job
from .screen import ROWS, Screen, plural, shortened

if TYPE_CHECKING:
    from ..model.bundle import Bundle
    from ..workflow.check import CheckReport
    from ..workflow.revisions import Source
    from .options import Stage


def author_named(author: str | None) -> str:
    """Empty where nobody is to be judged. Raises PolicyError (E-AUTHOR) where a name was to be given and got lost."""
    if author is not None and not author.strip().removeprefix("@"):
        raise PolicyError(
            "E-AUTHOR", "--author names nobody, so nobody would be judged.", hint="Give a login or an e-mail address."
        )
    return author or ""


def check(job: Job, as_enforced: bool, who: str | None, base: str) -> Answer:
    from ..workflow.check import check as run

    author = author_named(who)
    if base and not author:
        raise PolicyError(
            "E-AUTHOR", "--base says what a change is compared with, and nobody is to be judged.", hint="Give --author."
        )
    inputs = job.inputs()
    report = run(inputs, as_enforced)
    if author:
        from ..workflow.permissions import author_findings
        from ..workflow.revisions import AtRevision

        judged = author_findings(AtRevision(base or "HEAD", job.policy), inputs.policy, author)
        report = replace(report, findings=(*report.findings, *judged))
    return Answer(report.to_dict(), lambda: _check_screen(job, report), OK if report.ok else FINDINGS)


def _check_screen(job: Job, report: CheckReport) -> str:
    screen = Screen()
    severities = Counter(finding.severity for finding in report.findings)
    screen.line(
        f"CHECK  {job.policy}  {plural(report.rules, 'rule')}  {plural(report.workloads, 'workload')}",
        "IN ORDER" if report.ok else plural(severities["error"], "error").upper(),
    )
    unjudged = "" if report.judged else "not judged: a rule is wrong"
    screen.rows(
        [
            ("guardrails", unjudged or _share([item.outcome == "holds" for item in report.guardrails], "hold")),
            ("tests", unjudged or _share([item.passes for item in report.tests], "pass")),
            ("findings", f"{plural(severities['error'], 'error')}, {plural(severities['warning'], 'warning')}"),
        ]
    )
    screen.findings(report.findings)
    if report.ok:
        screen.next(job.command("reach"))
    else:
        screen.next(f"correct the errors, then: {job.command('check')}")
    return screen.text()


def _share(results: list[bool], word: str) -> str:
    return f"{sum(results)} of {len(results)} {word}" if results else "none"


def reach(job: Job, consumers: str | None, providers: str | None, stage: Stage, with_failsafe: bool) -> Answer:
    from ..workflow.reach import reach as run

    report = run(job.inputs(), consumers=consumers, providers=providers, stage=stage, with_failsafe=with_failsafe)
    data = report.to_dict()
    return Answer(data, lambda: _reach_screen(job, data["pairs"], stage))


def _reach_screen(job: Job, pairs: list[dict[str, Any]], stage: str) -> str:
    screen = Screen()
    opened = [pair for pair in pairs if pair["allowed"] or pair["unknown"]]
    screen.line(f"REACH  {stage}  {plural(len(pairs), 'pair')}, {len(pairs) - len(opened):,} of them closed")
    if not pairs:
        screen.line("  no two workloads with an address match --from and --to")
    screen.rows(
        (
            f"{pair['from']} -> {pair['to']}",
            pair["family"],
            "one-sided" if pair["one_sided"] else "",
            _services(pair),
        )
        for pair in opened
    )
    if opened:
        first = opened[0]
        service = (first["allowed"] or first["unknown"])[0]
        service = "tcp/443" if service == "any" else service.split("-")[0]
        screen.next(job.command("explain", first["from"], first["to"], service))
    else:
        screen.next(job.command("check"))
    return screen.text()


def _services(pair: dict[str, Any]) -> str:
    unknown = f"  unknown: {' '.join(pair['unknown'])}" if pair["unknown"] else ""
    mixed = "  (differs by address)" if pair["by_address"] else ""
    return " ".join(pair["allowed"]) + unknown + mixed


def diff(job: Job, before: str, after: str, stage: Stage) -> Answer:
    """Two policies, each a directory or a git revision: with an inventory the packets of its workloads, without one
    those of every label combination. Two bundles: what was compiled."""
    from ..workflow.diff import bundle_named, diff_bundles
    from ..workflow.diff import diff as run
    from ..workflow.revisions import AtRevision, Source, is_revision
    from ..workflow.store import open_store

    moment = job.moment()
    store = open_store(job.store) if job.store.is_dir() else None

    def meaning(word: str) -> Source | Bundle:
        if Path(word).is_dir():
            return Path(word)
        bundle = bundle_named(store, word) if store is not None else None
        if bundle is not None:
            return bundle
        if is_revision(word, job.policy):
            return AtRevision(word, job.policy)
        raise _no_side(job, word)

    sides = {word: meaning(word) for word in (before, after)}
    # Beside a revision a word that is also one could be meant either way; alone it means what it always meant.
    if any(isinstance(side, AtRevision) for side in sides.values()):
        for word, side in sides.items():
            if not isinstance(side, AtRevision) and is_revision(word, job.policy):
                raise _ambiguous(word, isinstance(side, Path))
    old, new = sides[before], sides[after]
    if isinstance(old, Source) and isinstance(new, Source):
        hosts = job.inventory().hosts if job.inventories else None
        report = run(old, new, hosts, stage=stage, at=moment, facts=job.facts)
    else:
        first, second = (_bundle(job, side, stage) if isinstance(side, Source) else side for side in (old, new))
        report = diff_bundles(first, second, moment or datetime.now(UTC))
    data = report.to_dict()
    return Answer(data, lambda: _diff_screen(job, before, after, data))


def _no_side(job: Job, word: str) -> MicrosegError:
    """What is wrong with a word that is nothing: the revision where there is a repository to look in."""
    from ..workflow.git import Repository

    why = ""
    try:
        Repository(job.policy).commit(word)
    except PolicyError as error:
        why = error.hint if error.code == "E-REVISION" else f"As a revision it cannot be read: {error.message}"
    return PolicyError(
        "E-DIFF",
        f"{word!r} is neither a directory nor a bundle of {job.store} nor a git revision.",
        hint=why or "Name a policy directory, the beginning of a bundle digest, the word provisioned, or a revision.",
    )


def _ambiguous(word: str, directory: bool) -> PolicyError:
    what, way = ("a directory", f"./{word}") if directory else ("a bundle", "more of its digest")
    return PolicyError(
        "E-DIFF",
        f"{word!r} is {what} and a git revision.",
        hint=f"Write {way} for {what}, or refs/heads/{word} (refs/tags/{word}, the full hash) for the revision.",
    )


def _bundle(job: Job, source: Source, stage: Stage) -> Bundle:
    """A policy compiled for the inventory."""
    from ..workflow.compile import compile_bundle
    from ..workflow.inputs import load

    if not job.inventories:
        what = "a policy directory" if isinstance(source, Path) else "a git revision"
        raise PolicyError(
            "E-DIFF",
            f"{source} is {what} and the other side a bundle.",
            hint="Give -i, for which the policy is compiled.",
        )
    return compile_bundle(load(source, job.inventory().hosts, job.moment(), job.facts), stage)


def _diff_screen(job: Job, before: str, after: str, data: dict[str, Any]) -> str:
    screen = Screen()
    changes = len(data["newly_allowed"]) + len(data["newly_denied"])
    said = "NO CHANGE FOR PACKETS" if data["complete"] else "NO CHANGE FOUND"
    screen.line(f"DIFF  {before} -> {after}  judged by {data['basis']}", "" if changes else said)
    if not data["complete"]:
        screen.line("  more combinations of schedules than were compared; ask for other moments with --at")
    for key, heading in (("newly_denied", "NEWLY DENIED"), ("newly_allowed", "NEWLY ALLOWED")):
        if not data[key]:
            continue
        screen.line(f"{heading}   {plural(sum(box['pairs'] for box in data[key]), 'pair')}")
        for box in data[key][:ROWS]:
            witness = box["witness"]
            screen.line(
                f"  {box['from']} -> {box['to']}", f"{box['family']} {shortened(' '.join(box['services']), 40)}"
            )
            since = f"   from {box['since'][:16]} UTC" if box["since"] else ""
            screen.line(f"      {witness['from']} -> {witness['to']} {witness['service']}{since}")
        screen.more(len(data[key]))
    for key, word in (("workloads_only_before", "gone"), ("workloads_only_after", "new")):
        if data[key]:
            screen.line(f"{word} workloads: {shortened(', '.join(data[key]), 80)}")
    if Path(after).is_dir():
        screen.next(job.command("check", "-p", after))
    return screen.text()
