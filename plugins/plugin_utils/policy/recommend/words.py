# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The words of a file of learning settings: how `recommend` learns, and what it needs to have seen."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..documents.words import Unsaid, WhenWords, Words, WrittenPeers, WrittenShare

Isolation = Literal["application", "environment", "role"]


class ExcludeWords(Words):
    """Flows that are not learned. They are still counted and shown. Every condition given must hold."""

    reason: str = Field(min_length=1, description="Why; shown in the review.")
    from_: WrittenPeers = Field(default=None, alias="from", description="Consumers.")
    to: WrittenPeers = Field(default=None, description="Providers.")
    services: list[str] = Field(default=[], description="Services.")
    sensors: list[str] = Field(default=[], description="Only what these sensors saw.")
    when: Annotated[WhenWords | None, Unsaid] = Field(
        default=None, description="Only what lies wholly in one of these windows."
    )


class TrustedWords(Words):
    """Flows that are learned although they were dropped, or look like a scan or noise."""

    reason: str = Field(min_length=1, description="Why they are wanted; becomes the reason of the rule.")
    from_: WrittenPeers = Field(alias="from", description="Consumers.")
    to: WrittenPeers = Field(description="Providers.")
    services: list[str] = Field(min_length=1, description="Services.")


class ScanWords(Words):
    """When flows that were dropped or happened once are taken for a scan."""

    providers: int = Field(default=10, ge=2, description="So many providers tried on one service by one consumer.")
    services: int = Field(default=10, ge=2, description="So many services tried on one provider by one consumer.")


class JobWords(Words):
    """Something that runs seldom and has to be inside the observation once."""

    name: str = Field(min_length=1, description="Shown in reasons.")
    schedule: str = Field(description="RFC 5545, as in `when` of a rule.")
    duration: str = Field(description="How long a run takes, as ISO 8601: `PT2H`.")
    workload: str = Field(default="", description="The workload it runs on; it must have been observed.")


class CalendarWords(Words):
    """What the observation has to contain."""

    weekends: bool = Field(default=True, description="A whole working day and a whole Saturday or Sunday.")
    month_end: bool = Field(default=True, description="The whole last day of a month.")
    jobs: list[JobWords] = Field(default=[], description="Jobs and timers: a whole window of each.")


class LearningWords(Words):
    """Learning settings, one document in a file of its own."""

    isolation: Isolation = Field(default="role", description="How wide rules may be from the start.")
    exclude: list[ExcludeWords] = Field(default=[], description="Exclusion filters.")
    trusted: list[TrustedWords] = Field(default=[], description="Wanted although denied, or unlikely.")
    noise: int = Field(
        default=1, ge=0, description="Most conversations between two groups on one service that are still noise."
    )
    scans: ScanWords = Field(default=ScanWords(), description="What counts as a scan.")
    ephemeral: str = Field(default="32768-60999", description="Ports from which consumers open connections.")
    reuse: WrittenShare = Field(
        default="50%", description="Overlap (Jaccard) from which a named service or ip_list is used for what was seen."
    )
    least_confidence: WrittenShare = Field(
        default="20%", description="Pairs observed in pairs opened; a rule below this is split."
    )
    public_above: int = Field(default=256, ge=1, description="More outside addresses than this are proposed as `any`.")
    labels: list[str] = Field(default=[], description="Label keys rules may use; else all that are declared.")
    calendar: CalendarWords = Field(default=CalendarWords(), description="What must have been observed.")
    coverage: WrittenShare = Field(default="95%", description="Least share of workloads that reported.")
    loss: WrittenShare = Field(default="1%", description="Greatest share of conversations that were missed.")
    unseen: WrittenShare = Field(
        default="10%", description="Greatest share of traffic (upper bound) whose service edge was never seen."
    )


__all__ = [
    "CalendarWords",
    "ExcludeWords",
    "Isolation",
    "JobWords",
    "LearningWords",
    "ScanWords",
    "TrustedWords",
]  # fmt: skip
