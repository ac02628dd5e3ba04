# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Random artifacts: small address space, so that sets overlap; every feature of rules, so that none is forgotten."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import FAMILIES, WHOLE_FAMILY, Family
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import (
    FAILSAFE,
    ORDER,
    Artifact,
    ArtifactRule,
    DirectionPolicy,
    PeerSet,
    set_id,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import Intervals, normalised
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.schedule import Schedule

AT = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
START: dict[Family, int] = {4: 0x0A000000, 6: 0xFD770000 << 96}
TERMS = (
    "any", "tcp", "tcp/22", "tcp/80", "tcp/443", "tcp/80-90", "tcp/85-1024", "tcp/0-79", "tcp/1024-65535", "tcp/65535",
    "udp", "udp/53", "udp/0-1000", "udp/500-600", "sctp", "sctp/36412", "icmp", "icmp/8", "icmp/3.4", "icmp/3",
    "icmp/0-4", "icmp/8.0-7", "icmpv6",
    "icmpv6/128", "icmpv6/1.3-5", "icmpv6/130-137", "proto/47", "proto/2", "proto/50-51",
    "proto/0-255", "proto/255",
)  # fmt: skip


def random_artifact(chance: random.Random, rules: int = 9, at: datetime = AT) -> Artifact:
    """One enforcement point with up to three local addresses a family and up to `rules` rules a direction.

    Rules begin and end whole hours before and after `at`, some at that very moment.
    """
    own: dict[Family, Intervals] = {
        family: normalised((number, number) for number in _some(chance, family, chance.randint(0, 3)))
        for family in FAMILIES
    }
    if not own[4] and not own[6]:
        own[4] = ((START[4] + 5, START[4] + 5),)
    sets = [_set(chance, f"set {index}") for index in range(chance.randint(2, 7))]
    by_id = {one.id: one for one in sets}
    policies = [_policy(chance, list(by_id), rules, at) for _way in range(2)]
    used = {name for policy in policies for rule in policy.rules for name in (*(rule.peers or ()), *(rule.own or ()))}
    return Artifact("point", "workload", "", own, policies[0], policies[1], {name: by_id[name] for name in used})


def _policy(chance: random.Random, names: list[str], most: int, at: datetime) -> DirectionPolicy:
    mode = chance.choices(("idle", "visibility", "selective", "full"), weights=(1, 1, 4, 8))[0]
    rules = [_rule(chance, names, number, at) for number in range(chance.randint(0, most))]
    return DirectionPolicy(mode, tuple(sorted(rules, key=lambda rule: rule.order)))  # type: ignore[arg-type]


def _rule(chance: random.Random, names: list[str], number: int, at: datetime) -> ArtifactRule:
    tier = chance.choice(ORDER)
    action = "allow" if tier == FAILSAFE else chance.choices(("allow", "deny", "pass"), weights=(5, 3, 2))[0]
    starts = expires = None
    if chance.random() < 0.25:
        starts = at + timedelta(hours=chance.choice((-2, -1, 0, 1)))
    if chance.random() < 0.25:
        expires = at + timedelta(hours=chance.choice((-1, 0, 1, 2)))
    return ArtifactRule(
        id=f"rule-{number}@scope/set",
        tier=tier,  # type: ignore[arg-type]
        action=action,  # type: ignore[arg-type]
        services=line.parse_all(chance.sample(TERMS, chance.choice((1, 1, 1, 2, 3)))),
        peers=None if chance.random() < 0.2 else tuple(sorted(chance.sample(names, chance.choice((1, 1, 2))))),
        own=tuple(chance.sample(names, 1)) if chance.random() < 0.2 else None,
        reject=action == "deny" and chance.random() < 0.4,
        reset_established=action == "deny" and chance.random() < 0.2,
        log=chance.random() < 0.2,
        starts=starts,
        expires=expires,
        schedule=random_schedule(chance, at) if chance.random() < 0.2 else None,
    )


def random_schedule(chance: random.Random, at: datetime) -> Schedule:
    """Some open at `at`, some at that very moment, some over a change of the clock, some but once."""
    zone = chance.choice(("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"))
    wall = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None, microsecond=0)
    start = wall + timedelta(hours=chance.choice((-9, -8, -1, 0, 1)), days=chance.choice((0, 0, -3, -30)))
    repeated = ("", "FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "FREQ=MONTHLY", "FREQ=DAILY;COUNT=40")
    days, seconds = chance.choice(((0, 3600), (0, 3600), (0, 8 * 3600), (0, 90), (1, 0), (2, 60)))
    return Schedule(start, zone, chance.choice(repeated), days, seconds)


def _set(chance: random.Random, meaning: str) -> PeerSet:
    kind = chance.choice(("members", "members", "static"))
    addresses: dict[Family, Intervals] = {}
    for family in FAMILIES:
        found = [(number, number) for number in _some(chance, family, chance.randint(0, 6))]
        if chance.random() < (0.6 if kind == "static" else 0.15):
            low = START[family] + chance.randint(0, 40)
            found.append((low, low + chance.choice((1, 7, 255, 70000))))
        if kind == "static" and chance.random() < 0.1:
            found = list(WHOLE_FAMILY[family])
        if kind == "static" and chance.random() < 0.1:
            found.append((0, START[family]))
        addresses[family] = normalised(found)
    return PeerSet(set_id(kind, meaning), kind, meaning, addresses)  # type: ignore[arg-type]


def _some(chance: random.Random, family: Family, count: int) -> list[int]:
    return [START[family] + chance.randint(0, 31) for _index in range(count)]
