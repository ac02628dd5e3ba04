# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who wrote a line of a policy file, as git remembers it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..model.errors import Place, PolicyError
from .git import Commit, Repository


@dataclass(frozen=True, slots=True)
class Blame:
    """`commit` is None where the line is not committed yet."""

    commit: Commit | None

    def to_dict(self) -> dict[str, str] | None:
        one = self.commit
        if one is None:
            return None
        return {"commit": one.hash, "author": one.author, "date": one.date, "subject": one.subject}


def blame(directory: Path, place: Place) -> Blame | None:
    """The commit that wrote the line. None where nobody can tell: no git, no repository, a file git does not know."""
    if not place.file or not place.line or place.file.count(":"):
        return None
    try:
        return Blame(Repository(directory).blame(directory / place.file, place.line))
    except PolicyError:
        return None


__all__ = ["Blame", "blame"]
