# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Keys: edges summed up by what a policy can tell apart, so that a draft is tried on thousands of them, not millions.

A key is a group of consumers, a group of providers and a stretch of services. Groups have label content and members,
and no ids of a policy: any later policy can be asked about them, as long as it does not tell members of one apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .addresses import Address
from .edges import Edges


@dataclass(frozen=True)
class Keys:
    """`ends`: all that were seen; `group` and `holder` of each (the workload's name, "" for nobody or several).

    `contents`: what a group is, in label words. `starts`: where the stretches of services begin, ascending.

    `edges` has one row per key, sorted by provider, consumer and service: its `ends` are one member of each group,
    `service` is the lowest point that was seen, `dropped` means that all conversations were. Beside it, per key:
    `high` the highest point; `dropped` conversations; `rows` how many edges; `pairs` distinct pairs of addresses;
    `itself` a workload with itself; `example_consumer`, `example_provider` positions in `ends` of the biggest edge.
    """

    ends: tuple[Address, ...]
    group: npt.NDArray[np.int32]
    holder: tuple[str, ...]
    contents: tuple[str, ...]
    starts: npt.NDArray[np.int64]
    edges: Edges
    high: npt.NDArray[np.int64]
    dropped: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.int64]
    itself: npt.NDArray[np.bool_]
    example_consumer: npt.NDArray[np.int32]
    example_provider: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.edges)

    def packed(
        self,
        provider: npt.NDArray[np.int32],
        consumer: npt.NDArray[np.int32],
        service: npt.NDArray[np.int64],
        itself: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.int64]:
        """One ascending number per key, from groups and service points."""
        return packed(provider, consumer, service, itself, len(self.contents), self.starts)

    @cached_property
    def of_ends(self) -> Edges:
        """The rows of `edges` over all `ends`: a group is told by its first end."""
        members = np.zeros(len(self.contents), np.int32)
        members[self.group[::-1]] = np.arange(len(self.group), dtype=np.int32)[::-1]
        edges = self.edges
        return replace(
            edges,
            ends=self.ends,
            consumer=members[edges.consumer],
            provider=members[edges.provider],
        )

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """The packed number of every key, ascending."""
        edges = self.edges
        return self.packed(edges.provider, edges.consumer, edges.service, self.itself)


def packed(
    provider: npt.NDArray[np.int32],
    consumer: npt.NDArray[np.int32],
    service: npt.NDArray[np.int64],
    itself: npt.NDArray[np.bool_],
    groups: int,
    starts: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Raises OverflowError where the numbers do not fit: more than about a hundred million groups times services."""
    if groups * groups * len(starts) * 2 >= 1 << 63:
        raise OverflowError("too many groups")
    stretch = (np.searchsorted(starts, np.arange(0x60000), "right") - 1).astype(np.int64)
    number = provider.astype(np.int64)
    number *= groups
    number += consumer
    number *= len(starts)
    number += stretch.take(service, mode="clip")
    number <<= 1
    number |= itself
    return number


__all__ = ["Keys", "packed"]
