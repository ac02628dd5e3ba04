# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The key store on disk is what it was in memory; what is damaged or of another format is made again."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.simulate_keys import build_keys
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.visibility import keys_file
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.visibility.keys_cache import KeysCache
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.visibility.keys_file import read_keys, write_keys
from tests.semantics.fixtures import inputs_of
from tests.support.policies import random_world
from tests.support.traffic import random_edges

pytest.importorskip("pyarrow")


def same(left, right) -> bool:
    for field in dataclasses.fields(left):
        one, two = getattr(left, field.name), getattr(right, field.name)
        if isinstance(one, np.ndarray):
            if one.dtype != two.dtype or not np.array_equal(one, two):
                return False
        elif dataclasses.is_dataclass(one) and field.name == "edges":
            if not same(one, two):
                return False
        elif one != two:
            return False
    return True


@pytest.mark.parametrize("seed", range(4))
def test_keys_come_back_as_they_were(tmp_path, seed):
    world = random_world(seed)
    inputs = inputs_of(world.documents, world.hosts)
    keys = build_keys(random_edges(inputs.estate, seed), inputs.active)
    write_keys(keys, tmp_path)
    again = read_keys(tmp_path)
    assert again is not None
    assert same(keys, again)
    assert np.array_equal(again.numbers, keys.numbers)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["ends.parquet", "keys.parquet"]


def test_the_gaps_of_a_history_stay(tmp_path):
    """In the sums on disk and in the cache of them."""
    inputs = inputs_of(random_world(2).documents, random_world(2).hosts)
    edges = random_edges(inputs.estate, 2)
    start = edges.coverage.start
    gaps = ((start + dt.timedelta(minutes=1), start + dt.timedelta(minutes=2)),)
    edges = dataclasses.replace(edges, coverage=dataclasses.replace(edges.coverage, gaps=gaps))
    keys = build_keys(edges, inputs.active)
    write_keys(keys, tmp_path)
    again = read_keys(tmp_path)
    assert again is not None
    assert again.edges.coverage == edges.coverage
    cache = KeysCache(tmp_path / "cache")
    cache.keep("kept", keys, edges, np.arange(len(edges)), ())
    kept = cache.find("kept")
    assert kept is not None
    assert kept.keys.edges.coverage == edges.coverage


@pytest.mark.parametrize("name", ["keys.parquet", "ends.parquet"])
@pytest.mark.parametrize("keep", [None, 0, 40, -30])
def test_what_is_damaged_is_no_key_store(tmp_path, name, keep):
    world = random_world(1)
    inputs = inputs_of(world.documents, world.hosts)
    write_keys(build_keys(random_edges(inputs.estate, 1), inputs.active), tmp_path)
    path = tmp_path / name
    if keep is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:keep])
    assert read_keys(tmp_path) is None


def test_another_format_is_no_key_store(tmp_path, monkeypatch):
    world = random_world(1)
    inputs = inputs_of(world.documents, world.hosts)
    write_keys(build_keys(random_edges(inputs.estate, 1), inputs.active), tmp_path)
    monkeypatch.setattr(keys_file, "FORMAT", keys_file.FORMAT + 1)
    assert read_keys(tmp_path) is None
