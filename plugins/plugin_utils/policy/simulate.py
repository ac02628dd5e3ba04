# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Simulate: the verdicts of some policies about flows of the past, by table lookups.

Ends are classified once each (simulate_kinds), the rules become rows of answers (simulate_rows), and a flow costs a few
lookups. A flow is judged at the moments at which it was seen: where a rule began or ceased to count in between and
that makes a difference, the verdict is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

import numpy as np
import numpy.typing as npt

from ..model.addresses import Address
from ..model.allocation import allocating
from ..model.calendar import Validity
from ..model.edges import Edges
from ..model.estate import DIRECTIONS, Direction, Estate
from ..model.intervals import contains
from .decide import Decider, End
from .simulate_kinds import NO_KIND, Kinds, kinds_of
from .simulate_questions import ALLOWED, DENIED, UNKNOWN, Atoms, Bytes, Question, validity_of
from .simulate_rows import Rows
from .simulate_tables import Table

#: Flows that are looked up at once: what a processor keeps near.
CHUNK = 1 << 16
#: Two bits for each question in a byte.
MOST_QUESTIONS = 4
Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Contexts:
    """Stretches of time in which the same rules count. `of[s]`: the context of the stretch that ends at `bounds[s]`.

    `moments[c]` is in context `c`.
    """

    bounds: npt.NDArray[np.float64]
    of: tuple[int, ...]
    moments: tuple[datetime, ...]


