# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules about users on workloads that several users share: packets do not say who sent them (DESIGN §3.16)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ..model.errors import Finding
from ..model.estate import Estate
from ..model.labels import Truth
from .resolve import ResolvedRule


def others_with_sessions(item: ResolvedRule, estate: Estate, workload: str, at: datetime) -> tuple[str, ...]:
    """Users whom the rule does not name and who can send from the workload, which it binds by a live session.

    Empty where the rule binds the workload without its users too.
    """
    groups = {element.name for element in item.consumers if element.kind == "users"}
    sessions = estate.sessions.get(workload, ())
    if not groups or not sessions:
        return ()
    labels = estate.workloads[workload].labels
    by_users = [element for element in item.consumers if element.kind == "users"]
    if not any(element.selector.matches(labels, at) is Truth.YES for element in by_users):
        return ()
    if any(
        element.kind == "labels" and element.selector.matches(labels, at) is Truth.YES for element in item.consumers
    ):
        return ()
    live = [session for session in sessions if at < session.expires]
    return tuple(sorted({session.user for session in live if not groups & estate.groups_of(session.user, at)}))


def shared_by_users(item: ResolvedRule, estate: Estate, at: datetime) -> Iterable[Finding]:
    if not any(element.kind == "users" for element in item.consumers):
        return
    found = {name: others for name in estate.sessions if (others := others_with_sessions(item, estate, name, at))}
    if found:
        name, others = next(iter(found.items()))
        yield Finding(
            "W-USER-SHARED",
            "warning",
            f"rule {item.rule.id} is widened: it holds for all who send from {_workloads(len(found))}, "
            f"for example {others[0]} on {name}.",
            item.place,
            "End the other sessions, or give these users a workload of their own.",
        )


def _workloads(count: int) -> str:
    return "one shared workload" if count == 1 else f"{count} shared workloads"


__all__ = ["others_with_sessions", "shared_by_users"]
