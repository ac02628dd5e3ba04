# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Screens: a plan and a drift report as plain text within 100 columns, ending with the next command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from ..orchestration.planfile import Plan, Sentence
from ..orchestration.sentences import short
from .drift import UNTRUSTED, DriftBox, DriftReport, PointDrift
from .plan_report import covered

WIDTH = 100
#: Statements and points shown; the rest is counted, the report files have all.
MOST = 20
_MARKS = {"wider": "!", "narrower": "-", "unknown": "?"}


def plan_screen(plan: Plan, enforce: str) -> str:
    """`enforce` is the command that applies the plan."""
    evidence, body = plan.evidence, plan.body
    moved = "".join(f" ({sign}{count:,})" for sign, count in (("+", evidence.gained), ("-", evidence.lost)) if count)
    lines = [
        f"PLAN {plan.digest[:8]}  kind {body.kind}  policy {body.policy[:7]}  estate {evidence.workloads:,}{moved}",
        f"  {'EPs':<16}{'change':>7}{'equal':>8}{'unknown':>9}{'writer':>8}",
    ]
    for platform, counts in evidence.counts.items():
        numbers = (counts["change"], counts["equal"], counts["unknown"], counts["writer"])
        lines.append(f"  {platform:<16}{numbers[0]:>7,}{numbers[1]:>8,}{numbers[2]:>9,}{numbers[3]:>8,}")
    flows = f"flows: {covered(evidence.observed)}"
    for verdict in ("denied", "allowed", "unknown"):
        some = [one for one in evidence.statements if one.verdict == verdict]
        if some:
            pairs = sum(one.pairs for one in some)
            head = f"NEWLY {verdict.upper()}" if verdict != "unknown" else "UNKNOWN"
            lines.append(_spread(f"{head}   {_pairs(pairs)}", flows if verdict == "denied" else ""))
            lines.extend(_statements(some))
    if plan.empty:
        lines.append("Nothing to change: what is live means what the policy says.")
    lines.append(f"RISK   security {evidence.security}    availability {evidence.availability}")
    lines.extend(_steps(plan))
    lines.extend(_later(plan))
    lines.extend(
        f"LATER  {one.moment}  {one.action} {short(one.rule)} {one.event} ({one.points} EPs)"
        f"{f', {one.recurs}' if one.recurs else ''}"
        for one in evidence.scheduled[:MOST]
    )
    for day in sorted(set(evidence.extended.values())):
        names = [name for name, until in evidence.extended.items() if until == day]
        lines.append(f"WINDOWS extended to {day} at {len(names):,}: {_some(names)}")
    if evidence.left_out:
        lines.append(f"LEFT   {len(evidence.left_out):,} not read: {_some(evidence.left_out)}")
    if evidence.others:
        lines.append(f"LEFT   {len(evidence.others):,} written by others: {_some(evidence.others)}")
    if evidence.foreign:
        lines.append(f"NOTE   rules of others also count at {len(evidence.foreign):,}: {_some(evidence.foreign)}")
    if not plan.empty:
        if any(one.cut for one in evidence.statements):
            lines.append("Next   fix the cut and plan again, or accept it:")
            lines.append(f"       {enforce}")
        else:
            lines.append(f"Next   {enforce}")
    return _screen(lines)


def _statements(some: list[Sentence]) -> Iterator[str]:
    ordered = sorted(some, key=lambda one: (not one.cut, -one.pairs))
    for one in ordered[:MOST]:
        ends = f"{'!' if one.cut else ' '} {one.consumers['words']} -> {one.providers['words']}"
        why = f"{one.place} {short(one.rule)}".strip() if one.verdict == "allowed" and one.rule else one.why
        cut = f"{one.flows:,} flows, last {_moment(one.last_seen)}   CUT" if one.cut else ""
        yield from _row(ends, one.traffic, cut or (why if one.verdict == "allowed" else _pairs(one.pairs)))
        if one.verdict != "allowed":
            yield from _row(f"    {one.witness}", "", one.why)
    if len(ordered) > MOST:
        yield f"  … and {len(ordered) - MOST:,} more; the report has all"


def _later(plan: Plan) -> Iterator[str]:
    """What the clock alone opens and closes: it is approved with the rest."""
    for one in plan.evidence.later[:MOST]:
        when = f"from {datetime.fromisoformat(one.moment):%Y-%m-%d %H:%MZ}, {one.when}"
        for verdict in ("denied", "allowed", "unknown"):
            some = [each for each in one.statements if each.verdict == verdict]
            if some:
                yield f"LATER {verdict.upper()}   {_pairs(sum(each.pairs for each in some))}   {when}"
                yield from _statements(some)
    if len(plan.evidence.later) > MOST:
        yield f"  … and {len(plan.evidence.later) - MOST:,} more moments; the report has all"
    if not plan.body.all_times:
        yield "LATER  more combinations of times than are compared: what the others open is not shown here"


def _steps(plan: Plan) -> Iterator[str]:
    if plan.empty:
        return
    counts = [
        sum(one.steps.of(phase) != "none" for one in plan.body.points.values()) for phase in ("phase-1", "phase-2")
    ]
    waves = "/".join(str(len(wave)) for wave in plan.evidence.waves)
    yield f"STEPS  phase 1: {counts[0]:,} EPs, phase 2: {counts[1]:,} (waves {waves})"


