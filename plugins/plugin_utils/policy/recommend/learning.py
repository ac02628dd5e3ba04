# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Learning settings as validated nouns, read against a policy whose names they may use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ...model.errors import Place, PolicyError
from ...model.estate import Estate
from ...model.intervals import Intervals
from ...model.policy import Peer, Policy, Scope
from ...model.schedule import Schedule
from ...model.selectors import Selector
from ..documents import nodes
from ..documents.nodes import Spot
from ..documents.peers import Context, read_peers
from ..documents.problems import Problems, nearest
from ..documents.schedules import read_schedule
from ..documents.structure import validated
from ..documents.tables import LabelTable, ListTable, ServiceTable
from ..resolve import Element, resolve_peer
from .words import ExcludeWords, Isolation, JobWords, LearningWords, TrustedWords

_EVERYWHERE = Scope("", Selector(), estate=True)
_PERCENT = re.compile(r"^(\d+(?:\.\d+)?)\s*%$")
_PORTS = re.compile(r"^(\d{1,5})-(\d{1,5})$")


@dataclass(frozen=True, slots=True)
class Filter:
    """Flows that match every condition. None says nothing about consumers or providers; so does an empty set."""

    reason: str
    consumers: tuple[Element, ...] | None = None
    providers: tuple[Element, ...] | None = None
    services: Intervals = ()
    sensors: tuple[str, ...] = ()
    when: Schedule | None = None


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    schedule: Schedule
    workload: str = ""


@dataclass(frozen=True)
class Learning:
    """Shares are fractions, 0 to 1. `ephemeral` are ports, both included."""

    isolation: Isolation = "role"
    exclude: tuple[Filter, ...] = ()
    trusted: tuple[Filter, ...] = ()
    noise: int = 1
    scan_providers: int = 10
    scan_services: int = 10
    ephemeral: tuple[int, int] = (32768, 60999)
    reuse: float = 0.5
    least_confidence: float = 0.2
    public_above: int = 256
    labels: tuple[str, ...] = ()
    weekends: bool = True
    month_end: bool = True
    jobs: tuple[Job, ...] = ()
    coverage: float = 0.95
    loss: float = 0.01
    unseen: float = 0.1


