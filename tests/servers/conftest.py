# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fixtures of tests that need real machines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.nspawn import Machines, inability


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    """``machines.boot("web-1")``: a real Debian with systemd. Mark such tests ``systemd``."""
    reason = inability()
    if reason:
        pytest.skip(reason)
    with Machines() as started:
        yield started
