# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which inventory variables the expressions of label rules refer to, so that only these are evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import jmespath
import jmespath.exceptions

from ...model.errors import NOWHERE, Place, PolicyError
from ...model.policy import Policy

#: The right side of these works on what the left side gave, not on the variables.
_CHAINS = frozenset(
    {"subexpression", "pipe", "index_expression", "projection", "value_projection", "filter_projection"}
)
_SELF = ("current", "identity")


def label_variables(policy: Policy) -> frozenset[str]:
    """Names of the variables that `when` of any label rule refers to."""
    return frozenset(
        name for rule in policy.label_rules if rule.when for name in named_variables(rule.when, rule.place)
    )


@lru_cache(maxsize=1024)
def named_variables(expression: str, where: Place = NOWHERE) -> frozenset[str]:
    """Raises PolicyError (E-LABEL-RULE) for a bad expression, and for one that means all variables at once.

    >>> sorted(named_variables("tags.Environment == 'production' && contains(group_names, 'web')"))
    ['group_names', 'tags']
    """
    try:
        parsed: Mapping[str, Any] = jmespath.compile(expression).parsed
    except jmespath.exceptions.JMESPathError as error:
        raise PolicyError(
            "E-LABEL-RULE",
            f"{expression!r} is not a JMESPath expression: {str(error).splitlines()[0]}",
            where,
            "Write tags.Environment == 'production', with text in single quotes.",
        ) from None
    names: set[str] = set()
    for name in _roots(parsed):
        if name is None:
            raise PolicyError(
                "E-LABEL-RULE",
                f"{expression!r} means all variables of the host at once.",
                where,
                "Begin with the name of a variable: tags, not @ or *.",
            )
        names.add(name)
    return frozenset(names)


def _roots(node: Mapping[str, Any]) -> Iterator[str | None]:
    """Variables read from the top; None for the top itself."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        yield node["value"]
    elif kind in _SELF:
        yield None
    elif kind == "subexpression" and children[0]["type"] in _SELF:
        yield from _roots(children[1])
    elif kind in _CHAINS:
        yield from _roots(children[0])
    elif kind != "expref":
        for child in children:
            if isinstance(child, Mapping):
                yield from _roots(child)
