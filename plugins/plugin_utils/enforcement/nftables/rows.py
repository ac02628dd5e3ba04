# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One chain per service atom: the rules that speak about the same services, in the order that decides.

A chain holds, tier after tier, pass rows, then denies without a reply, denies with one, then allows. A pass row goes to
a chain that begins with the next tier; such chains exist only behind a pass. Where nobody can say whether a pass counts
(behind the horizon of its windows, or with an untrusted clock) it stands behind the denies: what is open then is open
with it and without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from ...model import services as line
from ...model.addresses import FAMILIES, Family
from ...model.artifact import ORDER, ArtifactRule
from ...model.estate import Direction, Mode
from ...model.intervals import Intervals, intersection
from ...model.policy import Action
from ..driver import Row
from .capabilities import LOG_GROUP, LOG_RATE
from .clock import Clock
from .sets import AddressSets, quoted

#: The address of the peer and of the workload, as a packet of the direction carries them.
PEER_FIELD: dict[Direction, str] = {"ingress": "saddr", "egress": "daddr"}
OWN_FIELD: dict[Direction, str] = {"ingress": "daddr", "egress": "saddr"}
LETTER: dict[Direction, str] = {"ingress": "i", "egress": "o"}
_LOG_LETTER = {"pass": "P", "deny": "D", "allow": "A"}


def rank(rule: ArtifactRule) -> tuple[int, int, bool, str, str]:
    """Evaluation order. A deny without a reply comes before one with: all deciding denies must ask for the reply."""
    tier, action, name, home = rule.order
    return tier, action, rule.reject, name, home


