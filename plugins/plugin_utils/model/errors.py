# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One exception tree and one finding type for the whole engine.

A message says what is wrong, where, why it matters and what to do. Codes are stable and each has a page of
documentation (docs/errors.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a document something was said. `line` counts from 1; 0 means the whole file."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        if not self.file:
            return ""
        return f"{self.file}:{self.line}" if self.line else self.file


NOWHERE = Place()


class MicrosegError(Exception):
    """The job could not be done. Faces turn it into exit code 2 or a failed task."""

    def __init__(self, code: str, message: str, where: Place | str = NOWHERE, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where if isinstance(where, Place) else Place(where)
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if str(self.where) else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{self.code}  {place}{self.message}{hint}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": "error",
            "message": self.message,
            "file": self.where.file,
            "line": self.where.line,
            "hint": self.hint,
        }


class PolicyError(MicrosegError):
    """A policy document cannot be used."""


class EstateError(MicrosegError):
    """The estate (inventory, workloads, addresses, labels) cannot be used."""


class StoreError(MicrosegError):
    """Something in the store is missing, damaged, newer than we know, or was changed by somebody else."""


class FlowsError(MicrosegError):
    """Observed flows cannot be read, or do not say what a question needs."""


class PlanError(MicrosegError):
    """A plan cannot be made, or may not be applied."""


class EnforcementError(MicrosegError):
    """An enforcement point cannot be read, or cannot express what is asked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know, found while checking. Only `error` makes a policy unusable."""

    code: str
    severity: Severity
    message: str
    where: Place = NOWHERE
    hint: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "file": self.where.file,
            "line": self.where.line,
            "hint": self.hint,
        }


class Rejected(MicrosegError):
    """Several errors at once: documents were read to the end before giving up."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        errors = [finding for finding in findings if finding.severity == "error"]
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(first.code, first.message + more, first.where, first.hint)
        self.findings = findings
