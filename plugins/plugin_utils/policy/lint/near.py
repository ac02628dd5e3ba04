# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Words one slip of the keyboard apart: a letter too many, too few, another one, or two swapped; or another case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

#: Shorter words are too often near each other on purpose (db, lb).
SHORTEST = 3


class Near:
    """Finds near words among known ones, without comparing with each."""

    def __init__(self, words: Iterable[str]) -> None:
        self._by_variant: dict[str, list[str]] = {}
        for word in words:
            if len(word) >= SHORTEST:
                for variant in _variants(word):
                    self._by_variant.setdefault(variant, []).append(word)

    def of(self, word: str) -> str:
        """The near word that comes first in the alphabet, or empty. Never the word itself."""
        if len(word) < SHORTEST:
            return ""
        found = {
            other
            for variant in _variants(word)
            for other in self._by_variant.get(variant, ())
            if other != word and one_slip(word, other)
        }
        return min(found, default="")


def _variants(word: str) -> Iterator[str]:
    """The word in small letters, and without each one of them: what near words have in common."""
    small = word.casefold()
    yield small
    seen = {small}
    for index in range(len(small)):
        variant = small[:index] + small[index + 1 :]
        if variant not in seen:
            seen.add(variant)
            yield variant


def one_slip(left: str, right: str) -> bool:
    """
    >>> one_slip("prod", "pord"), one_slip("prod", "Prod"), one_slip("stage", "stagge"), one_slip("web1", "web2")
    (True, True, True, False)
    >>> one_slip("app10", "app01")
    False
    """
    if left == right:
        return False
    if left.casefold() == right.casefold():
        return True
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start]:
        start += 1
    rest, other = left[start:], right[start:]
    if len(rest) == len(other):
        if rest[2:] == other[2:] and len(rest) >= 2 and rest[0] == other[1] and rest[1] == other[0]:
            return not rest[:2].isdigit()
        return rest[1:] == other[1:] and not rest[0].isdigit() and not other[0].isdigit()
    longer, shorter = (rest, other) if len(rest) > len(other) else (other, rest)
    return longer[1:] == shorter and not longer[0].isdigit()


__all__ = ["SHORTEST", "Near", "one_slip"]
