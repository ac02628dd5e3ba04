# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Plans that must not exist: whom they would lock out, or whose rules they would overwrite."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from ..model.addresses import parse_address
from ..model.artifact import FAILSAFE, Artifact
from ..model.bundle import Bundle
from ..model.errors import PlanError
from ..model.intervals import contains
from ..model.live import ControlPath, PointState

#: Names in a message; the rest is counted.
MOST_NAMES = 5


def refuse_nobody(points: Collection[str], asked: Collection[str] | None) -> None:
    """Raises PlanError (E-NO-TARGET)."""
    if points:
        return
    about = (
        "the bundle has no enforcement point" if asked is None else f"none of {_some(asked)} is an enforcement point"
    )
    raise PlanError(
        "E-NO-TARGET",
        f"There is nothing to plan for: {about}.",
        hint="Check the target group, --limit, and that modes other than idle or enforcement points are set.",
    )


def refuse_foreign_writers(bundle: Bundle, asked: Iterable[str]) -> None:
    """Points named by the operator whose writer is somebody else. Raises PlanError (E-WRITER) with the stack."""
    for point in sorted(asked):
        entry = bundle.points[point]
        if entry.writer != "driver":
            raise PlanError(
                "E-WRITER",
                f"{point} is written by {writer_of(entry.writer, entry.stack)}: its rules cannot be changed from here.",
                hint="Change them there, or hand the enforcement point over (writers).",
            )


def writer_of(writer: str, stack: str) -> str:
    return f"{writer} (stack {stack})" if stack else writer


def refuse_own_host(points: Collection[str], controller: Collection[str], named_twice: bool) -> None:
    """Raises PlanError (E-CONTROLLER-HOST): who cuts off the controller cannot send the remedy."""
    own = sorted(set(points) & set(controller))
    if own and not named_twice:
        raise PlanError(
            "E-CONTROLLER-HOST",
            f"{_some(own)} is the host this runs on. Nothing was planned.",
            hint="Leave it out, or name it twice: in the target group and in microseg_controller_hosts.",
        )


def refuse_lockout(artifacts: Iterable[Artifact], live: Mapping[str, PointState], at: datetime, settings: str) -> None:
    """The way we came must be open by the failsafe alone. `settings`: where settings.controllers is written.

    Raises PlanError (E-CONTROL-PATH).
    """
    closed: list[tuple[str, ControlPath]] = []
    for artifact in artifacts:
        path = live[artifact.point].control_path
        if path is not None and artifact.ingress.mode != "idle" and not covered(artifact, path, at):
            closed.append((artifact.point, path))
    if not closed:
        return
    point, path = closed[0]
    where = f" ({settings})" if settings else ""
    more = f" So do {len(closed) - 1} more: {_some(name for name, _path in closed[1:])}." if len(closed) > 1 else ""
    raise PlanError(
        "E-CONTROL-PATH",
        f"{point} sees you as {path.source} on tcp/{path.port}; settings.controllers and management_ports{where} "
        f"lack it.{more} Nothing was sent.",
        hint=f"Add {path.source} to settings.controllers, or come from an address that is listed.",
    )


def covered(artifact: Artifact, path: ControlPath, at: datetime) -> bool:
    """Does a failsafe rule of the artifact accept this source and port?"""
    source = parse_address(path.source)
    return any(
        rule.tier == FAILSAFE
        and rule.action == "allow"
        and rule.valid(at)
        and contains(rule.services, path.port)
        and (
            rule.peers is None
            or any(contains(artifact.sets[name].addresses.get(source.family, ()), source.number) for name in rule.peers)
        )
        for rule in artifact.ingress.rules
    )


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - MOST_NAMES} more" if len(listed) > MOST_NAMES else ""
    return ", ".join(listed[:MOST_NAMES]) + more
