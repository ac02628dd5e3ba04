# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""git as a program that only reads: which commit a name means, what a commit holds, and its history.

Nothing is checked out and nothing of the repository runs: no hook, no filter, no signature check. Names come from
outside, so they never stand where git would take them for an option.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from ..model.errors import Place, PolicyError

SYMLINK, SUBMODULE = "120000", "160000"
#: What a name of one commit never has: it would be an option, a range, a path in a tree, or not a name at all.
_HOSTILE = re.compile(r"^-|\.\.|:|[\x00-\x20\x7f*?\[\\]|^$")
#: A repository that somebody else's program pointed at is not the one the policy directory lies in.
_MISLEADING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE")
_FIELDS = "%H%x1f%an%x1f%aI%x1f%s"


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands at one path of a commit."""

    mode: str
    kind: str
    object: str


@dataclass(frozen=True, slots=True)
class Commit:
    """`date` is the author's, in ISO 8601."""

    hash: str
    author: str
    date: str
    subject: str


class Repository:
    """The repository a directory lies in. `path`: the directory below its top, "" for the top itself."""

    def __init__(self, directory: Path) -> None:
        """The directory need not be there today. Raises PolicyError (E-GIT)."""
        wanted = directory.absolute()
        parent = Path(os.path.normpath(wanted)).parent.resolve() / wanted.name if wanted.name else wanted.resolve()
        self._at = next(folder for folder in (parent, *parent.parents) if folder.is_dir())
        if self._at == parent and parent.is_symlink():
            self._at = parent.parent
        found = self._run("rev-parse", "--show-toplevel")
        if found.returncode:
            said = _said(found)
            if "not a git repository" in said:
                raise PolicyError(
                    "E-GIT",
                    "this directory lies in no git repository.",
                    Place(str(directory)),
                    "Revisions are read from the repository of the policy directory (-p DIR).",
                )
            raise PolicyError("E-GIT", f"git cannot read the repository: {said}.", Place(str(directory)))
        self.top = Path(os.fsdecode(found.stdout.removesuffix(b"\n"))).resolve()
        self._at = self.top
        path = parent.relative_to(self.top).as_posix() if parent.is_relative_to(self.top) else ""
        self.path = "" if path == "." else path

    def commit(self, revision: str) -> str:
        """The full hash. Raises PolicyError (E-REVISION) for a name that is none, that names no commit, or several.

        git takes a tag before a branch of its name: who may make tags would choose what a change is compared with.
        """
        if _HOSTILE.search(revision):
            raise PolicyError(
                "E-REVISION",
                f"{revision!r} is not the name of one revision.",
                hint="Name one commit: a branch, a tag, a hash, HEAD~1.",
            )
        found = self._run("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
        if found.returncode:
            raise PolicyError("E-REVISION", f"{revision!r} is no revision of {self.top}.", hint=self._nearest(revision))
        if b"ambiguous" in found.stderr:
            raise PolicyError(
                "E-REVISION",
                f"{revision!r} names several things, such as a branch and a tag.",
                hint=f"Write refs/heads/{revision} or refs/tags/{revision}, or a whole hash.",
            )
        return found.stdout.decode("ascii").strip()

    def _nearest(self, revision: str) -> str:
        names = self._lines("for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes")
        base = re.split(r"[~^@]", revision, maxsplit=1)[0]
        near = get_close_matches(base, ["HEAD", *names], n=3, cutoff=0.5)
        if base in ("HEAD", *names) and base != revision:
            shallow = self._lines("rev-parse", "--is-shallow-repository") == ["true"]
            return "The clone is shallow: fetch more history." if shallow else "Its history does not go back so far."
        return f"Did you mean {' or '.join(near)}?" if near else "Name a branch, a tag, a hash or HEAD~1."

    def entry(self, commit: str, path: str) -> Entry | None:
        """What stands at one path; None where there is nothing."""
        return self._entries("ls-tree", "-z", "--full-tree", commit, "--", path).get(path)

    def below(self, commit: str, folder: str) -> dict[str, Entry]:
        """Everything below a folder of the commit, folders too, by path from the top."""
        only = [f"{folder}/"] if folder else []
        return self._entries("ls-tree", "-r", "-t", "-z", "--full-tree", commit, "--", *only)

    def _entries(self, *words: str) -> dict[str, Entry]:
        listing = self._checked(*words)
        found: dict[str, Entry] = {}
        for line in listing.split(b"\0"):
            if line:
                head, _tab, name = line.partition(b"\t")
                mode, kind, identity = head.decode("ascii").split(" ")
                found[os.fsdecode(name)] = Entry(mode, kind, identity)
        return found

    def blobs(self, objects: list[str]) -> dict[str, bytes]:
        """The contents of blobs by their hash, in one run of git."""
        if not objects:
            return {}
        stream = self._checked("cat-file", "--batch", given="".join(f"{name}\n" for name in objects).encode("ascii"))
        found: dict[str, bytes] = {}
        start = 0
        for name in objects:
            end = stream.index(b"\n", start)
            head = stream[start:end].split(b" ")
            if head[-1] == b"missing":
                raise PolicyError(
                    "E-GIT", f"the repository lacks object {name[:12]}.", hint="Fetch it; the clone is partial."
                )
            size = int(head[2])
            found[name] = stream[end + 1 : end + 1 + size]
            start = end + 1 + size + 1
        return found

    def history(self, path: str, limit: int) -> list[Commit]:
        """Commits that changed something below the path, newest first."""
        listing = self._checked(
            "log", "-z", f"--format={_FIELDS}", "--encoding=UTF-8", "--no-color", "--no-show-signature",
            f"--max-count={limit}", "HEAD", "--", *([path] if path else []),
        )  # fmt: skip
        return [
            Commit(*text.split("\x1f", 3)) for text in listing.decode("utf-8", "replace").split("\0") if "\x1f" in text
        ]

    def blame(self, file: Path, line: int) -> Commit | None:
        """The commit that wrote a line of a file as it is on disk; None for a line that is not committed.

        Raises PolicyError (E-GIT) where git does not know the file.
        """
        path = str(file.resolve())
        listing = self._checked("blame", "--porcelain", f"-L{line},{line}", "--", path).decode("utf-8", "replace")
        identity = listing.split(" ", 1)[0]
        if not identity.strip("0"):
            return None
        shown = self._checked(
            "log", "-1", f"--format={_FIELDS}", "--encoding=UTF-8", "--no-color", "--no-show-signature", identity, "--"
        )
        return Commit(*shown.decode("utf-8", "replace").rstrip("\n").split("\x1f", 3))

    def _lines(self, *words: str) -> list[str]:
        return self._checked(*words).decode("utf-8", "replace").splitlines()

    def _checked(self, *words: str, given: bytes | None = None) -> bytes:
        done = self._run(*words, given=given)
        if done.returncode:
            raise PolicyError("E-GIT", f"git {words[0]} failed: {_said(done)}.", Place(str(self._at)))
        return done.stdout

    def _run(self, *words: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        environment = {key: value for key, value in os.environ.items() if key not in _MISLEADING}
        environment |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_PAGER": "cat"}
        environment |= {"GIT_NO_REPLACE_OBJECTS": "1"}  # what the hash says, not what somebody put in its place
        command = [
            "git",
            "--no-pager",
            "-c",
            "core.warnAmbiguousRefs=true",
            "--literal-pathspecs",
            "-C",
            str(self._at),
            *words,
        ]
        try:
            return subprocess.run(
                command,
                input=given,
                stdin=subprocess.DEVNULL if given is None else None,
                capture_output=True,
                env=environment,
                check=False,
            )
        except FileNotFoundError:
            raise PolicyError(
                "E-GIT",
                "there is no git on this machine, and revisions are read with it.",
                hint="Install git, or name two policy directories.",
            ) from None
        except OSError as error:
            raise PolicyError("E-GIT", f"git cannot be run: {error.strerror}.") from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[0].removeprefix("fatal: ").rstrip(".") if lines else f"exit code {done.returncode}"
