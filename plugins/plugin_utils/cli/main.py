# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The command line `microseg`. Here is what it looks like; what the verbs do is imported when one runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .authoring import grant, rules
from .job import Job, job_of
from .linting import lint
from .options import (
    AtOption,
    BundleOption,
    ExtraVarsOption,
    FactsOption,
    FlowsOption,
    FormatOption,
    InventoryOption,
    LiveOption,
    PolicyOption,
    ShrinkOption,
    StageOption,
    StoreOption,
    VaultIdOption,
    VaultPasswordFileOption,
)
from .recommending import recommend
from .review import owners, review, revisions

app = typer.Typer(
    name="microseg",
    help="Microsegmentation as code. Exit codes: 0 in order, 1 findings, 2 could not do the job.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(rules, name="rule")
app.command()(grant)
app.command()(lint)
app.command()(owners)
app.command()(review)
app.command()(revisions)
app.command()(recommend)
POLICY = Path("policy")
STORE = Path(".microseg")


@app.command()
def check(
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    at: AtOption = "",
    as_enforced: Annotated[
        bool, typer.Option("--as-enforced", help="Judge guardrails and tests by today's modes instead of intent.")
    ] = False,
    author: Annotated[
        str | None, typer.Option("--author", metavar="WHO", help="May WHO make this change? E-mail address or login.")
    ] = None,
    base: Annotated[
        str, typer.Option("--base", metavar="REV", help="The git revision before the change. [default: HEAD]")
    ] = "",
    format: FormatOption = "table",
) -> None:
    """Judge documents, estate, rules, guardrails and policy tests."""
    from . import policy_verbs

    job = job_of(format, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy, at=at)
    raise typer.Exit(job.run(lambda: policy_verbs.check(job, as_enforced, author, base)))


@app.command()
def reach(
    consumers: Annotated[
        str | None, typer.Option("--from", metavar="WHO", help="Only these consumers: a workload or a selector.")
    ] = None,
    providers: Annotated[
        str | None, typer.Option("--to", metavar="WHO", help="Only these providers: a workload or a selector.")
    ] = None,
    stage: StageOption = "active",
    with_failsafe: Annotated[
        bool, typer.Option("--with-failsafe", help="Count what only the failsafe allows.")
    ] = False,
    bundle: BundleOption = "",
    store: StoreOption = STORE,
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    at: AtOption = "",
    format: FormatOption = "table",
) -> None:
    """List which services every workload may use on every other one."""
    from . import bundle_verbs, policy_verbs

    if bundle:
        asked = Job(format=format, store=store, at=at)
        raise typer.Exit(asked.run(lambda: bundle_verbs.reach(asked, bundle, consumers, providers, with_failsafe)))
    job = job_of(format, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy, at=at)
    raise typer.Exit(job.run(lambda: policy_verbs.reach(job, consumers, providers, stage, with_failsafe)))


@app.command()
def explain(
    consumer: Annotated[str, typer.Argument(metavar="FROM", help="Workload or IP address.")],
    provider: Annotated[str, typer.Argument(metavar="TO", help="Workload, service address or IP address.")],
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="tcp/443, icmp/8, or a named service.")],
    stage: StageOption = "active",
    flows: FlowsOption = None,
    bundle: BundleOption = "",
    store: StoreOption = STORE,
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    at: AtOption = "",
    format: FormatOption = "table",
) -> None:
    """Say whether FROM may open SERVICE to TO, who decides, and what would allow it."""
    from . import bundle_verbs, explain_verb

    if bundle:
        asked = Job(format=format, store=store, at=at)
        raise typer.Exit(asked.run(lambda: bundle_verbs.explain(asked, bundle, consumer, provider, service)))
    job = job_of(format, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy, at=at)
    raise typer.Exit(job.run(lambda: explain_verb.explain(job, consumer, provider, service, stage, flows)))


@app.command()
def diff(
    before: Annotated[
        str, typer.Argument(metavar="A", help="Policy directory, git revision or bundle before the change.")
    ],
    after: Annotated[str, typer.Argument(metavar="B", help="Policy directory, git revision or bundle after it.")],
    stage: StageOption = "active",
    store: StoreOption = STORE,
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    at: AtOption = "",
    format: FormatOption = "table",
) -> None:
    """Say which packets two policies or revisions treat differently. Without -i over every label combination."""
    from . import policy_verbs

    job = job_of(format, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy, at=at, store=store)
    raise typer.Exit(job.run(lambda: policy_verbs.diff(job, before, after, stage)))


