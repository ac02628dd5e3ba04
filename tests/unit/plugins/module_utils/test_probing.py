# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Probes: what may be asked. The answers are tested with packets in tests/kernel."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils import probing


@pytest.mark.parametrize(
    ("address", "service"),
    [
        ("10.0.0.1", "tcp/0"),
        ("10.0.0.1", "tcp/65536"),
        ("10.0.0.1", "tcp"),
        ("10.0.0.1", "sctp/1"),
        ("10.0.0.1", "icmp/3.4"),
        ("10.0.0.1", "icmpv6/128.0"),
        ("2001:db8::1", "icmp/8.0"),
        ("db-1", "tcp/1"),
    ],
)
def test_what_cannot_be_probed_is_refused(address: str, service: str) -> None:
    with pytest.raises(ValueError, match=r"probed|port|address"):
        probing.parse({"address": address, "service": service})


def test_an_expectation_is_met_missed_or_absent() -> None:
    results = [{"ok": True, "verdict": "allowed"}, {"ok": None, "verdict": "unknown"}]

    assert probing.summary(results) == (True, 1)
    assert probing.summary([*results, {"ok": False, "verdict": "denied"}]) == (False, 1)
