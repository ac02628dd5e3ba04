# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The cases of the semantics on the kernel: rendered, loaded, and asked with real packets.

Left out, because no packet can show them here: questions about other moments, staged answers, protocols without a
prober, group destinations, unknown and mixed answers, and two workloads at one address.
Cases speak of their own moment: what depends on the time is shifted to now, for the machine's clock is never moved.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host.payload import Policy
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.transaction import REMOVE, replace
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.render import render
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.compile import compile_bundle
from extensions.lab.lab import Cell, Lab

from ..semantics.fixtures import NOW, Case, Question, load_cases
from ..support.timed import shifted

pytestmark = [pytest.mark.lab, pytest.mark.kernel]
OUTSIDERS = {"outside": "203.0.113.7", "office": "198.51.100.7", "manager": "10.0.0.5", "manager-2": "203.0.113.5"}
PROBES = {"icmp/8.0": "icmp", "icmpv6/128.0": "icmpv6"}


def workloads_of(case: Case) -> dict[str, list[str]]:
    found = {name: host["addresses"] for name, host in case.hosts.items()}
    for document in case.documents:
        found.update({item["name"]: item["addresses"] for item in document.get("workloads", [])})
    return found


def askable(case: Case, question: Question) -> Cell | None:
    known = workloads_of(case)
    flat = [address for addresses in known.values() for address in addresses]
    options = question.options
    if "at" in options or options.get("stage") == "staged" or question.answer not in ("allowed", "denied"):
        return None
    protocol = question.service.split("/")[0]
    if (protocol not in ("tcp", "udp") and question.service not in PROBES) or len(flat) != len(set(flat)):
        return None
    family = ":" if options.get("family") == "ipv6" else "."

    def address(name: str) -> str | None:
        written = known.get(name, [name] if name in OUTSIDERS.values() else [])
        fitting = [text for text in written if family in text]
        return fitting[0] if len(fitting) == 1 else None

    source, target = address(question.consumer), address(question.provider)
    if source is None or target is None or source == target:
        return None
    sender = OWNERS.get(source)
    return None if sender is None else Cell(sender, target, PROBES.get(question.service, question.service))


def lab_addresses() -> dict[str, list[str]]:
    """One host for every workload name of all cases, with the first addresses a case gives it, and the outsiders."""
    found: dict[str, list[str]] = {}
    for case in ALL:
        for name, texts in workloads_of(case).items():
            if not {text for texts in found.values() for text in texts} & set(texts):
                found.setdefault(name, texts)
    taken = {text for texts in found.values() for text in texts}
    found.update({name: [text] for name, text in OUTSIDERS.items() if text not in taken})
    return found


ALL = [case for case in load_cases() if not case.errors]
ADDRESSES = lab_addresses()
OWNERS = {text: name for name, texts in ADDRESSES.items() for text in texts}
CASES = [
    (case, cells)
    for case in ALL
    if all(ADDRESSES.get(name) == texts for name, texts in workloads_of(case).items())
    and (cells := {cell: question.answer for question in case.questions if (cell := askable(case, question))})
]


@pytest.fixture(scope="module")
def lab(make_lab) -> Lab:
    udp = sorted(
        {int(cell.service.split("/")[1]) for _c, cells in CASES for cell in cells if cell.service.startswith("udp/")}
    )
    hosts = [
        {
            "name": name,
            "ipv4": [text for text in texts if ":" not in text],
            "ipv6": [text for text in texts if ":" in text],
            "listeners": [f"udp/{port}" for port in udp],
            "unmanaged": True,
        }
        for name, texts in ADDRESSES.items()
    ]
    return make_lab({"hosts": hosts})


@pytest.mark.parametrize("case", [pytest.param(pair, id=pair[0].id) for pair in CASES])
def test_real_packets_go_as_the_case_says(lab: Lab, case: tuple[Case, dict[Cell, str]]) -> None:
    fixture, cells = case
    bundle = compile_bundle(fixture.inputs())
    for name in lab.hosts:
        artifact = bundle.artifact(name) if name in bundle.points else None
        if artifact is None or artifact.idle:
            lab.run(name, ["nft", "-f", "-"], input=REMOVE)
            continue
        now = datetime.now(UTC).replace(microsecond=0)
        artifact = shifted(artifact, NOW, now, timedelta(minutes=5))
        policy = Policy.parse(dict(render(artifact, artifact.policy_digest(), now).payload))
        lab.nft(name, replace(policy, policy.members, trusted=True))

    seen = lab.matrix(cells)

    assert seen == cells
