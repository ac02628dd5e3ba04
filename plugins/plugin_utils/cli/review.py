# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The verbs of the way a change takes through Git: owners, review and revisions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .job import Job, job_of
from .options import (
    AtOption,
    ExtraVarsOption,
    FactsOption,
    FormatOption,
    InventoryOption,
    PolicyOption,
    StoreOption,
    VaultIdOption,
    VaultPasswordFileOption,
)

POLICY = Path("policy")
STORE = Path(".microseg")


def owners(
    write: Annotated[
        Path | None, typer.Option("--write", metavar="FILE", help="Write the lines into this CODEOWNERS file.")
    ] = None,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="Say whether this CODEOWNERS file is up to date.")
    ] = None,
    policy: PolicyOption = POLICY,
    format: FormatOption = "table",
) -> None:
    """Say who owns which policy file, as CODEOWNERS. Lines outside the block of microseg stay as they are."""
    from . import review_verbs

    job = Job(format=format, policy=policy)
    raise typer.Exit(job.run(lambda: review_verbs.owners(job, write, check)))


def review(
    before: Annotated[str, typer.Argument(metavar="BASE", help="The git revision before the change.")],
    after: Annotated[
        str, typer.Argument(metavar="[HEAD]", help="The git revision after it. [default: the working tree]")
    ] = "",
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    flows: Annotated[
        Path | None, typer.Option("--flows", metavar="FILE", help="Observed flows (docs/flow-format.md).")
    ] = None,
    author: Annotated[
        str | None, typer.Option("--author", metavar="WHO", help="May WHO make this change? E-mail address or login.")
    ] = None,
    approved_by: Annotated[
        list[str] | None,
        typer.Option("--approved-by", metavar="WHO", help="WHO approved it; what is missing is an error. Repeat it."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the comment for a pull request, as Markdown.")
    ] = None,
    full: Annotated[
        str, typer.Option("--full", metavar="WHERE", help="Where the whole review is, said where it was shortened.")
    ] = "",
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    at: AtOption = "",
    format: FormatOption = "table",
) -> None:
    """Say what a change does to packets, risks, tests, and who must approve it. For a pull request."""
    from . import review_verbs

    job = job_of(format, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy, at=at)
    asked = review_verbs.Asked(
        before, after, flows, author, None if approved_by is None else tuple(approved_by), out, full
    )
    raise typer.Exit(job.run(lambda: review_verbs.review(job, asked)))


def revisions(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, metavar="N", help="So many git revisions.")] = 10,
    policy: PolicyOption = POLICY,
    store: StoreOption = STORE,
    format: FormatOption = "table",
) -> None:
    """Say which revision of the policy is live, what was provisioned when and by whom, and how to go back."""
    from . import review_verbs

    job = Job(format=format, policy=policy, store=store)
    raise typer.Exit(job.run(lambda: review_verbs.revisions(job, limit)))


__all__ = ["owners", "review", "revisions"]
