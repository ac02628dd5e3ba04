# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One inventory host: labels, addresses, zone, enforcement points."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.sources import Sources, open_inventory
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import Rejected
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import EnforcementPoint, InventoryHost

from .conftest import Read


def host(read: Read, variables: str, timezone: str = "UTC") -> InventoryHost:
    return read(f"all: {{hosts: {{web-1: {variables}}}}}").hosts(timezone=timezone)[0]


def refused(read: Read, variables: str) -> str:
    with pytest.raises(Rejected) as caught:
        host(read, variables)
    assert "web-1" in caught.value.message
    return f"{caught.value.code} {caught.value.message}"


class TestLabels:
    def test_are_texts(self, read: Read) -> None:
        labels = host(read, "{microseg_labels: {app: shop, tier: 2}}").labels

        assert {key: fact.value for key, fact in labels.items()} == {"app": "shop", "tier": "2"}
        assert labels["app"].source == "inventory"

    def test_may_have_source_and_end(self, read: Read) -> None:
        fact = host(
            read,
            "{microseg_labels: {posture: {value: good, source: mdm, expires: '2026-12-01T00:00:00Z'}}}",
        ).labels["posture"]

        assert (fact.value, fact.source, fact.expires) == ("good", "mdm", datetime(2026, 12, 1, tzinfo=UTC))

    @pytest.mark.parametrize("written", ["2027-06-30", "'2027-06-30'"])
    def test_a_date_ends_with_that_day_in_the_time_zone_of_the_policy(self, read: Read, written: str) -> None:
        labels = host(read, f"{{microseg_labels: {{a: {{value: b, expires: {written}}}}}}}", "Europe/Berlin").labels

        assert labels["a"].expires == datetime(2027, 6, 30, 22, tzinfo=UTC)

    def test_a_time_without_offset_is_meant_in_the_time_zone_of_the_policy(self, read: Read) -> None:
        labels = host(
            read, "{microseg_labels: {a: {value: b, expires: '2027-06-30T12:00:00'}}}", "Europe/Berlin"
        ).labels

        assert labels["a"].expires == datetime(2027, 6, 30, 10, tzinfo=UTC)

    @pytest.mark.parametrize(
        "written",
        [
            "[app]",
            "{app: [a]}",
            "{app: true}",
            "{app: null}",
            "{app: ''}",
            "{app: {valeu: a}}",
            "{app: {value: a, expires: soon}}",
            "{app: {value: a, expires: 9999-12-31}}",
            "{app: {value: a, until: '2027-01-01'}}",
        ],
    )
    def test_anything_else_is_an_error(self, read: Read, written: str) -> None:
        assert refused(read, f"{{microseg_labels: {written}}}").startswith("E-INVENTORY-VARIABLE")

    def test_a_vaulted_value_is_refused_without_the_password(self, read: Read) -> None:
        with pytest.raises(Rejected) as caught:
            read(
                "all:\n  hosts:\n    web-1:\n      microseg_labels:\n        app: !vault |\n"
                "          $ANSIBLE_VAULT;1.1;AES256\n          3030\n"
            ).hosts()

        assert caught.value.code == "E-VAULTED"
        assert "microseg_labels" in caught.value.message
        assert caught.value.where.line > 0


class TestAddresses:
    def test_declared_ones_come_first(self, read: Read) -> None:
        found = host(
            read,
            "{microseg_addresses: [10.0.0.1, {address: '2001:db8::1'}], ansible_host: 10.9.9.9, "
            "microseg_observed: {addresses: [10.8.8.8]}}",
        ).addresses

        assert [(address.text, address.source, address.seen) for address in found] == [
            ("10.0.0.1", "microseg_addresses", None),
            ("2001:db8::1", "microseg_addresses", None),
        ]

    def test_then_observed_ones_with_their_age(self, read: Read) -> None:
        found = host(
            read,
            "{ansible_host: 10.9.9.9, microseg_observed: {addresses: [10.8.8.8, {address: 10.8.8.9}, 'fe80::1'], "
            "observed_at: '2026-01-02T03:04:05Z'}}",
        ).addresses

        assert [address.text for address in found] == ["10.8.8.8", "10.8.8.9"]
        assert found[0].seen == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def test_then_a_literal_ansible_host(self, read: Read) -> None:
        assert [address.text for address in host(read, "{ansible_host: 10.9.9.9}").addresses] == ["10.9.9.9"]

    def test_a_templated_ansible_host_counts(self, read: Read) -> None:
        found = host(read, "{ansible_host: '{{ management }}', management: 10.9.9.9}").addresses

        assert [address.text for address in found] == ["10.9.9.9"]

    def test_names_are_not_resolved(self, read: Read) -> None:
        assert host(read, "{ansible_host: localhost}").addresses == ()

    def test_a_host_named_by_its_address_has_it(self, read: Read) -> None:
        assert read("all: {hosts: {10.0.0.7: {}}}").hosts()[0].addresses[0].text == "10.0.0.7"

    def test_entries_may_carry_the_zone_of_the_host(self, read: Read) -> None:
        assert host(read, "{microseg_addresses: [{address: 10.0.0.1, zone: lab}]}").zone == "lab"
        assert host(read, "{microseg_zone: lab, microseg_addresses: [10.0.0.1]}").zone == "lab"

    @pytest.mark.parametrize(
        "written",
        [
            "{microseg_addresses: {a: b}}",
            "{microseg_addresses: [1]}",
            "{microseg_addresses: [{addr: 10.0.0.1}]}",
            "{microseg_addresses: [{address: 10.0.0.1, zone: a}, {address: 10.0.0.2, zone: b}]}",
            "{microseg_addresses: [{address: 10.0.0.1, zone: a}, 10.0.0.2]}",
            "{microseg_zone: 5}",
            "{microseg_shared: 'yes'}",
            "{microseg_observed: [10.0.0.1]}",
            "{microseg_observed: {addresses: [10.0.0.1], observed_at: yesterday}}",
            "{microseg_observed: {addresses: [10.0.0.1], observed_at: '2026-01-01T00:00:00'}}",
        ],
    )
    def test_malformed_variables_are_errors(self, read: Read, written: str) -> None:
        assert refused(read, written).startswith("E-INVENTORY-VARIABLE")


