# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Random artifacts through the kernel and back: what is read means what was compiled."""

from __future__ import annotations

import random

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host.payload import Policy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.read import read
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.render import render
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.compare import difference
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import of_artifact
from tests.conftest import Kernel, ProofSize
from tests.support.artifacts import AT, random_artifact
from tests.support.nft import listed, transaction

pytestmark = pytest.mark.kernel


def check(kernel: Kernel, seed: int) -> None:
    artifact = random_artifact(random.Random(seed))
    payload = render(artifact, artifact.policy_digest(), AT).payload
    Policy.parse(payload)

    listing = listed(kernel.prefix, transaction(payload))
    found = read(listing.own, listing.everything, artifact.own, AT)
    intended = of_artifact(artifact, AT)

    assert found.form is found.own_form, f"seed {seed}: nothing foreign was there"
    outcome = difference(intended, found.own_form)
    boxes = [box.to_dict() for box in (*outcome.wider, *outcome.narrower, *outcome.unknown)][:3]
    assert outcome.state == "equal", f"seed {seed}: {boxes} {found.own_form.reasons[:3]}"
    assert found.own_form.fingerprint() == intended.fingerprint(), f"seed {seed}"


@pytest.mark.parametrize("seed", range(60))
def test_what_the_kernel_lists_means_what_was_compiled(kernel: Kernel, seed: int) -> None:
    check(kernel, seed)


@pytest.mark.proof
def test_a_thousand_random_artifacts_survive_the_kernel(kernel: Kernel, proof_size: ProofSize) -> None:
    first = random.SystemRandom().randrange(10**9)
    for seed in range(first, first + proof_size(1000)):
        print(f"seed {seed}")
        check(kernel, seed)
