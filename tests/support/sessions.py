# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real sessions past rendered tables, in the bed of `packets`. Standard library only; run in a network namespace.

Reads `{"own": [...], "peers": [...], "steps": [[WORD, ...], ...]}` and answers with what each step found:
`load TEXT` · `forget` (delete what conntrack knows on the host) · `connect FROM-SIDE ADDRESS PORT [PATIENCE]` (ok,
refused, unreachable or silence) · `open NAME FROM-SIDE ADDRESS PORT` · `talk NAME` (does a line get there and back?) ·
`echo FROM-SIDE ADDRESS PORT` (UDP).
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import subprocess
import sys
from typing import Any

try:
    import packets
except ModuleNotFoundError:  # imported by a test, not run
    from tests.support import packets

PATIENCE = 0.7


class Sessions:
    def __init__(self, bed: packets.Bed) -> None:
        self.bed = bed
        self.open_ones: dict[str, tuple[socket.socket, socket.socket]] = {}

    def do(self, word: str, *rest: Any) -> Any:
        return getattr(self, word)(*rest)

    def load(self, text: str) -> str:
        self.bed.load(text)
        return "ok"

    def forget(self) -> str:
        packets.enter(self.bed.sides["host"])
        subprocess.run(["conntrack", "-F"], capture_output=True, check=False)
        return "ok"

    def connect(self, side: str, address: str, port: int, patience: float = PATIENCE) -> str:
        try:
            client, server, listener = self._pair(side, address, port, patience)
        except TimeoutError:
            return "silence"
        except ConnectionRefusedError:
            return "refused"
        except OSError as error:
            return "unreachable" if error.errno in (errno.EHOSTUNREACH, errno.EACCES) else str(error)
        for one in (client, server, listener):
            one.close()
        return "ok"

    def open(self, name: str, side: str, address: str, port: int) -> str:
        client, server, listener = self._pair(side, address, port)
        listener.close()
        self.open_ones[name] = (client, server)
        return "ok"

    def talk(self, name: str) -> bool:
        client, server = self.open_ones[name]
        heard = 0
        for speaker, listener in ((client, server), (server, client)):
            with contextlib.suppress(OSError):
                speaker.send(b"x")
                heard += len(listener.recv(16))
        return heard > 0

    def echo(self, side: str, address: str, port: int) -> bool:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packets.enter(self._other(side))
        with socket.socket(family, socket.SOCK_DGRAM) as server:
            server.bind((address, port))
            server.settimeout(PATIENCE)
            packets.enter(self.bed.sides[side])
            with socket.socket(family, socket.SOCK_DGRAM) as client, contextlib.suppress(OSError):
                client.settimeout(PATIENCE)
                client.sendto(b"x", (address, port))
                data, sender = server.recvfrom(16)
                server.sendto(data, sender)
                return client.recv(16) == b"x"
        return False

    def _other(self, side: str) -> int:
        return self.bed.sides["host" if side == "peer" else "peer"]

    def _pair(
        self, side: str, address: str, port: int, patience: float = PATIENCE
    ) -> tuple[socket.socket, socket.socket, socket.socket]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packets.enter(self._other(side))
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
        listener.settimeout(PATIENCE)
        packets.enter(self.bed.sides[side])
        client = socket.socket(family, socket.SOCK_STREAM)
        client.settimeout(patience)
        try:
            client.connect((address, port))
            server, _peer = listener.accept()
        except BaseException:
            client.close()
            listener.close()
            raise
        server.settimeout(PATIENCE)
        return client, server, listener


def main() -> None:
    request = json.load(sys.stdin)
    sessions = Sessions(packets.Bed(request["own"], request["peers"]))
    json.dump([sessions.do(*step) for step in request["steps"]], sys.stdout)


if __name__ == "__main__":
    main()