FACTS = {
    "ansible_system": "Linux",
    "ansible_interfaces": ["lo", "eth0", "docker0", "br-0123456789ab"],
    "ansible_docker0": {"ipv4": {"address": "172.17.0.1"}},
    "ansible_br_0123456789ab": {"ipv4": {"address": "172.18.0.1"}, "ipv6": [{"address": "fd00::1"}]},
    "ansible_all_ipv4_addresses": ["10.1.0.1", "172.17.0.1", "172.18.0.1", "127.0.0.2"],
    "ansible_all_ipv6_addresses": ["2001:db8::5", "fe80::5", "fd00::1"],
    "ansible_date_time": {"epoch": "1767323045"},
}


class TestFacts:
    """Gathered facts, from the fact cache of the configuration."""

    @pytest.fixture
    def cached(self, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
        from ansible import constants

        monkeypatch.setattr(constants, "CACHE_PLUGIN", "ansible.builtin.jsonfile")
        monkeypatch.setenv("ANSIBLE_CACHE_PLUGIN_CONNECTION", str(tmp_path / "facts"))
        return read

    def write(self, facts: dict[str, object]) -> None:
        from ansible.plugins.loader import cache_loader

        cache_loader.get("ansible.builtin.jsonfile").set("web-1", facts)

    def test_give_the_addresses_that_are_the_hosts_own(self, cached: Read) -> None:
        self.write(FACTS)

        found = host(cached, "{ansible_host: 10.9.9.9}").addresses

        assert [address.text for address in found] == ["10.1.0.1", "2001:db8::5"]
        assert {address.source for address in found} == {"facts"}
        assert found[0].seen == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def test_of_workload_facts_come_first(self, cached: Read) -> None:
        self.write({**FACTS, "microseg": {"ipv4": ["10.2.0.1"], "ipv6": ["2001:db8::7"], "hostname": "web-1"}})

        assert [address.text for address in host(cached, "{}").addresses] == ["10.2.0.1", "2001:db8::7"]

    def test_say_that_a_host_is_no_linux(self, cached: Read) -> None:
        self.write({"ansible_system": "Win32NT"})

        assert host(cached, "{}").enforcement == ()


class TestEnforcement:
    def test_is_nftables_on_the_host_itself_by_default(self, read: Read) -> None:
        assert host(read, "{microseg_id: shop-web-1}").enforcement == (EnforcementPoint("shop-web-1", "nftables"),)

    @pytest.mark.parametrize("connection", ["winrm", "ansible.netcommon.network_cli", "psrp"])
    def test_is_nothing_where_no_linux_can_be(self, read: Read, connection: str) -> None:
        assert host(read, f"{{ansible_connection: {connection}}}").enforcement == ()

    def test_can_be_several_points_with_parameters(self, read: Read) -> None:
        points = host(
            read,
            "{microseg_enforcement: [{platform: nftables, directions: [ingress]}, "
            "{platform: aws, id: sg-1, account: '111', region: eu-west-1}]}",
        ).enforcement

        assert points == (
            EnforcementPoint("web-1", "nftables", directions=("ingress",)),
            EnforcementPoint("sg-1", "aws", parameters=(("account", "111"), ("region", "eu-west-1"))),
        )

    def test_can_be_nothing(self, read: Read) -> None:
        assert host(read, "{microseg_enforcement: []}").enforcement == ()

    @pytest.mark.parametrize(
        "written",
        [
            "nftables",
            "[nftables]",
            "[{id: sg-1}]",
            "[{platform: aws, id: 7}]",
            "[{platform: aws, tags: [a]}]",
            "[{platform: nftables, directions: []}]",
            "[{platform: nftables, directions: [in]}]",
            "[{platform: aws, writer: terraform}]",
        ],
    )
    def test_anything_else_is_an_error(self, read: Read, written: str) -> None:
        assert refused(read, f"{{microseg_enforcement: {written}}}").startswith("E-INVENTORY-VARIABLE")


def test_place_points_to_the_variables_in_the_inventory(read: Read, tmp_path: Path) -> None:
    read("all:\n  hosts:\n    web-1:\n      microseg_labels:\n        app: shop\n")

    place = open_inventory(Sources((str(tmp_path / "hosts.yml"),))).hosts()[0].place

    assert place.file.endswith("hosts.yml")
    assert place.line == 5
