# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Transactions touch our table and nothing else."""

from __future__ import annotations

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import text, transaction
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.payload import Policy

POLICY = Policy.parse(
    {
        "format": 1,
        "ruleset": "table inet microseg {\n set m4_a { type ipv4_addr; }\n}\n",
        "members": {"m4_a": [f"10.0.{number // 256}.{number % 256}" for number in range(transaction.CHUNK + 1)]},
        "policy_digest": "ab" * 32,
        "artifact_digest": "cd" * 32,
    }
)


def test_a_replacement_deletes_declares_and_fills_in_chunks() -> None:
    lines = transaction.replace(POLICY, POLICY.members, trusted=True).splitlines()

    assert lines[:3] == ["table inet microseg", "delete table inet microseg", "table inet microseg {"]
    assert [line.count(",") + 1 for line in lines if line.startswith("add element inet microseg m4_a")] == [
        transaction.CHUNK,
        1,
    ]


def test_a_moved_address_leaves_before_it_joins() -> None:
    moved = transaction.move_members(
        {"m4_a": frozenset(["10.0.0.1", "10.0.0.2"]), "m4_b": frozenset()},
        {"m4_a": frozenset(["10.0.0.2"]), "m4_b": frozenset(["10.0.0.1"])},
    )

    assert moved.splitlines() == [
        "delete element inet microseg m4_a { 10.0.0.1 }",
        "add element inet microseg m4_b { 10.0.0.1 }",
    ]


def test_the_open_table_is_recognised() -> None:
    chains = [{"chain": {"family": "inet", "table": "microseg", "name": f"{transaction.OPEN}_input"}}]

    assert transaction.is_open({"nftables": chains})
    assert not transaction.is_open({"nftables": [*chains, {"chain": dict(chains[0]["chain"], name="input")}]})
    assert not transaction.is_open(None)


def test_a_diff_shows_the_policy_without_its_members() -> None:
    shown = text.readable(
        "table inet microseg {\n\tset m4_a {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1,\n\t\t\t     10.0.0.2 }\n"
        "\t}\n\n\tset a4_b {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.3 }\n\t}\n}\n"
    )

    assert "10.0.0.1" not in shown
    assert "10.0.0.2" not in shown
    assert "10.0.0.3" in shown


def test_a_diff_is_capped() -> None:
    lines = text.readable("x\n" * 1000).splitlines()

    assert len(lines) == text.LINES + 1
    assert lines[-1] == "... 600 more lines"
