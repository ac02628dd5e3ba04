# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Forms and their comparison are exact: every cell of a small universe is tried on both sides."""

from __future__ import annotations

import datetime as dt
import itertools
import random

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import (
    Artifact,
    ArtifactRule,
    DirectionPolicy,
    PeerSet,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.compare import Box, difference, intersect, without
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import Form, of_artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import (
    contains,
    intersection,
    normalised,
)

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
OWN, PEERS = range(3), range(8)
SERVICES = [
    line.parse_all(texts)
    for texts in (["tcp/22"], ["tcp/20-30"], ["tcp"], ["udp/53", "icmp/8"], ["any"], ["icmpv6/128"])
]
POINTS = [
    line.parse(text)[0][0] for text in ("tcp/19", "tcp/22", "tcp/30", "udp/53", "icmp/8.0", "icmpv6/128.0", "proto/47")
]


def random_artifact(chooser: random.Random) -> Artifact:
    def addresses():
        return {family: normalised((n, n) for n in PEERS if chooser.random() < 0.4) for family in (4, 6)}

    sets = {f"s{index}": PeerSet(f"s{index}", "members", f"set {index}", addresses()) for index in range(4)}

    def rule(index: int) -> ArtifactRule:
        return ArtifactRule(
            f"r{index}@scope/set",
            chooser.choice(["admin", "application", "baseline"]),
            chooser.choice(["allow", "allow", "deny", "pass"]),
            chooser.choice(SERVICES),
            chooser.choice([None, ("s0",), ("s1", "s2")]),
            chooser.choice([None, None, ("s3",)]),
        )

    def policy() -> DirectionPolicy:
        return DirectionPolicy(
            chooser.choice(["full", "full", "selective", "visibility"]),
            tuple(rule(index) for index in range(chooser.randint(0, 5))),
        )

    own = {family: normalised((n, n) for n in OWN) for family in (4, 6)}
    return Artifact("h", "h", "", own, policy(), policy(), sets)


def naive_allowed(artifact: Artifact, direction: str, family: int, own: int, peer: int, point: int) -> bool:
    """One packet through the rules, as the semantics say it."""
    if not contains(line.UNIVERSE[family], point):
        return False
    policy = artifact.of(direction)
    if policy.mode == "visibility":
        return True

    def holds(names, number) -> bool:
        return names is None or any(contains(artifact.sets[name].addresses[family], number) for name in names)

    for tier in ("admin", "application", "baseline"):
        actions = {
            rule.action
            for rule in policy.rules
            if rule.tier == tier and contains(rule.services, point) and holds(rule.peers, peer) and holds(rule.own, own)
        }
        if "pass" in actions or not actions:
            continue
        return "deny" not in actions
    return policy.mode == "selective"


def packets():
    return itertools.product(("ingress", "egress"), (4, 6), OWN, PEERS, POINTS)


def form_allows(form: Form, packet) -> bool:
    direction, family, own, peer, point = packet
    return contains(form.at(direction, family, own, peer).allowed, point)


def box_holds(box: Box, packet) -> bool:
    direction, family, own, peer, point = packet
    return (
        (box.direction, box.family) == (direction, family)
        and contains(box.own, own)
        and contains(box.peers, peer)
        and contains(box.services, point)
    )


@pytest.mark.parametrize("seed", range(60))
def test_a_form_is_what_the_rules_say(seed: int) -> None:
    artifact = random_artifact(random.Random(seed))
    form = of_artifact(artifact, NOW)
    for packet in packets():
        if contains(line.UNIVERSE[packet[1]], packet[4]):
            assert form_allows(form, packet) == naive_allowed(artifact, *packet), (seed, packet)


@pytest.mark.parametrize("seed", range(60))
def test_boxes_are_disjoint_and_exactly_the_difference(seed: int) -> None:
    chooser = random.Random(1000 + seed)
    first, second = (of_artifact(random_artifact(chooser), NOW) for _ in range(2))
    found = difference(first, second)
    for packet in packets():
        if not contains(line.UNIVERSE[packet[1]], packet[4]):
            continue
        before, after = form_allows(first, packet), form_allows(second, packet)
        assert sum(box_holds(box, packet) for box in found.wider) == (after and not before), (seed, packet)
        assert sum(box_holds(box, packet) for box in found.narrower) == (before and not after), (seed, packet)
    for box in (*found.wider, *found.narrower):
        assert box_holds(box, (box.direction, box.family, *box.witness()))
    assert (found.state == "equal") == (first == second) == (first.fingerprint() == second.fingerprint())


@pytest.mark.parametrize("seed", range(40))
def test_intersection_and_holding_back_are_cell_by_cell(seed: int) -> None:
    chooser = random.Random(2000 + seed)
    first, second = (of_artifact(random_artifact(chooser), NOW) for _ in range(2))
    both = intersect(first, second)
    boxes = difference(first, second).wider
    held = without(second, boxes)
    for packet in packets():
        if not contains(line.UNIVERSE[packet[1]], packet[4]):
            continue
        assert form_allows(both, packet) == (form_allows(first, packet) and form_allows(second, packet))
        withheld = any(box_holds(box, packet) for box in boxes)
        assert form_allows(held, packet) == (form_allows(second, packet) and not withheld)
    assert difference(both, held).state == "equal"


def test_rewriting_rules_without_changing_their_meaning_keeps_the_fingerprint() -> None:
    sets = {
        name: PeerSet(name, "members", name, {4: (pair,), 6: ()})
        for name, pair in {"a": (1, 4), "b": (1, 2), "c": (3, 4)}.items()
    }

    def form(*rules: ArtifactRule) -> Form:
        return of_artifact(
            Artifact("h", "h", "", {4: ((9, 9),)}, DirectionPolicy("full", rules), DirectionPolicy("idle"), sets),
            NOW,
        )

    one = form(ArtifactRule("r@s/x", "application", "allow", ((20, 30),), ("a",)))
    two = form(
        ArtifactRule("p@s/x", "application", "allow", ((20, 25),), ("b", "c")),
        ArtifactRule("q@s/x", "baseline", "allow", ((26, 30),), ("c",)),
        ArtifactRule("r@s/x", "baseline", "allow", ((24, 30),), ("b",)),
    )
    assert one.fingerprint() == two.fingerprint()
    assert intersection(((1, 2),), ((2, 3),)) == ((2, 2),)
