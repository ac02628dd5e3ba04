# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""recommend: from observed flows to proposed policy documents, a review, and mined tests."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..model.errors import Finding, MicrosegError, Place, PolicyError, StoreError
from ..orchestration.files import write_atomically
from ..policy.authoring import Edit, PolicyFiles, read_files
from ..policy.decide import Decider
from ..policy.documents import loads
from ..policy.recommend import Learning, Recommendation, changed_texts, read_learning
from ..policy.recommend import recommend as learn
from ..policy.recommend.filters import REASONS
from ..policy.recommend.mined import Mined, mine
from ..policy.recommend.review import review
from ..policy.recommend.words import Isolation
from ..visibility.edges_file import read_edges
from .authoring import write_files
from .inputs import Inputs

REVIEW = "REVIEW.md"
_FILE_MODE = 0o644
_DIRECTORY_MODE = 0o755


@dataclass(frozen=True)
class Question:
    """`scope`: learn only what belongs to it. `isolation` overrides that of the settings file."""

    flows: Path
    scope: str = ""
    settings: Path | None = None
    isolation: Isolation | None = None
    tests: bool = False


@dataclass(frozen=True)
class RecommendReport:
    """`texts` are the policy files that change or are new. `findings` come from reading the flows."""

    found: Recommendation
    mined: Mined | None
    texts: Mapping[str, str]
    files: PolicyFiles = field(repr=False)
    findings: tuple[Finding, ...]

    @property
    def review(self) -> str:
        return review(self.found, self.mined)

    def to_dict(self) -> dict[str, Any]:
        found = self.found
        return {
            "outcome": "ok" if found.complete else "findings",
            "verdict": "complete" if found.complete else "not complete",
            "gates": [found.gates[name].to_dict() for name in sorted(found.gates)],
            "rules": [rule.to_dict() for rule in found.rules],
            "services": dict(found.services),
            "ip_lists": dict(found.ip_lists),
            "scopes": dict(found.scopes),
            "left_out": {
                reason: {
                    "distinct": len(talks),
                    "conversations": sum(talk.conversations for talk in talks),
                    "meaning": REASONS[reason],
                }
                for reason, talks in found.sifted.left_out.items()
            },
            "tests": [dict(test) for test in self.mined.tests] if self.mined else [],
            "files": dict(self.texts),
            "review": self.review,
            "findings": [finding.to_dict() for finding in self.findings],
        }


def recommend(inputs: Inputs, policy_dir: Path, question: Question) -> RecommendReport:
    """Raises Rejected for a policy in error or wrong settings, PolicyError (E-SCOPE, E-FILE), FlowsError."""
    inputs.usable()
    policy, estate = inputs.policy, inputs.estate
    if question.scope and question.scope not in {scope.name for scope in policy.scopes}:
        raise _no_scope(policy_dir, question.scope)
    learning = read_learning(question.settings, policy, estate) if question.settings else Learning()
    if question.isolation is not None:
        learning = replace(learning, isolation=question.isolation)
    findings: list[Finding] = []
    edges = read_edges(question.flows, findings=findings)
    found = learn(policy, estate, edges, learning, inputs.at, question.scope)
    mined = None
    if question.tests:
        decider = Decider(inputs.active, inputs.at, intent=True)
        mined = mine(policy, decider, found.sifted.left_out.get("approved", ()))
    files = read_files(policy_dir)
    texts = changed_texts(files, found, mined.tests if mined else ())
    loads({**files.texts, **texts})  # what would not load is never handed out
    return RecommendReport(found, mined, texts, files, tuple(findings))


def _no_scope(policy_dir: Path, name: str) -> PolicyError:
    try:
        read_files(policy_dir).scope(name)
    except PolicyError as error:
        return error
    raise AssertionError("a scope of the policy is written somewhere")


def write(report: RecommendReport, policy_dir: Path, out: Path) -> list[Path]:
    """The policy with its proposals, and the review. Into the policy directory itself: only what changes.

    Another directory must be empty or not there, so that nothing of anybody's is lost or mixed in.
    All of it is there afterwards, or nothing. Raises PolicyError (E-OUT, E-FILE), StoreError (E-STORE-WRITE).
    """
    same = out.exists() and out.resolve() == policy_dir.resolve()
    if not same and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise PolicyError(
            "E-OUT",
            "this is neither an empty directory nor the policy directory.",
            Place(str(out)),
            f"Name a new directory, or {policy_dir} to put the proposals into the policy as drafts.",
        )
    if same:
        _into(policy_dir, report)
        return [out / name for name in (*sorted(report.texts), REVIEW)]
    texts = {**report.files.texts, **report.texts, REVIEW: report.review}
    beside = out.parent / f".{out.name}.{secrets.token_hex(6)}.new"
    try:
        for name, text in sorted(texts.items()):
            write_atomically(beside / name, text.encode(), _FILE_MODE)
        beside.chmod(_DIRECTORY_MODE)
        beside.replace(out)
    except OSError as error:
        raise StoreError("E-STORE-WRITE", f"the directory cannot be made: {error.strerror}.", Place(str(out))) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return [out / name for name in sorted(texts)]


def _into(policy_dir: Path, report: RecommendReport) -> None:
    """New files first, then the files that are there, all or none; what was new goes again if that fails."""
    made: list[Path] = []
    try:
        for name, text in report.texts.items():
            if name not in report.files.texts:
                write_atomically(policy_dir / name, text.encode(), _FILE_MODE)
                made.append(policy_dir / name)
        changed = {name: text for name, text in report.texts.items() if name in report.files.texts}
        write_files(policy_dir, report.files, Edit(changed))
    except MicrosegError:
        for path in made:
            path.unlink(missing_ok=True)
        raise
    write_atomically(policy_dir / REVIEW, report.review.encode(), _FILE_MODE)


__all__ = ["REVIEW", "Question", "RecommendReport", "recommend", "write"]
