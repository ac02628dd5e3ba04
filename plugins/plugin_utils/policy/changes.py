# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What two versions of a policy say differently, as documents: rules, scopes, guardrails, tests, roles and the rest.

Where and in which order something is written is no change. A rule is known by its scope and its id, so a rule that
moves to another scope is one that goes and one that comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from ..model.errors import NOWHERE, Place
from ..model.policy import (
    AddressPeer,
    DocumentKind,
    Guardrail,
    LabelRule,
    ModeRule,
    Peer,
    Policy,
    PolicyTest,
    Rule,
    Scope,
    Stage,
    Tier,
    WriterRule,
)

What = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class Home:
    """A rule with everything about its ruleset that decides what it means."""

    rule: Rule
    scope: str
    ruleset: str
    tier: Tier
    stage: Stage

    @property
    def id(self) -> str:
        return f"{self.rule.id}@{self.scope}/{self.ruleset}"


@dataclass(frozen=True, slots=True)
class RuleChange:
    """`before` is None for a new rule, `after` for one that is gone.

    `by_name`: the rule itself says the same as before; a service or an ip_list that it names means something else now.
    """

    before: Home | None
    after: Home | None
    by_name: bool = False

    @property
    def what(self) -> What:
        return "added" if self.before is None else "removed" if self.after is None else "changed"

    @property
    def home(self) -> Home:
        home = self.after or self.before
        assert home is not None
        return home

    @property
    def homes(self) -> tuple[Home, ...]:
        return tuple(home for home in (self.before, self.after) if home is not None)

    @property
    def place(self) -> Place:
        return self.home.rule.place


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """A change of anything but a rule. `name` says which one in words; `place` is where it is, or was."""

    kind: DocumentKind
    what: What
    name: str
    place: Place = NOWHERE


@dataclass(frozen=True)
class Changes:
    rules: tuple[RuleChange, ...]
    documents: tuple[DocumentChange, ...]

    @property
    def empty(self) -> bool:
        return not self.rules and not self.documents


def changes(before: Policy, after: Policy) -> Changes:
    """From one version to the other; rules by scope and id, then documents in the order of their kinds."""
    return Changes(tuple(_rules(before, after)), tuple(_documents(before, after)))


def homes(policy: Policy) -> dict[tuple[str, str], Home]:
    """Every rule of every stage, by scope and id."""
    return {
        (scope.name, rule.id): Home(rule, scope.name, ruleset.name, ruleset.tier, ruleset.stage)
        for scope in policy.scopes
        for ruleset in scope.rulesets
        for rule in ruleset.rules
    }


def _rules(before: Policy, after: Policy) -> Iterator[RuleChange]:
    old, new = homes(before), homes(after)
    for key in sorted({*old, *new}):
        was, now = old.get(key), new.get(key)
        if was is None or now is None:
            yield RuleChange(was, now)
        elif _content(was) != _content(now):
            yield RuleChange(was, now, _words(was) == _words(now))


def _content(home: Home) -> Home:
    """Services count as what they mean; how they are written counts too, since a name may change its meaning later."""
    return replace(home, rule=replace(home.rule, place=NOWHERE))


def _words(home: Home) -> Home:
    """The rule as it is written: named services and lists by their names."""
    rule = home.rule
    consumers, providers = (tuple(map(_named, side)) for side in (rule.consumers, rule.providers))
    return replace(home, rule=replace(rule, consumers=consumers, providers=providers, services=(), place=NOWHERE))


def _named(peer: Peer) -> Peer:
    return AddressPeer((), peer.name) if isinstance(peer, AddressPeer) and peer.name else peer


def _documents(before: Policy, after: Policy) -> Iterator[DocumentChange]:
    yield from _settings(before, after)
    yield from _tables("services", before.services, after.services)
    yield from _tables("ip_lists", before.ip_lists, after.ip_lists)
    for kind in _LISTED:
        yield from _lists(kind, getattr(before, kind), getattr(after, kind))
    yield from _scopes(before.scopes, after.scopes)


def _settings(before: Policy, after: Policy) -> Iterator[DocumentChange]:
    for item in fields(after.settings):
        if item.name != "place" and getattr(before.settings, item.name) != getattr(after.settings, item.name):
            place = after.settings.place if after.settings.place != NOWHERE else before.settings.place
            yield DocumentChange("settings", "changed", item.name, place)


def _tables(kind: DocumentKind, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[DocumentChange]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            what: What = "added" if name not in before else "removed" if name not in after else "changed"
            yield DocumentChange(kind, what, name)


_LISTED: tuple[DocumentKind, ...] = (
    "label_rules",
    "workloads",
    "service_addresses",
    "modes",
    "writers",
    "guardrails",
    "tests",
    "roles",
)
#: Things with a name are compared by it; of others, each is there or is not.
_NAMES = {"guardrails": "id", "workloads": "name", "service_addresses": "name", "roles": "name"}


def _lists(kind: DocumentKind, before: Sequence[Any], after: Sequence[Any]) -> Iterator[DocumentChange]:
    old, new = _by_name(kind, before), _by_name(kind, after)
    for key in sorted({*old, *new}):
        was, now = old.get(key), new.get(key)
        if was is None or now is None or replace(was, place=NOWHERE) != replace(now, place=NOWHERE):
            item: Any = now if now is not None else was
            what: What = "added" if was is None else "removed" if now is None else "changed"
            yield DocumentChange(kind, what, label(item), item.place)


def _by_name(kind: DocumentKind, items: Sequence[Any]) -> dict[tuple[str, int], Any]:
    """What stands several times is numbered."""
    found: dict[tuple[str, int], Any] = {}
    seen: Counter[str] = Counter()
    for item in items:
        name = getattr(item, _NAMES[kind]) if kind in _NAMES else repr(replace(item, place=NOWHERE))
        seen[name] += 1
        found[name, seen[name]] = item
    return found


def label(item: Any) -> str:
    """What a person calls it."""
    match item:
        case PolicyTest():
            return f"{'allow' if item.expect == 'allowed' else 'deny'} {item.text}"
        case ModeRule():
            return str(item.match.workload or item.match.selector)
        case WriterRule():
            return ",".join(f"{key}={value}" for key, value in item.match)
        case LabelRule():
            return ",".join(f"{key}={value}" for key, value in item.set.items())
        case Guardrail():
            return item.id
    return str(item.name)


def _scopes(before: Sequence[Scope], after: Sequence[Scope]) -> Iterator[DocumentChange]:
    """Borders, owners and the frames of rulesets; what is in them is compared rule by rule."""
    old, new = ({scope.name: scope for scope in scopes} for scopes in (before, after))
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if was is None or now is None:
            scope = now or was
            assert scope is not None
            yield DocumentChange("scopes", "added" if was is None else "removed", name, scope.place)
            continue
        for word in ("match", "owners", "approvers", "estate"):
            if getattr(was, word) != getattr(now, word):
                yield DocumentChange("scopes", "changed", f"{name}: {word}", now.place)


__all__ = ["Changes", "DocumentChange", "Home", "RuleChange", "changes", "homes", "label"]
