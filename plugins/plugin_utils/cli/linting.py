# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The verb lint, as the command line shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .job import job_of
from .options import (
    AtOption,
    ExtraVarsOption,
    FactsOption,
    Format,
    InventoryOption,
    PolicyOption,
    VaultIdOption,
    VaultPasswordFileOption,
)

POLICY = Path("policy")


def lint(
    flows: Annotated[
        Path | None,
        typer.Option("--flows", metavar="FILE", help="Observed flows: also say which rules are too broad, or unused."),
    ] = None,
    fail_on: Annotated[
        Literal["error", "warning", "info"],
        typer.Option("--fail-on", metavar="SEVERITY", help="The most harmless severity that makes the exit code 1."),
    ] = "warning",
    ends_within: Annotated[
        int,
        typer.Option(
            "--ends-within", metavar="DAYS", min=0, max=36500, help="Say which rules end within so many days."
        ),
    ] = 30,
    inventory: InventoryOption = None,
    policy: PolicyOption = POLICY,
    extra_vars: ExtraVarsOption = None,
    vault_id: VaultIdOption = None,
    vault_password_file: VaultPasswordFileOption = None,
    facts: FactsOption = None,
    at: AtOption = "",
    format: Annotated[
        Literal["table", "json", "sarif", "junit"],
        typer.Option("--format", help="table for people, json for programs, sarif and junit for pipelines."),
    ] = "table",
) -> None:
    """Say what is questionable about a policy. Rules that decide nothing, conflicts, slips, ends."""
    from . import lint_verb

    plain: Format = "json" if format == "json" else "table"
    pipeline: Literal["", "sarif", "junit"] = "" if format == "table" or format == "json" else format
    job = job_of(plain, inventory, extra_vars, vault_id, vault_password_file, facts, policy=policy, at=at)
    raise typer.Exit(job.run(lambda: lint_verb.lint(job, flows, fail_on, ends_within, pipeline)))


__all__ = ["lint"]
