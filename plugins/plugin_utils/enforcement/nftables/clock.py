# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""When a rule counts, as nftables says it: absolute moments, so that hosts need nobody to tell them the time zone.

A schedule becomes the set of its windows up to a *horizon*. `meta day` and `meta hour` would need no horizon, but they
count from the kernel's fixed offset to UTC: after a change of the clock they are open an hour too early or too late
until somebody writes them again, and that is wider than what was approved.

The kernel compares nanoseconds, and an interval of a set includes its end. So `w_ID` holds `LOW-HIGH` of every window,
and `e_ID` the ends alone, which do not count: together that is [LOW, HIGH) to the nanosecond.

Horizons begin with the calendar quarter of rendering, so the text is the same all quarter. Behind its horizon a rule
is never wider than meant: an allow does not match any more, a deny matches, and a pass opens only what would be open
with and without it. The same holds while the clock of the host is not to be trusted: set `clock`, empty as rendered,
is filled by the host once its clock is synchronised (DESIGN §3.15).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256

from ...model.artifact import Artifact, ArtifactRule
from ...model.estate import DIRECTIONS
from ...model.schedule import Schedule, TimeWindow
from ...model.windows import Recurring, in_words
from ..driver import inexact

#: The set that tells whether the clock of the host is to be trusted: both families, or nothing.
CLOCK = "clock"
#: Quarters a horizon reaches over, the current one included; fewer where a schedule has very many windows.
QUARTERS = (5, 4, 3, 2)
#: Windows of one schedule within its horizon. A set of so many costs a packet no more than a small one (a tree), and
#: loads in a few milliseconds.
MOST_WINDOWS = 2048
_TRUSTED = f"meta nfproto @{CLOCK}"
_UNTRUSTED = f"meta nfproto != @{CLOCK}"
_DATE = "%Y-%m-%d"
UNTIL = "windows until "


