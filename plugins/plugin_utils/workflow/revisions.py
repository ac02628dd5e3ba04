# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The policy as a git revision has it, without a checkout: the same files the loader would read, the same errors."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..model.errors import Finding, Place, PolicyError
from ..model.policy import Policy
from ..policy.documents import ENDINGS, Problems, assemble, load
from .git import SUBMODULE, SYMLINK, Commit, Entry, Repository

#: As in the kernel: a chain of symbolic links that is longer is a loop.
_MOST_LINKS = 40


@dataclass(frozen=True)
class AtRevision:
    """A policy directory as a git revision has it."""

    revision: str
    directory: Path

    def __str__(self) -> str:
        return self.revision


@dataclass(frozen=True)
class Revision:
    """A commit that changed the policy directory. `digest` reads the policy; it raises what `policy_at` raises."""

    commit: Commit
    directory: Path

    @cached_property
    def digest(self) -> str:
        return policy_at(self.commit.hash, self.directory)[0].digest

    def to_dict(self) -> dict[str, Any]:
        one = self.commit
        return {"commit": one.hash, "author": one.author, "date": one.date, "subject": one.subject}


#: Where a policy is written: a directory as it is now, or as a revision has it.
Source = Path | AtRevision


def read(source: Source) -> tuple[Policy, tuple[Finding, ...]]:
    """The policy of either source, and remarks. Raises what `load` and `policy_at` raise."""
    return policy_at(source.revision, source.directory) if isinstance(source, AtRevision) else load(source)


def policy_at(revision: str, directory: Path) -> tuple[Policy, tuple[Finding, ...]]:
    """The policy of the directory at a revision, and remarks about it. Places are `REVISION:path:line`.

    Raises PolicyError: E-GIT, E-REVISION (no such revision, or the directory was not there), E-NO-POLICY; Rejected.
    """
    repository = Repository(directory)
    commit = repository.commit(revision)
    tree = _Tree(repository, commit)
    where = f"{revision}:{repository.path or '.'}"
    top = tree.folder(repository.path)
    if top is None:
        raise PolicyError(
            "E-REVISION",
            f"{repository.path or '.'} is no directory at {revision}.",
            Place(where),
            "Name the directory as it was called then (-p DIR).",
        )
    return assemble(lambda problems: _documents(tree, top, repository, revision, problems), where)


def revisions(directory: Path, limit: int) -> list[Revision]:
    """The newest commits that changed the policy directory, newest first. Raises PolicyError (E-GIT, E-REVISION)."""
    repository = Repository(directory)
    repository.commit("HEAD")
    return [Revision(commit, directory) for commit in repository.history(repository.path, limit)]


def is_revision(word: str, directory: Path) -> bool:
    """Does the repository of the directory know a commit by this word? No repository and no git: False."""
    try:
        Repository(directory).commit(word)
    except PolicyError:
        return False
    return True


def _documents(
    tree: _Tree, top: str, repository: Repository, revision: str, problems: Problems
) -> Iterator[tuple[str, str]]:
    files = list(_Walk(tree, top, revision, problems).files(top))
    contents = repository.blobs(sorted({entry.object for _path, entry in files}))
    for path, entry in files:
        name = f"{revision}:{path}"
        try:
            yield name, contents[entry.object].decode("utf-8-sig")
        except UnicodeDecodeError as error:
            problems.error("E-YAML", f"the file is not UTF-8 (byte {error.start}).", Place(name), "Save it as UTF-8.")


class _Tree:
    """Paths of one commit, symbolic links followed as far as the commit has what they point to."""

    def __init__(self, repository: Repository, commit: str) -> None:
        self._repository = repository
        self._commit = commit
        self._entries: dict[str, Entry | None] = {}
        self._listed: set[str] = set()

    def folder(self, path: str) -> str | None:
        """The real path of a folder; None where the commit has none there."""
        real = self.real(path)
        if real is None:
            return None
        if real:
            entry = self.entry(real)
            if entry is None or entry.kind != "tree":
                return None
        self._listed.add(real)
        self._entries.update(self._repository.below(self._commit, real))
        return real

    def entry(self, path: str) -> Entry | None:
        if path not in self._entries:
            known = any(_below(path, folder) for folder in self._listed)
            self._entries[path] = None if known else self._repository.entry(self._commit, path)
        return self._entries[path]

    def names(self, folder: str) -> list[str]:
        start = f"{folder}/" if folder else ""
        return sorted(
            path.removeprefix(start)
            for path, entry in self._entries.items()
            if entry is not None and path.startswith(start) and "/" not in path.removeprefix(start)
        )

    def real(self, path: str) -> str | None:
        """The path with every symbolic link followed; None where it leaves the repository or never ends.

        What does not exist is its own path.
        """
        todo, real, links = [part for part in path.split("/") if part], "", 0
        while todo:
            part = todo.pop(0)
            if part == ".":
                continue
            if part == "..":
                if not real:
                    return None
                real = posixpath.dirname(real)
                continue
            here = f"{real}/{part}" if real else part
            entry = self.entry(here)
            if entry is None or entry.mode != SYMLINK:
                real = here
                continue
            links += 1
            target = self._repository.blobs([entry.object])[entry.object].decode("utf-8", "surrogateescape")
            if links > _MOST_LINKS or target.startswith("/"):
                return None
            todo[:0] = [piece for piece in target.split("/") if piece]
        return real


def _below(path: str, folder: str) -> bool:
    return folder in ("", path) or path.startswith(f"{folder}/")


class _Walk:
    """The walk of the loader over a commit instead of a directory: same order, same skips, same refusals."""

    def __init__(self, tree: _Tree, root: str, revision: str, problems: Problems) -> None:
        self.tree = tree
        self.root = root
        self.revision = revision
        self.problems = problems
        self.seen: set[str] = set()

    def files(self, folder: str) -> Iterator[tuple[str, Entry]]:
        for name in self.tree.names(self.tree.real(folder) or ""):
            path = f"{folder}/{name}" if folder else name
            if name.startswith("."):
                continue
            place = Place(f"{self.revision}:{path}")
            real = self.tree.real(path)
            entry = None if real is None else self.tree.entry(real)
            # A link out of the repository may lead to a folder of documents; nobody can tell from a commit.
            is_folder = real in (None, "") or (entry is not None and entry.kind in ("tree", "commit"))
            if not (is_folder or name.endswith(ENDINGS)):
                continue
            if real is None or not _below(real, self.root):
                self.problems.error(
                    "E-SYMLINK",
                    "this is a symbolic link out of the policy directory.",
                    place,
                    "Copy what it points to into the policy directory.",
                )
            elif real not in self.seen:
                self.seen.add(real)
                if entry is None and real != "":
                    self.problems.error("E-FILE", "the file cannot be read: the link leads nowhere.", place)
                elif entry is not None and entry.mode == SUBMODULE:
                    self.problems.error(
                        "E-FILE",
                        "this folder is a submodule, whose files are not in the revision.",
                        place,
                        "Copy its documents into the policy directory.",
                    )
                elif is_folder:
                    yield from self.files(path)
                elif entry is not None:
                    yield path, entry


__all__ = ["AtRevision", "Revision", "Source", "is_revision", "policy_at", "read", "revisions"]
