# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who a written peer means, against selectors asked one workload at a time."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.labels import Truth
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend import Learning
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend.groups import levels_of
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend.homes import find_homes
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend.peers import PeerWriter
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.resolve import resolve_peer
from tests.semantics.fixtures import inputs_of
from tests.support.policies import random_world

from .site import AT


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["role", "application", "environment"]))
def test_groups_are_written_as_what_they_hold(seed: int, isolation: str) -> None:
    world = random_world(seed)
    inputs = inputs_of(world.documents, world.hosts, AT)
    homes = find_homes(inputs.policy, inputs.estate)
    levels = levels_of(inputs.policy, inputs.estate, Learning(isolation=isolation))  # type: ignore[arg-type]
    writer = PeerWriter(inputs.estate, homes, levels, AT)
    chooser = random.Random(seed)
    for name, scope in homes.scopes.items():
        for rule in (rule for ruleset in scope.rulesets for rule in ruleset.rules):
            for element in (resolve_peer(peer, scope, inputs.estate.workloads) for peer in rule.consumers):
                assert writer._matching(element.selector) == {
                    one.name
                    for one in inputs.estate.workloads.values()
                    if element.selector.matches(one.labels, AT) is Truth.YES
                }
        for cells in levels.members:
            some = chooser.sample(sorted(cells, key=str), min(3, len(cells)))
            exact = [cell for cell in some if writer.exact(name, cell, False)]
            meant = set().union(*(writer.meant(name, peer) for peer in writer.write(name, exact, False)), set())
            assert meant == set().union(*(cells[cell] for cell in exact), set()), (seed, name, exact)
