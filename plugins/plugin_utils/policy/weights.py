# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Criticality: how much a workload weighs in both risks."""

from __future__ import annotations

from ..model.estate import Workload
from ..model.labels import Truth
from ..model.policy import Policy


def weight_of(policy: Policy, workload: Workload) -> float:
    """The greatest weight of the criticality rules that match on last known labels; 1 without any."""
    if not policy.settings.criticality:
        return 1.0
    return max(
        (rule.weight for rule in policy.settings.criticality if rule.match.matches(workload.labels, None) is Truth.YES),
        default=1.0,
    )
