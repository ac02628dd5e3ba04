# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Artifact: the compiled desired rules of one enforcement point, platform-neutral.

Policy and membership are apart. A rule names *peer sets* by id; the id says which selector or list it stands for and
does not change when workloads come and go. The addresses of the sets are the membership.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from .addresses import Family
from .calendar import Validity
from .estate import Direction, Mode
from .intervals import Intervals
from .policy import TIERS, Action, Tier
from .windows import Recurring, recurring

FORMAT = 1
#: Evaluation order of an artifact: the failsafe is above every tier.
FAILSAFE = "failsafe"
ORDER: tuple[str, ...] = (FAILSAFE, *TIERS)


@dataclass(frozen=True, slots=True)
class PeerSet:
    """Addresses a rule compares with. `members`: workloads chosen by labels; `static`: written as addresses.

    `meaning` is the text a person reads ("app=shop,role=web", "ip_list office").
    """

    id: str
    kind: Literal["members", "static"]
    meaning: str
    addresses: Mapping[Family, Intervals]

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "meaning": self.meaning,
            "addresses": {str(family): [list(pair) for pair in self.addresses.get(family, ())] for family in (4, 6)},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PeerSet:
        addresses = data["addresses"]
        return cls(
            data["id"],
            data["kind"],
            data["meaning"],
            {4: _pairs(addresses.get("4", [])), 6: _pairs(addresses.get("6", []))},
        )


@dataclass(frozen=True, slots=True)
class ArtifactRule:
    """One rule as this enforcement point sees it. `id` is `RULE@SCOPE/RULESET` (or a failsafe name).

    `peers` and `own` are alternatives (a union) of peer set ids; None is any address. `own` restricts the local
    address, which only matters for rules that name addresses on this workload's side. `starts` and `expires` bound
    the validity of the rule *for these peers*: a rule whose peers match on expiring facts appears once per interval.
    With a `schedule` it counts only in its windows.
    """

    id: str
    tier: Tier | Literal["failsafe"]
    action: Action
    services: Intervals
    peers: tuple[str, ...] | None
    own: tuple[str, ...] | None = None
    reject: bool = False
    reset_established: bool = False
    log: bool = False
    starts: datetime | None = None
    expires: datetime | None = None
    schedule: Recurring | None = None

    @property
    def validity(self) -> Validity:
        return Validity(self.starts, self.expires, self.schedule)

    @property
    def timed(self) -> bool:
        return self.starts is not None or self.expires is not None or self.schedule is not None

    def valid(self, at: datetime) -> bool:
        """Does the rule count at this moment? The validity interval is [starts, expires)."""
        return not self.timed or self.validity.holds(at)

    @property
    def order(self) -> tuple[int, int, str, str]:
        """Tier, then pass before deny before allow, then id: the order in which a rule gets the blame."""
        rule, _at, home = self.id.partition("@")
        return ORDER.index(self.tier), ("pass", "deny", "allow").index(self.action), rule, home

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "tier": self.tier,
            "action": self.action,
            "services": [list(pair) for pair in self.services],
            "peers": None if self.peers is None else list(self.peers),
            "own": None if self.own is None else list(self.own),
            "reject": self.reject,
            "reset_established": self.reset_established,
            "log": self.log,
            "starts": moment_text(self.starts),
            "expires": moment_text(self.expires),
            "schedule": self.schedule.to_dict() if self.schedule else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ArtifactRule:
        return cls(
            id=data["id"],
            tier=data["tier"],
            action=data["action"],
            services=_pairs(data["services"]),
            peers=None if data["peers"] is None else tuple(data["peers"]),
            own=None if data["own"] is None else tuple(data["own"]),
            reject=data["reject"],
            reset_established=data["reset_established"],
            log=data["log"],
            starts=datetime.fromisoformat(data["starts"]) if data["starts"] else None,
            expires=datetime.fromisoformat(data["expires"]) if data["expires"] else None,
            schedule=recurring(data["schedule"]) if data.get("schedule") else None,
        )


@dataclass(frozen=True, slots=True)
class DirectionPolicy:
    """Rules of one direction in blame order, and the mode that decides what no rule decides."""

    mode: Mode
    rules: tuple[ArtifactRule, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {"mode": self.mode, "rules": [rule.to_dict() for rule in self.rules]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DirectionPolicy:
        return cls(data["mode"], tuple(ArtifactRule.from_dict(rule) for rule in data["rules"]))


@dataclass(frozen=True, slots=True)
class Artifact:
    """`own` are the workload's addresses per family; `sets` holds every peer set its rules name."""

    point: str
    workload: str
    zone: str
    own: Mapping[Family, Intervals]
    ingress: DirectionPolicy
    egress: DirectionPolicy
    sets: Mapping[str, PeerSet]

    def of(self, direction: Direction) -> DirectionPolicy:
        return self.ingress if direction == "ingress" else self.egress

    @property
    def validities(self) -> tuple[Validity, ...]:
        """The distinct times at which its rules count, those that always do left out."""
        rules = (*self.ingress.rules, *self.egress.rules)
        return tuple(dict.fromkeys(rule.validity for rule in rules if rule.timed))

    @property
    def idle(self) -> bool:
        """Nothing of ours belongs on this enforcement point."""
        return self.ingress.mode == "idle" and self.egress.mode == "idle"

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "point": self.point,
            "workload": self.workload,
            "zone": self.zone,
            "own": {str(family): [list(pair) for pair in self.own.get(family, ())] for family in (4, 6)},
            "ingress": self.ingress.to_dict(),
            "egress": self.egress.to_dict(),
            "sets": [self.sets[key].to_dict() for key in sorted(self.sets)],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Artifact:
        return cls(
            point=data["point"],
            workload=data["workload"],
            zone=data["zone"],
            own={4: _pairs(data["own"].get("4", [])), 6: _pairs(data["own"].get("6", []))},
            ingress=DirectionPolicy.from_dict(data["ingress"]),
            egress=DirectionPolicy.from_dict(data["egress"]),
            sets={item["id"]: PeerSet.from_dict(item) for item in data["sets"]},
        )

    def digest(self) -> str:
        """Over policy and membership."""
        return _digest(self.to_dict())

    def policy_digest(self) -> str:
        """Over the policy alone: the addresses of member sets and of the workload itself do not count (DESIGN §5)."""
        bare = {name: replace(one, addresses={}) if one.kind == "members" else one for name, one in self.sets.items()}
        data = replace(self, sets=bare).to_dict()
        data["own"] = None
        for item in data["sets"]:
            if item["kind"] == "members":
                item["addresses"] = None
        return _digest(data)


def set_id(kind: Literal["members", "static"], meaning: str) -> str:
    """A short stable name for a peer set, usable as part of an identifier on every platform."""
    return hashlib.sha256(f"{kind}:{meaning}".encode()).hexdigest()[:12]


def moment_text(value: datetime | None) -> str | None:
    """UTC, so that equal moments are equal text."""
    return value.astimezone(UTC).isoformat() if value else None


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _pairs(data: Any) -> Intervals:
    return tuple((int(low), int(high)) for low, high in data)
