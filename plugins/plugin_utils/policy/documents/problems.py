# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Problems of documents are collected, so that one run shows all of them."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from ...model.errors import NOWHERE, Finding, MicrosegError, Place, Rejected

#: Nobody reads more than this at once; reading stops here.
MOST_ERRORS = 200
_SHOWN_WORDS = 12


class Problems:
    """Errors and remarks in the order in which they are met."""

    def __init__(self) -> None:
        self.errors: list[Finding] = []
        self.remarks: list[Finding] = []

    def error(self, code: str, message: str, where: Place, hint: str = "") -> None:
        """Raises Rejected when the limit is reached."""
        self.errors.append(Finding(code, "error", message, where, hint))
        if len(self.errors) >= MOST_ERRORS:
            self.errors.append(
                Finding(
                    "E-TOO-MANY", "error", f"{MOST_ERRORS} errors; reading stopped here.", NOWHERE, "Correct these."
                )
            )
            self.give_up()

    def info(self, code: str, message: str, where: Place, hint: str = "") -> None:
        self.remarks.append(Finding(code, "info", message, where, hint))

    def collecting(self) -> _Collecting:
        """In `with`: an error raised inside becomes one of the collected ones."""
        return _Collecting(self)

    def give_up(self) -> None:
        """Raises Rejected if there is any error; remarks come with it."""
        if self.errors:
            in_order = sorted(
                self.errors, key=lambda item: (item.code == "E-TOO-MANY", item.where.file, item.where.line)
            )
            raise Rejected((*in_order, *self.remarks))


class _Collecting:
    __slots__ = ("_problems",)

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, MicrosegError) or isinstance(error, Rejected):
            return False
        self._problems.error(error.code, error.message, error.where, error.hint)
        return True


def nearest(word: str, words: Collection[str], listed: bool = True) -> str:
    """What to do about an unknown word: the nearest valid one, or all of them where they are few and `listed`.

    >>> nearest("rolle", ["app", "role"])
    'Did you mean role?'
    """
    near = get_close_matches(word, words, n=1) or get_close_matches(word.lower(), words, n=1)
    if near:
        return f"Did you mean {near[0]}?"
    if listed and 0 < len(words) <= _SHOWN_WORDS:
        return f"Valid: {', '.join(sorted(words))}."
    return ""
