# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""revisions: which policy is live, which plans were made live by whom, and which git revisions say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..model.errors import MicrosegError
from ..orchestration.journal import Journal
from ..orchestration.planstore import load_plan, provisioned
from ..orchestration.store import Store
from ..policy.documents import load
from .revisions import revisions


@dataclass(frozen=True)
class Revision:
    """A git revision of the policy directory. `policy` is its digest, or "" with the reason in `problem`."""

    commit: str
    author: str
    date: str
    subject: str
    policy: str
    problem: str
    live: bool

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Provisioned:
    """A plan that was made live, newest first. `by` is "" where nobody was named; `outcome` done or partial."""

    plan: str
    kind: str
    policy: str
    previous: str
    time: str
    by: str
    outcome: str

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class History:
    """`live` and `tree` are digests of policies: what was provisioned last, and the working tree; "" for none."""

    live: str
    tree: str
    revisions: tuple[Revision, ...]
    provisioned: tuple[Provisioned, ...]

    @property
    def before(self) -> str:
        """The newest revision that says the policy that was live before; "" where no listed one does."""
        previous = next((one.previous for one in self.provisioned if one.policy == self.live), "")
        return next((one.commit for one in self.revisions if previous and one.policy == previous), "")

    def to_dict(self) -> dict[str, Any]:
        return {
            "live": self.live,
            "working_tree": self.tree,
            "before": self.before,
            "revisions": [one.to_dict() for one in self.revisions],
            "provisioned": [one.to_dict() for one in self.provisioned],
        }


def history(store: Store | None, directory: Path, limit: int) -> History:
    """The newest `limit` commits of the policy directory and what the store knows (None: there is no store yet).

    A revision whose documents cannot be read is listed with the reason. Raises PolicyError (E-GIT, E-REVISION).
    """
    bundle = provisioned(store) if store is not None else None
    live = bundle.policy_digest if bundle is not None else ""
    return History(
        live,
        _tree(directory),
        tuple(_revisions(directory, limit, live)),
        tuple(_provisioned(store)) if store is not None else (),
    )


def _tree(directory: Path) -> str:
    try:
        return load(directory)[0].digest
    except MicrosegError:
        return ""


def _revisions(directory: Path, limit: int, live: str) -> Iterator[Revision]:
    for one in revisions(directory, limit):
        commit = one.commit
        try:
            policy, problem = one.digest, ""
        except MicrosegError as error:
            policy, problem = "", f"{error.code} {error.message}"
        yield Revision(
            commit.hash, commit.author, commit.date, commit.subject, policy, problem, bool(live) and policy == live
        )


def _provisioned(store: Store) -> Iterator[Provisioned]:
    """From the journal, newest first: it is the audit, and decides nothing."""
    by: dict[str, str] = {}
    found: list[tuple[str, str, str, str]] = []
    for entry in Journal(store).entries():
        if entry.step == "begin":
            by[entry.plan] = _text(entry.detail, "by")
        elif entry.step == "finish":
            found.append((entry.plan, entry.time.isoformat(timespec="seconds"), by.pop(entry.plan, ""), entry.outcome))
    for digest, time, who, outcome in reversed(found):
        try:
            body = load_plan(store, digest).body
        except MicrosegError:  # thrown out since: what happened stays true
            yield Provisioned(digest, "", "", "", time, who, outcome)
            continue
        yield Provisioned(digest, body.kind, body.policy, body.previous_policy, time, who, outcome)


def _text(detail: Mapping[str, Any], key: str) -> str:
    value = detail.get(key)
    return value if isinstance(value, str) else ""
