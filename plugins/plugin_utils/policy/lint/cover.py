# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Is a product set of packets covered by others? Exact, by cutting it along a list of steps.

A step is a product with what happens to the part inside it: it is covered, it escapes, or it goes on at a later step.
What is outside goes on at the next one; what reaches the end has escaped. Pieces are followed depth first, so that the
first escape ends the search and a cover needs little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .space import Product

COVERED, ESCAPES = -1, -2
#: own, far, services, moments, where the inside goes on, and whose product it is (any number).
Step = tuple[int, int, int, int, int, int]
EVERYTHING = (-1, -1, -1, -1)
NOBODY = -1


def escaping(
    whole: Product,
    steps: Sequence[Step],
    exists: Callable[[int, int], bool],
    used: dict[int, Product],
) -> Product | None:
    """A part that escapes, or None where all of it is covered. `used` is told who covered what first.

    `exists`: is there any packet between these groups?
    """
    stack: list[tuple[int, Product]] = [(0, whole)]
    last = len(steps)
    while stack:
        index, (own, far, services, moments) = stack.pop()
        while index < last:
            other_own, other_far, other_services, other_moments, target, whose = steps[index]
            index += 1
            common_own, common_far = own & other_own, far & other_far
            common_services, common_moments = services & other_services, moments & other_moments
            if not (common_own and common_far and common_services and common_moments):
                continue
            if own != common_own and exists(own ^ common_own, far):
                stack.append((index, (own ^ common_own, far, services, moments)))
            if far != common_far and exists(common_own, far ^ common_far):
                stack.append((index, (common_own, far ^ common_far, services, moments)))
            if not exists(common_own, common_far):
                break
            if services != common_services:
                stack.append((index, (common_own, common_far, services ^ common_services, moments)))
            if moments != common_moments:
                stack.append((index, (common_own, common_far, common_services, moments ^ common_moments)))
            own, far, services, moments = common_own, common_far, common_services, common_moments
            if target == COVERED:
                if whose != NOBODY:
                    used.setdefault(whose, (own, far, services, moments))
                break
            if target == ESCAPES:
                return own, far, services, moments
            index = target
        else:
            return own, far, services, moments
    return None


__all__ = ["COVERED", "ESCAPES", "EVERYTHING", "NOBODY", "Step", "escaping"]
