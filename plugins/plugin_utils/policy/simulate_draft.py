# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A whole draft tried on the key store: only keys of sides whose rules differ are answered anew.

Where the draft tells workloads apart in another way than the policy (other labels, prefixes, modes, or rules with
times), all keys are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from ..model.allocation import allocating
from ..model.estate import DIRECTIONS, Direction
from ..model.intervals import Intervals
from .classes import positions_of
from .compile import Compiled, Copy
from .decide import Decider
from .simulate import Simulation, contexts, verdict_of
from .simulate_edit import KeyedVerdicts
from .simulate_keys import split_keys
from .simulate_kinds import cuts
from .simulate_questions import Atoms, Bytes, Question
from .simulate_rows import Rows
from .simulate_sides import Places, runs_of, united
from .simulate_tables import Table


@dataclass(frozen=True)
class Tried:
    """The answers of a draft about all keys. Those of `split` keys count for nothing: their edges must be asked.

    `whole`: all keys were answered anew.
    """

    codes: Bytes
    split: npt.NDArray[np.bool_]
    whole: bool


def tried(verdicts: KeyedVerdicts, draft: Compiled) -> Tried:
    """The draft in the place of the policy of the verdicts."""
    with allocating():
        return _differences(verdicts, draft) if _told_apart_alike(verdicts, draft) else _all(verdicts, draft)


def _all(verdicts: KeyedVerdicts, draft: Compiled) -> Tried:
    simulation = Simulation([Question(draft, verdicts.intent)], verdicts.keys.of_ends)
    return Tried(simulation.codes(verdicts.keys.itself), split_keys(verdicts.keys, simulation), True)


def _told_apart_alike(verdicts: KeyedVerdicts, draft: Compiled) -> bool:
    """Are the classes and kinds of the policy those of the draft, at one moment?"""
    if not verdicts.editable:
        return False
    old, new = verdicts.compiled, draft
    if old.estate is not new.estate and (
        old.estate.workloads != new.estate.workloads or old.estate.service_addresses != new.estate.service_addresses
    ):
        return False
    if [item.members for item in old.classes.items] != [item.members for item in new.classes.items]:
        return False
    known, wanted = cuts([old]), cuts([new])
    if any(not set(numbers) <= set(known[family]) for family, numbers in wanted.items()):
        return False
    return len(contexts([Question(draft, verdicts.intent)], verdicts.keys.of_ends).moments) == 1


def _differences(verdicts: KeyedVerdicts, draft: Compiled) -> Tried:
    keys, edges = verdicts.keys, verdicts.keys.of_ends
    question = Question(draft, verdicts.intent)
    atoms = Atoms([question])
    kinds = verdicts.simulation.kinds
    codes = verdicts.codes.copy()
    sides: dict[Direction, tuple[Places, Bytes]] = {}
    for direction in DIRECTIONS:
        side = verdicts.sides[direction]
        places = united([side.by_own.places(*side.by_own.stretches(own, runs_of(side.rows.atoms, services)))
                         for own, services in _touched(verdicts, draft, direction)])  # fmt: skip
        places = places[verdicts.plain[places]]
        if not len(places):
            continue
        rows = Rows(direction, [question], kinds.items, [0], atoms)
        table = Table(rows, np.maximum(kinds.of, 0), [side.at])
        own, peer = (edges.provider, edges.consumer) if direction == "ingress" else (edges.consumer, edges.provider)
        atom = atoms.of[edges.service[places]]
        sides[direction] = places, table.lookup(own[places], peer[places], atom)
    touched = united([places for places, _answers in sides.values()])
    if len(touched):
        found = np.full(len(touched), 0xFF, np.uint8)
        for direction in DIRECTIONS:
            here = verdicts.sides[direction].answers[touched]
            if direction in sides:
                places, answers = sides[direction]
                here[np.searchsorted(touched, places)] = answers
            found &= here
        codes[touched] = found
    _shared(verdicts, draft, codes)
    split = np.zeros(len(keys), np.bool_)
    known = verdicts.simulation.atoms
    if not set(atoms.starts) <= set(known.starts):
        split = np.asarray(atoms.of[edges.service] != atoms.of[keys.high], np.bool_)
    return Tried(codes, split, False)


def _shared(verdicts: KeyedVerdicts, draft: Compiled, codes: Bytes) -> None:
    """Flows of addresses that several workloads have are judged one by one."""
    if not len(verdicts.shared):
        return
    edges = verdicts.keys.of_ends
    decider = Decider(draft, verdicts.simulation.contexts.moments[0], verdicts.intent)
    for key in verdicts.shared.tolist():
        consumer, provider = edges.ends[int(edges.consumer[key])], edges.ends[int(edges.provider[key])]
        codes[key] = verdict_of(decider, consumer, provider, int(edges.service[key]))[0]


def _touched(verdicts: KeyedVerdicts, draft: Compiled, direction: Direction) -> Iterator[tuple[Places, Intervals]]:
    """Kinds of own sides, with the services about which their rules do not say the same."""
    known: dict[tuple[object, ...], int] = {}
    before, after = (_by_class(compiled, direction, verdicts, known) for compiled in (verdicts.compiled, draft))
    meanings = list(known)
    bound: dict[Intervals, list[int]] = {}
    for position, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new:
            for services in {cast("Intervals", meanings[number][0]) for number in old ^ new}:
                bound.setdefault(services, []).append(position)
    for services, positions in bound.items():
        yield verdicts.kinds_in(positions), services


def _by_class(
    compiled: Compiled, direction: Direction, verdicts: KeyedVerdicts, known: dict[tuple[object, ...], int]
) -> list[set[int]]:
    """Per class what its rules mean now, as numbers; equal numbers answer alike."""
    at = verdicts.sides[direction].at
    numbers = [
        known.setdefault(_meaning(copy), len(known)) if not copy.artifact.timed or copy.artifact.valid(at) else -1
        for copy in compiled.copies[direction]
    ]
    found = [{numbers[place] for place in mine} - {-1} for mine in compiled.of_class[direction]]
    if direction == "egress":
        for peer in compiled.by_name:
            if peer.valid(at):
                number = known.setdefault((peer.origin.rule.services, "name"), len(known))
                for position in positions_of(peer.bits):
                    found[position].add(number)
    return found


def _meaning(copy: Copy) -> tuple[object, ...]:
    rule = copy.artifact
    peers = None if rule.peers is None else copy.peer_bits
    return rule.services, rule.tier, rule.action, peers, copy.peer_prefixes, copy.own_prefixes


__all__ = ["Tried", "tried"]
