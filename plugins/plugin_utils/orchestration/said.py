# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Changes at several moments, each said once: groups of addresses may be other ones at every moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..model.addresses import Family
from ..model.intervals import Intervals, subtraction
from .pairs import Change, Group, Verdict

#: An address of a workload; an address of nobody is ("", 0).
_Member = tuple[str, int]
_Key = tuple[Verdict, str, Family, _Member]


class Said:
    """Remembers what was said at earlier moments, by each address of the consumers."""

    def __init__(self) -> None:
        self._changes: dict[_Key, list[Change]] = {}
        self._members: dict[int, frozenset[_Member]] = {}

    def fresh(self, changes: Iterable[Change]) -> Iterator[Change]:
        """The changes of one moment without the services that one earlier change covers for all of their addresses."""
        here: list[Change] = []
        for change in changes:
            rest = self._rest(change)
            if rest is not None:
                here.append(change)
                yield replace(change, services=rest)
        for change in here:
            for member in change.consumers.members or (("", 0),):
                self._changes.setdefault(_key(change, member), []).append(change)

    def _rest(self, change: Change) -> Intervals | None:
        """The services not yet said; None where there is nothing to say. A change may have none: see `was_open`."""
        services = change.services
        for earlier in self._changes.get(_key(change, (change.consumers.members or (("", 0),))[0]), ()):
            if self._covers(earlier.consumers, change.consumers) and self._covers(earlier.providers, change.providers):
                services = subtraction(services, earlier.services)
                if not services:
                    return None
        return services

    def _covers(self, earlier: Group, group: Group) -> bool:
        if not group.members:
            return not earlier.members and not subtraction(group.outside, earlier.outside)
        if id(earlier) not in self._members:  # the change that is remembered keeps the group alive
            self._members[id(earlier)] = frozenset(earlier.members)
        return self._members[id(earlier)].issuperset(group.members)


def _key(change: Change, member: _Member) -> _Key:
    return change.verdict, change.consumers.zone, change.consumers.family, member


__all__ = ["Said"]
