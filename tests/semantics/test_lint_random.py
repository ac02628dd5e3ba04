# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Lint against the brute-force evaluator: what is reported can go without a trace, what is not reported decides."""

from __future__ import annotations

import copy
import datetime as dt
import ipaddress
import itertools
import os

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.lint.context import Context

from ..support.policies import POINTS, World, random_world
from .brute_force import BruteForce, service_point
from .fixtures import inputs_of

SAMPLE = 8
FULL = int(300 * float(os.environ.get("MICROSEG_PROOF_FRACTION", "1")))
#: One in every stretch in which the facts and rules of random worlds hold alike.
ASKED = [
    dt.datetime.fromisoformat(text)
    for text in (
        "2026-11-24T12:00:00+00:00", "2026-11-30T23:30:00+00:00", "2026-12-01T03:00:00+00:00",
        "2026-12-15T00:00:00+00:00", "2026-12-31T23:30:00+00:00", "2027-01-01T03:00:00+00:00",
        "2027-02-01T00:00:00+00:00",
    )
]  # fmt: skip
#: With POINTS one in every atom that the services of random worlds are cut into.
MORE_POINTS = ["udp/50", "udp/60", "tcp/23", "tcp/1023", "tcp/5440", "icmp/3.0", "icmp/9.0", "icmpv6/129.0", "proto/41"]
#: Addresses of nobody, one for every region the prefixes of random worlds cut out.
NOBODY = [
    "10.0.0.0", "2001:db8::",
    "10.0.0.3", "10.0.0.4", "10.0.0.6", "10.0.0.99", "10.0.0.100", "10.0.0.250", "203.0.113.9", "203.0.113.100",
    "198.51.100.7", "2001:db8::3", "2001:db8::5", "2001:db8::6", "2001:db8::99", "2001:db9::1", "10.0.0.1", "10.0.0.2",
    "2001:db8::1", "2001:db8::2", "2001:db8::7", "10.0.0.7", "203.0.112.255",
]  # fmt: skip
STAGES = {"active": 0, "retiring": 0, "staged": 1, "draft": 2}


def judged(world: World):
    context = Context(*(lambda one: (one.policy, one.estate, one.at))(inputs_of(world.documents, world.hosts)))
    return context, context.deciding.covered()


def at_level(documents, level: int, without: set[str] = frozenset()):
    """The documents with the rules of this level and below as active ones."""
    result = copy.deepcopy(documents)
    for document in result:
        for ruleset in document.get("rulesets", []):
            keep = STAGES[ruleset.get("stage", "draft")] <= level
            ruleset["rules"] = [rule for rule in ruleset["rules"] if keep and rule["id"] not in without]
            ruleset["stage"] = "active"
    return result


def sides(reference: BruteForce):
    """(direction, own, own address, peer, peer address, version) of everything that can be evaluated."""
    zones = {"", *(workload["zone"] for workload in reference.workloads.values())}
    held = {pair for workload in reference.workloads.values() for pair in workload["addresses"]}
    outside = [(zone, ipaddress.ip_address(text)) for zone in zones for text in NOBODY]
    ends = [(peer, pair) for peer in reference.workloads.values() for pair in peer["addresses"]]
    ends += [(None, pair) for pair in outside if pair not in held]
    for own in reference.workloads.values():
        if not own["managed"]:
            continue
        for address in own["addresses"]:
            for peer, pair in ends:
                if peer is not own and pair[1].version == address[1].version:
                    for direction in ("ingress", "egress"):
                        yield direction, own, address, peer, pair, address[1].version


def points_in(version: int):
    for text in (*POINTS, *MORE_POINTS):
        if not text.startswith("icmp/" if version == 6 else "icmpv6/"):
            yield service_point(text)


def verdict(reference: BruteForce, side, point, at):
    direction, own, address, peer, pair, _version = side
    answer, by = reference.side(direction, own, address, peer, pair, point, at, "active", intent=True)
    return answer, by


def compare(seed: int) -> tuple[int, int]:
    world = random_world(seed, hosts=4)
    context, found = judged(world)
    for level in sorted({STAGES[one.item.stage] for one in found}):
        removed = {one.item.rule.id for one in found if STAGES[one.item.stage] == level}
        before = BruteForce(at_level(world.documents, level), world.hosts)
        after = BruteForce(at_level(world.documents, level, removed), world.hosts)
        for side in sides(before):
            other = (side[0], after.workloads[side[1]["name"]], side[2], *(side[3:]))
            if side[3] is not None:
                other = (*other[:3], after.workloads[side[3]["name"]], *side[4:])
            for point, at in itertools.product(points_in(side[5]), ASKED):
                assert verdict(before, side, point, at) == verdict(after, other, point, at), (
                    seed,
                    removed,
                    side,
                    point,
                )
    return len(found), undecided(world, context, found, seed)


def undecided(world: World, context: Context, found, seed: int) -> int:
    """Rules that are not shadowed decide a packet; the points of the random worlds hit every atom of theirs."""
    shadowed = {one.item.rule.id for one in found if one.kind == "shadowed"}
    checked = 0
    for item in context.items:
        if item.rule.id in shadowed or any(e.kind in ("fqdn", "users") for e in (*item.consumers, *item.providers)):
            continue
        reference = BruteForce(at_level(world.documents, STAGES[item.stage]), world.hosts)
        scope, rule = next(
            (document, rule)
            for document in reference.scopes
            for ruleset in document["rulesets"]
            for rule in ruleset["rules"]
            if rule["id"] == item.rule.id
        )
        matched = decided = False
        for side in sides(reference):
            direction, own, address, peer, pair, version = side
            for point, at in itertools.product(points_in(version), ASKED):
                if not reference.looks(rule, scope, direction, own, address, peer, pair, point, at):
                    continue
                matched = True
                decided = decides(reference, item, side, point, at)
                if decided:
                    break
            if decided:
                break
        assert decided or not matched, (seed, item.id)
        checked += decided
    return checked


def decides(reference: BruteForce, item, side, point, at) -> bool:
    """Does the packet get as far as this rule? Its tier is asked with all other allows of the tier and below away."""
    direction, own, address, peer, pair, _version = side
    if reference.failsafe(direction, own, peer, pair, point):
        return False
    tiers = ("emergency", "admin", "infrastructure", "environment", "application", "baseline")
    for tier in tiers:
        actions = {
            rule.get("action", "allow")
            for scope in reference.scopes
            for ruleset in scope["rulesets"]
            if ruleset.get("tier", "application") == tier
            for rule in ruleset["rules"]
            if reference.looks(rule, scope, direction, own, address, peer, pair, point, at)
        }
        if tier == item.tier:
            if item.rule.action == "pass":
                return True
            return "pass" not in actions and (item.rule.action == "deny" or "deny" not in actions)
        if "pass" not in actions and actions:
            return False
    return False


@pytest.mark.parametrize("seed", range(SAMPLE))
def test_reported_rules_can_go_and_the_others_decide(seed: int) -> None:
    compare(seed)


def test_random_worlds_have_something_to_report() -> None:
    kinds = [one.kind for seed in range(40) for one in judged(random_world(seed, hosts=4))[1]]

    assert kinds.count("shadowed") > 10
    assert kinds.count("redundant") > 5


@pytest.mark.proof
def test_in_many_worlds() -> None:
    reported = decided = 0
    for seed in range(10_000, 10_000 + FULL):
        covered, deciding = compare(seed)
        reported, decided = reported + covered, decided + deciding
    print(f"{FULL} worlds: {reported} rules reported, {decided} rules shown to decide a packet")