@dataclass
class Chains:
    """The chains of one direction, their counters, and the rows these count."""

    direction: Direction
    mode: Mode
    sets: AddressSets
    clock: Clock
    rows: dict[str, Row] = field(default_factory=dict)
    _lines: dict[str, list[str]] = field(default_factory=dict)

    @property
    def default(self) -> str:
        """The chain for packets no rule decides; made on first use."""
        name = f"{LETTER[self.direction]}_default"
        if name not in self._lines:
            self._lines[name] = self._default_lines()
        return name

    def atom(self, rules: tuple[ArtifactRule, ...], services: Intervals) -> str:
        """The chain for packets of these services, about which exactly these rules speak. Returns its name."""
        ordered = sorted(rules, key=rank)
        if not ordered:
            return self.default
        # Chains behind a pass can be reached from several atoms, so the services are part of the identity.
        name = f"{LETTER[self.direction]}_{_digest(repr((services, [rule.to_dict() for rule in ordered])))}"
        if name not in self._lines:
            self._lines[name] = []  # the place in the order of names is taken before chains behind a pass are made
            self._lines[name] = list(self._atom_lines(ordered, services))
        return name

    def declarations(self) -> Iterator[str]:
        for name in self.rows:
            yield f"\tcounter {name} {{"
            yield "\t}"
        for name in sorted(self._lines):
            yield f"\tchain {name} {{"
            yield from (f"\t\t{text}" for text in self._lines[name])
            yield "\t}"

    def conditions(self, rule: ArtifactRule, families: tuple[Family, ...], mirrored: bool = False) -> list[str]:
        """Alternatives that together match exactly the packets of the rule, apart from the services.

        `mirrored`: as packets the other way carry the addresses.
        """
        here: Direction = self.direction
        peer_field, own_field = PEER_FIELD[here], OWN_FIELD[here]
        if mirrored:
            peer_field, own_field = own_field, peer_field
        return self._conditions(rule, families, self.clock.conditions(rule), peer_field, own_field)

    def _conditions(
        self,
        rule: ArtifactRule,
        families: tuple[Family, ...],
        times: list[str],
        peer_field: str,
        own_field: str,
    ) -> list[str]:
        if rule.peers is None and rule.own is None:
            return times
        return [
            _joined(peer, own, time)
            for family in families
            for peer in self._side(rule.peers, family, peer_field)
            for own in self._side(rule.own, family, own_field)
            for time in times
        ]

    def _side(self, names: tuple[str, ...] | None, family: Family, field_name: str) -> list[str]:
        if names is None:
            return [""]
        found = [self.sets.condition(name, family, field_name) for name in names]
        return [text for text in found if text is not None]

    def _atom_lines(self, rules: list[ArtifactRule], services: Intervals) -> Iterator[str]:
        families = tuple(family for family in FAMILIES if intersection(services, line.UNIVERSE[family]))
        terms = tuple(line.show(services))
        for tier, group in groupby(rules, key=lambda rule: rule.tier):
            members = list(group)
            after = tuple(rule for rule in rules if ORDER.index(rule.tier) > ORDER.index(tier))
            passing = any(rule.action == "pass" for rule in members)
            onward = self.atom(after, services) if passing else ""
            doubts = [
                (rule, condition)
                for rule in members
                for condition in self._conditions(
                    rule, families, self.clock.doubts(rule), PEER_FIELD[self.direction], OWN_FIELD[self.direction]
                )
            ]
            for rule in members:
                if rule.action == "allow":
                    yield from self._doubtful(doubts, terms, onward)
                    doubts = []
                for condition in self.conditions(rule, families):
                    yield from self._row(rule, condition, terms, onward)
            if passing:
                yield f"goto {onward}"
                return
        yield f"goto {self.default}"

    def _doubtful(self, doubts: list[tuple[ArtifactRule, str]], terms: tuple[str, ...], onward: str) -> Iterator[str]:
        for rule, condition in doubts:
            yield from self._row(rule, condition, terms, onward)

    def _row(self, rule: ArtifactRule, condition: str, terms: tuple[str, ...], onward: str) -> Iterator[str]:
        meaning = " or ".join(self.sets.artifact.sets[name].meaning for name in rule.peers) if rule.peers else "any"
        name = self._counted(Row(self.direction, rule.tier, rule.action, rule.id, terms, meaning), condition)
        if rule.log or self.mode == "visibility":
            yield _joined(condition, _log(name, rule.action))
        if rule.action == "pass":
            verdict = f"goto {onward}"
        elif rule.action == "allow" or self.mode == "visibility":
            verdict = "accept"
        else:
            verdict = "reject with icmpx type admin-prohibited" if rule.reject else "drop"
        text = f"{rule.action} {rule.id} {meaning}"
        yield _joined(condition, f"counter name {name} {verdict} comment {quoted(text)}")

    def _default_lines(self) -> list[str]:
        action: Action = "allow" if self.mode == "selective" else "deny"
        row = Row(self.direction, "default", action, "", ("any",), f"no rule decides; mode {self.mode}")
        name = self._counted(row, "")
        verdict = "drop" if self.mode == "full" else "accept"
        lines = [f"counter name {name} {verdict} comment {quoted(f'default of mode {self.mode}')}"]
        return lines if self.mode == "selective" else [_log(name, action), *lines]

    def cut(self, rule: ArtifactRule, condition: str) -> str:
        """Counter of the TCP segments that would take up a session which the rule ends."""
        meaning = "segments of a session that the rule ended"
        row = Row(self.direction, rule.tier, rule.action, rule.id, ("tcp",), meaning)
        return self._counted(row, f"cut {condition}")

    def _counted(self, row: Row, condition: str) -> str:
        """The id of a row: equal content has an equal id in every render, so counters can be carried over."""
        identity = repr((row.tier, row.action, row.rule, row.services, condition, self.mode))
        name = f"{LETTER[self.direction]}_{_digest(identity)}"
        self.rows[name] = row
        return name


def _log(name: str, action: str) -> str:
    """Rate-limited, in a rule of its own: a limit beside the verdict would let packets past it."""
    return f'limit rate {LOG_RATE} log prefix "ms:{_LOG_LETTER[action]}:{name} " group {LOG_GROUP}'


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]
