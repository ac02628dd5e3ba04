# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""explain and reach from a bundle of the store: what was compiled, without inventory and policy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..model.errors import PolicyError
from .job import Answer, Job
from .screen import Screen, plural


def explain(job: Job, bundle: str, consumer: str, provider: str, service: str) -> Answer:
    from ..workflow.from_bundle import explain_from_bundle

    at = job.moment() or datetime.now(UTC)
    data = explain_from_bundle(job.store, bundle, consumer, provider, service, at).to_dict()
    return Answer(data, lambda: _explain_screen(job, data))


def _explain_screen(job: Job, data: dict[str, Any]) -> str:
    screen = Screen()
    screen.line(f"EXPLAIN  {data['from']} -> {data['to']}  {data['service']}", data["verdict"].upper())
    screen.line(f"  as compiled in bundle {data['bundle'][:8]}")
    screen.rows(
        (side, data[key], data[side]["verdict"].upper(), _why(data[side]))
        for side, key in (("egress", "from"), ("ingress", "to"))
    )
    if data["verdict"] in ("mixed", "unknown") or len(data["pairs"]) > 1:
        screen.rows((f"{pair['from']} -> {pair['to']}", pair["verdict"], pair["reason"]) for pair in data["pairs"])
    if data["reason"]:
        screen.line(f"  {data['reason']}")
    screen.next(job.command("explain", data["from"], data["to"], data["service"]))
    return screen.text()


def _why(side: dict[str, Any]) -> str:
    if side["decided_by"] == "rule":
        return f"{side['tier']}: {side['action']} {side['rule']} ({side['scope']}/{side['ruleset']})"
    if side["decided_by"] == "mode":
        return f"mode {side['mode']}; no rule matches"
    if side["decided_by"] == "failsafe":
        return side["reason"] or "failsafe: no policy can close it"
    return "not enforced: idle, visibility, unmanaged or no enforcement point"


def reach(job: Job, bundle: str, consumer: str | None, provider: str | None, with_failsafe: bool) -> Answer:
    """Raises PolicyError (E-TARGET) without a consumer: all pairs are asked with policy and inventory."""
    from ..workflow.from_bundle import reach_from_bundle

    if consumer is None:
        raise PolicyError("E-TARGET", "A bundle is asked about one consumer.", hint="Give --from and a workload.")
    at = job.moment() or datetime.now(UTC)
    data = reach_from_bundle(job.store, bundle, consumer, provider, at, with_failsafe=with_failsafe).to_dict()
    return Answer(data, lambda: _reach_screen(job, data))


def _reach_screen(job: Job, data: dict[str, Any]) -> str:
    screen = Screen()
    opened = [pair for pair in data["pairs"] if pair["allowed"]]
    closed = len(data["pairs"]) - len(opened)
    screen.line(f"REACH  bundle {data['bundle'][:8]}  {plural(len(data['pairs']), 'pair')}, {closed:,} of them closed")
    screen.rows((f"{pair['from']} -> {pair['to']}", pair["family"], " ".join(pair["allowed"])) for pair in opened)
    screen.next(job.command("reach"))
    return screen.text()
