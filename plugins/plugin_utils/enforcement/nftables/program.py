# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Live chains made ready for execution: rules as conditions and verdicts, for one direction and family.

Whatever cannot be understood becomes a condition that may match, or an effect that may accept and may drop, with the
rule kept to be quoted. Nothing here raises for odd rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...model.intervals import Intervals, intersection, normalised
from .conditions import ALWAYS, PERHAPS, Alternative, Condition
from .fields import Field, Part, Situation, resolve
from .listing import LiveChain, LiveRule, LiveTable
from .values import Unmodelled, elements, unwrapped

#: Statements that neither decide nor change what later rules look at.
_HARMLESS = frozenset(("counter", "log", "dup", "flow", "ct helper", "ct timeout", "ct expectation", "secmark", "last"))
_HARMLESS_XT = frozenset(("comment", "LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS", "SECMARK", "CLASSIFY", "TRACE"))
_TRANSLATING_XT = frozenset(("DNAT", "SNAT", "REDIRECT", "MASQUERADE", "NETMAP"))
_TRANSLATIONS = frozenset(("dnat", "snat", "redirect", "masquerade"))
#: Statements that let a packet go on to the rest of the rule or not.
_CONDITIONAL = frozenset(("limit", "quota", "ct count", "connlimit", "set", "map", "meter"))
#: Targets of iptables that leave a packet what and where it is. Of the others nobody knows what comes out.
_IN_PLACE_XT = frozenset(
    ("REJECT", "CT", "NOTRACK", "TOS", "DSCP", "ECN", "TTL", "HL", "CHECKSUM", "TEE", "SET", "HMARK", "AUDIT")
)
#: Statements that send a packet elsewhere: whether it arrives is not ours to say.
_DIVERSIONS = frozenset(("queue", "tproxy", "synproxy", "fwd"))
#: Notes of rules behind which a packet is no longer the one that came.
CHANGED = frozenset(("translated", "rewritten", "diverted"))
#: What may be written to a packet without changing where it goes or what becomes of it. Payload fields are named;
#: raw bytes may be any field.
_HARMLESS_FIELDS = frozenset(("ttl", "hoplimit", "dscp", "ecn"))
_HARMLESS_META = frozenset(("mark", "priority", "nftrace", "secmark"))
_HARMLESS_CT = frozenset(("mark", "label", "event", "secmark", "helper", "timeout"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kind`: accept, drop, return, jump, goto, continue, or doubt (may accept, may drop, may go on)."""

    kind: str
    target: str = ""


@dataclass(slots=True)
class Rule:
    """A packet that meets all conditions gets the first verdict whose own condition it meets."""

    live: LiveRule
    guard: Alternative
    extra: tuple[Condition, ...] = ()
    verdicts: tuple[tuple[Alternative, Verdict], ...] = ()
    note: str = ""
    own_bits: int = 0
    peer_bits: int = 0
    targets: dict[str, Chain] = field(default_factory=dict)


@dataclass(slots=True)
class Chain:
    """`own_bits` and `peer_bits` are the address sets that this chain and all chains it leads to look at.

    `same_for_all`: so many rules at its head look at no address.
    """

    live: LiveChain
    rules: list[Rule] = field(default_factory=list)
    own_bits: int = 0
    peer_bits: int = 0
    same_for_all: int = 0


@dataclass
class Program:
    """The chains of some tables that see packets of one direction and family; `bases` in the order they are run."""

    situation: Situation
    bases: list[Chain] = field(default_factory=list)
    chains: dict[tuple[str, str, str], Chain] = field(default_factory=dict)
    own_sets: list[Intervals] = field(default_factory=list)
    peer_sets: list[Intervals] = field(default_factory=list)
    _bits: dict[tuple[bool, Intervals], int] = field(default_factory=dict)
    #: Of the base chain whose rules are being read.
    tracked: bool = True
    unfinished: set[tuple[str, str, str]] = field(default_factory=set)
    named: dict[tuple[str, str, str, str, bool], Condition] = field(default_factory=dict)

    @property
    def seen(self) -> Situation:
        """What is known of a packet where the rules being read look at it."""
        return self.situation if self.tracked else replace(self.situation, tracked=False)

    def bit(self, own: bool, addresses: Intervals) -> int:
        """The bit that stands for an address set."""
        key = (own, addresses)
        if key not in self._bits:
            known = self.own_sets if own else self.peer_sets
            known.append(addresses)
            self._bits[key] = 1 << (len(known) - 1)
        return self._bits[key]

    def with_bits(self, part: Part) -> Alternative:
        own = 0 if part.own is None else self.bit(True, part.own)
        peer = 0 if part.peer is None else self.bit(False, part.peer)
        return part.rest if not own and not peer else part.rest.both(Alternative(own=own, peer=peer))


HOOKS = {"ingress": ("prerouting", "input"), "egress": ("output", "postrouting")}
#: Hooks and priority at which conntrack looks at a packet. To rules before it every packet is invalid.
_TRACKING_HOOKS = frozenset(("prerouting", "output"))
_TRACKING = -200


def compile_program(tables: Iterable[LiveTable], situation: Situation) -> Program:
    program = Program(situation)
    families = ("inet", "ip" if situation.family == 4 else "ip6")
    hooks = HOOKS[situation.direction]
    bases = [
        (hooks.index(chain.hook), chain.priority, chain, table)
        for table in tables
        if table.family in families
        for chain in table.chains.values()
        if chain.hook in hooks
    ]
    for _hook, _priority, live, table in sorted(bases, key=lambda base: base[:2]):
        program.tracked = live.hook not in _TRACKING_HOOKS or live.priority > _TRACKING
        program.bases.append(_chain(program, table, live.name))
    return program


def _chain(program: Program, table: LiveTable, name: str) -> Chain:
    key = (table.family, table.name, name if program.tracked else f"{name} (untracked)")
    if key in program.chains:
        if key in program.unfinished:
            raise Unmodelled  # a loop, which no kernel takes
        return program.chains[key]
    program.unfinished.add(key)
    live = table.chains.get(name) or LiveChain(table.family, table.name, name)
    chain = program.chains[key] = Chain(live)
    for live_rule in live.rules:
        rule = _rule(program, table, live_rule)
        if rule.guard.never:
            continue
        try:
            for _when, verdict in rule.verdicts:
                if verdict.kind in ("jump", "goto"):
                    target = rule.targets[verdict.target] = _chain(program, table, verdict.target)
                    rule.own_bits |= target.own_bits
                    rule.peer_bits |= target.peer_bits
        except Unmodelled:
            rule = Rule(live_rule, PERHAPS, verdicts=((ALWAYS, Verdict("doubt")),))
        chain.own_bits |= rule.own_bits
        chain.peer_bits |= rule.peer_bits
        chain.rules.append(rule)
        if not chain.own_bits and not chain.peer_bits:
            chain.same_for_all = len(chain.rules)
    program.unfinished.discard(key)
    return chain


def _rule(program: Program, table: LiveTable, live: LiveRule) -> Rule:
    try:
        return _understood(program, table, live)
    except (Unmodelled, KeyError, TypeError, ValueError, IndexError, AttributeError):
        return Rule(live, PERHAPS, verdicts=((ALWAYS, Verdict("doubt")),))


def _understood(program: Program, table: LiveTable, live: LiveRule) -> Rule:
    guard = ALWAYS
    extra: list[Condition] = []
    verdicts: list[tuple[Alternative, Verdict]] = []
    note = ""
    for expression in live.expressions:
        if verdicts and verdicts[-1][1].kind != "doubt":
            break  # a verdict ends the rule, and so does a map that holds none for the packet
        if not isinstance(expression, Mapping) or len(expression) != 1:
            guard, note = guard.doubtful, "not understood"
            verdicts.append((ALWAYS, Verdict("doubt")))
            continue
        kind, body = next(iter(expression.items()))
        if kind == "match":
            condition = _match(program, table, body)
            if len(condition.alternatives) == 1 and not condition.negated:
                guard = guard.both(condition.alternatives[0])
            else:
                extra.append(condition)
        elif kind == "vmap":
            verdicts.extend(_map(program, table, body))
        elif kind in ("accept", "drop", "return", "continue"):
            verdicts.append((ALWAYS, Verdict(kind)))
        elif kind == "reject":
            verdicts.append((ALWAYS, Verdict("drop")))
        elif kind in ("jump", "goto"):
            verdicts.append((ALWAYS, Verdict(kind, str(body["target"]))))
        else:
            effect, why = _statement(kind, body)
            note = why or note
            if effect is PERHAPS:
                guard = guard.doubtful
            elif isinstance(effect, Verdict):
                verdicts.append((ALWAYS, effect))
    rule = Rule(live, guard, tuple(extra), tuple(verdicts), note)
    for alternative in (guard, *(a for c in extra for a in (*c.alternatives, c.scope)), *(a for a, _v in verdicts)):
        rule.own_bits |= alternative.own
        rule.peer_bits |= alternative.peer
    return rule


def _statement(kind: str, body: Any) -> tuple[Alternative | Verdict | None, str]:
    """What a statement that is no match and no verdict does: nothing, a doubt about the match, a doubtful verdict."""
    if kind in _HARMLESS:
        return None, ""
    if kind in _TRANSLATIONS:
        return Verdict("doubt"), "translated"
    if kind in _DIVERSIONS:
        return Verdict("doubt"), "diverted"
    if kind == "notrack":
        return Verdict("doubt"), "not tracked, so replies are not recognised"
    if kind == "mangle":
        return _mangled(body["key"])
    if kind == "xt" and isinstance(body, Mapping):
        name = body.get("name")
        if name in _TRANSLATING_XT:
            return Verdict("doubt"), "translated"
        if name in _HARMLESS_XT:
            return None, ""
        if body.get("type") == "target":
            if name == "REJECT":
                return Verdict("drop"), ""
            return Verdict("doubt"), "not understood" if name in _IN_PLACE_XT else "diverted"
        return PERHAPS, "not understood"
    if kind in _CONDITIONAL:
        return PERHAPS, "not understood"
    return Verdict("doubt"), "diverted"


def _mangled(key: Mapping[str, Any]) -> tuple[Verdict | None, str]:
    [(kind, body)] = key.items()
    if kind == "payload":
        harmless = body.get("field") in _HARMLESS_FIELDS
        return (None, "") if harmless else (Verdict("doubt"), "rewritten")
    if kind == "meta" and body.get("key") not in _HARMLESS_META:
        return Verdict("doubt"), "a socket may not take it"
    if kind == "ct" and body.get("key") not in _HARMLESS_CT:
        return Verdict("doubt"), "tracked elsewhere, so replies are not recognised"
    return (None, "") if kind in ("meta", "ct", "tcp option") else (Verdict("doubt"), "not understood")


def _match(program: Program, table: LiveTable, body: Mapping[str, Any]) -> Condition:
    left, right, op = body.get("left"), body.get("right"), str(body.get("op", "=="))
    try:
        if isinstance(left, Mapping) and "concat" in left:
            return _concatenated(program, table, left["concat"], right, op)
        key = (table.family, table.name, repr(left), f"{op} {right}", program.tracked)
        found = program.named.get(key)
        if found is None:
            found = Condition((program.with_bits(resolve(left, program.seen).match(op, right, table.sets)),))
            if isinstance(right, str) and right.startswith("@"):
                program.named[key] = found
        return found
    except (Unmodelled, KeyError, TypeError, ValueError, IndexError, AttributeError):
        return Condition((PERHAPS,))


def _concatenated(program: Program, table: LiveTable, left: Sequence[Any], right: Any, op: str) -> Condition:
    if op not in ("==", "!="):
        raise Unmodelled
    fields = [resolve(item, program.seen) for item in left]
    parts = [_element(fields, value) for value in elements(right, table.sets)]
    alternatives = tuple(alternative for alternative, _target in _grouped(program, [(part, "") for part in parts]))
    scope = ALWAYS if op == "==" else PERHAPS
    return Condition(alternatives, scope, op == "!=")


def _map(program: Program, table: LiveTable, body: Mapping[str, Any]) -> list[tuple[Alternative, Verdict]]:
    try:
        key = body["key"]
        left = key.get("concat", [key])
        fields = [resolve(item, program.seen) for item in left]
        entries = []
        verdicts: dict[str, Verdict] = {}
        for value, action in elements(body["data"], table.sets):
            part = _element(fields, value) if len(fields) > 1 else fields[0].element(value)
            name, verdict = _verdict(action)
            verdicts[name] = verdict
            entries.append((part, name))
            if unwrapped(value) == "*":
                raise Unmodelled  # a catch-all counts only for what no other element holds
        return [(alternative, verdicts[name]) for alternative, name in _grouped(program, entries)]
    except (Unmodelled, KeyError, TypeError, ValueError, IndexError, AttributeError):
        return [(PERHAPS, Verdict("doubt"))]


def _element(fields: Sequence[Field], value: Any) -> Part:
    value = unwrapped(value)
    values = value["concat"]
    if len(values) != len(fields):
        raise Unmodelled
    own: Intervals | None = None
    peer: Intervals | None = None
    rest = ALWAYS
    for item, single in zip(fields, values, strict=True):
        part = item.element(single)
        own = part.own if own is None else own if part.own is None else intersection(own, part.own)
        peer = part.peer if peer is None else peer if part.peer is None else intersection(peer, part.peer)
        rest = rest.both(part.rest)
    return Part(own, peer, rest)


def _grouped(program: Program, entries: Iterable[tuple[Part, str]]) -> list[tuple[Alternative, str]]:
    """Join elements that differ in the peer's addresses only, then those that differ in services only."""
    by_rest: dict[tuple[str, Intervals | None, bool, Alternative], list[tuple[int, int]]] = {}
    for part, name in entries:
        key = (name, part.own, part.peer is None, part.rest)
        by_rest.setdefault(key, []).extend(part.peer or ())
    by_services: dict[tuple[str, int, int, int, frozenset[int] | None], tuple[list[Any], list[Any]]] = {}
    for (name, own, any_peer, rest), peers in by_rest.items():
        if rest.never:
            continue
        alternative = program.with_bits(Part(own, None if any_peer else normalised(peers), rest))
        group = (name, alternative.own, alternative.peer, alternative.states, alternative.flags)
        surely, maybe = by_services.setdefault(group, ([], []))
        surely.extend(alternative.surely)
        maybe.extend(alternative.maybe)
    return [
        (Alternative(own, peer, normalised(surely), normalised(maybe), states, flags), name)
        for (name, own, peer, states, flags), (surely, maybe) in by_services.items()
    ]


def _verdict(action: Any) -> tuple[str, Verdict]:
    [(kind, body)] = action.items()
    if kind in ("jump", "goto"):
        return f"{kind} {body['target']}", Verdict(kind, str(body["target"]))
    if kind in ("accept", "drop", "return", "continue"):
        return kind, Verdict(kind)
    raise Unmodelled


__all__ = ["CHANGED", "HOOKS", "Chain", "Program", "Rule", "Verdict", "compile_program"]
