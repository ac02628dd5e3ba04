# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What was read back from one enforcement point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from . import services as line
from .addresses import FAMILIES, WHOLE_FAMILY, Family
from .calendar import Spans
from .estate import DIRECTIONS
from .forms import Cell, Form, Slice
from .intervals import Intervals

#: The hash of an enforcement point that carries nothing of ours.
ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class ControlPath:
    """How the host saw us come in: our source address and the port we reached, before privilege escalation."""

    source: str
    port: int

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ControlPath:
        """What the host module reports: `client_address` and `server_port` of SSH_CONNECTION."""
        return cls(data["client_address"], int(data["server_port"]))


@dataclass(frozen=True, slots=True)
class PointState:
    """`own_form` is the meaning of our own objects, `form` that of everything on the point, ours and foreign.

    `hash` is the canonical listing hash of our own objects without members. `record` is the EP record kept on the
    point itself (policy_digest, artifact_digest, plan, step, epoch, pending). `reasons` quote rules that could not be
    judged. An unreachable point has neither form, and `error` says why.

    Forms are those of one moment. `times` tells when conditions on time hold, and `again(moment, trusting)` gives
    (own form, form) at another moment, as if the point trusted its clock, or did not, or (None) as it is; None where
    nothing depends on either.
    `windows_until` is the end of the windows of our schedules (None: nothing is missing). `withheld`: rules that depend
    on the time are withheld, because the point does not trust its clock. `times_untrusted`: `times` of what may match
    then; None where nothing on the point asks for its clock.
    """

    reachable: bool
    hash: str = ABSENT
    form: Form | None = None
    own_form: Form | None = None
    record: Mapping[str, Any] | None = None
    reasons: tuple[str, ...] = ()
    control_path: ControlPath | None = None
    error: str = ""
    times: tuple[Spans, ...] = ()
    again: Callable[[datetime, bool | None], tuple[Form, Form]] | None = field(default=None, compare=False, repr=False)
    windows_until: datetime | None = None
    withheld: bool = False
    times_untrusted: tuple[Spans, ...] | None = None

    @property
    def readable(self) -> bool:
        """Do we know what our own objects mean?"""
        return self.reachable and (self.own_form is not None or self.hash == ABSENT)

    def own(self, addresses: Mapping[Family, Intervals]) -> Form | None:
        """The form of our own objects; with none there, everything is allowed."""
        if self.own_form is not None:
            return self.own_form
        return allow_everything(addresses) if self.reachable and self.hash == ABSENT else None

    def own_at(self, addresses: Mapping[Family, Intervals], moment: datetime) -> Form | None:
        """As `own` at another moment, with a clock that is right: what the rules say, not what they can do now."""
        if self.own_form is None or self.again is None:
            return self.own(addresses)
        return self.again(moment, True)[0]

    def effective(self, addresses: Mapping[Family, Intervals]) -> Form | None:
        """The form of everything on the point, as far as it is known."""
        return self.form if self.form is not None else self.own(addresses)


def allow_everything(addresses: Mapping[Family, Intervals]) -> Form:
    """The form of a point without any rule."""
    slices: dict[Any, tuple[Slice, ...]] = {}
    for direction in DIRECTIONS:
        for family in FAMILIES:
            own = addresses.get(family, ())
            cells = (Cell(WHOLE_FAMILY[family], line.UNIVERSE[family]),)
            slices[direction, family] = (Slice(own, cells),) if own else ()
    return Form(slices)
