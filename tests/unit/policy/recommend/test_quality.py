# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Estates whose truth is known: what is proposed is true, what is true is proposed, and the gate knows what is missing.

`pytest -s` prints the figures.
"""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend import (
    Learning,
    Recommendation,
    recommend,
)
from tests.semantics.fixtures import inputs_of
from tests.support.observed import KnownEstate, Observer, class_of, known_estate
from tests.support.quality import Quality, allowed_by, measured

AT = dt.datetime(2026, 12, 1, 12, 0, tzinfo=dt.UTC)
MONDAY = dt.datetime(2026, 10, 5, tzinfo=dt.UTC)
SIZES = [(1, 3), (2, 8), (3, 14)]
TRUTH = Path(__file__).parents[5] / "shared" / "flow-samples" / "truth_online_boutique"


def learned(world: KnownEstate, learning: Learning | None = None) -> tuple[Recommendation, Quality]:
    inputs = inputs_of(world.documents, world.hosts, AT)
    found = recommend(inputs.policy, inputs.estate, world.edges, learning or Learning(), AT)
    answers = allowed_by(found, world.documents, world.hosts, AT)
    return found, measured(answers, world.true_pairs(), lambda name: class_of(world.hosts[name]))


@pytest.mark.parametrize(("seed", "apps"), SIZES)
def test_with_the_month_end_inside_everything_is_found_and_complete(seed: int, apps: int) -> None:
    world = known_estate(seed, apps, MONDAY, 35)
    found, quality = learned(world)
    print(f"\nseed {seed}, {len(world.hosts)} workloads, {len(found.rules)} rules, {quality}")
    assert found.complete, [gate.reasons for gate in found.gates.values()]
    assert quality.kinds_precision == 1.0
    assert quality.kinds_recall == 1.0
    assert quality.pairs_precision == 1.0
    assert quality.pairs_recall >= 0.99


@pytest.mark.parametrize(("seed", "apps"), SIZES)
def test_without_the_month_end_the_gate_says_so(seed: int, apps: int) -> None:
    world = known_estate(seed, apps, MONDAY, 21)
    found, quality = learned(world)
    missing = len(world.seldom) / len(world.truth)
    print(f"\nseed {seed}, {len(world.hosts)} workloads, month-end job is {missing:.3f} of truth, {quality}")
    assert found.gates
    assert all("no month end was observed" in str(gate.reasons) for gate in found.gates.values())
    assert not found.complete
    assert quality.kinds_precision == 1.0
    assert quality.kinds_recall == pytest.approx(1 - missing)


@pytest.mark.parametrize(("seed", "apps"), SIZES)
def test_two_days_are_not_enough_whatever_the_calendar_says(seed: int, apps: int) -> None:
    world = known_estate(seed, apps, MONDAY, 2)
    found, _quality = learned(world, Learning(weekends=False, month_end=False))
    assert all("never seen" in str(gate.reasons) for gate in found.gates.values())


@pytest.mark.parametrize(("seed", "apps"), SIZES)
def test_rare_traffic_is_found_in_part_and_never_called_complete(seed: int, apps: int) -> None:
    """Every pair talks on one day of a hundred: in 35 days seven of ten pairs are never seen."""
    world = known_estate(seed, apps, MONDAY, 35, idle=0.99)
    found, quality = learned(world)
    print(f"\nrare traffic, seed {seed}: {quality}, complete: {found.complete}")
    assert not found.complete
    assert quality.kinds_precision == 1.0
    assert quality.kinds_recall >= 0.7
    assert quality.pairs_precision == 1.0
    assert quality.pairs_recall >= 0.74


def test_nothing_that_was_planted_is_opened() -> None:
    world = known_estate(2, 8, MONDAY, 35, noise=0.5)
    found, quality = learned(world)
    print(f"\nfive times the noise: {quality}")
    opened = {(a, b, s) for a, b, s in allowed_by(found, world.documents, world.hosts, AT)}
    planted = {(a, b) for a, b, _point in world.unwanted} - {(a, b) for a, b, _service in world.true_pairs()}
    assert not [pair for pair in opened if pair[:2] in planted and pair not in world.true_pairs()]
    assert quality.kinds_precision >= 0.95
    assert quality.kinds_recall == 1.0


@pytest.mark.parametrize("isolation", ["application", "environment"])
def test_a_ring_fence_is_wider_and_says_so(isolation: str) -> None:
    world = known_estate(1, 3, MONDAY, 35)
    found, quality = learned(world, Learning(isolation=isolation, least_confidence=0.0))  # type: ignore[arg-type]
    print(f"\n{isolation}: {len(found.rules)} rules, {quality}")
    assert quality.kinds_recall == 1.0
    assert quality.pairs_precision < 1.0
    assert [rule for rule in found.rules if rule.pairs_opened > rule.pairs_observed]


# --- a public allow-list as truth -------------------------------------------------------------------------------------


def boutique() -> tuple[dict[str, dict], set[tuple[str, str, str]]]:  # type: ignore[type-arg]
    """Three pods of every deployment, and what its NetworkPolicies allow between deployments."""
    apps: set[str] = set()
    rules: set[tuple[str, str, str]] = set()
    for path in sorted(TRUTH.glob("network-policy-*.yaml")):
        spec = yaml.safe_load(path.read_text())["spec"]
        provider = spec["podSelector"].get("matchLabels", {}).get("app")
        if provider is None:
            continue
        apps.add(provider)
        for entry in spec.get("ingress", ()):
            for peer in entry.get("from", ()):
                for port in entry["ports"]:
                    rules.add((peer["podSelector"]["matchLabels"]["app"], provider, f"tcp/{port['port']}"))
    hosts = {
        f"{app}-{number}": {
            "labels": {"app": app, "env": "prod", "role": "pod"},
            "addresses": [f"10.8.{index}.{number + 1}"],
        }
        for index, app in enumerate(sorted(apps))
        for number in range(3)
    }
    return hosts, rules


@pytest.mark.skipif(not TRUTH.is_dir(), reason="optional: the public allow-list is not on this machine")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_public_allow_list_is_found_again(seed: int) -> None:
    hosts, rules = boutique()
    assert len(rules) == 15
    chooser = random.Random(seed)
    observer = Observer()
    names = sorted(hosts)

    def address(name: str) -> str:
        return str(hosts[name]["addresses"][0])

    truth = {
        (consumer, provider, service)
        for source, target, service in rules
        for consumer in names
        for provider in names
        if consumer.startswith(f"{source}-") and provider.startswith(f"{target}-")
    }
    for day in range(35):
        for consumer, provider, service in sorted(truth):
            if chooser.random() < 0.4:
                at = MONDAY + dt.timedelta(days=day, minutes=chooser.randrange(1400))
                observer.see(address(consumer), address(provider), service, at, chooser.randint(1, 40))
    for _ in range(40):
        consumer, provider = chooser.sample(names, 2)
        at = MONDAY + dt.timedelta(minutes=chooser.randrange(35 * 1400))
        observer.see(address(consumer), address(provider), f"tcp/{chooser.randint(1, 65535)}", at)
    scanner = chooser.choice(names)
    for provider in names:
        if provider != scanner:
            observer.see(address(scanner), address(provider), "tcp/6379", MONDAY, dropped=chooser.random() < 0.5)
    edges = observer.edges(MONDAY, MONDAY + dt.timedelta(days=35), tuple(names))
    documents = [{"settings": {"labels": {"app": {}, "env": {}, "role": {}}, "controllers": ["10.0.0.5"]}}]
    inputs = inputs_of(documents, hosts, AT)
    found = recommend(inputs.policy, inputs.estate, edges, Learning(), AT)
    quality = measured(allowed_by(found, documents, hosts, AT), truth, lambda name: name.rsplit("-", 1)[0])
    print(f"\nOnline Boutique, seed {seed}: {len(found.rules)} rules for {len(rules)} true edges, {quality}")
    assert quality.kinds_precision == 1.0
    assert quality.kinds_recall == 1.0
    assert quality.pairs_precision == 1.0
    assert quality.pairs_recall >= 0.97
    told = [reason for gate in found.gates.values() for reason in gate.reasons]
    assert all("never seen" in reason for reason in told), "the forty accidents are seldom traffic, and nothing else is"
    assert recommend(inputs.policy, inputs.estate, edges, Learning(unseen=0.2), AT).complete


def test_loss_and_missing_sensors_make_it_incomplete() -> None:
    world = known_estate(1, 3, MONDAY, 35)
    names = tuple(sorted(world.hosts))
    blind = replace(world.edges.coverage, reported=names[3:], loss=0.2)
    found, _quality = learned(replace(world, edges=replace(world.edges, coverage=blind)))
    told = str([gate.reasons for gate in found.gates.values()])
    assert "did not" in told
    assert "were missed by the sensors" in told
