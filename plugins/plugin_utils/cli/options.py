# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Options of the command line, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Stage = Literal["active", "staged"]
Format = Literal["table", "json"]

InventoryOption = Annotated[
    list[str] | None,
    typer.Option("--inventory", "-i", metavar="SOURCE", help="Inventory as for ansible-playbook; may be repeated."),
]
ExtraVarsOption = Annotated[
    list[str] | None,
    typer.Option("--extra-vars", "-e", metavar="VARS", help="key=value, YAML/JSON or @FILE, as for ansible-playbook."),
]
VaultIdOption = Annotated[
    list[str] | None, typer.Option("--vault-id", metavar="ID", help="Vault identity, as for ansible-playbook.")
]
VaultPasswordFileOption = Annotated[
    list[str] | None,
    typer.Option("--vault-password-file", metavar="FILE", help="Vault password file; may be repeated."),
]
FactsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--facts", metavar="FILE", help="File of facts: posture, groups and sessions of users; may be repeated."
    ),
]
PolicyOption = Annotated[Path, typer.Option("--policy", "-p", metavar="DIR", help="Directory of policy documents.")]
StoreOption = Annotated[
    Path, typer.Option("--store", metavar="DIR", help="Directory that keeps bundles, plans and readings.")
]
AtOption = Annotated[
    str, typer.Option("--at", metavar="TIME", help="Answer for this moment (ISO 8601 with zone). [default: now]")
]
FormatOption = Annotated[Format, typer.Option("--format", help="table for people, json for programs.")]
StageOption = Annotated[Stage, typer.Option("--stage", help="staged adds the staged rulesets to the active ones.")]
BundleOption = Annotated[
    str,
    typer.Option(
        "--bundle",
        metavar="DIGEST",
        help="Answer from this bundle of the store (or provisioned), as compiled; no inventory and policy are read.",
    ),
]
LiveOption = Annotated[
    Path | None,
    typer.Option("--live", metavar="FILE", help="Recorded live state. [default: the last reading of the store]"),
]
ShrinkOption = Annotated[
    int | None,
    typer.Option("--allowed-shrink", metavar="N", help="N workloads vanished on purpose since the last rollout."),
]
FlowsOption = Annotated[
    Path | None,
    typer.Option("--flows", metavar="PATH", help="Observed flows: a Parquet or JSON file, or a directory of them."),
]