def read_learning(path: Path, policy: Policy, estate: Estate) -> Learning:
    """Raises PolicyError (E-FILE) for a file that cannot be read, Rejected with every error in it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PolicyError(
            "E-FILE", f"the learning settings cannot be read: {error.strerror}.", Place(str(path)), "Name another file."
        ) from None
    except UnicodeDecodeError as error:
        raise PolicyError(
            "E-YAML", f"the file is not UTF-8 (byte {error.start}).", Place(str(path)), "Save it as UTF-8."
        ) from None
    return parse_learning(text, str(path), policy, estate)


def parse_learning(text: str, file: str, policy: Policy, estate: Estate) -> Learning:
    """The same from a text. An empty one gives the defaults. Raises Rejected."""
    problems = Problems()
    written = list(nodes.documents(text, file, problems))
    problems.give_up()
    if not written:
        return Learning()
    data, spot = written[0]
    if len(written) > 1:
        problems.error(
            "E-VALUE", "learning settings are one document.", written[1][1].place, "Join them: nothing adds up here."
        )
    if not isinstance(data, dict):
        problems.error("E-VALUE", "learning settings are a mapping.", spot.place, "Begin with isolation: role.")
        problems.give_up()
    words = validated(LearningWords, data, spot, problems)
    learning = Learning() if words is None else _Reader(policy, estate, problems).read(words, spot)
    problems.give_up()
    return learning


class _Reader:
    def __init__(self, policy: Policy, estate: Estate, problems: Problems) -> None:
        self.estate = estate
        self.problems = problems
        self.labels = policy.settings.labels
        self.context = Context(
            problems,
            ServiceTable(problems, dict(policy.services)),
            ListTable(problems, dict(policy.ip_lists)),
            LabelTable(problems, policy.settings.labels),
            ZoneInfo(policy.settings.timezone),
            policy.settings.user_groups,
        )

    def read(self, words: LearningWords, spot: Spot) -> Learning:
        for number, key in enumerate(words.labels):
            if key not in self.labels:
                self.problems.error(
                    "E-LABEL-KEY",
                    f"the label key {key!r} is not declared.",
                    spot["labels"][number].place,
                    nearest(key, self.labels) or "Declare it in settings.labels.",
                )
        calendar = words.calendar
        return Learning(
            isolation=words.isolation,
            exclude=self._filters(words.exclude, spot["exclude"]),
            trusted=self._filters(words.trusted, spot["trusted"]),
            noise=words.noise,
            scan_providers=words.scans.providers,
            scan_services=words.scans.services,
            ephemeral=self._ports(words.ephemeral, spot["ephemeral"]),
            reuse=self._share(words.reuse, spot["reuse"]),
            least_confidence=self._share(words.least_confidence, spot["least_confidence"]),
            public_above=words.public_above,
            labels=tuple(words.labels),
            weekends=calendar.weekends,
            month_end=calendar.month_end,
            jobs=self._jobs(calendar.jobs, spot["calendar"]["jobs"]),
            coverage=self._share(words.coverage, spot["coverage"]),
            loss=self._share(words.loss, spot["loss"]),
            unseen=self._share(words.unseen, spot["unseen"]),
        )

    def _filters(self, written: Sequence[ExcludeWords | TrustedWords], spot: Spot) -> tuple[Filter, ...]:
        found = []
        for words, here in zip(written, spot if written else (), strict=False):
            if not any(here.has(key) for key in ("from", "to", "services", "sensors", "when")):
                self.problems.error(
                    "E-VALUE",
                    "an exclusion without a condition would exclude everything.",
                    here.place,
                    "Name from, to, services, sensors or when.",
                )
                continue
            when = None
            if isinstance(words, ExcludeWords) and words.when is not None:
                with self.problems.collecting():
                    when = read_schedule(words.when.schedule, words.when.duration, self.context.zone, here["when"])
            found.append(
                Filter(
                    reason=words.reason,
                    consumers=self._peers(words.from_, here, "from"),
                    providers=self._peers(words.to, here, "to"),
                    services=self.context.services.read(words.services, here["services"]),
                    sensors=tuple(words.sensors) if isinstance(words, ExcludeWords) else (),
                    when=when,
                )
            )
        return tuple(found)

    def _peers(self, written: Any, spot: Spot, side: str) -> tuple[Element, ...] | None:
        if not spot.has(side):
            return None
        peers: tuple[Peer, ...] = read_peers(
            written, spot[side], self.context, "from" if side == "from" else "guardrail"
        )
        return tuple(resolve_peer(peer, _EVERYWHERE, self.estate.workloads) for peer in peers)

    def _jobs(self, written: Sequence[JobWords], spot: Spot) -> tuple[Job, ...]:
        jobs = []
        for words, here in zip(written, spot if written else (), strict=False):
            if words.workload and words.workload not in self.estate.workloads:
                self.problems.error(
                    "E-WORKLOAD",
                    f"the job {words.name} runs on {words.workload}, which the estate does not have.",
                    here["workload"].place,
                    nearest(words.workload, self.estate.workloads, listed=False)
                    or "Names are inventory names or microseg_id.",
                )
            with self.problems.collecting():
                schedule = read_schedule(words.schedule, words.duration, self.context.zone, here)
                jobs.append(Job(words.name, schedule, words.workload))
        return tuple(jobs)

    def _ports(self, text: str, spot: Spot) -> tuple[int, int]:
        found = _PORTS.match(text)
        low, high = (int(found[1]), int(found[2])) if found else (1, 0)
        if low > high or high > 65535:
            self.problems.error("E-VALUE", f"{text!r} is not a range of ports.", spot.place, "Write 32768-60999.")
        return low, high

    def _share(self, written: Any, spot: Spot) -> float:
        percent = _PERCENT.match(written) if isinstance(written, str) else None
        share = float(percent[1]) / 100 if percent else written
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            self.problems.error(
                "E-VALUE", f"{spot.written!r} is not a share.", spot.place, "Write 5%, or a fraction such as 0.05."
            )
            return 0.0
        return float(share)


__all__ = ["Filter", "Job", "Learning", "parse_learning", "read_learning"]
