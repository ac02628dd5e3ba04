# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Scopes with their rulesets and rules, guardrails and tests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from ...model.errors import Place, PolicyError
from ...model.intervals import Intervals
from ...model.policy import Evidence, Guardrail, PolicyTest, Rule, Ruleset, Scope, Waiver
from ...model.schedule import Schedule
from ...model.selectors import Selector
from .moments import read_end, read_moment
from .nodes import Spot
from .peers import Context, read_peers, read_selector
from .schedules import read_schedule
from .words import ExceptWords, GuardrailWords, PolicyTestWords, RulesetWords, RuleWords, ScopeWords

_SENTENCE = re.compile(r"^\s*(\S+)\s+->\s+(\S+)\s+(\S.*?)\s*$")


def read_scopes(written: Sequence[tuple[ScopeWords, Spot]], context: Context) -> tuple[Scope, ...]:
    scopes: dict[str, Scope] = {}
    for words, spot in written:
        scope = _read_scope(words, spot, context)
        first = scopes.setdefault(scope.name, scope)
        if first is not scope:
            context.problems.error(
                "E-SCOPE-TWICE",
                f"scope {scope.name} stands twice (first at {first.place}).",
                scope.place,
                "One document holds all rulesets of a scope.",
            )
    return tuple(scopes.values())


def _read_scope(words: ScopeWords, spot: Spot, context: Context) -> Scope:
    match = Selector()
    everything = isinstance(words.match, dict) and not words.match
    with context.problems.collecting():
        if not (everything and words.estate):
            if everything:
                raise PolicyError(
                    "E-EMPTY-SELECTOR",
                    f"match: {{}} would make everything belong to scope {words.scope}.",
                    spot["match"].place,
                    "Name labels, or say estate: true.",
                )
            match = read_selector(words.match, spot["match"], context)
    seen: dict[str, Place] = {}
    rulesets: dict[str, Ruleset] = {}
    for ruleset_words, here in zip(words.rulesets, spot["rulesets"], strict=False):
        ruleset = _read_ruleset(ruleset_words, here, seen, words.scope, context)
        first = rulesets.setdefault(ruleset.name, ruleset)
        if first is not ruleset:
            context.problems.error(
                "E-RULESET-TWICE",
                f"ruleset {ruleset.name} stands twice in scope {words.scope} (first at {first.place}).",
                ruleset.place,
                "Give it another name, or join the two.",
            )
        if ruleset.stage == "draft":
            context.problems.info(
                "W-DRAFT",
                f"ruleset {ruleset.name} of scope {words.scope} is a draft: checked, not enforced.",
                ruleset.place,
                "Set stage: staged to see its effect, active to enforce it.",
            )
    return Scope(
        name=words.scope,
        match=match,
        owners=tuple(words.owners),
        approvers=tuple(words.approvers),
        estate=words.estate,
        rulesets=tuple(rulesets.values()),
        place=spot["scope"].place,
    )


def _read_ruleset(words: RulesetWords, spot: Spot, seen: dict[str, Place], scope: str, context: Context) -> Ruleset:
    rules = []
    for rule_words, here in zip(words.rules, spot["rules"], strict=False):
        rule = _read_rule(rule_words, here, context)
        rules.append(rule)
        if rule.id in seen:
            context.problems.error(
                "E-RULE-TWICE",
                f"rule {rule.id} stands twice in scope {scope} (first at {seen[rule.id]}).",
                here["id"].place,
                "Reports name rules by id; give one of them another.",
            )
        else:
            seen[rule.id] = rule.place
    return Ruleset(words.name, tuple(rules), words.tier, words.stage, spot.place)


def _read_rule(words: RuleWords, spot: Spot, context: Context) -> Rule:
    expires: datetime | None = None
    if words.expires or spot.has("expires"):
        with context.problems.collecting():
            expires = read_end(words.expires, context.zone, spot["expires"])
    schedule: Schedule | None = None
    if words.when is not None:
        with context.problems.collecting():
            schedule = read_schedule(words.when.schedule, words.when.duration, context.zone, spot["when"])
    waivers = []
    for waiver, here in zip(words.waivers, spot["waivers"], strict=False):
        with context.problems.collecting():
            waivers.append(Waiver(waiver.code, waiver.reason, read_end(waiver.until, context.zone, here["until"])))
    if words.action != "deny":
        for word, set_, why in (
            ("reject", words.reject, "only a deny has something to reject"),
            ("reset_established", words.reset_established, "only a deny ends sessions"),
        ):
            if set_:
                context.problems.error(
                    "E-ACTION",
                    f"rule {words.id} has {word} with action {words.action}: {why}.",
                    spot[word].place,
                    f"Remove {word}, or write action: deny.",
                )
    return Rule(
        id=words.id,
        consumers=read_peers(words.from_, spot["from"], context, "from"),
        providers=read_peers(words.to, spot["to"], context, "yes" if words.action == "allow" else "deny"),
        services=context.services.read(words.services, spot["services"]),
        action=words.action,
        reject=words.reject,
        reset_established=words.reset_established,
        log=words.log,
        expires=expires,
        schedule=schedule,
        allow_empty=words.allow_empty,
        on_inexact=words.on_inexact,
        reason=words.reason,
        owner=words.owner,
        ticket=words.ticket,
        waivers=tuple(waivers),
        evidence=Evidence(**words.evidence.model_dump()) if words.evidence else None,
        written_services=tuple(words.services),
        place=spot.place,
    )


