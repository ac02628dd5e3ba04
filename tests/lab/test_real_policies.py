# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Random policies on real hosts: every connection that was tried went as reach says.

Six namespaces with the kernel's nftables; every ordered pair, both families, TCP (a reset counts as allowed), UDP with
an echo and ICMP. The failsafe is included on both sides.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host.payload import Policy
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.transaction import REMOVE, replace
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.render import render
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import contains
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.compile import compile_bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.reach import reach
from extensions.lab.lab import Cell, Lab

from ..semantics.fixtures import NOW, inputs_of
from ..support.policies import random_world

pytestmark = [pytest.mark.lab, pytest.mark.kernel]
HOSTS = 6
TCP = [22, 443, 1023, 1024, 5430, 5432, 5985]
UDP = [49, 53, 60]
ICMP = {4: "icmp", 6: "icmpv6"}
SAMPLE = 5
FULL = max(1, int(20 * float(os.environ.get("MICROSEG_PROOF_FRACTION", "1"))))


@pytest.fixture(scope="module")
def lab(make_lab) -> Lab:
    hosts = [
        {
            "name": f"w{index}",
            "ipv4": [f"10.0.0.{index}"],
            "ipv6": [f"2001:db8::{index}"],
            "listeners": [f"udp/{port}" for port in UDP] + ["tcp/443", "tcp/5432"],
        }
        for index in range(1, HOSTS + 1)
    ]
    return make_lab({"hosts": hosts})


def provision(lab: Lab, seed: int):
    world = random_world(seed, hosts=HOSTS, kernel=True)
    inputs = inputs_of(world.documents, world.hosts)
    bundle = compile_bundle(inputs)
    for point in bundle.points:
        artifact = bundle.artifact(point)
        if artifact.idle:
            lab.nft(point, REMOVE)
            continue
        policy = Policy.parse(dict(render(artifact, artifact.policy_digest(), datetime.now(UTC)).payload))
        lab.nft(point, replace(policy, policy.members, trusted=True))
    return inputs


def cells_of(lab: Lab, inputs):
    expected: dict[Cell, bool] = {}
    for pair in reach(inputs, with_failsafe=True).pairs:
        services = [f"tcp/{port}" for port in TCP] + [f"udp/{port}" for port in UDP] + [ICMP[pair.family]]
        address = str(inputs.estate.workloads[pair.provider].of_family(pair.family)[0])
        for service in services:
            point = line.parse(f"{service}/{8 if pair.family == 4 else 128}.0" if "icmp" in service else service)[0][0]
            expected[Cell(pair.consumer, address, service)] = contains(pair.allowed, point)
    return expected


def prove(lab: Lab, seed: int) -> int:
    inputs = provision(lab, seed)
    assert not inputs.errors
    expected = cells_of(lab, inputs)
    seen = lab.matrix(expected)
    wrong = {cell: word for cell, word in seen.items() if (word == "allowed") != expected[cell]}
    assert not wrong, (
        f"seed {seed}: {len(wrong)} of {len(expected)} cells differ, for example {next(iter(wrong.items()))}"
    )
    assert inputs.at == NOW
    return len(expected)


@pytest.mark.parametrize("seed", range(SAMPLE))
def test_every_real_packet_goes_as_reach_says(lab: Lab, seed: int) -> None:
    assert prove(lab, 500 + seed) == HOSTS * (HOSTS - 1) * 2 * (len(TCP) + len(UDP) + 1)


@pytest.mark.proof
def test_twenty_random_policies_with_real_packets(lab: Lab) -> None:
    cells = sum(prove(lab, 600 + seed) for seed in range(FULL))
    print(f"\n{FULL} random policies on {HOSTS} hosts (from seed 600): {cells:,} of {cells:,} cells as reach says")
