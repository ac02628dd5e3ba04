# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole inventory: nothing is evaluated that nobody refers to, and no host is lost unseen."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.inventory import Inventory, _is_own_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.sources import Sources, open_inventory
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import EstateError, Rejected

from .conftest import Read

TWO = "all: {hosts: {a: {ansible_host: 10.0.0.1}, b: {ansible_host: 10.0.0.2}}}"


def test_only_variables_that_label_rules_refer_to_are_handed_over(read: Read) -> None:
    inventory = read("all: {hosts: {a: {role: '{{ kind }}-server', kind: web, other: secret}}}")

    assert dict(inventory.hosts(frozenset({"role", "absent"}))[0].variables) == {"role": "web-server"}


def test_a_broken_template_that_nobody_refers_to_does_not_matter(read: Read) -> None:
    inventory = read("all: {hosts: {a: {broken: '{{ nowhere }}', worse: '{{ 1 +', role: web}}}")

    assert dict(inventory.hosts(frozenset({"role"}))[0].variables) == {"role": "web"}


def test_a_broken_template_that_a_label_rule_refers_to_names_host_and_variable(read: Read) -> None:
    inventory = read("all: {hosts: {a: {role: '{{ nowhere }}'}, b: {role: web}}}")

    with pytest.raises(Rejected) as caught:
        inventory.hosts(frozenset({"role"}))

    assert caught.value.code == "E-INVENTORY-VARIABLE"
    assert caught.value.message.startswith("a: role cannot be used:")
    assert "nowhere" in caught.value.message
    assert "\n" not in caught.value.message


def test_every_broken_host_is_named(read: Read) -> None:
    inventory = read("all: {hosts: {a: {microseg_labels: 1}, b: {microseg_labels: 2}, c: {}}}")

    with pytest.raises(Rejected) as caught:
        inventory.hosts()

    assert [finding.message[:1] for finding in caught.value.findings] == ["a", "b"]


def test_templates_may_look_at_other_hosts(read: Read) -> None:
    inventory = read("all: {hosts: {a: {role: \"{{ hostvars['b'].role }}\"}, b: {role: db}}}")

    assert inventory.hosts(frozenset({"role"}))[0].variables["role"] == "db"