def read_guardrails(written: Sequence[tuple[GuardrailWords, Spot]], context: Context) -> tuple[Guardrail, ...]:
    guardrails: dict[str, Guardrail] = {}
    for words, spot in written:
        guardrail = _read_guardrail(words, spot, context)
        first = guardrails.setdefault(guardrail.id, guardrail)
        if first is not guardrail:
            context.problems.error(
                "E-GUARDRAIL-TWICE",
                f"guardrail {guardrail.id} stands twice (first at {first.place}).",
                guardrail.place,
                "Give one of them another id.",
            )
    return tuple(guardrails.values())


def _read_guardrail(words: GuardrailWords, spot: Spot, context: Context) -> Guardrail:
    never, exception = spot["never"], spot["except"]
    exempt = words.except_ or ExceptWords()
    said = [key for key in ("from", "to", "services") if exception.has(key)] if spot.has("except") else []
    if spot.has("except") and not said:
        context.problems.error(
            "E-VALUE",
            "an empty exception excepts nothing.",
            exception.place,
            "Name from, to or services, or remove it.",
        )
    return Guardrail(
        id=words.id,
        consumers=read_peers(words.never.from_, never["from"], context, "from"),
        providers=read_peers(words.never.to, never["to"], context, "guardrail"),
        services=context.services.read(words.never.services, never["services"]),
        except_services=context.services.read(exempt.services, exception["services"]),
        except_consumers=read_peers(exempt.from_, exception["from"], context, "from") if "from" in said else (),
        except_providers=read_peers(exempt.to, exception["to"], context, "guardrail") if "to" in said else (),
        severity=words.severity,
        reason=words.reason,
        place=spot.place,
    )


def read_tests(written: Sequence[tuple[PolicyTestWords, Spot]], context: Context) -> tuple[PolicyTest, ...]:
    tests = []
    names: dict[str, Place] = {}
    for words, spot in written:
        with context.problems.collecting():
            if words.name and names.setdefault(words.name, spot.place) != spot.place:
                raise PolicyError(
                    "E-TEST-TWICE",
                    f"test {words.name} stands twice (first at {names[words.name]}).",
                    spot["name"].place,
                    "Give one of them another name.",
                )
            if spot.has("allow") == spot.has("deny"):
                raise PolicyError(
                    "E-TEST",
                    "a test says either allow or deny.",
                    spot.place,
                    'Write {allow: "web-1 -> db-1 tcp/5432"}.',
                )
            word = "allow" if spot.has("allow") else "deny"
            text = words.allow or words.deny
            consumer, provider, services = _sentence(text, spot[word], context)
            expect = "allowed" if word == "allow" else "denied"
            at = read_moment(words.at, context.zone, spot["at"]) if spot.has("at") else None
            tests.append(
                PolicyTest(expect, consumer, provider, services, text, words.because, spot.place, words.name, at)  # type: ignore[arg-type]
            )
    return tuple(tests)


def _sentence(text: str, spot: Spot, context: Context) -> tuple[str, str, Intervals]:
    """`A -> B SERVICE[, SERVICE]`. Raises PolicyError (E-TEST)."""
    found = _SENTENCE.match(text)
    if not found:
        raise PolicyError(
            "E-TEST", f"{text!r} is not a test sentence.", spot.place, 'Write "web-1 -> db-1 tcp/5432, tcp/5433".'
        )
    terms = [term.strip() for term in found[3].split(",")]
    if not all(terms) or any(" " in term for term in terms):
        raise PolicyError(
            "E-TEST",
            f"{found[3]!r} is not a list of services.",
            spot.place,
            "Put commas between services: tcp/80, tcp/443.",
        )
    return found[1], found[2], context.services.read(terms, spot)
