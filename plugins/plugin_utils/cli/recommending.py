# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What `recommend` looks like on the command line; what it does is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .job import job_of
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

POLICY = Path("policy")


def recommend(
    flows: Annotated[
        Path, typer.Option("--flows", metavar="PATH", help="Observed flows: Parquet, JSON, or a directory of Parquet.")
    ],
    scope: Annotated[str, typer.Option("--scope", metavar="NAME", help="Only what belongs to this scope.")] = "",
    settings: Annotated[
        Path | None, typer.Option("--settings", metavar="FILE", help="Learning settings. [default: built in]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write the policy with its proposals there, and REVIEW.md."),
    ] = None,
    isolation: Annotated[
        Literal["application", "environment", "role"] | None,
        typer.Option("--isolation", help="How wide rules may be from the start; over that of the settings."),
    ] = None,
    tests: Annotated[
        bool, typer.Option("--tests", help="Also propose policy tests from approved traffic and guardrails.")
    ] = False,
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    at: AtOption = "",
    format: FormatOption = "table",
) -> None:
    """Propose rules from observed flows, with evidence, and say whether the observation is complete."""
    from ..workflow.recommend import Question
    from . import recommend_verb

    job = job_of(format, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy, at=at)
    question = Question(flows, scope, settings, isolation, tests)
    raise typer.Exit(job.run(lambda: recommend_verb.recommend(job, question, out)))
