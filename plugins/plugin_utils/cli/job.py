# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One run of the command line: its options, its way out, and nothing of what it does.

Exit codes: 0 in order, 1 findings, 2 could not do the job (whatever the reason), 130 interrupted.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..boundary.moments import moment
from ..model.errors import Finding, MicrosegError, Rejected
from ..model.redact import redact
from .screen import visible

if TYPE_CHECKING:
    from ..boundary.inventory import Inventory
    from ..workflow.inputs import Inputs

OK, FINDINGS, UNABLE, INTERRUPTED = 0, 1, 2, 130
TRACEBACK = "MICROSEG_TRACEBACK"
#: Lines of errors on a terminal; JSON has all of them.
SHOWN = 50


@dataclass(frozen=True)
class Answer:
    """What a verb found: data for machines, a screen for people (written only when asked for), an exit code."""

    data: dict[str, Any]
    screen: Callable[[], str]
    code: int = OK


@dataclass(frozen=True)
class Job:
    """Options that verbs share. Not every verb has every option."""

    format: Literal["table", "json"] = "table"
    inventories: tuple[str, ...] = ()
    extra_vars: tuple[str, ...] = ()
    vault_ids: tuple[str, ...] = ()
    vault_password_files: tuple[str, ...] = ()
    facts: tuple[Path, ...] = ()
    policy: Path = Path("policy")
    store: Path = Path(".microseg")
    at: str = ""

    def inventory(self) -> Inventory:
        from ..boundary.sources import Sources, open_inventory

        return open_inventory(Sources(self.inventories, self.extra_vars, self.vault_ids, self.vault_password_files))

    def inputs(self) -> Inputs:
        """Policy and estate. Raises MicrosegError; rule findings are in the result."""
        moment(self.at)
        return self.inputs_of(self.inventory())

    def inputs_of(self, inventory: Inventory) -> Inputs:
        """The same with an inventory that was opened before."""
        from ..workflow.inputs import load

        return load(self.policy, inventory.hosts, self.moment(), self.facts)

    def moment(self) -> datetime | None:
        """`--at`; None means now. Raises PolicyError (E-TIME)."""
        return moment(self.at)

    def command(self, *words: str, inventory: bool = True) -> str:
        """A command line for the "Next" line of a screen, with the sources of this run."""
        options = []
        if inventory:
            options += [word for source in self.inventories for word in ("-i", source)]
            options += [word for given in self.extra_vars for word in ("-e", redact(given))]
            options += [word for path in self.facts for word in ("--facts", str(path))]
        if self.policy != Path("policy") and "-p" not in words:
            options += ["-p", str(self.policy)]
        return shlex.join(["microseg", *words, *options])

    def run(self, verb: Callable[[], Answer]) -> int:
        """Do it, print it, and say how it went. Only the answer goes to stdout."""
        try:
            answer = verb()
            text = json.dumps(answer.data, indent=2) if self.format == "json" else _screen_text(answer)
        except KeyboardInterrupt:
            print("microseg: interrupted", file=sys.stderr)
            return INTERRUPTED
        except MicrosegError as error:
            return self._unable(errors_of(error))
        except (Exception, SystemExit) as error:
            return self.fault(error)
        _print(text)
        return answer.code

    def fault(self, error: BaseException) -> int:
        """What nobody foresaw: one line, or with MICROSEG_TRACEBACK=1 all of it."""
        if os.environ.get(TRACEBACK):
            traceback.print_exception(error)
        return self._unable((_internal(error),))

    def _unable(self, findings: tuple[Finding, ...]) -> int:
        for finding in findings[:SHOWN]:
            print(line_of(finding), file=sys.stderr)
        if len(findings) > SHOWN:
            print(f"and {len(findings) - SHOWN} more; --format json has all of them", file=sys.stderr)
        if self.format == "json":
            _print(json.dumps({"outcome": "unable", "findings": [item.to_dict() for item in findings]}, indent=2))
        return UNABLE


def job_of(
    format: Literal["table", "json"],
    inventory: list[str] | None,
    extra_vars: list[str] | None,
    vault_id: list[str] | None,
    vault_password_file: list[str] | None,
    facts: list[Path] | None,
    **options: Any,
) -> Job:
    """From the options of a verb that takes an inventory, as typer hands them over."""
    return Job(
        format=format,
        inventories=tuple(inventory or ()),
        extra_vars=tuple(extra_vars or ()),
        vault_ids=tuple(vault_id or ()),
        vault_password_files=tuple(vault_password_file or ()),
        facts=tuple(facts or ()),
        **options,
    )


def errors_of(error: MicrosegError) -> tuple[Finding, ...]:
    if isinstance(error, Rejected):
        return tuple(finding for finding in error.findings if finding.severity == "error")
    return (Finding(error.code, "error", error.message, error.where, error.hint),)


def line_of(finding: Finding) -> str:
    """`CODE  file:line: message hint`"""
    return visible(str(MicrosegError(finding.code, finding.message, finding.where, finding.hint)))


def _screen_text(answer: Answer) -> str:
    return "\n".join(visible(line) for line in answer.screen().rstrip("\n").split("\n"))


def _internal(error: BaseException) -> Finding:
    said = " ".join(str(error).split())[:200]
    trace, where = error.__traceback__, ""
    while trace is not None:
        where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return Finding(
        "E-INTERNAL",
        "error",
        f"{type(error).__name__} at {where}: {said}.",
        hint=f"This is a fault of microseg. See all of it with {TRACEBACK}=1 in the environment.",
    )


def _print(text: str) -> None:
    """A reader that has seen enough (head, a closed pager) is no failure."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
