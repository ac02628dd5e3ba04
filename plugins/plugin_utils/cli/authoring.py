# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The verbs that edit policy files: rule add, rule remove, rule move, and grant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .job import Job, job_of
from .options import (
    AtOption,
    ExtraVarsOption,
    FactsOption,
    FormatOption,
    InventoryOption,
    PolicyOption,
    VaultIdOption,
    VaultPasswordFileOption,
)

if TYPE_CHECKING:
    from ..workflow.authoring import Desk, RuleEdit

POLICY = Path("policy")
rules = typer.Typer(no_args_is_help=True, help="Add, remove and move rules in the policy files.")

LineArgument = Annotated[
    str, typer.Argument(metavar="RULE", help='In short form: "allow role=web -> role=db : postgresql".')
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the rule.")]
ScopeOption = Annotated[
    str, typer.Option("--scope", metavar="SCOPE", help="Scope of the rule. [default: the only one]")
]
RulesetOption = Annotated[str, typer.Option("--ruleset", metavar="NAME", help="Its ruleset. [default: the only one]")]
NameOption = Annotated[str, typer.Option("--id", metavar="ID", help="[default: made from the rule]")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why the rule exists.")]
OwnerOption = Annotated[str, typer.Option("--owner", metavar="WHO", help="Who answers for it.")]
TicketOption = Annotated[str, typer.Option("--ticket", metavar="TICKET", help="Where it was decided.")]
LogOption = Annotated[bool, typer.Option("--log", help="Log what the rule decides.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the change and write nothing.")]


@rules.command(name="add")
def add(
    line: LineArgument,
    scope: ScopeOption = "",
    ruleset: RulesetOption = "",
    stage: Annotated[
        str, typer.Option("--stage", metavar="STAGE", help="Make the ruleset if it is not there, with this stage.")
    ] = "",
    id: NameOption = "",
    reason: ReasonOption = "",
    owner: OwnerOption = "",
    ticket: TicketOption = "",
    expires: Annotated[str, typer.Option("--expires", metavar="TIME", help="A date, or a moment with zone.")] = "",
    log: LogOption = False,
    dry_run: DryRunOption = False,
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    format: FormatOption = "table",
) -> None:
    """Add a rule at the end of a ruleset. With -i it is held against the estate before it is written."""

    def verb(desk: Desk) -> RuleEdit:
        from ..workflow import authoring

        said = authoring.Particulars(id, reason, owner, ticket, expires, log)
        return authoring.add(desk, line, said, scope, ruleset, authoring.stage_named(stage))

    _run(job_of(format, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy), dry_run, verb)


@rules.command(name="remove")
def remove(
    rule: Annotated[str, typer.Argument(metavar="[ID]", help="Id of the rule.")] = "",
    expired: Annotated[
        bool, typer.Option("--expired", help="Every rule whose end has passed, instead of one.")
    ] = False,
    scope: ScopeOption = "",
    dry_run: DryRunOption = False,
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    at: AtOption = "",
    format: FormatOption = "table",
) -> None:
    """Take a rule out, with the comments right above it."""
    if bool(rule) == expired:
        raise typer.BadParameter("name a rule, or say --expired")

    def verb(desk: Desk) -> RuleEdit:
        from ..workflow import authoring

        return authoring.remove_expired(desk, scope) if expired else authoring.remove(desk, rule, scope)

    _run(
        job_of(format, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy, at=at), dry_run, verb
    )


@rules.command(name="move")
def move(
    rule: IdArgument,
    ruleset: Annotated[str, typer.Option("--ruleset", metavar="NAME", help="Where it goes.")],
    scope: ScopeOption = "",
    to_scope: Annotated[str, typer.Option("--to-scope", metavar="SCOPE", help="[default: the scope it is in]")] = "",
    dry_run: DryRunOption = False,
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    format: FormatOption = "table",
) -> None:
    """Move a rule to another ruleset, as it is written."""

    def verb(desk: Desk) -> RuleEdit:
        from ..workflow import authoring

        return authoring.move(desk, rule, ruleset, scope, to_scope)

    _run(job_of(format, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy), dry_run, verb)


def grant(
    line: LineArgument,
    lasting: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, as PT4H, PT30M or P1D.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Or its end: a date, a moment with zone.")] = "",
    reason: ReasonOption = "",
    owner: OwnerOption = "",
    ticket: TicketOption = "",
    scope: ScopeOption = "",
    ruleset: Annotated[str, typer.Option("--ruleset", metavar="NAME", help="Made, active, if not there.")] = "grants",
    id: NameOption = "",
    log: LogOption = False,
    dry_run: DryRunOption = False,
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    at: AtOption = "",
    format: FormatOption = "table",
) -> None:
    """Write an allow rule that ends by itself, with its owner and reason."""

    def verb(desk: Desk) -> RuleEdit:
        from ..workflow import authoring

        said = authoring.Particulars(id, reason, owner, ticket, until, log)
        return authoring.grant(desk, line, said, lasting=lasting, scope=scope, ruleset=ruleset)

    _run(
        job_of(format, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy, at=at), dry_run, verb
    )


def _run(job: Job, dry_run: bool, verb: Callable[[Desk], RuleEdit]) -> None:
    from .authoring_verbs import change

    raise typer.Exit(job.run(lambda: change(job, dry_run, verb)))
