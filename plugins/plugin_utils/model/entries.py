# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a bundle says about single enforcement points and workloads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .addresses import Family
from .estate import Modes
from .intervals import Intervals


@dataclass(frozen=True, slots=True)
class PointEntry:
    """One enforcement point: whose it is, and which of the bundle's policies it carries."""

    point: str
    platform: str
    writer: str
    stack: str
    workload: str
    zone: str
    own: Mapping[Family, Intervals]
    policy: str


@dataclass(frozen=True, slots=True)
class WorkloadEntry:
    """What reports need to speak about a workload in label words, and its enforcement points in the bundle."""

    labels: Mapping[str, str]
    addresses: tuple[tuple[Family, int], ...]
    zone: str
    managed: bool
    modes: Modes
    weight: float = 1.0
    points: tuple[str, ...] = ()
