# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""compile: policy and estate to the bundle."""

from __future__ import annotations

from ..model.bundle import Bundle
from ..model.errors import Rejected
from ..policy.ambiguity import ambiguous_addresses
from ..policy.bundling import make_bundle
from ..policy.compile import Stage
from ..policy.decide import Decider
from .inputs import Inputs


def compile_bundle(inputs: Inputs, stage: Stage = "active") -> Bundle:
    """Raises Rejected for a policy in error, and where an address of two workloads cannot be told apart."""
    inputs.usable()
    ambiguous = tuple(ambiguous_addresses(Decider(inputs.compiled(stage), inputs.at)))
    if any(finding.severity == "error" for finding in ambiguous):
        raise Rejected(ambiguous)
    return make_bundle(inputs.policy, inputs.compiled(stage))
