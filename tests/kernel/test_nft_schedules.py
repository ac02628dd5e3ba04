# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Schedules in the kernel: open and closed to the nanosecond, by nobody but the clock, and read back at any moment."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.module_utils.host import listing as host_listing
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.clock import (
    horizon,
    quarter,
    unsure,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.read import read
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.render import render
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import (
    Artifact,
    ArtifactRule,
    DirectionPolicy,
    PeerSet,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.compare import difference
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import of_artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import contains
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.live import ControlPath
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.schedule import Schedule
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.monitoring.drift import drift
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.plan import PlanOptions, make_plan
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.live import understand
from tests.conftest import Kernel, ProofSize
from tests.support import packets
from tests.support.artifacts import AT, random_artifact
from tests.support.nft import ENVIRONMENT, listed, transaction
from tests.support.timed import spans
from tests.unit.orchestration.builders import CONTROLLER, bundle, host

pytestmark = pytest.mark.kernel

OFFICE = Schedule(datetime(2026, 1, 5, 8), "Europe/Berlin", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", 0, 36000)
OWN, PEER = "10.0.0.1", "10.0.0.9"
NUMBERS = (0x0A000001, 0x0A000009)


def point(*rules: ArtifactRule, mode: Any = "full") -> Artifact:
    ordered = tuple(sorted(rules, key=lambda rule: rule.order))
    sets = {"peer": PeerSet("peer", "members", "the peer", {4: ((NUMBERS[1], NUMBERS[1]),), 6: ()})}
    return Artifact(
        "db-1", "db-1", "", {4: ((NUMBERS[0], NUMBERS[0]),), 6: ()}, DirectionPolicy(mode, ordered),
        DirectionPolicy("idle"), sets,
    )  # fmt: skip


def rule(name: str, action: Any, service: str, tier: Any = "application", **more: Any) -> ArtifactRule:
    return ArtifactRule(f"{name}@a/b", tier, action, line.parse(service), ("peer",), **more)


def once(start: datetime, seconds: int) -> Schedule:
    return Schedule(start.replace(tzinfo=None), "UTC", "", 0, seconds)


# -- real packets ------------------------------------------------------------------------------------------------------


def test_rules_open_and_close_by_the_clock_alone(kernel: Kernel) -> None:
    """No controller and no agent: one table, loaded once, and packets before, in and after each window."""
    now = datetime.fromtimestamp(int(time.time()) + 1, UTC)
    later = [now + timedelta(seconds=number) for number in range(20)]
    artifact = point(
        rule("opens", "allow", "udp/1", schedule=once(later[4], 3)),
        rule("base", "allow", "udp/2"),
        rule("closes", "deny", "udp/2", tier="admin", schedule=once(later[5], 3)),
        rule("expires", "allow", "udp/3", expires=later[5]),
        rule("starts", "allow", "udp/4", starts=later[6]),
        rule("below", "allow", "udp/5"),
        rule("abstains", "pass", "udp/5", tier="admin", schedule=once(later[4], 3)),
        rule("denies", "deny", "udp/5", tier="admin"),
    )
    request = {
        "transaction": transaction(render(artifact, "ab" * 32, now).payload),
        "own": [OWN],
        "peers": [PEER],
        "packets": [["ingress", OWN, PEER, 17, 0, port] for port in (1, 2, 3, 4, 5)],
        "seconds": 10,
    }
    script = Path(packets.__file__).with_name("clocked_packets.py")
    run = subprocess.run(
        [*kernel.prefix, sys.executable, str(script)],
        input=json.dumps(request), capture_output=True, text=True, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-1500:]

    seen = json.loads(run.stdout)
    states = set()
    for before, after, arrived in seen:
        first, last = (datetime.fromtimestamp(moment, UTC) for moment in (before, after))
        if any(first <= moment <= last for moment in later):
            continue  # a second ended on the way: either answer is right
        cell = of_artifact(artifact, first).at("ingress", 4, *NUMBERS)
        wanted = [contains(cell.allowed, line.parse(f"udp/{port}")[0][0]) for port in (1, 2, 3, 4, 5)]
        assert arrived == wanted, (first, last, arrived, wanted)
        states.add(tuple(arrived))
    print(f"{len(seen)} rounds, {len(states)} states")
    assert len(states) >= 5  # before; opens and abstains; closes and expires; starts; after


def test_an_untrusted_clock_opens_nothing(kernel: Kernel) -> None:
    """Allows that count now are withheld, denies that do not count now do."""
    now = datetime.now(UTC).replace(microsecond=0)
    artifact = point(
        rule("open", "allow", "udp/1", expires=now + timedelta(hours=1)),
        rule("base", "allow", "udp/2"),
        rule("past", "deny", "udp/2", tier="admin", expires=now - timedelta(hours=1)),
    )
    payload = render(artifact, "ab" * 32, now).payload
    for trusted, wanted in ((True, [True, True]), (False, [False, False])):
        request = {
            "transaction": transaction(payload, trusted),
            "own": [OWN],
            "peers": [PEER],
            "packets": [["ingress", OWN, PEER, 17, 0, port] for port in (1, 2)],
        }
        run = subprocess.run(
            [*kernel.prefix, sys.executable, str(Path(packets.__file__))],
            input=json.dumps(request), capture_output=True, text=True, env=ENVIRONMENT, check=False,
        )  # fmt: skip
        assert json.loads(run.stdout) == wanted, run.stderr[-500:]


# -- what the kernel holds ---------------------------------------------------------------------------------------------


def test_a_window_is_half_open_to_the_nanosecond(kernel: Kernel) -> None:
    """The bytes the kernel compares with: a window ends a nanosecond behind its end, which the other set holds."""
    low, high = 1795568400, 1795597200
    artifact = point(rule("r", "allow", "udp/1", schedule=once(datetime.fromtimestamp(low, UTC), high - low)))
    text = transaction(render(artifact, "ab" * 32, datetime.fromtimestamp(low, UTC)).payload)
    names = re.findall(r"set ([we]_\w+) \{", text)
    shown = {}
    for name in names:
        script = f'nft -f - && nft --debug=netlink list set inet microseg {name} 2>&1 | grep "element "'
        run = subprocess.run(
            [*kernel.prefix, "sh", "-c", script],
            input=text,
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            check=True,
        )
        # nft prints each half of the key as a number of this machine; the key itself is big endian.
        found = re.findall(r"element ([0-9a-f]{8}) ([0-9a-f]{8})\s*: (\d) \[end\]", run.stdout)
        shown[name[0]] = sorted((_key(first, second), ending) for first, second, ending in found)

    billion = 10**9
    assert shown["w"] == [(0, "1"), (low * billion, "0"), (high * billion + 1, "1")]
    assert shown["e"] == [(high * billion, "0")]


def _key(first: str, second: str) -> int:
    """Interval sets are listed in the byte order of the key, plain sets in that of the machine."""
    swapped = b"".join(int(half, 16).to_bytes(4, sys.byteorder) for half in (first, second))
    candidates = (int.from_bytes(swapped, "big"), int(second + first, 16))
    return next((one for one in candidates if one == 0 or 10**18 < one < 4 * 10**18), candidates[0])


def test_a_table_rendered_twice_in_a_quarter_is_the_same_text() -> None:
    artifact = point(rule("r", "allow", "udp/1", schedule=OFFICE))
    first = render(artifact, "ab" * 32, datetime(2026, 10, 1, tzinfo=UTC))
    last = render(artifact, "ab" * 32, datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC))
    following = render(artifact, "ab" * 32, datetime(2027, 1, 1, tzinfo=UTC))

    assert first == last
    assert "windows until 2028-01-01" in first.payload["ruleset"]
    assert "windows until 2028-04-01" in following.payload["ruleset"]


@pytest.mark.parametrize("seed", range(25))
def test_a_table_means_its_artifact_at_every_moment_and_never_more(kernel: Kernel, seed: int) -> None:
    check(kernel, seed)


@pytest.mark.proof
def test_many_tables_mean_their_artifacts_at_every_moment(kernel: Kernel, proof_size: ProofSize) -> None:
    first = random.SystemRandom().randrange(10**9)
    for seed in range(first, first + proof_size(300)):
        print(f"seed {seed}")
        check(kernel, seed)


def check(kernel: Kernel, seed: int) -> None:
    dice = random.Random(seed)
    artifact = random_artifact(dice)
    payload = render(artifact, artifact.policy_digest(), AT).payload
    trusted, untrusted = (listed(kernel.prefix, transaction(payload, one)) for one in (True, False))
    end = horizon(artifact, AT)
    reach = end or AT + timedelta(days=500)
    changes = sorted({m for one in artifact.validities for m in one.changes(quarter(AT), reach)})
    near = [moment + timedelta(microseconds=shift) for moment in changes for shift in (-1, 0, 1)]
    asked = [AT, *dice.sample(near, min(len(near), 12)), *(AT + (reach - AT) * dice.random() for _n in range(4))]
    for moment in asked:
        if moment >= reach or moment < quarter(AT):
            continue
        found = read(trusted.own, trusted.everything, artifact.own, moment)
        outcome = difference(of_artifact(artifact, moment), found.form)
        assert outcome.state == "equal", (seed, moment, outcome)
        doubted = read(untrusted.own, untrusted.everything, artifact.own, moment)
        assert difference(of_artifact(artifact, moment), doubted.form).state in ("equal", "narrower"), (seed, moment)
    for days in (0, 1, 100) if end else ():
        assert end is not None
        behind = end + timedelta(days=days, hours=dice.randint(0, 23))
        found = read(trusted.own, trusted.everything, artifact.own, behind)
        assert difference(of_artifact(artifact, behind), found.form).state in ("equal", "narrower"), (seed, behind)


# -- drift -------------------------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 25, 1, 0, tzinfo=UTC)  # a Wednesday, at night
HOSTS = [host("web-1", "app=shop,role=web", "10.0.0.9"), host("db-1", "app=shop,role=db", "10.0.0.1")]


def office_bundle(schedule: Schedule = OFFICE) -> Any:
    plain = bundle(
        HOSTS, ["r: allow role=web -> role=db : tcp/5432", "m: deny role=web -> role=db : tcp/22 tier=admin"]
    )

    def scheduled(policy: DirectionPolicy) -> DirectionPolicy:
        rules = (replace(one, schedule=schedule) if one.id == "r" else one for one in policy.rules)
        return replace(policy, rules=tuple(rules))

    return replace(
        plain, policies={key: (scheduled(pair[0]), scheduled(pair[1])) for key, pair in plain.policies.items()}
    )


def drifted(kernel: Kernel, tamper: str = "", at: datetime = NOW, trusted: bool = True) -> Any:
    """The drift of db-1 after somebody changed its table."""
    intended = office_bundle()
    artifact = intended.artifact("db-1")
    text = transaction(render(artifact, artifact.policy_digest(), NOW).payload, trusted)
    names = {name[0]: name for name in re.findall(r"set ([we]_\w+) \{", text)}
    steps = [tamper.replace("@W", f"inet microseg {names['w']}").replace("@E", f"inet microseg {names['e']}")]
    live = listed(kernel.prefix, text, *(step for step in steps if step))
    answer = {
        "hash": host_listing.canonical_hash(live.everything),
        "listing": host_listing.own(live.everything),
        "foreign": host_listing.foreign(live.everything),
        "record": {"policy_digest": artifact.policy_digest()},
    }
    state = understand(intended, {"db-1": answer}, at).states
    report = drift(intended, state, at, only=("db-1",))
    return report.points[0]


#: Thursday, 26 November 2026, 08:00 to 18:00 in Berlin.
LOW, HIGH = 1795676400, 1795712400
#: Somebody else's table that drops for a while on that day.
OTHER = """table inet other {
    chain c {
        type filter hook input priority 0;
        meta time 1795680000-1795681000 drop
    }
}"""


@pytest.mark.parametrize(
    ("tamper", "state", "moment"),
    [
        ("", "equal", ""),
        (f"delete element @W {{ {LOW}-{HIGH} }}", "narrower", "2026-11-26T07:00:00+00:00"),
        (f"delete element @W {{ {LOW}-{HIGH} }}\nadd element @W {{ {LOW - 3600}-{HIGH} }}", "wider",
         "2026-11-26T06:00:00+00:00"),
        (f"delete element @W {{ {LOW}-{HIGH} }}\nadd element @W {{ {LOW}-{HIGH + 1} }}", "wider",
         "2026-11-26T17:00:00.000001+00:00"),
        (f"add element @W {{ {LOW + 3 * 86400}-{HIGH + 3 * 86400} }}", "wider", "2026-11-29T07:00:00+00:00"),
        (f"delete element @E {{ {HIGH} }}", "wider", "2026-11-26T17:00:00+00:00"),
        ("flush set @E", "wider", ""),
        ("flush set @W", "narrower", "2026-11-25T07:00:00+00:00"),
        ("insert rule inet microseg input meta time >= 1804982400 accept", "wider", "2027-03-14T00:00:00+00:00"),
        (OTHER, "narrower", "2026-11-26T08:00:00+00:00"),
    ],
)  # fmt: skip
def test_a_tampered_window_is_drift_before_it_opens(kernel: Kernel, tamper: str, state: str, moment: str) -> None:
    found = drifted(kernel, tamper)

    assert (found.state, found.windows_until, found.ending) == (state, "2028-01-01", False), found
    if moment:
        assert datetime.fromisoformat(found.moment) == datetime.fromisoformat(moment).replace(microsecond=0), found


#: Far behind the windows of the schedules, which end on 1 January 2028.
FAR = 1900000000
FAR_OTHER = OTHER.replace("1795680000-1795681000", f"{FAR}-{FAR + 1000}")


@pytest.mark.parametrize(
    ("tamper", "state"),
    [
        (f"insert rule inet microseg input meta time >= {FAR} tcp dport 4444 accept", "wider"),
        (f"insert rule inet microseg input meta time {FAR}-{FAR + 10} tcp dport 4444 accept", "wider"),
        (f"insert rule inet microseg input meta time . tcp dport {{ {FAR}-{FAR + 9} . 4444 }} accept", "wider"),
        (f"add element @W {{ {FAR}-{FAR + 36000} }}", "wider"),
        (f"insert rule inet microseg input meta time >= {FAR} tcp dport 5432 drop", "equal"),
        (FAR_OTHER, "narrower"),
    ],
)  # fmt: skip
def test_a_moment_years_ahead_is_judged(kernel: Kernel, tamper: str, state: str) -> None:
    """Behind the windows what the schedule opens is closed anyway; all else is drift from the moment it is written."""
    found = drifted(kernel, tamper)

    assert found.state == state, found
    if state != "equal":
        assert datetime.fromisoformat(found.moment) == datetime.fromtimestamp(FAR, UTC), found
        assert found.cause != "windows"


GUARDED = "insert rule inet microseg input tcp dport 4444 meta nfproto != @clock"


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize(
    ("tamper", "state"),
    [
        (f"{GUARDED} accept", "wider"),
        (f"{GUARDED} meta time < 1000000000 accept", "wider"),
        (f"{GUARDED} meta time >= {FAR} accept", "wider"),
        (f"{GUARDED} drop", "equal"),
        ("insert rule inet microseg output meta nfproto != @clock drop", "unknown"),
    ],
)  # fmt: skip
def test_what_opens_while_the_clock_is_not_trusted_is_drift(
    kernel: Kernel, tamper: str, state: str, trusted: bool
) -> None:
    found = drifted(kernel, tamper, trusted=trusted)

    assert (found.state, found.cause == "clock") == (state, False), found
    if trusted and state != "equal":
        assert found.untrusted
        assert found.boxes[0].witness
        assert "while the clock is not trusted" in found.boxes[0].intended


def test_what_waits_for_a_trusted_clock_is_drift(kernel: Kernel) -> None:
    found = drifted(kernel, "insert rule inet microseg input tcp dport 4444 meta nfproto @clock accept", trusted=False)

    assert found.state == "wider", found


@pytest.mark.parametrize("seed", range(25))
def test_no_table_as_rendered_is_drift(kernel: Kernel, seed: int) -> None:
    """Behind its windows and without a trusted clock too, what was rendered is what is meant (`unsure`), exactly."""
    dice = random.Random(seed)
    artifact = random_artifact(dice)
    payload = render(artifact, artifact.policy_digest(), AT).payload
    live = listed(kernel.prefix, transaction(payload))
    end = horizon(artifact, AT)
    behind = (end or AT) + timedelta(days=dice.randint(0, 900), hours=dice.randint(0, 23))
    for moment, trusting in ((AT, False), (behind, False), *([(behind, True)] if end else [])):
        found = read(live.own, live.everything, artifact.own, moment, trusting)

        def doubtful(one: ArtifactRule, moment: datetime = moment, trusting: bool = trusting) -> bool:
            return unsure(one, moment, end, trusting)

        outcome = difference(of_artifact(artifact, moment, unsure=doubtful), found.form)
        assert outcome.state == "equal", (seed, moment, trusting, outcome)


def test_a_cut_horizon_is_drift(kernel: Kernel) -> None:
    last = int(datetime(2027, 12, 31, 7, tzinfo=UTC).timestamp())
    found = drifted(kernel, f"delete element @W {{ {last}-{last + 36000} }}")

    assert (found.state, found.moment) == ("narrower", "2027-12-31T07:00:00+00:00")


def test_windows_that_end_soon_are_a_finding(kernel: Kernel) -> None:
    soon = drifted(kernel, at=datetime(2027, 12, 10, tzinfo=UTC))
    over = drifted(kernel, at=datetime(2028, 1, 3, 8, tzinfo=UTC))

    assert (soon.state, soon.ending, soon.windows_until) == ("equal", True, "2028-01-01")
    assert (over.state, over.cause) == ("narrower", "windows")


def test_a_host_that_does_not_trust_its_clock_is_narrower_and_says_why(kernel: Kernel) -> None:
    open_now = datetime(2026, 11, 25, 10, tzinfo=UTC)

    assert drifted(kernel, at=open_now).state == "equal"
    found = drifted(kernel, at=open_now, trusted=False)
    assert (found.state, found.cause) == ("narrower", "clock")
    tampered = drifted(kernel, "insert rule inet microseg input tcp dport 9 accept", at=open_now, trusted=False)
    assert (tampered.state, tampered.cause) == ("mixed", "tampered")


def carried(kernel: Kernel, intended: Any, at: datetime) -> Any:
    """The states of hosts that carry what was rendered for them at NOW."""
    answers = {}
    for name in intended.points:
        artifact = intended.artifact(name)
        text = transaction(render(artifact, artifact.policy_digest(), NOW).payload)
        live = listed(kernel.prefix, text)
        answers[name] = {
            "hash": host_listing.canonical_hash(live.everything),
            "listing": host_listing.own(live.everything),
            "record": {"policy_digest": artifact.policy_digest()},
        }
    states = understand(intended, answers, at).states
    return {name: replace(state, control_path=ControlPath(CONTROLLER, 22)) for name, state in states.items()}


OPTIONS = PlanOptions(renderer="2", windows_until=horizon)


def test_a_plan_of_a_later_quarter_extends_the_windows_and_nothing_else(kernel: Kernel) -> None:
    intended, january = office_bundle(), datetime(2027, 1, 4, 2, tzinfo=UTC)

    assert make_plan(intended, intended, carried(kernel, intended, NOW), NOW, OPTIONS).empty
    plan = make_plan(intended, intended, carried(kernel, intended, january), january, OPTIONS)

    assert plan.body.kind == "repair"
    assert plan.evidence.extended == {"db-1": "2028-04-01", "web-1": "2028-04-01"}
    assert (plan.evidence.statements, plan.evidence.later, plan.body.changes, plan.body.timed) == ((), (), (), ())


def test_a_plan_against_real_tables_says_what_opens_in_the_morning(kernel: Kernel) -> None:
    old = office_bundle()
    longer = replace(OFFICE, seconds=OFFICE.seconds + 3600)
    new = office_bundle(longer)
    plan = make_plan(new, old, carried(kernel, old, NOW), NOW, OPTIONS)

    assert plan.evidence.statements == ()
    [later] = plan.evidence.later
    assert (later.moment, [one.verdict for one in later.statements]) == ("2026-11-25T17:00:00+00:00", ["allowed"])
    morning = NOW + timedelta(hours=9)
    assert plan.digest == make_plan(new, old, carried(kernel, old, morning), morning, OPTIONS).digest


def test_spans_of_a_listing_are_those_of_the_policy(kernel: Kernel) -> None:
    artifact = office_bundle().artifact("db-1")
    live = listed(kernel.prefix, transaction(render(artifact, "ab" * 32, NOW).payload))
    found = read(live.own, live.everything, artifact.own, NOW)
    wanted = spans(artifact.validities[0], NOW)

    assert found.windows_until == datetime(2028, 1, 1, tzinfo=UTC)
    assert not found.withheld
    inside = [pair for pair in wanted.intervals if pair[0] >= quarter(NOW).timestamp() * 10**6]
    assert set(found.times[0].intervals[:100]) == set(inside[:100])
