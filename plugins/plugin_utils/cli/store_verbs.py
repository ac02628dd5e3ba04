# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""compile, plan, status: the verbs that keep something in the store, or read it there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model.errors import StoreError
from .job import FINDINGS, OK, UNABLE, Answer, Job
from .options import Stage
from .recorded import recorded
from .screen import Screen, plural

if TYPE_CHECKING:
    from ..workflow.store import Plan

_OUTCOMES = {"ok": OK, "findings": FINDINGS, "unable": UNABLE}


def compile_(job: Job, stage: Stage, allowed_shrink: int | None) -> Answer:
    from ..workflow.keep import keep

    inputs = job.inputs()
    data = keep(inputs, job.store, stage, allowed_shrink).to_dict()
    data["findings"] = [finding.to_dict() for finding in inputs.findings]

    def screen() -> str:
        text = Screen()
        text.line(f"COMPILE  bundle {data['digest'][:8]}  policy {data['policy_digest'][:7]}")
        numbers = [("enforcement points", f"{data['points']:,}"), ("workloads", f"{data['workloads']:,}")]
        text.rows([*numbers, ("file", data["path"])])
        text.findings(inputs.findings)
        text.next(job.command("plan", "--store", str(job.store)))
        return text.text()

    return Answer(data, screen)


def show_plan(job: Job, digest: str) -> Answer:
    from ..workflow.store import load_plan, open_store

    return _plan_answer(job, load_plan(open_store(job.store), digest), "")


def make_plan(
    job: Job,
    live: Path | None,
    target: str,
    batches: tuple[str, ...],
    controller_hosts: tuple[str, ...],
    allowed_shrink: int | None,
    revision: str = "",
) -> Answer:
    """Plan on live state that was recorded: the last reading of the store, or a file.

    With a `revision` for the policy as it was then; who may provision the plan is what the policy says now.
    """
    from ..workflow.inputs import at_revision
    from ..workflow.plan import PlanRequest, plan
    from ..workflow.store import open_store

    store = open_store(job.store)
    read, answers = recorded(store, live)
    inventory = job.inventory()
    members = inventory.members(target) if target else inventory.names
    own = inventory.local(members)
    request = PlanRequest(
        answers=answers,
        rollout=inventory.workload_ids(members) if target else None,
        **({"batches": batches} if batches else {}),
        controller=inventory.workload_ids(own),
        controller_named_twice=own <= set(controller_hosts),
        allowed_shrink=allowed_shrink,
        record=False,
    )
    inputs = job.inputs_of(inventory)
    if revision:
        inputs = at_revision(inputs, revision, job.policy, inventory.hosts, job.facts)
    made = plan(inputs, store, request).plan
    return _plan_answer(job, made, f"live state of {read}\n")


def _plan_answer(job: Job, shown: Plan, note: str) -> Answer:
    from ..workflow.plan_summary import plan_screen

    sources = [word for source in job.inventories for word in ("-i", source)] or ["-i", "INVENTORY"]
    options = ["-e", f"microseg_plan={shown.digest[:8]}"]
    if job.store != Path(".microseg"):
        options += ["-e", f"microseg_store={job.store}"]
    enforce = " ".join(["ansible-playbook", *sources, "bulkhead.microseg.enforce", *options])
    cuts = any(sentence.cut for sentence in shown.evidence.statements)
    return Answer(shown.to_dict(), lambda: note + plan_screen(shown, enforce), FINDINGS if cuts else OK)


def status(job: Job, report: Path | None) -> Answer:
    """The outcome of a report, of a directory of reports, or of those that playbooks leave in the store."""
    place = report if report is not None else job.store / "reports"
    files = sorted(place.glob("*.json")) if place.is_dir() else [place]
    if not files or not files[0].exists():
        raise StoreError("E-NO-REPORT", "there is no report.", str(place), "Run bulkhead.microseg.drift or check.")
    reports = [{"report": str(file), **_report(file)} for file in files]
    worst = max(_OUTCOMES[one["outcome"]] for one in reports)
    data = {"outcome": ("ok", "findings", "unable")[worst], **_state(job.store), "reports": reports}

    def screen() -> str:
        text = Screen()
        text.line(f"STATUS  {plural(len(reports), 'report')}", str(data["outcome"]).upper())
        text.rows((one["report"], one["outcome"], _numbers(one["counts"])) for one in reports)
        plan, bundle = str(data["provisioned_plan"] or "none"), str(data["provisioned_bundle"] or "none")
        text.line(f"  provisioned: plan {plan[:8]}, bundle {bundle[:8]}")
        text.next(job.command("check") if worst == OK else "read the report, then run its playbook again")
        return text.text()

    return Answer(data, screen, worst)


def _report(file: Path) -> dict[str, Any]:
    """Raises StoreError (E-REPORT) for a file that is no report."""
    try:
        data = json.loads(file.read_text("utf-8"))
        outcome = data["outcome"]
        counts = data.get("counts") or {one["name"]: one["value"] for one in data.get("totals") or ()}
        if outcome not in _OUTCOMES:
            raise ValueError(f"the outcome {outcome!r} is unknown")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError("E-REPORT", f"this is no report: {type(error).__name__} {error}.", str(file)) from None
    return {"outcome": outcome, "counts": counts, "findings": len(data.get("findings") or ())}


def _numbers(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{number:g} {name}" for name, number in counts.items() if number)


def _state(store: Path) -> dict[str, Any]:
    """Reading a status makes no store."""
    from ..workflow.provision import status_of
    from ..workflow.store import open_store

    if not (store / "format").exists():
        return {"provisioned_bundle": None, "provisioned_plan": None, "latest_plan": None}
    return status_of(open_store(store))
