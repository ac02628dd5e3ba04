# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Talk to the agent of a host over its control socket."""

from __future__ import annotations

import json
import os
import pathlib
import socket
from collections.abc import Mapping
from typing import IO, Any, Self

from extensions.lab.topology import LabError


class Session:
    """A connection that stays open between checks, to see whether a policy change cuts it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def alive(self, timeout: float = 1.0) -> bool:
        """Send a line through it and wait for the echo."""
        return bool(self._channel.ask({"op": "say", "timeout": timeout}))

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Channel:
    """A control connection to one host's agent."""

    def __init__(self, directory: pathlib.Path, name: str) -> None:
        self.name = name
        # Reached through a descriptor of the directory: socket paths are limited to 108 bytes, run directories are not.
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(f"/proc/self/fd/{descriptor}/{name}")
            except OSError:
                self._socket.close()
                raise
        finally:
            os.close(descriptor)
        self._lines: IO[str] = self._socket.makefile("r", encoding="utf-8")

    def ask(self, request: Mapping[str, Any]) -> Any:
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        line = self._lines.readline()
        if not line:
            raise LabError(f"{self.name}: the host process ended")
        reply = json.loads(line)
        if "error" in reply:
            raise LabError(f"{self.name}: {reply['error']}")
        return reply["ok"]

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