def quarter(at: datetime) -> datetime:
    """The first moment of the calendar quarter, in UTC.

    >>> quarter(datetime(2026, 11, 25, 1, tzinfo=UTC)).isoformat()
    '2026-10-01T00:00:00+00:00'
    """
    moment = at.astimezone(UTC)
    return datetime(moment.year, (moment.month - 1) // 3 * 3 + 1, 1, tzinfo=UTC)


def later_quarter(start: datetime, count: int) -> datetime:
    months = start.year * 12 + start.month - 1 + 3 * count
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def horizon(artifact: Artifact, at: datetime) -> datetime | None:
    """Where the windows of an artifact rendered at a moment end; None where they are all there.

    Raises EnforcementError (E-INEXACT) for a schedule with too many windows.
    """
    schedules = {rule.schedule: (way, rule) for way in DIRECTIONS for rule in artifact.of(way).rules if rule.schedule}
    if not schedules:
        return None
    start = quarter(at)
    for count in QUARTERS:
        end = later_quarter(start, count)
        if all(len(_windows(schedule, start, end)) <= MOST_WINDOWS for schedule in schedules):
            return None if all(_over(schedule, end) for schedule in schedules) else end
    schedule, (way, rule) = next(
        (one, found) for one, found in schedules.items() if len(_windows(one, start, end)) > MOST_WINDOWS
    )
    number = len(_windows(schedule, start, end))
    raise inexact(
        artifact,
        way,
        rule,
        f"its schedule ({in_words(schedule)}) opens {number} times in two quarters, and nftables gets each window by "
        f"itself, at most {MOST_WINDOWS}",
    )


@lru_cache(maxsize=4096)
def _windows(schedule: Recurring, start: datetime, end: datetime) -> tuple[TimeWindow, ...]:
    """Cut at the end, so that a window over the horizon does not reach beyond it."""
    found = schedule.windows(start, end)
    return tuple((low, min(high, end)) for low, high in found)


@lru_cache(maxsize=4096)
def _over(schedule: Recurring, end: datetime) -> bool:
    """Does it never open again from `end` on? For certain, or the answer is no."""
    if not isinstance(schedule, Schedule):
        return not schedule.spans or schedule.spans[-1][1] <= end
    if not schedule.rule:
        return not schedule.windows(end, end + timedelta(days=1)) and schedule.start.replace(tzinfo=UTC) < end
    last = next((part[6:14] for part in schedule.rule.split(";") if part.startswith("UNTIL=")), "")
    if not last:
        return False
    lasting = timedelta(days=schedule.days + 2, seconds=schedule.seconds)
    return datetime.strptime(last, "%Y%m%d").replace(tzinfo=UTC) + lasting <= end


def unsure(rule: ArtifactRule, at: datetime, until: datetime | None, trusting: bool) -> bool:
    """Can the host not say whether a rule counts? `until`: where the windows end; `trusting`: the host its clock.

    An allow then does not count, a deny does, and a pass opens what is open either way (`forms.of_artifact`).
    """
    if not rule.timed or not trusting:
        return rule.timed
    if rule.schedule is None or until is None or at < until or _over(rule.schedule, until):
        return False
    return (rule.starts is None or rule.starts <= at) and (rule.expires is None or at < rule.expires)


@dataclass
class Clock:
    """Conditions on time for the rules of one artifact, and the sets they need."""

    artifact: Artifact
    at: datetime
    horizon: datetime | None = None
    _used: dict[str, tuple[TimeWindow, ...]] = field(default_factory=dict)
    _timed: bool = False

    def __post_init__(self) -> None:
        self.horizon = horizon(self.artifact, self.at)

    @property
    def timed(self) -> bool:
        """Does any rule ask what time it is? Then the host must say whether it knows."""
        return self._timed

    @property
    def remark(self) -> str:
        """For the comment of the table's chains: drift reads it to know what the windows were meant to cover."""
        return f" {UNTIL}{self.horizon:{_DATE}}" if self.horizon else ""

    def conditions(self, rule: ArtifactRule) -> list[str]:
        """Alternatives in which the rule counts; those of a deny also where nobody can say whether it does."""
        if not rule.timed:
            return [""]
        self._timed = True
        known = self._joined(rule, self._in_windows(rule))
        if rule.action == "deny":
            return [_UNTRUSTED, known, *self._behind(rule)]
        return [f"{_TRUSTED} {known}"]

    def doubts(self, rule: ArtifactRule) -> list[str]:
        """Alternatives in which nobody can say whether a rule counts that is a pass."""
        if not rule.timed or rule.action != "pass":
            return []
        self._timed = True
        return [_UNTRUSTED, *self._behind(rule)]

    def _joined(self, rule: ArtifactRule, windows: str) -> str:
        starts = f"meta time >= {int(rule.starts.timestamp())}" if rule.starts else ""
        expires = f"meta time < {int(rule.expires.timestamp())}" if rule.expires else ""
        return " ".join(part for part in (starts, expires, windows) if part)

    def _in_windows(self, rule: ArtifactRule) -> str:
        if rule.schedule is None:
            return ""
        start = quarter(self.at)
        end = self.horizon or later_quarter(start, QUARTERS[0])
        windows = _windows(rule.schedule, start, end)
        name = sha256(repr(rule.schedule.to_dict()).encode()).hexdigest()[:12]
        self._used[name] = windows
        return f"meta time @w_{name} meta time != @e_{name}"

    def _behind(self, rule: ArtifactRule) -> list[str]:
        if rule.schedule is None or self.horizon is None or _over(rule.schedule, self.horizon):
            return []
        if rule.expires is not None and rule.expires <= self.horizon:
            return []
        return [self._joined(rule, f"meta time >= {int(self.horizon.timestamp())}")]

    def declarations(self) -> Iterator[str]:
        """Sets of the table; after all conditions were asked for."""
        if not self._timed:
            return
        yield from (f"\tset {CLOCK} {{", "\t\ttype nf_proto", "\t}")
        for name, windows in sorted(self._used.items()):
            pairs = [(int(low.timestamp()), int(high.timestamp())) for low, high in windows]
            for prefix, flags, elements in (
                ("w", ["\t\tflags interval"], [f"{low}-{high}" for low, high in pairs]),
                ("e", [], [str(high) for _low, high in pairs]),
            ):
                content = [f"\t\telements = {{ {', '.join(elements)} }}"] if elements else []
                yield from (f"\tset {prefix}_{name} {{", "\t\ttypeof meta time", *flags, *content, "\t}")


def stated(comment: str) -> datetime | None:
    """The horizon that a comment of ours states.

    >>> stated("microseg format 1 policy 00 windows until 2028-01-01").isoformat()
    '2028-01-01T00:00:00+00:00'
    """
    _before, found, text = comment.partition(UNTIL)
    try:
        return datetime.strptime(text[:10], _DATE).replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


__all__ = ["CLOCK", "MOST_WINDOWS", "Clock", "horizon", "quarter", "stated", "unsure"]
