# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cases of the semantics that name a moment, against tables the kernel holds.

Every one is rendered for its moment, loaded, listed and read back at it. Real packets are sent past the same policy
shifted to now: the clock of the machine is never moved.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.read import read
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.render import render
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import parse_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import Artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import contains
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.compile import compile_bundle
from tests.conftest import Kernel
from tests.semantics.fixtures import Case, Question, load_cases
from tests.support import packets
from tests.support.nft import ENVIRONMENT, listed, transaction
from tests.support.timed import shifted

pytestmark = pytest.mark.kernel

#: For packets on a machine with much else to do.
SLACK = timedelta(minutes=5)
End = tuple[str, Artifact, str, str]


def moment_of(question: Question) -> datetime | None:
    """Only questions that a packet can ask: a moment, and a plain answer of the active rules."""
    if set(question.options) - {"at"} or question.answer not in ("allowed", "denied"):
        return None
    written = question.options.get("at")
    return None if written is None else datetime.fromisoformat(str(written)).astimezone(UTC)


def addresses_of(case: Case) -> dict[str, list[str]]:
    found = {name: host["addresses"] for name, host in case.hosts.items()}
    for document in case.documents:
        found.update({item["name"]: item["addresses"] for item in document.get("workloads", [])})
    return {name: [text for text in texts if "." in text] for name, texts in found.items()}


ASKED = [
    pytest.param(case, question, moment, id=f"{case.id}-{number}")
    for case in load_cases()
    if not case.errors
    for number, question in enumerate(case.questions)
    if (moment := moment_of(question)) is not None
    and all(len(addresses_of(case).get(name, ())) == 1 for name in (question.consumer, question.provider))
]


def ends(case: Case, question: Question, at: datetime) -> list[End]:
    """(direction, artifact, own address, peer's address) of the ends that enforce something."""
    bundle = compile_bundle(case.inputs(at))
    known = addresses_of(case)
    consumer, provider = known[question.consumer][0], known[question.provider][0]
    sides = (("egress", question.consumer, consumer, provider), ("ingress", question.provider, provider, consumer))
    return [(way, bundle.artifact(name), own, peer) for way, name, own, peer in sides if name in bundle.points]


def test_schedules_are_among_the_cases() -> None:
    scheduled = {param.values[0].id for param in ASKED if "schedule" in str(param.values[0].documents)}

    assert len(ASKED) >= 40
    assert len(scheduled) >= 10


@pytest.mark.parametrize(("case", "question", "at"), ASKED)
def test_a_case_is_what_the_kernel_lists_at_its_moment(
    kernel: Kernel, case: Case, question: Question, at: datetime
) -> None:
    point = line.parse(question.service)[0][0]
    allowed = True
    for way, artifact, own, peer in ends(case, question, at):
        if artifact.idle:
            continue
        found = listed(kernel.prefix, transaction(render(artifact, artifact.policy_digest(), at).payload))
        form = read(found.own, found.everything, artifact.own, at).form
        cell = form.at(way, 4, parse_address(own).number, parse_address(peer).number)  # type: ignore[arg-type]
        allowed = allowed and contains(cell.allowed, point)

    assert allowed == (question.answer == "allowed")


@pytest.mark.parametrize(("case", "question", "at"), ASKED)
def test_a_case_is_what_packets_do_at_its_moment(kernel: Kernel, case: Case, question: Question, at: datetime) -> None:
    sides = [one for one in ends(case, question, at) if not one[1].idle]
    now = datetime.now(UTC).replace(microsecond=0)
    protocol, offset = line.protocol_of(line.parse(question.service)[0][0]), line.parse(question.service)[0][0]
    port = offset - line.BASES[protocol]
    arrived = all(
        _sent(
            kernel, shifted(artifact, at, now, SLACK), now, [way, own, peer, line.PROTOCOL_NUMBERS[protocol], 0, port]
        )
        for way, artifact, own, peer in sides
    )

    assert arrived == (question.answer == "allowed")


def _sent(kernel: Kernel, artifact: Artifact, now: datetime, packet: list[Any]) -> bool:
    """Does one packet pass one end?"""
    request = {
        "transaction": transaction(render(artifact, artifact.policy_digest(), now).payload),
        "own": [packet[1]],
        "peers": [packet[2]],
        "packets": [packet],
    }
    run = subprocess.run(
        [*kernel.prefix, sys.executable, str(Path(packets.__file__))],
        input=json.dumps(request), capture_output=True, text=True, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-1500:]
    return bool(json.loads(run.stdout)[0])
