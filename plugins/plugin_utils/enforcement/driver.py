# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What every enforcement platform answers, and the one place where an artifact is refused.

A driver turns artifacts into the platform's own objects (`render`), reads those objects back into forms (`read`) and
names the live rule that decides a packet (`decide`). All three are pure: they take and return data, and whoever talks
to the platform hands them what it heard. A driver declares what its platform can express; `refuse_inexact` refuses the
rest for it, so that a rule is never rendered wider than it was meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from ..model import services as line
from ..model.addresses import FAMILIES, WHOLE_FAMILY, Family, show
from ..model.artifact import Artifact, ArtifactRule, PeerSet
from ..model.calendar import Spans
from ..model.errors import EnforcementError
from ..model.estate import DIRECTIONS, Direction
from ..model.forms import Form
from ..model.intervals import Intervals, intersection, union
from ..model.policy import Action


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a platform can say about one packet, with the source of that knowledge.

    `moments`: a rule can begin and end by itself, at whole seconds. `schedules`: a rule can open and
    close by itself, again and again, at whole seconds. `cuts`: established sessions can be ended.
    `own_addresses`: a rule can be for some of the addresses of its workload only.
    """

    platform: str
    actions: frozenset[Action]
    reject: bool
    log: bool
    own_addresses: bool
    moments: bool
    schedules: bool
    cuts: bool
    source: str


@dataclass(frozen=True, slots=True)
class Row:
    """What one counter or log line of the platform stands for: a rule (or a default) applied to some services."""

    direction: Direction
    tier: str
    action: Action
    rule: str
    services: tuple[str, ...]
    meaning: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """`payload` is what the platform's client sends; `rows` resolves the ids that come back in counters and logs."""

    payload: Mapping[str, Any]
    rows: Mapping[str, Row]


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet that wants to open a connection, seen from the workload: its own address and the peer's."""

    direction: Direction
    family: Family
    own: int
    peer: int
    service: int

    def __str__(self) -> str:
        own, peer = show(self.family, self.own), show(self.family, self.peer)
        source, target = (peer, own) if self.direction == "ingress" else (own, peer)
        return f"{source} -> {target} {line.show(((self.service, self.service),))[0]}"


@dataclass(frozen=True, slots=True)
class Decision:
    """The live rule that decides a packet. `handle` is None where no rule does but a chain's policy, or nothing."""

    table: str
    chain: str
    handle: int | None
    text: str
    verdict: Literal["allowed", "denied", "unknown"]
    foreign: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What a listing means. `own_form`: our objects alone; `form`: everything on the point, foreign rules included.

    `live` is the driver's own state for `decide`. `times`: when conditions on time hold, of everything on the point.
    `windows_until`: where the windows of our schedules end, None without any or where none is missing. `withheld`: the
    point does not trust its clock, and lets nothing through by rules that depend on it. `times_untrusted`: `times` of
    rules that can match then; None where nothing asks whether the clock is trusted.
    """

    own_form: Form
    form: Form
    live: Any
    times: tuple[Spans, ...] = ()
    windows_until: datetime | None = None
    withheld: bool = False
    times_untrusted: tuple[Spans, ...] | None = None


class Driver(Protocol):
    """One enforcement platform."""

    @property
    def capabilities(self) -> Capabilities: ...

    def render(self, artifact: Artifact, policy_digest: str, at: datetime) -> Rendered:
        """`at`: the moment of rendering, for platforms that are told windows of schedules up to a horizon.

        Raises EnforcementError (E-INEXACT) where a rule cannot be expressed exactly.
        """
        ...

    def windows_until(self, artifact: Artifact, at: datetime) -> datetime | None:
        """Where the windows of its schedules end if it is rendered now; None where the platform gets all of them.

        Raises EnforcementError (E-INEXACT) for a schedule with too many windows.
        """
        ...

    def unsure(self, rule: ArtifactRule, at: datetime, until: datetime | None, trusting: bool) -> bool:
        """Can a point not say if a rule counts: behind the end of its windows (`until`), or for want of a clock?"""
        ...

    def read(
        self,
        own: Mapping[str, Any] | None,
        everything: Mapping[str, Any] | None,
        addresses: Mapping[Family, Intervals],
        at: datetime,
        trusting: bool | None = None,
    ) -> Reading:
        """`trusting`: as if the point trusted its clock, or did not; None as it is.

        Never raises for rules it does not understand: they come back as unknown, quoted in `Form.reasons`."""
        ...

    def decide(self, live: Any, packet: Packet) -> Decision: ...


def refuse_inexact(artifact: Artifact, capabilities: Capabilities) -> None:
    """Raise EnforcementError (E-INEXACT) for the first rule the platform cannot express exactly."""
    for direction in DIRECTIONS:
        for rule in artifact.of(direction).rules:
            for name in (*(rule.peers or ()), *(rule.own or ())):
                if name not in artifact.sets:
                    raise inexact(artifact, direction, rule, f"its set {name} is not part of the artifact")
            reason = _missing(rule, capabilities)
            if reason:
                raise inexact(artifact, direction, rule, f"{capabilities.platform} {reason}")


def _missing(rule: ArtifactRule, capabilities: Capabilities) -> str:
    if rule.action not in capabilities.actions:
        return f"has no action {rule.action}"
    if rule.reject and not capabilities.reject:
        return "cannot send a reply to a denied packet"
    if rule.log and not capabilities.log:
        return "cannot log a rule"
    if rule.own is not None and not capabilities.own_addresses:
        return "cannot tell the addresses of one workload apart"
    if rule.reset_established and not capabilities.cuts:
        return "cannot end established sessions"
    if rule.schedule is not None and not capabilities.schedules:
        return "cannot open and close a rule by itself"
    for moment in (rule.starts, rule.expires):
        if moment is None:
            continue
        if not capabilities.moments:
            return "cannot begin or end a rule by itself"
        if moment.microsecond:
            return f"counts in whole seconds, not {moment.isoformat()}"
    return ""


def inexact(artifact: Artifact, direction: Direction, rule: ArtifactRule, reason: str) -> EnforcementError:
    return EnforcementError(
        "E-INEXACT",
        f"{artifact.point}: rule {rule.id} ({direction}) cannot be expressed exactly: {reason}. "
        f"Witness: {_witness(artifact, direction, rule)}.",
        hint="Change the rule, or take this enforcement point out of its reach.",
    )


def _witness(artifact: Artifact, direction: Direction, rule: ArtifactRule) -> str:
    """A packet the rule is about, so that the message can be checked by hand."""
    for family in FAMILIES:
        own = artifact.own.get(family, ())
        if rule.own is not None:
            own = intersection(own, _addresses(artifact.sets, rule.own, family))
        peers = WHOLE_FAMILY[family] if rule.peers is None else _addresses(artifact.sets, rule.peers, family)
        services = intersection(rule.services, line.UNIVERSE[family])
        if own and peers and services:
            return str(Packet(direction, family, own[0][0], peers[0][0], line.representative(services)))
    return "none, the rule matches no packet now"


def _addresses(sets: Mapping[str, PeerSet], names: tuple[str, ...], family: Family) -> Intervals:
    result: Intervals = ()
    for name in names:
        if name in sets:
            result = union(result, sets[name].addresses.get(family, ()))
    return result