def test_a_vaulted_variable_may_decide_a_label_rule(read: Read, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("open sesame\n")
    secret = subprocess.run(
        [Path(sys.executable).parent / "ansible-vault", "encrypt_string", "--vault-password-file", "password", "prod"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.removeprefix("Encryption successful\n")
    indented = "\n".join(f"        {line.strip()}" for line in secret.splitlines()[1:])

    inventory = read(f"all:\n  hosts:\n    a:\n      stage: !vault |\n{indented}\n", vault_password_files=("password",))

    assert inventory.hosts(frozenset({"stage"}))[0].variables["stage"] == "prod"


def test_a_vault_password_file_that_is_not_there_is_an_error(read: Read) -> None:
    with pytest.raises(EstateError, match="nowhere") as caught:
        read(TWO, vault_password_files=("nowhere",))
    assert caught.value.code == "E-VAULT"


def test_two_hosts_cannot_be_one_workload(read: Read) -> None:
    inventory = read("all: {hosts: {a: {microseg_id: x}, b: {microseg_id: x}}}")

    with pytest.raises(Rejected, match="a and b both are the workload x") as caught:
        inventory.hosts()
    assert caught.value.code == "E-WORKLOAD-TWICE"


def test_workload_ids_lead_back_to_inventory_names(read: Read) -> None:
    assert read("all: {hosts: {a: {microseg_id: x}, b: {}}}").inventory_names() == {"x": "a", "b": "b"}


def test_groups_of_a_host_include_all(read: Read) -> None:
    inventory = read("all: {children: {web: {hosts: {a: {}}}, prod: {children: {web: {}}}}}")

    assert inventory.hosts()[0].groups == ("all", "prod", "web")


def test_the_host_that_carries_a_rollout_is_no_workload(read: Read) -> None:
    assert read("all: {hosts: {a: {}, microseg_rollout: {}}}").names == ("a",)


def test_the_machine_this_runs_on_is_known_by_connection_and_by_address(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = "a: {ansible_connection: local}, b: {ansible_host: 10.0.0.2}, c: {ansible_host: 10.0.0.3}, d: {}"
    inventory = read(f"all: {{hosts: {{{hosts}}}}}")
    monkeypatch.setattr("socket.socket.connect", lambda _self, _address: None)
    monkeypatch.setattr("socket.socket.getsockname", lambda _self: ("10.0.0.2", 40000))

    assert inventory.local(inventory.names) == {"a", "b"}
    assert inventory.local(["c", "b"]) == {"b"}


@pytest.mark.parametrize(("address", "own"), [("127.0.0.1", True), ("203.0.113.7", False), ("2001:db8::7", False)])
def test_an_address_is_this_machines_own_if_it_would_speak_from_it(address: str, own: bool) -> None:
    assert _is_own_address(address) is own


def test_registered_results_are_found_by_workload(read: Read) -> None:
    inventory = read("all: {hosts: {a: {microseg_id: x, seen: {hash: '{{ 1 }}'}}, b: {seen: text}, c: {}}}")

    assert inventory.registered("seen") == {"x": {"hash": "{{ 1 }}"}}
    assert inventory.registered("unseen", required=False) == {}
    with pytest.raises(EstateError, match="unseen"):
        inventory.registered("unseen")


class TestMembers:
    GROUPS = "all: {hosts: {a: {}, microseg_rollout: {}}, children: {web: {hosts: {a: {}}}, none: {}}}"

    def test_of_a_group_are_its_hosts(self, read: Read) -> None:
        assert read(self.GROUPS).members("web") == ("a",)

    @pytest.mark.parametrize("group", ["all", "none", "nowhere"])
    def test_of_everybody_or_nobody_are_refused(self, read: Read, group: str) -> None:
        with pytest.raises(EstateError) as caught:
            read(self.GROUPS).members(group)
        assert caught.value.code == "E-NO-TARGET"


class TestExtraVars:
    @pytest.mark.parametrize("given", ["microseg_labels={}", '{"microseg_id": "x"}', "@vars.yml"])
    def test_that_would_relabel_everyone_are_refused(self, read: Read, tmp_path: Path, given: str) -> None:
        (tmp_path / "vars.yml").write_text("microseg_zone: lab\n")

        with pytest.raises(EstateError, match="all 2 hosts") as caught:
            read(TWO, extra_vars=(given,))
        assert caught.value.code == "E-EXTRA-VARS"

    def test_of_the_playbooks_are_welcome(self, read: Read) -> None:
        assert len(read(TWO, extra_vars=("microseg_policy=policy microseg_hosts=all",)).hosts()) == 2

    def test_reach_templates(self, read: Read) -> None:
        text = "all: {hosts: {a: {microseg_labels: {env: '{{ stage }}'}}}}"

        assert read(text, extra_vars=("stage=prod",)).hosts()[0].labels["env"].value == "prod"

    def test_of_an_earlier_reading_are_forgotten(self, read: Read) -> None:
        read(TWO, extra_vars=("stage=prod",))

        assert dict(read(TWO).hosts(frozenset({"stage"}))[0].variables) == {}


class TestSources:
    def test_an_inventory_without_hosts_is_an_error(self, read: Read) -> None:
        with pytest.raises(EstateError, match="has no hosts") as caught:
            read("all: {children: {web: {}}}")
        assert caught.value.code == "E-INVENTORY"

    def test_an_inventory_that_is_not_there_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(EstateError, match="no inventory") as caught:
            open_inventory(Sources((str(tmp_path / "nowhere.yml"),)))
        assert caught.value.code == "E-INVENTORY"

    def test_one_broken_source_among_good_ones_is_an_error(self, read: Read, tmp_path: Path) -> None:
        read(TWO)
        (tmp_path / "broken.yml").write_text("all: {hosts: [")

        with pytest.raises(EstateError, match=r"broken\.yml could not be read") as caught:
            open_inventory(Sources(("hosts.yml", "broken.yml")))
        assert caught.value.code == "E-INVENTORY"

    def test_one_broken_file_in_a_directory_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "inventory" / "group_vars").mkdir(parents=True)
        (tmp_path / "inventory" / "good.yml").write_text(TWO)
        (tmp_path / "inventory" / "group_vars" / "all.yml").write_text("x: 1\n")
        assert len(open_inventory(Sources((str(tmp_path / "inventory"),))).names) == 2
        failing = tmp_path / "inventory" / "failing.sh"
        failing.write_text("#!/bin/sh\nexit 1\n")
        failing.chmod(failing.stat().st_mode | stat.S_IXUSR)

        with pytest.raises(EstateError, match=r"failing\.sh could not be read"):
            open_inventory(Sources((str(tmp_path / "inventory"),)))

    def test_several_sources_add_up(self, read: Read, tmp_path: Path) -> None:
        read(TWO)
        (tmp_path / "more.ini").write_text("[web]\nc ansible_host=10.0.0.3\n")

        assert open_inventory(Sources(("hosts.yml", "more.ini", "d,"))).names == ("a", "b", "c", "d")

    def test_group_vars_beside_a_bare_file_name_count(self, read: Read, tmp_path: Path) -> None:
        (tmp_path / "group_vars").mkdir()
        (tmp_path / "group_vars" / "all.yml").write_text("microseg_zone: lab\n")

        assert read(TWO).hosts()[0].zone == "lab"

    def test_group_vars_beside_the_inventory_count_and_those_of_the_current_directory_do_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for place, zone in (("inventory", "right"), (".", "wrong")):
            (tmp_path / place / "group_vars").mkdir(parents=True)
            (tmp_path / place / "group_vars" / "all.yml").write_text(f"microseg_zone: {zone}\n")
        (tmp_path / "inventory" / "hosts.yml").write_text(TWO)

        assert open_inventory(Sources(("inventory/hosts.yml",))).hosts()[0].zone == "right"


def test_a_task_sees_the_same_estate_as_the_command_line(read: Read) -> None:
    inventory = read("all: {hosts: {a: {microseg_labels: {app: '{{ x }}'}, x: shop}}}")

    assert Inventory.of_task({"hostvars": inventory._hostvars}).hosts() == inventory.hosts()


def test_cost_grows_no_faster_than_the_number_of_hosts(tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text(
        "microseg_labels: {app: '{{ group_names[0] }}', env: prod}\nmicroseg_addresses: ['{{ ansible_host }}']\n"
    )

    few, many = (cpu_seconds(tmp_path, count) for count in (300, 1500))

    assert many / few < 10


def cpu_seconds(directory: Path, count: int) -> float:
    """To read that many hosts in 30 groups, without the start of Ansible."""
    hosts = "".join(f"h{n} ansible_host=10.0.{n >> 8}.{n & 255}\n" for n in range(count))
    groups = "".join(f"[app{n}]\n" + "".join(f"h{i}\n" for i in range(n, count, 30)) for n in range(30))
    (directory / "hosts.ini").write_text(hosts + groups)
    before = time.process_time()

    found = open_inventory(Sources((str(directory / "hosts.ini"),))).hosts()

    assert len(found) == count
    assert found[31].labels["app"].value == "app1"
    return time.process_time() - before
