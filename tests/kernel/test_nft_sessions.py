# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connections past rendered tables: replies come back, denies answer as asked, ended sessions stay ended."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.render import render
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import parse_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import (
    Artifact,
    ArtifactRule,
    DirectionPolicy,
    PeerSet,
)
from tests.conftest import Kernel
from tests.support import sessions
from tests.support.nft import ENVIRONMENT, transaction

pytestmark = pytest.mark.kernel

HOST, PEER, HOST6, PEER6 = "10.0.0.5", "10.0.0.7", "fd77::5", "fd77::7"


def number(text: str) -> tuple[tuple[int, int], ...]:
    value = parse_address(text).number
    return ((value, value),)


def rule(name: str, action: str, services: str, peers: tuple[str, ...] | None, **more: Any) -> ArtifactRule:
    tier = "application" if action == "allow" else "admin"
    return ArtifactRule(name, tier, action, line.parse_all(services.split()), peers, **more)  # type: ignore[arg-type]


SIGNALS = ArtifactRule("failsafe-signals", "failsafe", "allow", line.parse_all(["icmpv6/130-137"]), None)
PEERS = PeerSet("peer", "members", "the peer", {4: number(PEER), 6: number(PEER6)})
QUIET = Artifact(
    "point",
    "host",
    "",
    {4: number(HOST), 6: number(HOST6)},
    DirectionPolicy("full", (SIGNALS, rule("web@a/b", "allow", "tcp/80", ("peer",)))),
    DirectionPolicy("full", (SIGNALS, rule("out@a/b", "allow", "tcp/8080 udp/53", ("peer",)))),
    {"peer": PEERS},
)


def ingress(*rules: ArtifactRule, egress: DirectionPolicy | None = None) -> Artifact:
    policy = DirectionPolicy("full", tuple(sorted((SIGNALS, *rules), key=lambda one: one.order)))
    return replace(QUIET, ingress=policy, egress=egress or QUIET.egress)


def load(artifact: Artifact) -> list[str]:
    text = transaction(render(artifact, "ab" * 32, datetime.now(UTC)).payload)
    return ["load", f"table inet microseg\ndelete table inet microseg\n{text}"]


def played(kernel: Kernel, *steps: list[Any]) -> list[Any]:
    request = {"own": [HOST, HOST6], "peers": [PEER, PEER6], "steps": steps}
    run = subprocess.run(
        [*kernel.prefix, sys.executable, str(Path(sessions.__file__))],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-1500:]
    return list(json.loads(run.stdout))


def test_replies_of_allowed_connections_come_back_in_both_families(kernel: Kernel) -> None:
    found = played(
        kernel,
        load(QUIET),
        ["connect", "peer", HOST, 80],
        ["connect", "peer", HOST6, 80],
        ["connect", "host", PEER, 8080],
        ["connect", "host", PEER6, 8080],
        ["echo", "host", PEER, 53],
        ["echo", "peer", HOST, 53],
        ["connect", "peer", HOST, 81],
    )

    assert found[1:] == ["ok", "ok", "ok", "ok", True, False, "silence"]


def test_a_reply_is_sent_only_if_every_deciding_deny_asks_for_it(kernel: Kernel) -> None:
    rejected = rule("a-reject@a/b", "deny", "tcp/81-82", ("peer",), reject=True)
    dropped = rule("b-drop@a/b", "deny", "tcp/82", ("peer",))

    # The first answer may come back while connect() still holds the socket; the second SYN follows after a second.
    found = played(
        kernel,
        load(ingress(rejected, dropped)),
        ["connect", "peer", HOST, 81, 2.5],
        ["connect", "peer", HOST6, 81, 2.5],
        ["connect", "peer", HOST, 82, 2.5],
    )

    assert found[1:] == ["unreachable", "unreachable", "silence"]


def test_a_new_deny_leaves_sessions_alone(kernel: Kernel) -> None:
    deny = rule("deny@a/b", "deny", "tcp/80", ("peer",))

    found = played(
        kernel, load(QUIET), ["open", "s", "peer", HOST, 80], ["talk", "s"], load(ingress(deny)), ["talk", "s"]
    )

    assert found == ["ok", "ok", True, "ok", True]


@pytest.mark.parametrize("other_way", ["full", "selective", "visibility", "idle"])
@pytest.mark.parametrize("services", ["tcp/80", "any"])
def test_a_deny_that_resets_ends_sessions_whatever_the_mode_of_the_other_direction(
    kernel: Kernel, services: str, other_way: str
) -> None:
    deny = rule("deny@a/b", "deny", services, ("peer",), reset_established=True)
    after = ingress(deny, egress=replace(QUIET.egress, mode=other_way))  # type: ignore[type-var]

    found = played(
        kernel,
        load(QUIET),
        ["open", "s", "peer", HOST, 80],
        ["talk", "s"],
        load(after),
        ["forget"],
        ["talk", "s"],
        ["connect", "peer", HOST, 80],
    )

    assert found == ["ok", "ok", True, "ok", "ok", False, "silence"]


def test_without_a_reset_a_forgotten_session_is_taken_up_again(kernel: Kernel) -> None:
    """Why deleting conntrack entries alone does not cut: the server's next segment opens the way anew."""
    deny = rule("deny@a/b", "deny", "tcp/80", ("peer",))
    after = ingress(deny, egress=DirectionPolicy("visibility"))

    found = played(
        kernel, load(QUIET), ["open", "s", "peer", HOST, 80], load(after), ["forget"], ["talk", "s"], ["talk", "s"]
    )

    assert found[-1] is True
