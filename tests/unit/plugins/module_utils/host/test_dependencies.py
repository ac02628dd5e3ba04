# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host needs is tried before a change and before it is confirmed, over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import dependencies
from ansible_collections.bulkhead.microseg.plugins.module_utils.host.errors import HostError


@pytest.fixture
def directory() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


@pytest.fixture
def silence() -> Iterator[dict[str, str]]:
    """A UDP service that never answers."""
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield {"address": "127.0.0.1", "service": f"udp/{server.getsockname()[1]}"}


def need(server: socket.socket) -> dict[str, str]:
    return {"address": "127.0.0.1", "service": f"tcp/{server.getsockname()[1]}"}


def test_only_what_answers_is_asked_for_again(
    directory: socket.socket, silence: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "PATIENCE", 0.3)

    assert dependencies.answering([need(directory), silence]) == [need(directory)]
    dependencies.require([need(directory)])


def test_what_does_not_answer_any_more_stops_the_confirmation(
    silence: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "PATIENCE", 0.3)

    with pytest.raises(HostError, match=f"E-DEPENDENCY .*{silence['service']} at 127.0.0.1"):
        dependencies.require([silence])


def test_without_dependencies_nothing_is_sent() -> None:
    assert dependencies.answering([]) == []
    dependencies.require([])


def test_what_cannot_be_tried_is_refused() -> None:
    with pytest.raises(HostError, match="E-HOST-PAYLOAD"):
        dependencies.require([{"address": "name.example", "service": "tcp/1"}])
