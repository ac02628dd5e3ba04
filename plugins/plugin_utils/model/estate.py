# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The estate: all workloads with labels, addresses, modes and enforcement points at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from .addresses import Address, Family
from .errors import NOWHERE, Place
from .facts import Session
from .intervals import Intervals
from .labels import Fact
from .selectors import Selector

Mode = Literal["idle", "visibility", "selective", "full"]
MODES: tuple[Mode, ...] = ("idle", "visibility", "selective", "full")
Direction = Literal["ingress", "egress"]
DIRECTIONS: tuple[Direction, Direction] = ("ingress", "egress")


@dataclass(frozen=True, slots=True)
class Modes:
    ingress: Mode = "idle"
    egress: Mode = "idle"

    def of(self, direction: Direction) -> Mode:
        return self.ingress if direction == "ingress" else self.egress


@dataclass(frozen=True, slots=True)
class EnforcementPoint:
    """Where rules of a workload live. `writer` is who may change them."""

    id: str
    platform: str
    writer: Literal["driver", "terraform", "none"] = "driver"
    stack: str = ""
    directions: tuple[Direction, ...] = DIRECTIONS
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ObservedAddress:
    """An address with where it came from and when it was seen (`None`: declared, no age)."""

    text: str
    source: str
    seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class InventoryHost:
    """What the boundary hands over for one inventory host: plain values only, nothing of Ansible.

    `labels` come from `microseg_labels`; `variables` holds only the variables that label rules refer to.
    """

    name: str
    groups: tuple[str, ...] = ()
    labels: Mapping[str, Fact] = field(default_factory=dict)
    addresses: tuple[ObservedAddress, ...] = ()
    zone: str = ""
    shared: bool = False
    enforcement: tuple[EnforcementPoint, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class Workload:
    """Anything with an address that talks. Enforceable only when `managed` and behind an enforcement point."""

    name: str
    labels: Mapping[str, Fact] = field(default_factory=dict)
    addresses: tuple[Address, ...] = ()
    zone: str = ""
    managed: bool = True
    shared: bool = False
    modes: Modes = Modes()
    enforcement: tuple[EnforcementPoint, ...] = ()
    place: Place = NOWHERE
    modes_place: Place = NOWHERE

    def enforces(self, direction: Direction) -> bool:
        """Can a packet in this direction be dropped at all?"""
        return (
            self.managed
            and self.modes.of(direction) in ("selective", "full")
            and any(direction in point.directions for point in self.enforcement)
        )

    def of_family(self, family: Family) -> tuple[Address, ...]:
        return tuple(address for address in self.addresses if address.family == family)


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """A virtual address in front of members (DESIGN §3.12).

    `ports` maps a point of the service line that it listens on to the point the members listen on.
    """

    name: str
    address: Address
    ports: tuple[tuple[int, int], ...]
    members: Selector
    source: Literal["preserved", "rewritten"] = "preserved"
    place: Place = NOWHERE


@dataclass(frozen=True)
class Estate:
    """Workloads by name, in name order. `sessions`: workload -> sessions of users on it.

    `user_groups`: group -> user -> until when the membership is known.
    """

    workloads: Mapping[str, Workload]
    service_addresses: tuple[ServiceAddress, ...] = ()
    controllers: tuple[Address, ...] = ()
    management_ports: Intervals = ()
    sessions: Mapping[str, tuple[Session, ...]] = field(default_factory=dict)
    user_groups: Mapping[str, Mapping[str, datetime]] = field(default_factory=dict)

    @cached_property
    def by_address(self) -> Mapping[Address, tuple[Workload, ...]]:
        index: dict[Address, list[Workload]] = {}
        for workload in self.workloads.values():
            for address in workload.addresses:
                index.setdefault(address, []).append(workload)
        return {address: tuple(holders) for address, holders in index.items()}

    def groups_of(self, user: str, at: datetime) -> frozenset[str]:
        """The groups of which the user is known to be a member."""
        return frozenset(group for group, users in self.user_groups.items() if user in users and at < users[user])

    def holders(self, address: Address) -> tuple[Workload, ...]:
        """The workloads that have this address; more than one only where all say `shared`."""
        return self.by_address.get(address, ())
