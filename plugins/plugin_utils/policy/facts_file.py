# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files of facts: what other systems know about workloads and users at the moment, each fact with an end.

One file is one answer of one source: posture of workloads, members of groups, sessions of users. YAML or JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from ..model.errors import Finding, Place, PolicyError
from ..model.facts import Facts, ObservedLabel, Session
from ..model.labels import Fact
from ..model.policy import LabelDeclaration, Policy
from ..model.schedule import later
from .documents import nodes
from .documents.moments import read_end, read_moment
from .documents.nodes import Spot
from .documents.problems import Problems, nearest
from .documents.schedules import read_duration
from .documents.structure import validated
from .documents.words import Words, WorkloadName, WrittenFact

#: Bytes of one file; some hundred thousand facts.
MOST_BYTES = 16 * 1024 * 1024
#: A clock may be wrong by this much before we say so.
_SKEW = timedelta(minutes=5)
_HOW = "Write ttl: PT8H beside observed, or give it an end of its own."


class SessionWords(Words):
    """A user who is logged in."""

    user: str = Field(min_length=1, max_length=254, description="Name of the user, as the groups spell it.")
    workload: str = Field(default="", max_length=253, description="Where.")
    address: str = Field(default="", max_length=64, description="Or the address where.")
    zone: str = Field(default="", max_length=128, description="Zone of the address.")
    since: str = Field(default="", description="When the session began.")
    until: str = Field(default="", description="When it ends or ended; else `observed` and `ttl` say so.")


class FactsWords(Words):
    """A file of facts."""

    format: Literal[1] = Field(description="1.")
    source: str = Field(min_length=1, max_length=128, description="Which system says so.")
    observed: str = Field(description="When it was so: a moment, without offset in `settings.timezone`.")
    ttl: str = Field(default="", description="How long facts without an end of their own are known: `PT8H`, `P1D`.")
    labels: dict[WorkloadName, dict[str, WrittenFact]] = Field(
        default={}, description="Workload to label key to value, or to {value, expires}."
    )
    groups: dict[str, list[str]] = Field(default={}, description="Group to its members.")
    sessions: list[SessionWords] = Field(default=[], description="Who is logged in where.")


@dataclass
class _Gathered:
    labels: dict[str, dict[str, ObservedLabel]] = field(default_factory=dict)
    groups: dict[str, dict[str, datetime]] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)


def load_facts(paths: Iterable[Path], policy: Policy, at: datetime) -> tuple[Facts, tuple[Finding, ...]]:
    """The facts of all files together; warnings come back. Raises Rejected with every error of every file."""
    problems = Problems()
    texts = []
    for path in paths:
        with problems.collecting():
            texts.append((str(path), _text(path)))
    return _facts(texts, policy, at, problems)


def loads_facts(texts: Iterable[tuple[str, str]], policy: Policy, at: datetime) -> tuple[Facts, tuple[Finding, ...]]:
    """The same from (name of the file, text)."""
    return _facts(texts, policy, at, Problems())


