# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Changes that only the clock will bring (DESIGN §3.17)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Literal

from ..model.artifact import Artifact, ArtifactRule
from ..model.schedule import Schedule
from ..model.windows import in_words
from .planfile import Scheduled

Event = Literal["starts", "expires", "opens", "closes"]


def scheduled(artifacts: Iterable[Artifact], at: datetime) -> tuple[Scheduled, ...]:
    """Every start and end of a rule after `at`, and the next turn of its schedule, soonest first, with the number of
    points it will change.
    """
    found: dict[tuple[datetime, str, str, Event, str], set[str]] = {}
    for artifact in artifacts:
        for policy in (artifact.ingress, artifact.egress):
            for rule in policy.rules:
                for moment, event, recurs in _turns(rule, at):
                    found.setdefault((moment, rule.id, rule.action, event, recurs), set()).add(artifact.point)
    return tuple(
        Scheduled(moment.astimezone(UTC).isoformat(timespec="seconds"), rule, action, event, len(points), recurs)
        for (moment, rule, action, event, recurs), points in sorted(found.items(), key=lambda item: item[0])
    )


def _turns(rule: ArtifactRule, at: datetime) -> Iterator[tuple[datetime, Event, str]]:
    if rule.starts is not None and rule.starts > at:
        yield rule.starts, "starts", ""
    if rule.expires is not None and rule.expires > at:
        yield rule.expires, "expires", ""
    if not isinstance(rule.schedule, Schedule):
        return
    first = at if rule.starts is None else max(at, rule.starts)
    turn = rule.schedule.next_change(first)
    if turn is not None and (rule.expires is None or turn < rule.expires):
        yield turn, "opens" if rule.schedule.open_at(turn) else "closes", in_words(rule.schedule)
