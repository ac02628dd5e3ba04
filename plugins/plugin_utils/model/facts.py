# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Facts that come from elsewhere than the inventory and change often: labels with an end, and live sessions of users.

A session is a fact about a workload like a label is: *a member of this group is logged in here until …*. It is kept as
one under a key that no label can have, so that matching, expiry and classes treat both alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from .errors import NOWHERE, Place
from .labels import Fact

#: A label key never begins with this: see `session_key`.
SESSION_PREFIX = "users:"
SESSION = "session"


@dataclass(frozen=True, slots=True)
class ObservedLabel:
    fact: Fact
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class Session:
    """One user is logged in, counted strictly before `expires` (aware), on the workload, or on those with the address.

    `zone` is that of the address.
    """

    user: str
    expires: datetime
    workload: str = ""
    address: str = ""
    zone: str = ""
    source: str = ""
    place: Place = NOWHERE


@dataclass(frozen=True)
class Facts:
    """`labels`: workload -> key -> label. `groups`: group -> user -> until when the membership is known."""

    labels: Mapping[str, Mapping[str, ObservedLabel]] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, datetime]] = field(default_factory=dict)
    sessions: tuple[Session, ...] = ()


NO_FACTS = Facts()


def session_key(group: str) -> str:
    """The key of the fact that a member of the group has a session.

    >>> session_key("dba")
    'users:dba'
    """
    return SESSION_PREFIX + group


def session_facts(sessions: Iterable[Session], groups: Mapping[str, Mapping[str, datetime]]) -> dict[str, Fact]:
    """Session key -> fact, of the sessions of one workload; of several sessions the one that is known longest counts.

    A session of a member is known as long as both the session and the membership are.
    """
    found: dict[str, Fact] = {}
    for session in sessions:
        for group, members in groups.items():
            if session.user not in members:
                continue
            key, end = session_key(group), min(session.expires, members[session.user])
            known = found.get(key)
            if known is None or known.expires is None or known.expires < end:
                found[key] = Fact(SESSION, session.source or "sessions", end)
    return found


__all__ = ["NO_FACTS", "SESSION", "SESSION_PREFIX", "Facts", "ObservedLabel", "Session", "session_facts", "session_key"]
