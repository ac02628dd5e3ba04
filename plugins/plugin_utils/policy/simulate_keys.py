# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The key store: edges summed up once, drafts tried on the sums, with the answers that the edges would give.

Where a draft tells members of one key apart (by a new label key or prefix, a new port, a rule with a time), the edges
of that key are asked instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..model.addresses import Address
from ..model.allocation import allocating
from ..model.edges import Edges, taken
from ..model.keys import Keys, packed
from .compile import Compiled
from .simulate import Simulation
from .simulate_changes import sorted_into
from .simulate_groups import words
from .simulate_kinds import NO_KIND, cuts, kinds_of
from .simulate_questions import Atoms, Bytes, Question


def build_keys(edges: Edges, compiled: Compiled) -> Keys:
    """Sums up edges by what the policy can tell apart. Exact: nothing is rounded, sampled or left out."""
    return summed_up(edges, compiled)[0]


def summed_up(edges: Edges, compiled: Compiled) -> tuple[Keys, npt.NDArray[np.int64]]:
    """The keys, and the positions of the edges in the order of the keys; those of one key in their own order."""
    kinds = kinds_of([compiled], edges.ends)
    group, members = _groups(kinds.of)
    home = kinds.homes[0]
    starts = np.array(Atoms([Question(compiled)]).starts, np.int64)
    itself = home[edges.consumer] == home[edges.provider]
    numbers = packed(group[edges.provider], group[edges.consumer], edges.service, itself, len(members), starts)
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    fresh = np.flatnonzero(np.concatenate([[len(ordered) > 0], ordered[1:] != ordered[:-1]]))

    def reduced(operation: np.ufunc, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.asarray(operation.reduceat(values[order], fresh), np.int64) if len(fresh) else np.zeros(0, np.int64)

    count, lowest = reduced(np.add, edges.count), reduced(np.minimum, edges.service)
    sizes = np.diff(np.append(fresh, len(ordered)))
    key_of = np.repeat(np.arange(len(fresh)), sizes)
    biggest = order[_last_of(key_of, edges.count[order])]
    lost = reduced(np.add, np.where(edges.dropped, edges.count, 0))
    first_row = order[fresh]
    keyed = Edges(
        ends=tuple(edges.ends[member] for member in members),
        sensors=("",),
        consumer=group[edges.consumer[first_row]],
        provider=group[edges.provider[first_row]],
        service=lowest,
        count=count,
        first=reduced(np.minimum, edges.first),
        last=reduced(np.maximum, edges.last),
        dropped=lost == count,
        sensor=np.zeros(len(fresh), np.int32),
        coverage=edges.coverage,
    )
    held = compiled.estate.by_address
    keys = Keys(
        ends=edges.ends,
        group=group,
        holder=tuple(_holder(held.get(end, ())) for end in edges.ends),
        contents=tuple(words(compiled, edges.ends[member]) for member in members),
        starts=starts,
        edges=keyed,
        high=reduced(np.maximum, edges.service),
        dropped=lost,
        rows=sizes.astype(np.int64),
        pairs=_distinct_pairs(key_of, edges, order, len(fresh)),
        itself=itself[first_row],
        example_consumer=edges.consumer[biggest],
        example_provider=edges.provider[biggest],
    )
    return keys, order


def _groups(of: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], list[int]]:
    """Group of every end and a member of every group; an end of no kind is a group of its own."""
    known: dict[int, int] = {}
    members: list[int] = []
    group = np.empty(len(of), np.int32)
    for end, kind in enumerate(of.tolist()):
        key = kind if kind != NO_KIND else -2 - end
        place = known.setdefault(key, len(members))
        if place == len(members):
            members.append(end)
        group[end] = place
    return group, members


def _holder(holders: Sequence[object]) -> str:
    return str(getattr(holders[0], "name", "")) if len(holders) == 1 else ""


