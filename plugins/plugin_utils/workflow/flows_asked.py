# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Observed flows and what some policies answer about them: flow by flow, or by sums that are kept from run to run.

Both ways give the same answer. By sums, the flows are read only of those sums about which there is more to say than how
many flows they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..model.edges import Edges
from ..model.errors import Finding, FlowsError, Place
from ..policy.compile import Compiled
from ..policy.simulate import Simulation
from ..policy.simulate_changes import sorted_into
from ..policy.simulate_keys import keys_to_look_into, summed_up, told_apart
from ..policy.simulate_questions import Question
from ..visibility.edges_file import read_edges
from ..visibility.extras import needed
from ..visibility.keys_cache import DamagedKeysError, Kept, KeysCache, content_digest, kept_in_memory

Judge = Callable[[int, bool], str]


@dataclass(frozen=True, slots=True)
class FlowsAsked:
    """Where observed flows are, which of them are asked about, and the directory of the store that may keep sums."""

    path: Path
    since: datetime | None = None
    until: datetime | None = None
    store: Path | None = None

    def read(self, findings: list[Finding]) -> Edges:
        return read_edges(self.path, self.since, self.until, findings)

    @property
    def cache(self) -> KeysCache | None:
        """None where sums are not wanted, and for JSON, which is for few flows."""
        if self.store is None or (self.path.suffix == ".json" and not self.path.is_dir()):
            return None
        return KeysCache(self.store / "cache" / "simulate")


@dataclass(frozen=True)
class Judged:
    """`kinds[i]`: position of the kind of edge `i` of the simulation. `more` conversations are of the quiet kind."""

    simulation: Simulation
    kinds: npt.NDArray[np.uint8]
    more: int
    findings: tuple[Finding, ...]


def judged(
    flows: FlowsAsked,
    compiled: Compiled,
    questions: Sequence[Question],
    names: tuple[str, ...],
    judge: Judge,
    quiet: str,
) -> Judged:
    """The kind that the judge gives to every flow; `compiled` is what flows are summed up by.

    Raises FlowsError for flows that cannot be read.
    """
    cache = flows.cache

    def by_sums(kept: Kept) -> Judged:
        keys = kept.keys
        simulation = Simulation(questions, keys.of_ends)
        wanted = keys_to_look_into(keys, simulation, names, judge, quiet)
        found = simulation.about(kept.edges(wanted))
        kinds = sorted_into(names, judge, found.codes(), found.edges.dropped)
        return Judged(found, kinds, int(keys.edges.count[~wanted].sum()), kept.findings + tuple(notes))

    notes: list[Finding] = []
    if cache is None or not flows.path.exists():
        edges = flows.read(notes)
        simulation = Simulation(questions, edges)
        return Judged(simulation, sorted_into(names, judge, simulation.codes(), edges.dropped), 0, tuple(notes))
    needed("pyarrow", "flows")
    digest = content_digest(flows.path)
    name = cache.name(digest, repr((flows.since, flows.until)), told_apart(compiled))
    try:
        kept = cache.find(name)
        if kept is not None:
            return by_sums(kept)
    except DamagedKeysError:
        cache.remove(name)
        notes.append(_note(cache, "the kept sums were damaged", "They were made again from the flows."))
    return by_sums(_made(flows, compiled, cache, name, digest, notes))


def _made(
    flows: FlowsAsked, compiled: Compiled, cache: KeysCache, name: str, digest: str, notes: list[Finding]
) -> Kept:
    """Reads the flows and sums them up; they are kept where the file is still the one that was looked at."""
    told: list[Finding] = []
    edges = flows.read(told)
    keys, order = summed_up(edges, compiled)
    if content_digest(flows.path) == digest:
        try:
            cache.keep(name, keys, edges, order, told)
        except FlowsError as error:
            notes.append(_note(cache, error.message.rstrip("."), "The answer is complete; the next run is not faster."))
    return kept_in_memory(keys, edges, order, told)


def _note(cache: KeysCache, message: str, hint: str) -> Finding:
    return Finding("W-SIMULATE-CACHE", "warning", f"{message}.", Place(str(cache.directory)), hint)


__all__ = ["FlowsAsked", "Judged", "judged"]
