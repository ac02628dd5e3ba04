# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real packets of the demo: conversations that run all the time, and the matrix of all connection attempts."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import contains
from extensions.lab.lab import Cell, Lab, LabError, Session

#: Who talks to whom when the demo begins: consumer, provider, service, family. Nobody meant to allow the last two.
CONVERSATIONS: tuple[tuple[str, str, str, int], ...] = (
    *(
        (f"{app}-{consumer}", f"{app}-{provider}", service, family)
        for app in ("shop", "crm", "shop-dev", "crm-dev")
        for consumer, provider, service in (("web", "app", "tcp/8080"), ("app", "db", "tcp/5432"))
        for family in (4, 6)
    ),
    *(("mon-1", host, "tcp/9100", 4) for host in ("shop-web", "shop-app", "shop-db", "crm-web", "crm-app", "crm-db")),
    *((host, "ns-1", "udp/53", 4) for host in ("shop-app", "crm-app")),
    ("crm-app", "shop-app", "tcp/8080", 4),
    ("crm-web", "crm-db", "tcp/5432", 4),
    ("shop-dev-app", "shop-db", "tcp/5432", 6),
)
UNWANTED = CONVERSATIONS[-2:]
#: Every port that something listens on somewhere, one that nothing listens on, and ping.
PORTS = ("tcp/22", "tcp/53", "tcp/443", "tcp/3000", "tcp/5432", "tcp/8080", "tcp/9100", "tcp/8443", "udp/53", "icmp")
ECHO = {4: "icmp/8", 6: "icmpv6/128"}


class Traffic:
    """The conversations, each with a line and its echo twice a second, until ``stop``."""

    def __init__(self, lab: Lab) -> None:
        self.sessions = [lab.session(*conversation) for conversation in CONVERSATIONS]
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._talk, args=(session,), daemon=True) for session in self.sessions]
        for thread in self._threads:
            thread.start()

    def _talk(self, session: Session) -> None:
        with contextlib.suppress(LabError, OSError, ValueError):  # the lab goes down
            while not self._stopped.is_set():
                session.alive(1.0)
                self._stopped.wait(0.5)

    def stop(self) -> list[bool]:
        """Which of them are still alive."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(5)
        alive = [session.alive(1.0) for session in self.sessions]
        for session in self.sessions:
            session.close()
        return alive


@dataclass(frozen=True)
class Matrix:
    """Every cell that was tried, with what reach says about it and what happened."""

    intended: Mapping[Cell, str]
    seen: Mapping[Cell, str]

    @property
    def equal(self) -> int:
        return sum(self.seen[cell] == word for cell, word in self.intended.items())

    @property
    def allowed(self) -> int:
        return sum(word == "allowed" for word in self.intended.values())

    def differences(self) -> list[str]:
        return [
            f"{cell.consumer} -> {cell.address} {cell.service}: reach says {word}, packets say {self.seen[cell]}"
            for cell, word in self.intended.items()
            if self.seen[cell] != word
        ]


def whole_matrix(lab: Lab, pairs: Iterable[Mapping[str, Any]], ports: Sequence[str] = PORTS) -> Matrix:
    """`pairs`: the answer of `microseg reach --with-failsafe`. Tries every pair, port and family it has.

    Names answer on every host meanwhile, for a UDP cell is only seen to be open where something answers.
    """
    silent = [name for name in lab.hosts if "udp/53" not in lab.hosts[name].listeners]
    for name in silent:
        lab.listen(name, "udp/53")
    try:
        intended = dict(_cells(lab, pairs, ports))
        return Matrix(intended, lab.matrix(intended, timeout=0.5))
    finally:
        for name in silent:
            lab.close(name, "udp/53")


def _cells(lab: Lab, pairs: Iterable[Mapping[str, Any]], ports: Sequence[str]) -> Iterable[tuple[Cell, str]]:
    for pair in pairs:
        family = 6 if pair["family"] == "ipv6" else 4
        allowed = tuple(interval for text in pair["allowed"] for interval in line.parse(text))
        for port in ports:
            service = ECHO[family].partition("/")[0] if port == "icmp" else port
            point = line.representative(line.parse(ECHO[family] if port == "icmp" else port))
            word = "allowed" if any(contains((interval,), point) for interval in allowed) else "denied"
            yield Cell(pair["from"], lab.address(pair["to"], family), service), word