def _text(path: Path) -> str:
    """Raises PolicyError (E-FILE, E-YAML, E-FACTS)."""
    place = Place(str(path))
    try:
        if not path.is_file():
            what = "this is not a regular file." if path.exists() else "there is no such file."
            raise PolicyError("E-FILE", what, place, "Name the file of facts (--facts FILE).")
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise PolicyError("E-FILE", f"the file cannot be read: {error.strerror}.", place) from None
    if len(content) > MOST_BYTES:
        message = f"the file has more than {MOST_BYTES // 1024 // 1024} MiB."
        raise PolicyError("E-FACTS", message, place, "Leave out what no policy asks for, or split it.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"the file is not UTF-8 (byte {error.start})."
        raise PolicyError("E-YAML", message, place, "Save it as UTF-8.") from None


def _facts(
    texts: Iterable[tuple[str, str]], policy: Policy, at: datetime, problems: Problems
) -> tuple[Facts, tuple[Finding, ...]]:
    gathered = _Gathered()
    findings: list[Finding] = []
    for name, text in texts:
        found = list(nodes.documents(text, name, problems))
        if len(found) != 1:
            if found or not problems.errors:
                problems.error(
                    "E-FACTS", f"{len(found)} documents are in the file.", Place(name), "A file of facts has one."
                )
            continue
        data, spot = found[0]
        if not isinstance(data, dict):
            problems.error("E-FACTS", "a file of facts is a mapping.", spot.place, "Begin with format: 1.")
            continue
        words = validated(FactsWords, data, spot, problems)
        if words is not None:
            with problems.collecting():
                findings.extend(_Reader(words, spot, policy, problems).into(gathered, at))
    problems.give_up()
    return Facts(gathered.labels, gathered.groups, tuple(gathered.sessions)), tuple(findings)


class _Reader:
    """One file. Raises PolicyError (E-DATE, E-FACTS, E-TIMEZONE) where nothing of it can be read."""

    def __init__(self, words: FactsWords, spot: Spot, policy: Policy, problems: Problems) -> None:
        self.words = words
        self.spot = spot
        self.policy = policy
        self.problems = problems
        self.zone = ZoneInfo(policy.settings.timezone)
        self.observed = read_moment(words.observed, self.zone, spot["observed"])
        self.end: datetime | None = None
        if words.ttl:
            days, seconds = read_duration(words.ttl, spot["ttl"], "E-FACTS")
            self.end = later(self.observed, timedelta(days=days, seconds=seconds))
        self.ends: list[datetime] = []

    def into(self, gathered: _Gathered, at: datetime) -> list[Finding]:
        self._labels(gathered)
        findings = list(self._groups(gathered))
        for session, spot in zip(self.words.sessions, self.spot["sessions"], strict=False):
            with self.problems.collecting():
                gathered.sessions.append(self._session(session, spot))
        return [*findings, *self._age(at)]

    def _end(self, written: str, spot: Spot, what: str) -> datetime:
        end = read_end(written, self.zone, spot) if written else self.end
        if end is None:
            raise PolicyError("E-FACTS", f"{what} has no end.", spot.place, _HOW)
        self.ends.append(end)
        return end

    def _labels(self, gathered: _Gathered) -> None:
        declared = self.policy.settings.labels
        known = self.spot["labels"]
        for workload, labels in self.words.labels.items():
            here = known[workload]
            for key, written in labels.items():
                with self.problems.collecting():
                    if key not in declared:
                        raise PolicyError(
                            "E-LABEL-KEY",
                            f"the label key {key!r} is not declared.",
                            here.key(key).place,
                            nearest(key, declared) or "Declare it in settings.labels.",
                        )
                    label = self._label(workload, key, written, here[key])
                    _refuse_other_values(declared[key], workload, key, label)
                    _merge(gathered.labels.setdefault(workload, {}), workload, key, label)

    def _label(self, workload: str, key: str, written: Any, spot: Spot) -> ObservedLabel:
        value, expires = written, ""
        if isinstance(written, dict):
            if set(written) - {"value", "expires"} or "value" not in written:
                hint = "Write a text, or {value: TEXT, expires: TIME}."
                raise PolicyError("E-FACTS", f"{workload}: the value of {key} cannot be read.", spot.place, hint)
            value, expires = written["value"], written.get("expires", "")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
            shown = spot["value"].written[:40] if isinstance(written, dict) else spot.written[:40]
            hint = f'Put quotes around it: "{shown}".' if isinstance(value, bool) else "Write a text."
            raise PolicyError("E-FACTS", f"{workload}: the value of {key} is {shown}, not text.", spot.place, hint)
        if not isinstance(expires, str):
            raise PolicyError("E-DATE", f"{workload}: the end of {key} is not a date.", spot.place)
        end = self._end(expires, spot["expires"], f"{workload}: {key}")
        return ObservedLabel(Fact(str(value), self.words.source, end), spot.place)

    def _groups(self, gathered: _Gathered) -> Iterable[Finding]:
        if not self.words.groups:
            return
        if self.end is None:
            raise PolicyError("E-FACTS", "membership in groups has no end.", self.spot.key("groups").place, _HOW)
        self.ends.append(self.end)
        declared = self.policy.settings.user_groups
        for group, users in self.words.groups.items():
            members = gathered.groups.setdefault(group, {})
            for user in users:
                members[user] = max(members.get(user, self.end), self.end)
        unknown = [group for group in self.words.groups if group not in declared]
        if unknown:
            yield Finding(
                "W-FACTS-GROUP",
                "warning",
                f"{len(unknown)} groups of the file are not declared, for example {unknown[0]}; no rule can name them.",
                self.spot["groups"].key(unknown[0]).place,
                nearest(unknown[0], declared, listed=False)
                or "Declare them in settings.user_groups, or leave them out.",
            )

    def _session(self, words: SessionWords, spot: Spot) -> Session:
        if bool(words.workload) == bool(words.address):
            hint = "Write workload: NAME, or address: ADDRESS."
            raise PolicyError("E-FACTS", f"the session of {words.user} needs one place.", spot.place, hint)
        if words.since and read_moment(words.since, self.zone, spot["since"]) > self.observed:
            raise PolicyError(
                "E-FACTS",
                f"the session of {words.user} begins {words.since}, after it was observed.",
                spot["since"].place,
                "A file says what was so when it was made; correct since or observed.",
            )
        end = self._end(words.until, spot["until"], f"the session of {words.user}")
        return Session(words.user, end, words.workload, words.address, words.zone, self.words.source, spot.place)

    def _age(self, at: datetime) -> Iterable[Finding]:
        place = self.spot["observed"].place
        if self.observed > at + _SKEW:
            yield Finding(
                "W-FACTS-FUTURE",
                "warning",
                f"{self.words.source} observed this {_shown(self.observed)}, after the moment that is asked about.",
                place,
                "Look at the clock of the source, or ask about a later moment.",
            )
        if self.ends and max(self.ends) <= at:
            yield Finding(
                "W-FACTS-STALE",
                "warning",
                f"everything {self.words.source} says here ended by {_shown(max(self.ends))}: all of it is unknown.",
                place,
                "Fetch the file again from its source.",
            )


def _refuse_other_values(declaration: LabelDeclaration, workload: str, key: str, label: ObservedLabel) -> None:
    """A value that no rule can name would match every `!=`: `Infected` is not `infected`.

    Raises PolicyError (E-LABEL-VALUE).
    """
    if declaration.values and label.fact.value not in declaration.values:
        raise PolicyError(
            "E-LABEL-VALUE",
            f"{workload}: {key} is never {label.fact.value!r}: settings.labels lists its values.",
            label.place,
            nearest(label.fact.value, declaration.values) or f"Valid: {', '.join(declaration.values)}.",
        )


def _merge(labels: dict[str, ObservedLabel], workload: str, key: str, label: ObservedLabel) -> None:
    """Two files that agree are known as long as the one that is known longer. Raises PolicyError (E-FACTS-CONFLICT)."""
    other = labels.get(key)
    if other is not None and other.fact.value != label.fact.value:
        raise PolicyError(
            "E-FACTS-CONFLICT",
            f"{workload} has {key}={label.fact.value} by {label.fact.source} here, and {key}={other.fact.value} by "
            f"{other.fact.source} ({other.place}).",
            label.place,
            "Let one source say it.",
        )
    if other is None or _ends(other) < _ends(label):
        labels[key] = label


def _ends(label: ObservedLabel) -> datetime:
    assert label.fact.expires is not None  # every fact of a file has an end
    return label.fact.expires


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%MZ}"


__all__ = ["FactsWords", "load_facts", "loads_facts"]