def drift_screen(report: DriftReport, repair: str) -> str:
    """`repair` is the command that puts the intended rules back."""
    totals = report.totals
    lines = [
        f"DRIFT  {report.outcome}  bundle {report.bundle[:8]}  policy {report.policy[:7]}  {report.at}",
        "  " + "   ".join(f"{state} {count:,}" for state, count in totals.items()),
    ]
    bad = [point for point in report.points if point.state != "equal" and point.cause != "unread"]
    order = {"wider": 0, "mixed": 1, "unknown": 2, "narrower": 3, "equal": 4}
    bad.sort(key=lambda point: (order[point.state], point.point))
    for point in bad[:MOST]:
        lines.extend(_point(point))
    if len(bad) > MOST:
        lines.append(f"  … and {len(bad) - MOST:,} more; the report has all")
    ending = [point for point in report.points if point.ending]
    if ending:
        day = min(point.windows_until for point in ending)
        lines.append(f"WINDOWS end at {day}, refresh by then: {_some(point.point for point in ending)}")
    lines.extend(f"? {point.point}  unknown: {point.error}{_since(point)}" for point in report.unread[:MOST])
    if len(report.unread) > MOST:
        lines.append(f"  … and {len(report.unread) - MOST:,} more that could not be read")
    if report.verdicts is not None:
        counts = "   ".join(f"{name} {count:,}" for name, count in report.verdicts.counts.items())
        lines.append(_spread(f"FLOWS  {counts}", covered(report.verdicts.observed)))
        lines.extend(
            f"! {one.verdict}  {one.text}  {one.count:,} times, last {_moment(one.last_seen)}"
            for one in report.verdicts.conversations[:MOST]
        )
    if not report.points:
        lines.append("Nobody was looked at, so nothing is known.")
    ours = any(not point.foreign or point.cause not in ("", "foreign") for point in bad if point.cause != "clock")
    if ours:
        lines.append(f"Next   {repair}")
    elif any(point.cause == "clock" for point in bad):
        lines.append("Next   let the hosts above synchronise their clocks; nothing is to be sent to them")
    elif bad:
        lines.append("Next   ask the owner of the foreign rules above; they are reported, never removed")
    elif report.unread:
        lines.append("Next   make the hosts above reachable and run drift again")
    elif report.outcome == "ok":
        lines.append("Next   nothing to do")
    elif ending:
        lines.append("Next   ansible-playbook bulkhead.microseg.plan, then enforce: that extends the windows")
    else:
        lines.append("Next   look at the flows above: microseg explain CONSUMER PROVIDER SERVICE")
    return _screen(lines)


def _point(point: PointDrift) -> Iterator[str]:
    mark = "!" if point.state in ("wider", "mixed") else "?" if point.state == "unknown" else "-"
    cause = f"  cause {point.cause}" if point.cause else ""
    foreign = "  foreign" if point.foreign and point.cause != "foreign" else ""
    then = f"  from {_moment(point.moment)}Z on" if point.moment else f"  {UNTRUSTED}" if point.untrusted else ""
    yield f"{mark} {point.point}  {point.state.upper()}{then}{cause}{foreign}{_since(point)}"
    if point.cause == "clock":
        yield "    its clock is not synchronised: timed rules are withheld until it is, and then heal by themselves"
    for box in point.boxes[:3]:
        yield from _box(box)
    if point.boxes_total > 3:
        yield f"    … and {point.boxes_total - 3} more boxes"
    for reason in point.reasons[:3]:
        yield f"    cannot judge: {reason}"


def _box(box: DriftBox) -> Iterator[str]:
    ends = f"{box.peers} -> {box.own}" if box.direction == "ingress" else f"{box.own} -> {box.peers}"
    yield from _row(f"  {_MARKS[box.kind]} {ends}", box.said, f"{box.kind}, {box.direction}")
    live = f"live: {box.live_rule}{' (foreign)' if box.foreign else ''}" if box.live_rule else ""
    yield f"      {box.witness}"
    yield f"      intended: {box.intended}{f' ({box.place})' if box.place else ''}"
    if live:
        yield f"      {live}"


def _since(point: PointDrift) -> str:
    return f"  since {_moment(point.since)}" if point.since else ""


def _row(left: str, middle: str, right: str) -> Iterator[str]:
    """Three columns where they fit; else what is said on the right goes to the next line."""
    text = f"{left:<38} {middle:<14}" if middle else left
    if not right:
        yield text.rstrip()
    elif len(text) + 2 + len(right) <= WIDTH:
        yield f"{text}  {right}"
    else:
        yield text.rstrip()
        yield f"      {right}"


def _spread(left: str, right: str) -> str:
    return f"{left}{right:>{max(WIDTH - len(left), len(right) + 2)}}" if right else left


def _pairs(count: int) -> str:
    return f"{count:,} pair" if count == 1 else f"{count:,} pairs"


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - 3:,} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M") if text else ""


def _screen(lines: Iterable[str]) -> str:
    return "\n".join(folded for line in lines for folded in _folded(line)) + "\n"


def _folded(line: str) -> Iterator[str]:
    """Break a long line at a space or a comma; the next command stays whole, so that it can be copied."""
    if line.startswith("Next") or len(line) <= WIDTH:
        yield line
        return
    indent = " " * min(len(line) - len(line.lstrip(" ")) + 4, 12)
    while len(line) > WIDTH:
        place = max(line.rfind(" ", len(indent) + 1, WIDTH), line.rfind(",", len(indent) + 1, WIDTH - 1) + 1)
        if place <= len(indent):
            place = WIDTH
        yield line[:place].rstrip()
        line = indent + line[place:].lstrip(" ")
    yield line
