# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which files of a policy directory are read, and in which order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...model.errors import Place, PolicyError
from .problems import Problems

ENDINGS = (".yml", ".yaml")


def read_directory(directory: Path, problems: Problems) -> Iterator[tuple[str, str]]:
    """(path below the directory, text) of every policy file, sorted by path.

    Hidden files and folders are skipped. A file reached by two paths is read once. What a symbolic link brings in from
    outside has not been reviewed with the policy, so it is an error (E-SYMLINK).
    """
    if not directory.is_dir():
        message = "this is not a directory." if directory.exists() else "there is no such directory."
        raise PolicyError("E-FILE", message, Place(str(directory)), "Name the directory of the policy (-p DIR).")
    for path in _Walk(directory, problems).files(directory):
        name = path.relative_to(directory).as_posix()
        try:
            yield name, path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            problems.error("E-FILE", f"the file cannot be read: {error.strerror}.", Place(name))
        except UnicodeDecodeError as error:
            problems.error("E-YAML", f"the file is not UTF-8 (byte {error.start}).", Place(name), "Save it as UTF-8.")


class _Walk:
    """Remembers where it has been, without links, so that loops and second paths to a file end at once."""

    def __init__(self, top: Path, problems: Problems) -> None:
        self.top = top
        self.root = top.resolve()
        self.seen: set[Path] = set()
        self.problems = problems

    def files(self, folder: Path) -> Iterator[Path]:
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            self.problems.error("E-FILE", f"the folder cannot be read: {error.strerror}.", self._place(folder))
            return
        for name in names:
            path = folder / name
            if name.startswith(".") or not (path.is_dir() or name.endswith(ENDINGS)):
                continue
            target = path.resolve()
            if not target.is_relative_to(self.root):
                self.problems.error(
                    "E-SYMLINK",
                    f"this is a symbolic link out of the policy directory, to {target}.",
                    self._place(path),
                    "Copy what it points to into the policy directory.",
                )
            elif target not in self.seen:
                self.seen.add(target)
                if path.is_dir():
                    yield from self.files(path)
                elif path.exists() and not path.is_file():
                    self.problems.error("E-FILE", "this is not a regular file.", self._place(path))
                else:
                    yield path

    def _place(self, path: Path) -> Place:
        return Place(path.relative_to(self.top).as_posix())
