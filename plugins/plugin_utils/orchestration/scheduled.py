# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Changes that only the clock will bring (DESIGN §3.17)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from ..model.artifact import Artifact
from .planfile import Scheduled


def scheduled(artifacts: Iterable[Artifact], at: datetime) -> tuple[Scheduled, ...]:
    """Every start and end of a rule after `at`, soonest first, with the number of points it will change."""
    found: dict[tuple[datetime, str, str, Literal["starts", "expires"]], set[str]] = {}
    for artifact in artifacts:
        for policy in (artifact.ingress, artifact.egress):
            for rule in policy.rules:
                if rule.starts is not None and rule.starts > at:
                    found.setdefault((rule.starts, rule.id, rule.action, "starts"), set()).add(artifact.point)
                if rule.expires is not None and rule.expires > at:
                    found.setdefault((rule.expires, rule.id, rule.action, "expires"), set()).add(artifact.point)
    return tuple(
        Scheduled(moment.astimezone(UTC).isoformat(timespec="seconds"), rule, action, event, len(points))
        for (moment, rule, action, event), points in sorted(found.items(), key=lambda item: item[0])
    )
