# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies that change by the clock, and live states that do as hosts would."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.clock import unsure
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import (
    FAILSAFE,
    Artifact,
    ArtifactRule,
    DirectionPolicy,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.bundle import Bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.calendar import HORIZON, Spans, Validity
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import Form, of_artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.live import PointState
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.windows import Windows

from .artifacts import random_schedule

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REACH = timedelta(days=800)


def timed(dice: random.Random, bundle: Bundle, at: datetime, share: float = 0.5) -> Bundle:
    """The same rules, some of them only at some times."""
    validities = [random_validity(dice, at) for _number in range(2)]

    def sometimes(rule: ArtifactRule) -> ArtifactRule:
        if rule.tier == FAILSAFE or dice.random() > share:
            return rule
        one = dice.choice(validities)
        return replace(rule, starts=one.starts, expires=one.expires, schedule=one.schedule)

    policies = {
        key: tuple(replace(part, rules=tuple(sometimes(rule) for rule in part.rules)) for part in pair)
        for key, pair in bundle.policies.items()
    }
    return replace(bundle, policies={key: (pair[0], pair[1]) for key, pair in policies.items()})


def random_validity(dice: random.Random, at: datetime) -> Validity:
    starts = at + timedelta(hours=dice.choice((-30, 0, 1, 40))) if dice.random() < 0.3 else None
    expires = at + timedelta(hours=dice.choice((-1, 1, 50, 24 * 120))) if dice.random() < 0.3 else None
    return Validity(starts, expires, random_schedule(dice, at) if dice.random() < 0.6 else None)


def spans(validity: Validity, at: datetime) -> Spans:
    """The times of a validity as a reader finds them in a listing."""
    edges = [at - REACH, *sorted(validity.changes(at - REACH, at + REACH)), at + REACH]
    found = [
        ((low - EPOCH) // timedelta(microseconds=1), (high - EPOCH) // timedelta(microseconds=1) - 1)
        for low, high in pairwise(edges)
        if validity.holds(low)
    ]
    return Spans(tuple(found))


def living(state: PointState, artifact: Artifact, at: datetime) -> PointState:
    """The state of a point that carries an artifact, at any moment it is asked about."""
    if artifact.idle or state.own_form is None or not artifact.validities:
        return state

    def again(moment: datetime, trusting: bool | None) -> tuple[Form, Form]:
        form = of_artifact(artifact, moment, unsure=lambda rule: unsure(rule, moment, None, trusting is not False))
        return form, form

    form = of_artifact(artifact, at)
    times = tuple(spans(one, at) for one in artifact.validities)
    return replace(state, form=form, own_form=form, again=again, times=times)


def alive(states: Mapping[str, PointState], bundle: Bundle, at: datetime) -> dict[str, PointState]:
    return {name: living(state, bundle.artifact(name), at) for name, state in states.items()}


def moments(dice: random.Random, at: datetime, policies: list[DirectionPolicy], reach: timedelta) -> list[datetime]:
    """Around every change of some policies near `at`, and some at random."""
    changes = sorted({m for one in policies for rule in one.rules for m in rule.validity.changes(at, at + reach)})
    near = [moment + timedelta(microseconds=shift) for moment in changes[:6] for shift in (-1, 0, 1)]
    far = [at + reach * dice.random() for _number in range(4)]
    return [at, *(moment for moment in (*near, *dice.sample(changes, min(len(changes), 3)), *far) if moment >= at)]


def shifted(artifact: Artifact, at: datetime, now: datetime, slack: timedelta) -> Artifact:
    """At `now` what the artifact is at `at`: the clock of the machine is not moved.

    What came before has come as much before. What comes next comes `slack` later than it would, so that there is time
    to look.
    """
    gap = now - at

    def then(moment: datetime) -> datetime:
        return moment + gap if moment <= at else moment + gap + slack

    def moved(rule: ArtifactRule) -> ArtifactRule:
        found = rule.schedule.windows(at - HORIZON, at + HORIZON) if rule.schedule else ()
        return replace(
            rule,
            starts=then(rule.starts) if rule.starts else None,
            expires=then(rule.expires) if rule.expires else None,
            schedule=Windows(tuple((then(low), then(high)) for low, high in found)) if rule.schedule else None,
        )

    return replace(
        artifact,
        ingress=replace(artifact.ingress, rules=tuple(moved(rule) for rule in artifact.ingress.rules)),
        egress=replace(artifact.egress, rules=tuple(moved(rule) for rule in artifact.egress.rules)),
    )
