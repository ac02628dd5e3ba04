# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A form put back as an artifact means the form, and leaves alone what the form does not speak about."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import (
    FAILSAFE,
    Artifact,
    ArtifactRule,
    DirectionPolicy,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.compare import difference, intersect
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import DIRECTIONS
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import of_artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.interim import artifact_of_form
from tests.support.artifacts import AT, random_artifact

SIGNALS = ArtifactRule("failsafe-signals", FAILSAFE, "allow", line.parse_all(["icmpv6/130-137"]), None)


@pytest.mark.parametrize("seed", range(150))
def test_an_interim_artifact_means_exactly_its_form(seed: int) -> None:
    artifact = random_artifact(random.Random(seed))
    form = of_artifact(artifact, AT)

    result = artifact_of_form(form, artifact, "phase-1")

    for later in (timedelta(0), timedelta(days=400)):
        assert of_artifact(result, AT + later) == form, f"seed {seed}"


@pytest.mark.parametrize("seed", range(100))
def test_old_and_new_meet_in_what_both_allow(seed: int) -> None:
    chance = random.Random(seed)
    new = random_artifact(chance)
    old = replace(random_artifact(chance), own=new.own)
    both = intersect(of_artifact(old, AT), of_artifact(new, AT))

    interim = of_artifact(artifact_of_form(both, new, "phase-1"), AT)

    assert interim == both, f"seed {seed}"
    assert not difference(of_artifact(old, AT), interim).wider
    assert not difference(of_artifact(new, AT), interim).wider


def artifact(mode: str, *rules: ArtifactRule, v6: bool = False) -> Artifact:
    own = {4: ((10, 10),), 6: ((10, 10),) if v6 else ()}
    policy = DirectionPolicy(mode, rules)  # type: ignore[arg-type]
    return Artifact("point", "workload", "", own, policy, policy, {})  # type: ignore[arg-type]


def test_what_allows_everything_needs_no_rule() -> None:
    idle = artifact("idle")

    result = artifact_of_form(of_artifact(idle, AT), idle, "phase-1")

    assert all(result.of(way) == DirectionPolicy("selective") for way in DIRECTIONS)


def test_a_family_the_form_does_not_speak_about_is_not_opened() -> None:
    everything = ArtifactRule("all@a/b", "application", "allow", line.parse_all(["any"]), None)
    open_four = artifact("full", everything)

    result = artifact_of_form(of_artifact(open_four, AT), open_four, "phase-1")

    assert result.ingress.mode == "full"
    assert of_artifact(result, AT, {6: ((10, 10),)}).at("ingress", 6, 10, 7).allowed == ()


def test_failsafe_rules_stay_also_for_addresses_nobody_knows() -> None:
    """Neighbour discovery goes to groups; a phase that closed it would take the host off the network."""
    quiet = artifact("full", SIGNALS)

    result = artifact_of_form(of_artifact(quiet, AT), quiet, "phase-1")

    assert SIGNALS in result.ingress.rules
    assert of_artifact(result, AT, {6: ((99, 99),)}).at("ingress", 6, 99, 7).allowed == SIGNALS.services


def test_rules_name_local_addresses_only_where_these_differ() -> None:
    web = ArtifactRule("web@a/b", "application", "allow", line.parse_all(["tcp/80"]), None)
    two = replace(artifact("full", web, SIGNALS), own={4: ((10, 11), (20, 20)), 6: ()})

    result = artifact_of_form(of_artifact(two, AT), two, "phase-1")

    assert all(rule.own is None for rule in result.ingress.rules)
    assert {rule.id for rule in result.ingress.rules if rule.tier != FAILSAFE} == {"phase-1/1"}
