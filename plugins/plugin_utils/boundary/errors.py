# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Errors of the engine as errors of Ansible: code, place and hint stay readable, and there is no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ansible.errors import AnsibleActionFail, AnsibleError, AnsibleLookupError

from ..model.errors import MicrosegError, Rejected

#: A failed task shows at most this many errors; the others are in the report.
SHOWN = 50


@contextmanager
def action_errors() -> Iterator[None]:
    """MicrosegError becomes a failed task whose result has `code`, `hint` and `findings`."""
    try:
        yield
    except MicrosegError as error:
        raise AnsibleActionFail(str(error), result=failure(error)) from None


@contextmanager
def lookup_errors() -> Iterator[None]:
    """MicrosegError becomes a failed lookup with code and hint in the message."""
    try:
        yield
    except MicrosegError as error:
        raise AnsibleLookupError(str(error)) from None


def failure(error: MicrosegError) -> dict[str, object]:
    """The keys a failed task carries beside `msg`."""
    findings = error.findings if isinstance(error, Rejected) else ()
    return {
        "code": error.code,
        "hint": error.hint,
        "findings": [finding.to_dict() for finding in findings[:SHOWN]] or [error.to_dict()],
    }


def one_line(error: BaseException) -> str:
    """The message of an error of Ansible without its origin display and without line breaks."""
    text = str(error.message) if isinstance(error, AnsibleError) else str(error)
    return " ".join(text.split()) or type(error).__name__


def missing_options(when: str, options: str) -> AnsibleActionFail:
    """For options that are required only together with others, which the documentation cannot say."""
    return AnsibleActionFail(f"missing parameter(s) required by '{when}': {options}")
