# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Facts that come from elsewhere than the inventory and change often: labels with an end, and live sessions of users.

A session is a fact about a workload like a label is: *a member of this group is logged in here until …*. It is kept as
one under a key that no label can have, so that matching, expiry and classes treat both alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from .labels import Fact

#: A label key never begins with this: see `session_key`.
SESSION_PREFIX = "users:"
SESSION = "session"


@dataclass(frozen=True, slots=True)
class Session:
    """One user is logged in on one workload, counted strictly before `expires` (aware)."""

    user: str
    workload: str
    groups: tuple[str, ...]
    expires: datetime
    source: str = ""


@dataclass(frozen=True)
class Facts:
    """`labels`: workload -> key -> fact."""

    labels: Mapping[str, Mapping[str, Fact]] = field(default_factory=dict)
    sessions: tuple[Session, ...] = ()


def session_key(group: str) -> str:
    """The key of the fact that a member of the group has a session.

    >>> session_key("dba")
    'users:dba'
    """
    return SESSION_PREFIX + group


def session_facts(sessions: tuple[Session, ...]) -> dict[str, dict[str, Fact]]:
    """Workload -> session key -> fact; of several sessions the one that lasts longest counts."""
    found: dict[str, dict[str, Fact]] = {}
    for session in sessions:
        here = found.setdefault(session.workload, {})
        for group in session.groups:
            key = session_key(group)
            known = here.get(key)
            if known is None or known.expires is None or known.expires < session.expires:
                here[key] = Fact(SESSION, session.source or "sessions", session.expires)
    return found


__all__ = ["SESSION", "SESSION_PREFIX", "Facts", "Session", "session_facts", "session_key"]
