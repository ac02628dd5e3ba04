# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""reach: the services every workload may use on every other one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from ..model import selectors
from ..model.errors import PolicyError
from ..model.estate import Workload
from ..model.labels import Truth
from ..policy.compile import Stage
from ..policy.decide import Decider
from ..policy.reach import PairReach, Reach
from .inputs import Inputs


@dataclass(frozen=True)
class ReachReport:
    pairs: tuple[PairReach, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"pairs": [pair.to_dict() for pair in self.pairs]}


def reach(
    inputs: Inputs,
    *,
    consumers: str | None = None,
    providers: str | None = None,
    stage: Stage = "active",
    with_failsafe: bool = False,
) -> ReachReport:
    """`consumers` and `providers`: a selector, or the name of one workload.

    Raises Rejected for a policy in error, PolicyError (E-LABEL-KEY, E-SELECTOR) for a selector that cannot match.
    """
    inputs.usable()
    decider = Decider(inputs.compiled(stage), inputs.at, failsafe=with_failsafe)
    answers = Reach(decider)
    return ReachReport(tuple(answers.pairs(_chooser(inputs, consumers), _chooser(inputs, providers))))


def _chooser(inputs: Inputs, text: str | None) -> Callable[[Workload], bool]:
    if text is None:
        return lambda _workload: True
    if text in inputs.estate.workloads:
        return lambda workload: workload.name == text
    selector = selectors.parse(text)
    known = set(inputs.policy.settings.labels).union(*(item.labels for item in inputs.estate.workloads.values()))
    for key in sorted(selector.keys - known):
        near = get_close_matches(key, [*inputs.estate.workloads, *sorted(known)], n=1)
        raise PolicyError(
            "E-LABEL-KEY",
            f"{text!r}: {key} is neither a workload nor a label key, so nothing would be listed.",
            hint=f"Did you mean {near[0]}?" if near else "Name a workload, or a selector such as role=web.",
        )
    return lambda workload: selector.matches(workload.labels, inputs.at) is Truth.YES