@app.command()
def simulate(
    flows: Annotated[
        Path, typer.Option("--flows", metavar="PATH", help="Observed flows: a Parquet or JSON file, or a history.")
    ],
    draft: Annotated[
        Path | None,
        typer.Argument(metavar="[DRAFT]", help="Policy directory to try. [default: the staged rulesets of -p]"),
    ] = None,
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Only flows seen from this moment or date on.")
    ] = "",
    until: Annotated[
        str, typer.Option("--until", metavar="TIME", help="Only flows seen before this moment or the end of this date.")
    ] = "",
    revision: Annotated[
        str, typer.Option("--revision", metavar="REV", help="What this git revision of -p says about the flows.")
    ] = "",
    intent: Annotated[bool, typer.Option("--intent", help="Judge as if every managed side were in full.")] = False,
    cached: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep sums of the flows in the store: the next run is faster.")
    ] = True,
    store: StoreOption = STORE,
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    at: AtOption = "",
    format: FormatOption = "table",
) -> None:
    """Say what a draft would have done to observed flows, each judged at its time."""
    from . import simulate_verb

    job = job_of(format, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy, at=at, store=store)
    raise typer.Exit(job.run(lambda: simulate_verb.simulate(job, draft, flows, since, until, revision, intent, cached)))


@app.command(name="compile")
def compile_(
    stage: StageOption = "active",
    allowed_shrink: ShrinkOption = None,
    store: StoreOption = STORE,
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    at: AtOption = "",
    format: FormatOption = "table",
) -> None:
    """Compile policy and inventory into a bundle in the store."""
    from . import store_verbs

    job = job_of(format, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy, at=at, store=store)
    raise typer.Exit(job.run(lambda: store_verbs.compile_(job, stage, allowed_shrink)))


@app.command()
def plan(
    digest: Annotated[
        str, typer.Argument(metavar="[DIGEST]", help="Show this plan of the store (or latest) instead of making one.")
    ] = "",
    live: LiveOption = None,
    target: Annotated[
        str, typer.Option("--target", metavar="GROUP", help="Group that may be touched. [default: all that were read]")
    ] = "",
    batches: Annotated[
        list[str] | None, typer.Option("--batch", metavar="SIZE", help="Size of a wave, as 5 or 10%; repeat it.")
    ] = None,
    controller_hosts: Annotated[
        list[str] | None,
        typer.Option("--controller-host", metavar="HOST", help="Touch this host although microseg runs on it."),
    ] = None,
    allowed_shrink: ShrinkOption = None,
    revision: Annotated[
        str,
        typer.Option("--revision", metavar="REV", help="Plan the policy of this git revision, as to go back to it."),
    ] = "",
    store: StoreOption = STORE,
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    at: AtOption = "",
    format: FormatOption = "table",
) -> None:
    """Say what a rollout would newly allow and deny, or show a plan. Live state is what was recorded."""
    from . import store_verbs

    job = job_of(format, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy, at=at, store=store)
    if digest:
        wanted = "" if digest == "latest" else digest
        raise typer.Exit(job.run(lambda: store_verbs.show_plan(job, wanted)))
    sizes, own = tuple(batches or ()), tuple(controller_hosts or ())
    raise typer.Exit(job.run(lambda: store_verbs.make_plan(job, live, target, sizes, own, allowed_shrink, revision)))


@app.command()
def drift(
    live: LiveOption = None,
    bundle: Annotated[
        str, typer.Option("--bundle", metavar="DIGEST", help="What is intended. [default: the provisioned bundle]")
    ] = "",
    store: StoreOption = STORE,
    at: AtOption = "",
    format: FormatOption = "table",
) -> None:
    """Say what differs between live state and what was provisioned. By meaning, and as recorded."""
    from . import drift_verb

    job = Job(format=format, store=store, at=at)
    raise typer.Exit(job.run(lambda: drift_verb.drift(job, live, bundle)))


@app.command()
def status(
    report: Annotated[
        Path | None,
        typer.Argument(metavar="[REPORT]", help="A report or a directory of them. [default: reports in the store]"),
    ] = None,
    store: StoreOption = STORE,
    format: FormatOption = "table",
) -> None:
    """Turn reports into an exit code. 0 in order, 1 findings, 2 could not be told."""
    from . import store_verbs

    job = Job(format=format, store=store)
    raise typer.Exit(job.run(lambda: store_verbs.status(job, report)))


@app.command()
def doctor(
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    format: FormatOption = "table",
) -> None:
    """Say what would stop the other verbs. Looks at the installation, the inventory and the policy."""
    from . import health

    job = job_of(format, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy)
    raise typer.Exit(job.run(lambda: health.doctor(job)))


@app.command()
def version(format: FormatOption = "table") -> None:
    """Print the version."""
    from . import health

    job = Job(format=format)
    raise typer.Exit(job.run(health.version))


def run() -> None:
    """The console script. Nothing but 0, 1, 2 and 130 comes out of it."""
    try:
        app(prog_name="microseg")
    except Exception as error:
        sys.exit(Job().fault(error))


if __name__ == "__main__":
    run()
