# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""path: several explain questions in the words of policy tests, answered from one reading of the inputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ..model.errors import PolicyError
from ..policy.compile import Stage
from .explain import ExplainReport, explain
from .inputs import Inputs

_QUESTION = re.compile(r"^\s*(\S+)\s+->\s+(\S+)\s+(\S+)\s*$")


def path(questions: Iterable[str], inputs: Callable[[], Inputs], stage: Stage = "active") -> list[ExplainReport]:
    """`inputs` is called once the questions are understood. Raises PolicyError (E-QUESTION, E-TARGET, E-SERVICE)."""
    understood = [_parts(question) for question in questions]
    read = inputs()
    return [explain(read, *parts, stage=stage) for parts in understood]


def _parts(question: str) -> tuple[str, str, str]:
    """
    >>> _parts("web-1 -> db-1 tcp/5432")
    ('web-1', 'db-1', 'tcp/5432')
    """
    found = _QUESTION.match(question)
    if found is None:
        raise PolicyError("E-QUESTION", f"{question!r} is not a question.", hint="Write: web-1 -> db-1 tcp/5432")
    return found[1], found[2], found[3]
