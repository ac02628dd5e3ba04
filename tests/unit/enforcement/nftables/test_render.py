# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the rendered table promises before any kernel sees it."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host.payload import Policy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.driver import Capabilities, refuse_inexact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.capabilities import CAPABILITIES
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.render import render
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.registry import driver_for
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import (
    Artifact,
    ArtifactRule,
    DirectionPolicy,
    PeerSet,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import EnforcementError
from tests.support.artifacts import AT, random_artifact

WEB = PeerSet("web", "members", "app=shop,role=web", {4: ((0x0A000001, 0x0A000001),), 6: ()})
DIGEST = "ab" * 32


def allow(name: str, services: str, peers: tuple[str, ...] | None = ("web",), **more: object) -> ArtifactRule:
    wanted = line.parse_all(services.split())
    return ArtifactRule(name, "application", "allow", wanted, peers, **more)  # type: ignore[arg-type]


def host(*rules: ArtifactRule, mode: str = "full", sets: tuple[PeerSet, ...] = (WEB,)) -> Artifact:
    policy = DirectionPolicy(mode, rules)  # type: ignore[arg-type]
    own = {4: ((0x0A000005, 0x0A000005),), 6: ()}
    return Artifact("db-1", "db-1", "", own, policy, DirectionPolicy("idle"), {one.id: one for one in sets})  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(40))
def test_the_host_agent_takes_every_payload(seed: int) -> None:
    artifact = random_artifact(random.Random(seed))

    policy = Policy.parse(render(artifact, DIGEST, AT).payload)

    assert policy.policy_digest == DIGEST
    assert policy.artifact_digest == artifact.digest()


def test_membership_travels_beside_the_text() -> None:
    before = render(host(allow("r@a/b", "tcp/80")), DIGEST, AT).payload
    grown = replace(WEB, addresses={4: ((0x0A000001, 0x0A000009),), 6: ((7, 7),)})

    after = render(host(allow("r@a/b", "tcp/80"), sets=(grown,)), DIGEST, AT).payload

    assert before["ruleset"] == after["ruleset"]
    assert before["members"] == {"m4_web": ["10.0.0.1"], "m6_web": []}
    assert after["members"] == {"m4_web": [f"10.0.0.{last}" for last in range(1, 10)], "m6_web": ["::7"]}


def test_large_blocks_among_members_become_an_interval_set() -> None:
    wide = replace(WEB, addresses={4: ((0x0A000000, 0x0A00FFFF),), 6: ()})

    payload = render(host(allow("r@a/b", "tcp/80"), sets=(wide,)), DIGEST, AT).payload

    assert payload["members"] == {"m6_web": []}
    assert "elements = { 10.0.0.0-10.0.255.255 }" in payload["ruleset"]


@pytest.mark.parametrize("seed", range(40))
def test_counters_and_rows_name_each_other(seed: int) -> None:
    rendered = render(random_artifact(random.Random(seed)), DIGEST, AT)
    text = rendered.payload["ruleset"]

    assert set(re.findall(r"counter name (\w+)", text)) == set(rendered.rows)
    assert set(re.findall(r"^\tcounter (\w+) {", text, re.MULTILINE)) == set(rendered.rows)
    assert set(re.findall(r'log prefix "ms:[APD]:(\w+) "', text)) <= set(rendered.rows)
    assert all(len(comment) <= 128 for comment in re.findall(r'comment "([^"]*)"', text))


def test_a_row_keeps_its_id_while_other_rules_come_and_go() -> None:
    first = render(host(allow("r@a/b", "tcp/80")), DIGEST, AT).rows
    second = render(host(allow("r@a/b", "tcp/80"), allow("s@a/b", "tcp/90")), DIGEST, AT).rows

    assert set(first) < set(second)


@pytest.mark.parametrize("seed", range(20))
def test_a_watched_host_drops_nothing(seed: int) -> None:
    artifact = random_artifact(random.Random(seed))
    watched = {way: replace(getattr(artifact, way), mode="visibility") for way in ("ingress", "egress")}

    text = render(replace(artifact, **watched), DIGEST, AT).payload["ruleset"]

    assert not re.search(r"\b(drop|reject)\b", text)


def test_an_idle_direction_has_no_chain() -> None:
    text = render(host(allow("r@a/b", "tcp/80")), DIGEST, AT).payload["ruleset"]

    assert "hook input" in text
    assert "hook output" not in text


def test_rules_about_equal_services_share_a_chain() -> None:
    rules = [allow(f"r{number}@a/b", "tcp/80 udp/53") for number in range(50)]

    text = render(host(*rules), DIGEST, AT).payload["ruleset"]

    assert len(re.findall(r"^\tchain ", text, re.MULTILINE)) == 3  # input, the default, one for all of them


def test_a_host_without_rules_costs_two_lookups() -> None:
    text = render(host(mode="selective"), DIGEST, AT).payload["ruleset"]

    assert "vmap" not in text
    assert text.index("ct state established accept") < text.index("goto i_default")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (allow("r@a/b", "tcp/80", starts=AT + timedelta(milliseconds=1)), "whole seconds"),
        (allow("r@a/b", "tcp/80", peers=("nobody",)), "not part of the artifact"),
    ],
)
def test_what_cannot_be_said_exactly_is_refused_with_a_witness(rule: ArtifactRule, words: str) -> None:
    with pytest.raises(EnforcementError) as caught:
        render(host(rule), DIGEST, AT)

    assert caught.value.code == "E-INEXACT"
    assert "r@a/b" in caught.value.message
    assert words in caught.value.message
    assert "Witness: " in caught.value.message


@pytest.mark.parametrize(
    ("lacking", "rule"),
    [
        ({"actions": frozenset(("allow",))}, ArtifactRule("d@a/b", "admin", "deny", line.ANY, None)),
        ({"reject": False}, ArtifactRule("d@a/b", "admin", "deny", line.ANY, None, reject=True)),
        ({"log": False}, allow("r@a/b", "tcp/80", log=True)),
        ({"own_addresses": False}, allow("r@a/b", "tcp/80", own=("web",))),
        ({"moments": False}, allow("r@a/b", "tcp/80", expires=AT)),
        ({"cuts": False}, ArtifactRule("d@a/b", "admin", "deny", line.ANY, None, reset_established=True)),
    ],
)
def test_a_platform_that_lacks_an_ability_refuses_the_rule(lacking: dict[str, object], rule: ArtifactRule) -> None:
    poor: Capabilities = replace(CAPABILITIES, **lacking)  # type: ignore[arg-type]

    with pytest.raises(EnforcementError, match=rule.id):
        refuse_inexact(host(rule), poor)
    refuse_inexact(host(rule), CAPABILITIES)


def test_an_unknown_platform_is_named_with_the_known_ones() -> None:
    assert driver_for("nftables").capabilities is CAPABILITIES
    with pytest.raises(EnforcementError) as caught:
        driver_for("abacus")
    assert caught.value.code == "E-PLATFORM"
    assert "nftables" in caught.value.hint