def _last_of(key_of: npt.NDArray[np.int64], count: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Per key the place of its biggest edge."""
    if not len(key_of):
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.concatenate([[True], key_of[1:] != key_of[:-1]]))
    most = np.maximum.reduceat(count, starts)
    places = np.flatnonzero(count == most[key_of])
    _keys, first = np.unique(key_of[places], return_index=True)
    return np.asarray(places[first], np.int64)


def _distinct_pairs(
    key_of: npt.NDArray[np.int64], edges: Edges, order: npt.NDArray[np.int64], keys: int
) -> npt.NDArray[np.int64]:
    pair = edges.consumer[order].astype(np.int64) * len(edges.ends) + edges.provider[order]
    if keys * len(edges.ends) ** 2 >= 1 << 63:
        pair = np.unique(pair, return_inverse=True)[1].astype(np.int64)
    span = int(pair.max(initial=0)) + 1
    both = np.sort(key_of * span + pair)
    fresh = np.concatenate([[len(both) > 0], both[1:] != both[:-1]])
    return np.bincount(both[fresh] // span, minlength=keys).astype(np.int64)


@dataclass(frozen=True)
class KeyAnswers:
    """`codes`: answers of the keys; those of `split` keys count for nothing, their `edges` have answers of their own.

    `simulation` is the one of the keys, `of_edges` that of the edges, None where no key is split.
    """

    keys: Keys
    simulation: Simulation
    codes: Bytes
    split: npt.NDArray[np.bool_]
    of_edges: Simulation | None
    edge_codes: Bytes

    def totals(self, names: tuple[str, ...], judge: Callable[[int, bool], str]) -> dict[str, int]:
        """Conversations by the name that the judge gives to an answer and whether it was seen dropped."""
        found = dict.fromkeys(names, 0)
        known = ~self.split
        seen = [
            (self.codes[known], (self.keys.edges.count - self.keys.dropped)[known], False),
            (self.codes[known], self.keys.dropped[known], True),
        ]
        if self.of_edges is not None:
            edges = self.of_edges.edges
            seen += [
                (self.edge_codes[edges.dropped == lost], edges.count[edges.dropped == lost], lost)
                for lost in (False, True)
            ]
        for codes, counts, lost in seen:
            sums = np.zeros(256, np.int64)
            np.add.at(sums, codes, counts)
            for code in np.flatnonzero(sums).tolist():
                found[judge(code, lost)] += int(sums[code])
        return found


def answer_by_keys(keys: Keys, questions: Sequence[Question], read_edges: Callable[[], Edges]) -> KeyAnswers:
    """The answers about all edges; `read_edges` is called only where a key is split."""
    simulation = Simulation(questions, keys.of_ends)
    codes = simulation.codes(keys.itself)
    split = split_keys(keys, simulation)
    if not split.any():
        return KeyAnswers(keys, simulation, codes, split, None, np.zeros(0, np.uint8))
    edges = read_edges()
    part = taken(edges, split[keys_of_edges(keys, edges)])
    again = Simulation(questions, part)
    return KeyAnswers(keys, simulation, codes, split, again, again.codes())


def keys_to_look_into(
    keys: Keys, simulation: Simulation, names: tuple[str, ...], judge: Callable[[int, bool], str], quiet: str
) -> npt.NDArray[np.bool_]:
    """Keys with edges of which a person wants to know more than the sum, and those that the questions tell apart.

    `simulation` is about `keys.of_ends`. All edges of the other keys are of the kind `quiet`.
    """
    codes = simulation.codes(keys.itself)
    found = split_keys(keys, simulation)
    place = names.index(quiet)
    for lost, seen in ((False, keys.dropped < keys.edges.count), (True, keys.dropped > 0)):
        kinds = sorted_into(names, judge, codes, np.full(len(codes), lost))
        found |= (kinds != place) & seen
    return found


def split_keys(keys: Keys, simulation: Simulation) -> npt.NDArray[np.bool_]:
    """Keys whose members the questions tell apart. `simulation` is about `keys.of_ends`."""
    with allocating():
        apart = _groups_apart(keys, simulation)
    edges, atoms = keys.edges, simulation.atoms
    split = np.zeros(len(keys), np.bool_)
    if apart.any():
        split |= apart[edges.consumer] | apart[edges.provider]
    if not set(atoms.starts) <= set(keys.starts.tolist()):
        split |= atoms.of[edges.service] != atoms.of[keys.high]
    return np.asarray(split | simulation.straddling(), np.bool_)


def _groups_apart(keys: Keys, simulation: Simulation) -> npt.NDArray[np.bool_]:
    """Groups whose members are of several kinds now, or have another holder than when they were made."""
    kinds = simulation.kinds
    count = len(keys.contents)
    low, high = np.full(count, np.iinfo(np.int32).max, np.int32), np.full(count, NO_KIND, np.int32)
    np.minimum.at(low, keys.group, kinds.of)
    np.maximum.at(high, keys.group, kinds.of)
    apart = low != high
    for policy in {id(one.compiled): one.compiled for one in simulation.questions}.values():
        held = policy.estate.by_address
        moved = [
            group
            for end, group, holder in zip(keys.ends, keys.group.tolist(), keys.holder, strict=True)
            if _holder(held.get(end, ())) != holder
        ]
        apart[moved] = True
    return np.asarray(apart, np.bool_)


def told_apart(compiled: Compiled) -> str:
    """A digest of all that decides which edges are summed up into one key."""
    digest = hashlib.sha256()
    held = {
        name: (place, workload.zone, workload.enforces("ingress"), workload.enforces("egress"))
        for name, place in compiled.classes.of.items()
        for workload in (compiled.estate.workloads[name],)
    }
    for name in sorted(held):
        addresses = sorted(map(str, compiled.estate.workloads[name].addresses))
        digest.update(repr((name, held[name], addresses)).encode())
    digest.update(repr(sorted(str(service.address) for service in compiled.estate.service_addresses)).encode())
    digest.update(repr((cuts([compiled]), Atoms([Question(compiled)]).starts)).encode())
    return digest.hexdigest()


def keys_of_edges(keys: Keys, edges: Edges) -> npt.NDArray[np.int64]:
    """For every edge the position of its key. The edges must be those the keys were made of."""
    places: dict[Address, int] = {end: place for place, end in enumerate(keys.ends)}
    place = np.array([places[end] for end in edges.ends], np.int32)
    names: dict[str, int] = {}
    home = np.array(
        [names.setdefault(holder or f"\0{number}", len(names)) for number, holder in enumerate(keys.holder)], np.int32
    )
    consumer, provider = place[edges.consumer], place[edges.provider]
    itself = home[consumer] == home[provider]
    numbers = keys.packed(keys.group[provider], keys.group[consumer], edges.service, itself)
    return np.searchsorted(keys.numbers, numbers).astype(np.int64)


__all__ = [
    "KeyAnswers",
    "answer_by_keys",
    "build_keys",
    "keys_of_edges",
    "keys_to_look_into",
    "split_keys",
    "summed_up",
    "told_apart",
]
