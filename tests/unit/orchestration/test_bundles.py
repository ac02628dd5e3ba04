# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bundles in the store: whole or by slice, always verified."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import parse_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.bundle import Bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import EstateError, StoreError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.flows import Flow, Observations
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration import bundles
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.bundles import (
    guard_shrink,
    load_artifact,
    load_bundle,
    save_bundle,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.observations import (
    load_observations,
    save_observations,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.pack import Pack
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.store import Store
from tests.unit.orchestration.builders import AT, bundle, host

SHOP = [
    host("web-1", "app=shop,role=web", "10.0.0.1", "2001:db8::1"),
    host("web-2", "app=shop,role=web", "10.0.0.2"),
    host("db-1", "app=shop,role=db", "10.0.0.3"),
]
RULES = ["web-to-db: allow role=web -> role=db : tcp/5432", "office: allow cidr 198.51.100.0/24 -> role=web : tcp/443"]


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store")


def test_a_bundle_comes_back_as_it_was_saved_whole_and_by_slice(store):
    shop = bundle(SHOP, RULES)

    digest = save_bundle(store, shop)

    assert digest == save_bundle(store, shop) == shop.digest
    assert load_bundle(store, digest) == shop
    for name in shop.points:
        assert load_artifact(store, digest, name) == shop.artifact(name)


def test_the_digest_does_not_depend_on_the_order_of_the_input():
    shop = bundle(SHOP, RULES)
    turned = Bundle(
        shop.policy_digest,
        dict(reversed(shop.points.items())),
        dict(reversed(shop.policies.items())),
        dict(reversed(shop.sets.items())),
        dict(reversed(shop.workloads.items())),
    )

    assert turned.digest == shop.digest


@pytest.mark.parametrize("part", ["points", "policies", "sets", "workloads"])
def test_the_digest_covers_everything(part):
    shop = bundle(SHOP, RULES)
    less = dict(list(getattr(shop, part).items())[1:])

    assert replace(shop, **{part: less}).digest != shop.digest


def test_a_slice_does_not_read_the_policies_of_others(store, monkeypatch):
    shop = bundle(SHOP, RULES)
    digest = save_bundle(store, shop)
    read = []
    real = Pack.read
    monkeypatch.setattr(Pack, "read", lambda self, piece: (read.append(piece), real(self, piece))[1])

    load_artifact(store, digest, "db-1")

    contents = {piece.digest: piece.content for piece in shop.pieces()}
    assert read[0] == digest
    assert len(read) < len(contents)
    assert not any(b'"web-1"' in contents[piece] for piece in read)


def test_whatever_is_read_leads_back_to_the_digest_of_the_bundle(store):
    """A piece that is whole in itself but belongs to another bundle is not taken for ours."""
    shop, other = bundle(SHOP, RULES), bundle(SHOP, ["web-to-db: allow role=web -> role=db : tcp/9999"])
    digest = save_bundle(store, shop)
    path = store.path / "bundles" / digest
    foreign = store.path / "bundles" / save_bundle(store, other)
    path.write_bytes(foreign.read_bytes())

    with pytest.raises(StoreError) as caught:
        load_artifact(store, digest, "db-1")
    assert caught.value.code == "E-STORE-DAMAGED"


def test_a_failed_save_leaves_nothing_behind(store, monkeypatch):
    shop = bundle(SHOP, RULES)

    def failing(file, pieces):
        file.write(next(iter(pieces)).content)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundles, "write_pack", failing)
    with pytest.raises(StoreError) as caught:
        save_bundle(store, shop)
    assert caught.value.code == "E-STORE-WRITE"
    assert not list((store.path / "bundles").iterdir())


def test_any_changed_byte_of_a_bundle_is_found_before_use(store):
    shop = bundle(SHOP, RULES)
    digest = save_bundle(store, shop)
    path = store.path / "bundles" / digest
    good = path.read_bytes()

    for position in range(0, len(good), 7):
        path.write_bytes(good[:position] + bytes([good[position] ^ 0x55]) + good[position + 1 :])
        with contextlib.suppress(StoreError):  # a bit without meaning may stay unnoticed, a wrong bundle may not
            assert load_bundle(store, digest) == shop
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(StoreError) as caught:
        load_bundle(store, digest)
    assert caught.value.code == "E-STORE-DAMAGED"


@pytest.mark.parametrize(("written", "said"), [(1, "this version reads format 2"), (3, "knows up to 2")])
def test_a_bundle_of_another_format_is_refused(store, written, said):
    digest = save_bundle(store, bundle(SHOP, RULES))
    path = store.path / "bundles" / digest
    path.write_bytes(path.read_bytes().replace(b"microseg bundle 2", b"microseg bundle %d" % written, 1))

    with pytest.raises(StoreError, match=said) as caught:
        load_bundle(store, digest)
    assert caught.value.code == "E-STORE-FORMAT"


def test_an_unknown_point_or_bundle_is_named(store):
    digest = save_bundle(store, bundle(SHOP, RULES))

    with pytest.raises(StoreError, match="no enforcement point web-9") as caught:
        load_artifact(store, digest, "web-9")
    assert caught.value.code == "E-NO-POINT"
    with pytest.raises(StoreError) as caught:
        load_bundle(store, "f" * 64)
    assert caught.value.code == "E-STORE-MISSING"


def test_vanished_workloads_beyond_the_limit_stop_the_compile_unless_their_number_is_confirmed():
    whole, part = bundle(SHOP, RULES), bundle(SHOP[:1], RULES)

    with pytest.raises(EstateError, match=r"2 of 3 workloads vanished .*: db-1, web-2") as caught:
        guard_shrink(whole, part, 0.01, None)
    assert caught.value.code == "E-ESTATE-SHRANK"
    with pytest.raises(EstateError, match="told 1"):
        guard_shrink(whole, part, 0.01, 1)
    guard_shrink(whole, part, 0.01, 2)
    guard_shrink(whole, part, 0.7, None)
    guard_shrink(part, whole, 0.0, None)


def test_observations_keep_their_window_coverage_and_losses(store):
    flow = Flow(
        parse_address("10.0.0.1"),
        parse_address("2001:db8::1"),
        line.parse("icmpv6/128.0")[0][0],
        7,
        AT - timedelta(days=3),
        AT,
        "conntrack",
    )
    seen = Observations((flow,), AT - timedelta(days=30), AT, ("web-1",), ("web-1", "db-1"), 0.002, "conntrack")

    assert load_observations(store) is None
    digest = save_observations(store, seen)

    assert load_observations(store) == load_observations(store, digest)
    back = load_observations(store)
    assert (back.flows, back.coverage, back.window, back.loss) == ((flow,), 0.5, "30 d", 0.002)