class Simulation:
    """Verdicts of up to four questions. Bits 2q and 2q+1 of an answer are those of question q."""

    def __init__(self, questions: Sequence[Question], edges: Edges) -> None:
        """Classifies the ends of `edges`; time is looked at from the first flow to the last."""
        if not 0 < len(questions) <= MOST_QUESTIONS:
            raise ValueError(f"one to {MOST_QUESTIONS} questions")
        self.questions = tuple(questions)
        self.edges = edges
        with allocating():
            self._classify()

    def _classify(self) -> None:
        questions, edges = self.questions, self.edges
        policies = list({id(one.compiled): one.compiled for one in questions}.values())
        self.policy_of = [
            next(place for place, item in enumerate(policies) if item is one.compiled) for one in questions
        ]
        self.kinds: Kinds = kinds_of(policies, edges.ends)
        self.atoms = Atoms(questions)
        self.contexts = contexts(questions, edges)
        self.everything = sum(ALLOWED << 2 * index for index in range(len(questions)))
        kinds = np.maximum(self.kinds.of, 0)
        self._ingress, self._egress = (
            Table(
                Rows(direction, questions, self.kinds.items, self.policy_of, self.atoms), kinds, self.contexts.moments
            )
            for direction in DIRECTIONS
        )
        self._odd = self.kinds.of == NO_KIND
        self._deciders: dict[tuple[int, int], Decider] = {}
        self._verdicts: dict[tuple[int, int, int, int, int], int] = {}

    def about(self, edges: Edges) -> Simulation:
        """The same questions about other edges of the same ends, within the same time. What is known stays known."""
        if edges.ends is not self.edges.ends:
            raise ValueError("other ends")
        other = copy(self)
        other.edges = edges
        return other

    def codes(self, itself: npt.NDArray[np.bool_] | None = None) -> Bytes:
        """The answers for all edges, in their order.

        `itself`: which flows are of a workload to itself; None where the ends say so.
        """
        codes = np.empty(len(self.edges), np.uint8)
        for start in range(0, len(codes), CHUNK):
            part = slice(start, start + CHUNK)
            self._chunk(part, None if itself is None else itself[part], codes[part])
        return codes

    def _chunk(self, part: slice, itself: npt.NDArray[np.bool_] | None, codes: Bytes) -> None:
        edges = self.edges
        consumer, provider = edges.consumer[part], edges.provider[part]
        atom = self.atoms.of.take(edges.service[part], mode="clip")
        if self.kinds.items:
            np.bitwise_and(
                self._ingress.lookup(provider, consumer, atom), self._egress.lookup(consumer, provider, atom), out=codes
            )
            if len(self.contexts.moments) > 1:
                timed = self._ingress.timed(provider, atom) | self._egress.timed(consumer, atom)
                rows = np.flatnonzero(timed)
                if len(rows):
                    codes[rows] = agreed(
                        *self._at_their_time(part.start + rows, consumer[rows], provider[rows], atom[rows])
                    )
        self._to_itself(consumer, provider, itself, codes)
        if self._odd.any():
            for row in np.flatnonzero(self._odd[consumer] | self._odd[provider]):
                codes[row] = self._one_by_one(part.start + int(row))

    def _to_itself(
        self,
        consumer: npt.NDArray[np.int32],
        provider: npt.NDArray[np.int32],
        itself: npt.NDArray[np.bool_] | None,
        codes: Bytes,
    ) -> None:
        """A workload to itself is allowed, whatever the rules."""
        if itself is not None:
            codes[itself] = self.everything
            return
        for place, home in enumerate(self.kinds.homes):
            same = np.flatnonzero(home.take(consumer, mode="clip") == home.take(provider, mode="clip"))
            if len(same):
                codes[same] |= np.uint8(
                    sum(ALLOWED << 2 * index for index, policy in enumerate(self.policy_of) if policy == place)
                )

    def _at_their_time(
        self,
        rows: npt.NDArray[np.intp],
        consumer: npt.NDArray[np.int32],
        provider: npt.NDArray[np.int32],
        atom: Index,
    ) -> tuple[Bytes, Bytes]:
        """The bitwise and and or of the answers at all times of flows that rules with a time speak of."""
        begun, ended = self._stretches(rows)
        both = np.full(len(rows), 0xFF, np.uint8)
        either = np.zeros(len(rows), np.uint8)
        stretches = np.array(self.contexts.of)
        for context in range(len(self.contexts.moments)):
            before = np.concatenate([[0], np.cumsum(stretches == context)])
            here = np.flatnonzero(before[ended + 1] > before[begun])
            if len(here):
                code = self._ingress.lookup(provider[here], consumer[here], atom[here], context)
                code &= self._egress.lookup(consumer[here], provider[here], atom[here], context)
                both[here] &= code
                either[here] |= code
        return both, either

    def _stretches(self, rows: npt.NDArray[np.intp]) -> tuple[Index, Index]:
        """The stretch of time in which a flow was first seen, and the one in which it was last seen."""
        bounds = self.contexts.bounds
        begun = np.searchsorted(bounds, self.edges.first[rows], "right")
        return begun.astype(np.int64), np.searchsorted(bounds, self.edges.last[rows], "right").astype(np.int64)

    def table(self, direction: Direction) -> Table:
        """The lookups of one direction."""
        return self._ingress if direction == "ingress" else self._egress

    def contexts_of(self, row: int) -> set[int]:
        """The contexts in which a flow was seen."""
        begun, ended = (int(stretch[0]) for stretch in self._stretches(np.array([row])))
        return set(self.contexts.of[begun : ended + 1])

    def straddling(self) -> npt.NDArray[np.bool_]:
        """Flows that were seen in several contexts, in which a rule with a time may make a difference."""
        edges = self.edges
        found = np.zeros(len(edges), np.bool_)
        if len(self.contexts.moments) < 2:
            return found
        begun, ended = self._stretches(np.arange(len(edges)))
        odd = self._odd[edges.consumer] | self._odd[edges.provider]
        found = np.asarray((begun != ended) & odd, np.bool_)
        rows = np.flatnonzero((begun != ended) & ~odd)
        if len(rows):
            consumer, provider = edges.consumer[rows], edges.provider[rows]
            atom = self.atoms.of[edges.service[rows]]
            asked = self._ingress.timed(provider, atom) | self._egress.timed(consumer, atom)
            rows, consumer, provider, atom = rows[asked], consumer[asked], provider[asked], atom[asked]
            both, either = self._at_their_time(rows, consumer, provider, atom)
            found[rows] = both != either
        return found

    def _one_by_one(self, row: int) -> int:
        """A flow of a service address or a shared one."""
        consumer, provider = int(self.edges.consumer[row]), int(self.edges.provider[row])
        point = int(self.edges.service[row])
        code = 0
        for index in range(len(self.questions)):
            found = {self._verdict(index, context, consumer, provider, point) for context in self.contexts_of(row)}
            code |= (found.pop() if len(found) == 1 else UNKNOWN) << 2 * index
        return code

    def _verdict(self, question: int, context: int, consumer: int, provider: int, point: int) -> int:
        key = (question, context, consumer, provider, point)
        if key not in self._verdicts:
            ends = self.edges.ends
            self._verdicts[key] = verdict_of(self.decider(question, context), ends[consumer], ends[provider], point)[0]
        return self._verdicts[key]

    def decider(self, question: int, context: int) -> Decider:
        key = (question, context)
        if key not in self._deciders:
            asked = self.questions[question]
            self._deciders[key] = Decider(asked.compiled, self.contexts.moments[context], asked.intent)
        return self._deciders[key]

    def reason(self, question: int, row: int) -> str:
        """Why the verdict about a flow is unknown."""
        seen = self.contexts_of(row)
        ends = self.edges.ends
        consumer, provider = ends[int(self.edges.consumer[row])], ends[int(self.edges.provider[row])]
        point = int(self.edges.service[row])
        found = [verdict_of(self.decider(question, context), consumer, provider, point) for context in seen]
        if len({verdict for verdict, _reason in found}) > 1:
            return "a rule began or ceased to count while the flow was seen"
        return found[0][1]


