# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""explain: one connection, who decides it, and what a person asks next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .job import Answer, Job
from .screen import Screen

if TYPE_CHECKING:
    from .options import Stage


def explain(job: Job, consumer: str, provider: str, service: str, stage: Stage, flows: Path | None) -> Answer:
    from ..workflow.explain import explain_fully

    report = explain_fully(job.inputs(), consumer, provider, service, stage=stage, directory=job.policy, flows=flows)
    data = report.to_dict()
    return Answer(data, lambda: _screen(job, data))


def _screen(job: Job, data: dict[str, Any]) -> str:
    screen = Screen()
    pairs = data["pairs"]
    ends = f"{_end(data['from'], pairs, 'from')} -> {_end(data['to'], pairs, 'to')}"
    screen.line(f"EXPLAIN  {ends}  {data['service']}", data["verdict"].upper())
    screen.rows(
        (side, data[key], data[side]["verdict"].upper(), _why(data[side], data["times"].get(side, "")))
        for side, key in (("egress", "from"), ("ingress", "to"))
    )
    for side in ("egress", "ingress"):
        for rule in data["rules"][side]:
            if not rule["decides"]:
                name = rule["rule"].partition("@")[0]
                screen.line(f"    {side} overruled: {rule['tier']}: {rule['action']} {name} ({rule['place']})")
    for miss in data["near_misses"]:
        name = miss["rule"].partition("@")[0]
        screen.line(f"    does not count: {miss['tier']}: {miss['action']} {name} ({miss['place']}): {miss['why']}")
    if data["verdict"] in ("mixed", "unknown") or len(pairs) > 1:
        screen.rows(
            (f"{pair['from']} -> {pair['to']}", pair["member"], pair["verdict"], pair["reason"]) for pair in pairs
        )
    if data["reason"]:
        screen.line(f"  {data['reason']}")
    if data["shared_with"]:
        users = ", ".join(data["shared_with"][:5]) + (" and others" if len(data["shared_with"]) > 5 else "")
        screen.line(f"  widened: also holds for {users}, logged in on {data['from']} too")
    _background(screen, data)
    screen.next(_after(job, data))
    return screen.text()


def _background(screen: Screen, data: dict[str, Any]) -> None:
    one_sided = "     one-sided: an end enforces nothing" if data["one_sided"] else ""
    by = [rule.partition("@")[0] for rule in data["with_staged_by"] if rule]
    staged = data["with_staged"]
    if staged != data["verdict"] and by:
        staged += f" by {' and '.join(dict.fromkeys(by))}"
    selective = _together(data["modes"], "selective")
    inside = f"  in selective: {selective}" if selective else ""
    screen.line(f"{inside}  in full: {data['would']}  with staged: {staged}{one_sided}")
    for point in data["points"]:
        screen.line(f"  {point['side']} at {point['point']} ({point['platform']}, {point['writer']}, {point['mode']})")
    for side, one in data["blame"].items():
        said = f"{one['commit'][:10]} {one['date'][:10]} {one['author']}: {one['subject']}" if one else "not committed"
        screen.line(f"  {side} rule written by {said}")
    seen = data["seen"]
    if seen is not None:
        rest = f"{seen['window'][0]} to {seen['window'][1]}, coverage {seen['coverage']:.0%}, loss {seen['loss']:.1%}"
        last = f", last {seen['last_seen']}" if seen["last_seen"] else ""
        screen.line(f"  seen: {seen['flows']:,} flows, {seen['dropped']:,} dropped{last} ({rest})")


def _together(modes: dict[str, dict[str, dict[str, Any]]], mode: str) -> str:
    """End to end, were both sides in that mode; sides that are not ours allow."""
    answers = [said[mode]["verdict"] for said in modes.values() if said]
    return "" if not answers else "denied" if "denied" in answers else "allowed"


def _end(name: str, pairs: list[dict[str, Any]], key: str) -> str:
    addresses = {pair[key] for pair in pairs}
    return f"{name} {addresses.pop()}" if len(addresses) == 1 and name not in addresses else name


def _why(side: dict[str, Any], time: str) -> str:
    decided = side["decided_by"]
    place = f" ({side['file']}:{side['line']})" if side["file"] else ""
    if decided == "rule":
        said = f"{side['tier']}: {side['action']} {side['rule']}{place}{f', {time}' if time else ''}"
    elif decided == "mode":
        said = f"mode {side['mode']}; no rule matches"
    elif decided == "failsafe":
        said = "failsafe: no policy can close it"
    else:
        said = "not enforced: idle, visibility, unmanaged or no enforcement point"
    return f"{said}; {side['reason']}" if side["reason"] else said


def _after(job: Job, data: dict[str, Any]) -> str:
    suggestion = data["suggestion"]
    if suggestion is not None and any(miss["comes_back"] and miss["action"] == "allow" for miss in data["near_misses"]):
        # A rule without its conditions would undo them for good; what cannot wait is a grant.
        lasting = ["--scope", suggestion["scope"], "--for", "PT1H", "--owner", "WHO", "--reason", "WHY"]
        return job.command("grant", suggestion["rule"], *lasting)
    if suggestion is not None:
        where = ["--scope", suggestion["scope"]]
        where += (
            ["--ruleset", suggestion["ruleset"]]
            if suggestion["ruleset"]
            else ["--ruleset", suggestion["new_ruleset"], "--stage", "active"]
        )
        return job.command("rule", "add", suggestion["rule"], *where)
    forbidden = data["forbidden_by"]
    if forbidden is not None:
        place = f"{forbidden['file']}:{forbidden['line']}"
        return f"read guardrail {forbidden['id']} in {place}: while it stands, no rule may allow this"
    if data["verdict"] == "denied":
        for side in ("ingress", "egress"):
            decided = data[side]
            if decided["verdict"] == "denied" and decided["file"]:
                return f"read {decided['rule']} in {decided['file']}:{decided['line']}, then: {job.command('check')}"
        return f"write a rule for {data['service']} into a scope of {data['to']}, then: {job.command('check')}"
    return job.command("reach", "--to", data["to"])
