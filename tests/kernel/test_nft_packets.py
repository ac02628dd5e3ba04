# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real packets past rendered tables: the only oracle that knows what nftables really does."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.render import render
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import FAMILIES, Family, show
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import Artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import DIRECTIONS, Direction
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import of_artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import contains
from tests.conftest import Kernel, ProofSize
from tests.support import packets
from tests.support.artifacts import START, random_artifact
from tests.support.nft import ENVIRONMENT, transaction

pytestmark = pytest.mark.kernel

Try = tuple[Direction, Family, int, int, int]
#: Extension headers of IPv6 and numbers that raw sockets treat specially.
UNSENDABLE = {4: {0, 255}, 6: {0, 43, 44, 50, 51, 59, 60, 135, 139, 140, 255}}


def services_of(artifact: Artifact, way: Direction, chance: random.Random) -> list[int]:
    """Service points where verdicts may change: both sides of every edge of every rule."""
    edges = {
        point
        for rule in artifact.of(way).rules
        for low, high in rule.services
        for point in (low, high, low - 1, high + 1)
    }
    edges |= {
        point for term in ("tcp/22", "udp/53", "icmp/8", "icmpv6/128", "proto/47") for point, _high in line.parse(term)
    }
    return chance.sample(sorted(edges), min(len(edges), 14))


def tries(artifact: Artifact, chance: random.Random) -> list[Try]:
    """Each pair of addresses and service once, in one direction only: conntrack remembers protocols without ports."""
    result: dict[tuple[Family, int, int, int], Try] = {}
    for way in DIRECTIONS:
        points = services_of(artifact, way, chance)
        for family in FAMILIES:
            mine = [number for low, high in artifact.own.get(family, ()) for number in range(low, high + 1)]
            others = [START[family] + index for index in range(40) if START[family] + index not in mine]
            for own in mine:
                for peer in chance.sample(others[1:], 5):
                    for point in points:
                        if contains(line.UNIVERSE[family], point) and _sendable(family, point):
                            result.setdefault((family, own, peer, point), (way, family, own, peer, point))
    every = list(result.values())
    return chance.sample(every, min(len(every), 300))


def _sendable(family: Family, point: int) -> bool:
    return line.protocol_of(point) != "proto" or point - line.PROTO_BASE not in UNSENDABLE[family]


def wire(one: Try) -> list[object]:
    way, family, own, peer, point = one
    protocol = line.protocol_of(point)
    if protocol == "proto":
        detail = (point - line.PROTO_BASE, 0, 0)
    else:
        offset = point - line.BASES[protocol]
        number = line.PROTOCOL_NUMBERS[protocol]
        detail = (number, *divmod(offset, 256)) if protocol in line.ICMP_PROTOCOLS else (number, 0, offset)
    return [way, show(family, own), show(family, peer), *detail]


def check(kernel: Kernel, seed: int) -> int:
    chance = random.Random(seed)
    now = datetime.now(UTC).replace(microsecond=0)
    artifact = random_artifact(chance, at=now)
    sent = tries(artifact, chance)
    own = [show(f, number) for f in FAMILIES for low, high in artifact.own[f] for number in range(low, high + 1)]
    peers = [show(family, START[family] + index) for family in FAMILIES for index in range(1, 40)]
    request = {
        "transaction": transaction(render(artifact, "ab" * 32, now).payload),
        "own": own,
        "peers": [peer for peer in peers if peer not in own],
        "packets": [wire(one) for one in sent],
    }

    run = subprocess.run(
        [*kernel.prefix, sys.executable, str(Path(packets.__file__))],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert run.returncode == 0, f"seed {seed}: {run.stderr[-1500:]}"
    form = of_artifact(artifact, now)

    wrong = []
    for one, arrived in zip(sent, json.loads(run.stdout), strict=True):
        way, family, local, peer, point = one
        allowed = contains(form.at(way, family, local, peer).allowed, point)
        if allowed != arrived:
            wrong.append((wire(one), f"intended {'allow' if allowed else 'deny'}"))
    assert not wrong, f"seed {seed}: {len(wrong)} of {len(sent)} packets: {wrong[:4]}"
    print(f"seed {seed}: {len(sent)} packets, {run.stdout.count('true')} arrived")
    return len(sent)


@pytest.mark.parametrize("seed", range(6))
def test_every_packet_arrives_exactly_where_the_artifact_allows_it(kernel: Kernel, seed: int) -> None:
    assert check(kernel, seed) > 0


@pytest.mark.proof
def test_many_packets_past_many_random_artifacts(kernel: Kernel, proof_size: ProofSize) -> None:
    first = random.SystemRandom().randrange(10**9)
    total = 0
    for seed in range(first, first + proof_size(100)):
        print(f"seed {seed}")
        total += check(kernel, seed)
    print(f"{total} packets")