def agreed(both: Bytes, either: Bytes) -> Bytes:
    """Answers from their bitwise and and or over several moments: unknown where they are not the same."""
    differs = both ^ either
    differs = (differs | (differs >> np.uint8(1))) & np.uint8(0x55)
    return np.asarray((both & ~(differs * np.uint8(3))) | (differs << np.uint8(1)), np.uint8)


def verdict_of(decider: Decider, consumer: Address, provider: Address, point: int) -> tuple[int, str]:
    """One flow between two addresses, and why where it is unknown; all who share an address are asked."""
    estate = decider.compiled.estate
    for service in estate.service_addresses:
        if service.address in (consumer, provider):
            return UNKNOWN, f"{service.name} is a service address; which member took part is not known"
    sources, targets = ends_at(estate, consumer), ends_at(estate, provider)
    found: dict[int, str] = {}
    for source, target in product(sources, targets):
        # Of those who share an address, one talks to another or to itself, not both.
        if len(sources) > 1 and (source.workload is target.workload) != (consumer == provider):
            continue
        verdict, reason = _pair(decider, source, target, point)
        found.setdefault(verdict, reason)
    if len(found) == 1:
        return found.popitem()
    return UNKNOWN, "workloads that share the address are answered differently"


def ends_at(estate: Estate, address: Address) -> list[End]:
    """Whoever has the address, or nobody."""
    return [End(address, holder) for holder in estate.holders(address)] or [End(address)]


def _pair(decider: Decider, source: End, target: End, point: int) -> tuple[int, str]:
    egress = decider.decide("egress", source, target, point)
    ingress = decider.decide("ingress", target, source, point)
    if egress.verdict == ingress.verdict == "allowed":
        return ALLOWED, ""
    if (
        egress.decided_by == "mode"
        and ingress.verdict == "allowed"
        and contains(decider.by_name(source, target), point)
    ):
        return UNKNOWN, f"{target.address} may be an address of a name that a rule opens; names are not resolved"
    return DENIED, ""


def contexts(questions: Sequence[Question], edges: Edges) -> Contexts:
    """The stretches of time that rules of the questions tell apart, from the first flow to the last."""
    if not len(edges):
        return Contexts(np.zeros(0), (0,), (datetime.fromtimestamp(0, UTC),))
    start = datetime.fromtimestamp(int(edges.first.min()), UTC)
    end = datetime.fromtimestamp(int(edges.last.max()) + 1, UTC)
    timed = list(dict.fromkeys(item for one in questions for item in _validities(one)))
    changes = sorted(set().union(*(item.changes(start, end) for item in timed)))
    known: dict[tuple[bool, ...], int] = {}
    moments: list[datetime] = []
    of = []
    for moment in (start, *changes):
        combination = tuple(item.holds(moment) for item in timed)
        context = known.setdefault(combination, len(known))
        if context == len(moments):
            moments.append(moment)
        of.append(context)
    return Contexts(np.array([moment.timestamp() for moment in changes]), tuple(of), tuple(moments))


def _validities(question: Question) -> list[Validity]:
    compiled = question.compiled
    copies = (one for direction in DIRECTIONS for one in compiled.copies[direction])
    return [one.artifact.validity for one in copies if one.artifact.timed] + [
        validity for peer in compiled.by_name if (validity := validity_of(peer)).timed
    ]


__all__ = ["CHUNK", "Contexts", "Simulation", "agreed", "contexts", "ends_at", "verdict_of"]
