# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The verbs of the way a change takes through Git: owners."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .job import Job
from .options import FormatOption, PolicyOption

POLICY = Path("policy")


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


__all__ = ["owners"]
