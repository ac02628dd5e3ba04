# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host that does not know the time opens nothing by it, says so, and heals without its controller."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import boot, cli
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.errors import HostError
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.listing import CLOCK, trusting
from ansible_collections.bulkhead.microseg.plugins.modules import nftables_policy_info
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables import clock
from tests.kernel.host_machine import TestedHost, host, payload

__all__ = ["host"]
pytestmark = pytest.mark.kernel

TEXT = """table inet microseg {
    set clock {
        type nf_proto
    }
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established accept
        tcp dport 22 accept
        meta nfproto @clock meta time >= 0 tcp dport 7001 accept
        meta nfproto != @clock tcp dport 7002 drop
        meta time < 1 tcp dport 7002 drop
        tcp dport 7002 accept
    }
}
"""
TIMED = dict(payload(TEXT), format=2)


def ports(host: TestedHost) -> tuple[str, str]:
    """What becomes of a timed allow that counts now, and of a timed deny that does not."""
    return host.reach(7001), host.reach(7002)


def test_timed_rules_wait_for_the_clock(host: TestedHost) -> None:
    host.provision(TIMED)
    assert trusting(host.machine.nft.table()) is False
    closed = ports(host)

    host.clock.right = True
    assert "in force" in boot.check(host.machine)

    assert trusting(host.machine.nft.table()) is True
    opened = ports(host)
    assert len(set(closed)) == len(set(opened)) == 1
    assert closed[0] != opened[0]
    assert boot.check(host.machine) == "the table is there"


def test_waiting_or_not_is_no_other_policy(host: TestedHost) -> None:
    host.provision(TIMED)
    before = host.hash()

    host.clock.right = True
    boot.check(host.machine)

    assert host.hash() == before == host.record()["hash"]
    assert host.arm(TIMED)["token"] is None


def test_a_right_clock_loads_timed_rules_at_once(host: TestedHost) -> None:
    host.clock.right = True

    host.provision(TIMED)

    assert trusting(host.machine.nft.table()) is True


def test_after_a_restart_the_clock_has_to_prove_itself_again(host: TestedHost) -> None:
    host.clock.right = True
    host.provision(TIMED)
    boot.check(host.machine)

    host.clock.right, host.clock.boot = False, 1
    host.nft("delete", "table", "inet", "microseg")
    boot.boot(host.machine)
    assert trusting(host.machine.nft.table()) is False
    assert boot.check(host.machine) == "the table is there"
    assert trusting(host.machine.nft.table()) is False

    host.clock.right = True
    boot.check(host.machine)
    assert trusting(host.machine.nft.table()) is True
    assert not [alarm for alarm in host.record()["alarms"] if alarm["code"] != "table-missing"]


def test_a_clock_that_was_right_is_trusted_until_the_next_restart(host: TestedHost) -> None:
    """Losing the time server must not cut traffic: the clock goes on well enough."""
    host.clock.right = True
    host.provision(TIMED)
    boot.check(host.machine)

    host.clock.right = False
    host.nft("delete", "table", "inet", "microseg")
    boot.check(host.machine)

    assert trusting(host.machine.nft.table()) is True


def test_the_operator_may_say_that_something_else_keeps_the_clock(host: TestedHost) -> None:
    host.provision(TIMED, clock_kept=True)
    assert trusting(host.machine.nft.table()) is True
    assert host.record()["clock_kept"] is True

    host.clock.boot = 1
    host.nft("delete", "table", "inet", "microseg")
    boot.boot(host.machine)
    assert trusting(host.machine.nft.table()) is True


def test_saying_so_later_is_enough(host: TestedHost) -> None:
    host.provision(TIMED)
    assert trusting(host.machine.nft.table()) is False
    before = host.hash()

    assert host.arm(TIMED, clock_kept=True, check=True)["changed"]
    assert trusting(host.machine.nft.table()) is False
    answer = host.arm(TIMED, clock_kept=True)

    assert (answer["changed"], answer["token"], answer["hash"]) == (True, None, before)
    assert trusting(host.machine.nft.table()) is True
    assert not host.arm(TIMED, clock_kept=True)["changed"]
    host.arm(TIMED)
    assert host.record()["clock_kept"] is False


@pytest.mark.parametrize("answer", [False, None])
def test_not_being_able_to_tell_is_a_no(host: TestedHost, answer: bool | None) -> None:
    host.clock.right = answer

    host.provision(TIMED)
    boot.check(host.machine)

    assert trusting(host.machine.nft.table()) is False


def test_policies_without_timed_rules_do_not_ask(host: TestedHost) -> None:
    host.provision(payload(TEXT.replace("    set clock {\n        type nf_proto\n    }\n", "").replace(
        "        meta nfproto @clock meta time >= 0 tcp dport 7001 accept\n", "").replace(
        "        meta nfproto != @clock tcp dport 7002 drop\n", "")))  # fmt: skip
    host.clock.right = True

    assert boot.check(host.machine) == "the table is there"
    assert nftables_policy_info.read(host.machine)["timed_rules"] == "none"


def test_the_host_reports_it(host: TestedHost) -> None:
    host.provision(TIMED)
    told = nftables_policy_info.read(host.machine)
    assert (told["timed_rules"], told["clock_synchronised"]) == ("withheld", False)
    assert cli.status(host.machine)["timed_rules_withheld"] is True

    host.clock.right = True
    boot.check(host.machine)

    told = nftables_policy_info.read(host.machine)
    assert (told["timed_rules"], told["clock_synchronised"]) == ("in_force", True)


def test_an_nft_that_does_not_know_sets_of_times_is_named(host: TestedHost, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduled = TEXT.replace("    chain", "\tset w_1 {\n\t\ttypeof meta time\n\t\tflags interval\n\t}\n    chain")
    monkeypatch.setattr(host.machine.nft, "version", lambda: "0.9.3")

    with pytest.raises(HostError, match=r"E-HOST-TOOL nft 0\.9\.3 does not know .* \(nft 0\.9\.4 or newer\)"):
        host.arm(dict(TIMED, ruleset=scheduled))

    assert host.hash() == "absent"
    assert host.arm(TIMED)["token"]


def test_both_sides_mean_the_same_set() -> None:
    assert clock.CLOCK == CLOCK
