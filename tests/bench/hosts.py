# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Measurements of a host: loading, adding, packets, comparing. They need nft and a network namespace of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import nft
from .measuring import CouldNotRun, Figure, Figures, measurement


def _asked(question: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return question()
    except RuntimeError as error:
        raise CouldNotRun(str(error)) from None


@measurement("nft-load", pure=False)
def _load(_quick: bool) -> Figures:
    """100,000 addresses in 20 hash sets loaded by one `nft -f`."""
    answer = _asked(nft.load_100k)
    yield Figure("nft-load", answer["value"], "s", 0.5, f"100,000 addresses, {answer['detail']}")


@measurement("nft-add", pure=False)
def _add(_quick: bool) -> Figures:
    """One address added to a host that has 100,000."""
    answer = _asked(nft.add_one_to_100k)
    yield Figure("nft-add", answer["value"], "ms", 10.0, answer["detail"])


@measurement("nft-packet", pure=False)
def _packet(_quick: bool) -> Figures:
    """What a new connection costs past 100,000 addresses with counters, over a host without our table; interleaved."""
    answer = _asked(nft.packet_cost_at_100k)
    yield Figure("nft-packet", answer["value"], "ns", 1200.0, answer["detail"])


@measurement("host-compare", pure=False)
def _compare(_quick: bool) -> Figures:
    """A host with 10,000 addresses read and compared with its intent, beside the time nft takes to list it."""
    answer = _asked(nft.compare_host_10k)
    yield Figure("host-compare", answer["value"], "ms", 50.0, answer["detail"])
