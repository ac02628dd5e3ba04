# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""explain and reach out of a bundle say what explain and reach of the policy say."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import PolicyError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.bundles import save_bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.planstore import set_provisioned
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.store import Store
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.bundling import make_bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.explain import explain
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.from_bundle import (
    explain_from_bundle,
    reach_from_bundle,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.reach import reach

from ...semantics.fixtures import inputs_of
from ...support.policies import POINTS, random_world


def kept(path, seed: int):
    """One zone and no service addresses: what hosts can show."""
    world = random_world(seed, 5, kernel=True)
    inputs = inputs_of(world.documents, world.hosts)
    store = path / "store"
    digest = save_bundle(Store.open(store), make_bundle(inputs.policy, inputs.active))
    return inputs, store, digest


@pytest.mark.parametrize("seed", range(6))
def test_explain_from_a_bundle_agrees_with_the_policy(tmp_path, seed):
    inputs, store, digest = kept(tmp_path, seed)
    names = [*inputs.estate.workloads, "203.0.113.9", "2001:db8:9::9"]
    answered = 0
    for consumer in names:
        for provider in names:
            for service in POINTS[seed % 3 :: 9]:
                try:
                    ours = explain(inputs, consumer, provider, service).answer
                except PolicyError:
                    with pytest.raises(PolicyError):
                        explain_from_bundle(store, digest, consumer, provider, service, inputs.at)
                    continue
                theirs = explain_from_bundle(store, digest, consumer, provider, service, inputs.at)
                expected = {(str(p.consumer.address), str(p.provider.address)): p for p in ours.pairs}
                for pair in theirs.pairs:
                    other = expected.pop((str(pair.source), str(pair.target)))
                    if other.reason and "names are compared" in other.reason:
                        assert pair.reason
                        continue
                    assert pair.verdict == other.verdict, (consumer, provider, service)
                    for side, original in ((pair.egress, other.egress), (pair.ingress, other.ingress)):
                        if original.copy is not None:
                            assert side.to_dict()["rule"] == original.copy.artifact.id.partition("@")[0]
                    answered += 1
                assert not expected
    assert answered > 50


@pytest.mark.parametrize("with_failsafe", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_reach_from_a_bundle_agrees_with_the_policy(tmp_path, seed, with_failsafe):
    inputs, store, digest = kept(tmp_path, seed)
    for consumer in inputs.estate.workloads:
        expected = {
            (pair.consumer, pair.provider, pair.family): pair.allowed
            for pair in reach(inputs, consumers=consumer, with_failsafe=with_failsafe).pairs
        }
        found = reach_from_bundle(store, digest[:10], consumer, None, inputs.at, with_failsafe=with_failsafe).pairs
        assert {pair[:3]: line.show(pair[3], pair[2]) for pair in found} == {
            key: line.show(allowed, key[2]) for key, allowed in expected.items()
        }
        for name in inputs.estate.workloads:
            if name != consumer:
                one = reach_from_bundle(store, digest, consumer, name, inputs.at, with_failsafe=with_failsafe).pairs
                assert set(one) == {pair for pair in found if pair[1] == name}


def test_the_provisioned_bundle_is_found_and_what_is_not_there_is_named(tmp_path):
    inputs, store, digest = kept(tmp_path, 1)
    names = sorted(inputs.estate.workloads)

    with pytest.raises(PolicyError, match="'provisioned' is no bundle") as caught:
        explain_from_bundle(store, "provisioned", names[0], names[1], "tcp/443", inputs.at)
    assert caught.value.code == "E-BUNDLE"
    set_provisioned(Store.open(store), digest, None)
    assert explain_from_bundle(store, "provisioned", names[0], names[1], "tcp/443", inputs.at).bundle == digest
    with pytest.raises(PolicyError, match="neither a workload of bundle"):
        explain_from_bundle(store, digest, names[0], "nobody", "tcp/443", inputs.at)
    with pytest.raises(PolicyError, match="'nobody' is no workload of bundle"):
        reach_from_bundle(store, digest, "nobody", None, inputs.at)


def test_what_one_of_several_addresses_may_is_what_the_workload_may(tmp_path):
    """As in reach: the union over the pairs of addresses."""
    rule = {"id": "r", "from": {"cidr": "10.0.0.2"}, "to": {"role": "db"}, "services": ["tcp/1"]}
    ruleset = {"name": "c", "stage": "active", "rules": [rule]}
    documents = [
        {"settings": {"labels": {"role": {}}}},
        {"modes": [{"match": {"role": "db"}, "ingress": "full"}]},
        {"scope": "e", "estate": True, "match": {}, "rulesets": [ruleset]},
    ]
    hosts = {
        "a": {"labels": {"role": "web"}, "addresses": ["10.0.0.1", "10.0.0.2"]},
        "b": {"labels": {"role": "db"}, "addresses": ["10.0.0.9"]},
    }
    inputs = inputs_of(documents, hosts)
    store = tmp_path / "store"
    digest = save_bundle(Store.open(store), make_bundle(inputs.policy, inputs.active))

    ((*_names, allowed),) = reach_from_bundle(store, digest, "a", "b", inputs.at).pairs
    assert line.show(allowed, 4) == ["tcp/1"]
    (expected,) = [pair for pair in reach(inputs, consumers="a").pairs if pair.provider == "b"]
    assert line.show(expected.allowed, 4) == ["tcp/1"]
    assert explain_from_bundle(store, digest, "a", "b", "tcp/1", inputs.at).verdict == "mixed"
    outside = explain_from_bundle(store, digest, "a", "192.0.2.1", "tcp/1", inputs.at)
    assert (outside.verdict, "service address" in outside.pairs[0].reason) == ("allowed", True)
