# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""explain with its background: near misses, modes, enforcement points, git, flows, and the command that would allow."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from .conftest import Microseg


def told(microseg: Microseg, *words: str) -> dict:
    result = microseg("explain", *words, "--format", "json")
    assert result.code == 0, result.stderr
    return result.json


def without_guardrails(shop: Path) -> None:
    policy = shop / "policy" / "all.yml"
    policy.write_text(re.sub(r"(?m)^guardrails: .*$", "guardrails: []", policy.read_text()))


def next_command(microseg: Microseg, *words: str) -> str:
    return microseg("explain", *words).stdout.splitlines()[-1].removeprefix("Next   ")


@pytest.mark.parametrize(
    ("consumer", "provider", "service"),
    [
        ("batch-1", "db-1", "postgresql"),
        ("db-1", "web-1", "tcp/80"),
        ("192.0.2.7", "web-1", "udp/53"),
        ("web-1", "2001:db8::1", "icmpv6/128"),
        ("web-1", "192.0.2.9", "tcp/443"),
    ],
)
def test_the_next_command_of_a_denial_makes_it_allowed(
    microseg: Microseg, shop: Path, consumer: str, provider: str, service: str
) -> None:
    hosts = (
        (shop / "hosts.yml")
        .read_text()
        .replace("ansible_host: 10.0.0.1,", "microseg_addresses: [10.0.0.1, '2001:db8::9'],")
    )
    (shop / "hosts.yml").write_text(hosts)
    without_guardrails(shop)
    screen = microseg("explain", consumer, provider, service)
    assert "DENIED" in screen.stdout
    command = screen.stdout.splitlines()[-1].removeprefix("Next   ")
    words = shlex.split(command)
    assert words[:3] == ["microseg", "rule", "add"]

    assert microseg(*words[1:]).code == 0
    assert told(microseg, consumer, provider, service)["verdict"] == "allowed"


@pytest.mark.parametrize("head", ["stage: draft", "stage: staged", "stage: active\n    tier: baseline"])
def test_the_next_command_makes_a_ruleset_of_its_own_beside_one_that_would_not_do(
    microseg: Microseg, shop: Path, head: str
) -> None:
    policy = shop / "policy" / "all.yml"
    granted = "settings:\n  grants: [{scope: shop, tiers: [baseline]}]"
    policy.write_text(policy.read_text().replace("    stage: active\n", f"    {head}\n").replace("settings:", granted))
    words = shlex.split(next_command(microseg, "db-1", "web-1", "tcp/80"))

    assert words[-6:-2] == ["--ruleset", "allowed", "--stage", "active"]
    assert microseg(*words[1:]).code == 0
    assert told(microseg, "db-1", "web-1", "tcp/80")["verdict"] == "allowed"


@pytest.mark.parametrize("value", ["x,y", "a -> b", "a | b", "(a", "a : b", "any in x"])
def test_labels_that_the_short_form_cannot_say_are_left_to_the_name(microseg: Microseg, shop: Path, value: str) -> None:
    hosts = shop / "hosts.yml"
    hosts.write_text(hosts.read_text().replace("role: web", f"role: '{value}'"))
    policy = shop / "policy" / "all.yml"
    policy.write_text(policy.read_text().replace("id: web-to-db,", "id: web-to-db, allow_empty: true,"))
    words = shlex.split(next_command(microseg, "db-1", "web-1", "tcp/80"))

    assert microseg(*words[1:]).code == 0
    assert told(microseg, "db-1", "web-1", "tcp/80")["verdict"] == "allowed"


def test_what_a_guardrail_forbids_is_not_suggested(microseg: Microseg, shop: Path) -> None:
    data = told(microseg, "batch-1", "db-1", "tcp/22")

    assert (data["suggestion"], data["pull_request"], data["forbidden_by"]["id"]) == (None, None, "dev-never-to-prod")
    assert next_command(microseg, "batch-1", "db-1", "tcp/22") == (
        "read guardrail dev-never-to-prod in all.yml:19: while it stands, no rule may allow this"
    )


def test_where_a_guardrail_forbids_it_to_others_only_the_two_are_named(microseg: Microseg, shop: Path) -> None:
    hosts = shop / "hosts.yml"
    more = "    web-2: {ansible_host: 10.0.0.7, microseg_labels: {app: shop, role: web, env: prod, loc: lab}}\n"
    hosts.write_text(hosts.read_text() + more)
    policy = shop / "policy" / "all.yml"
    policy.write_text(
        policy.read_text()
        .replace("labels: {app", "labels: {loc: {}, app")
        .replace("never: {from: {env: dev}, to: {env: prod}}", "never: {from: any, to: {loc: lab}}")
    )

    assert told(microseg, "db-1", "web-1", "tcp/80")["suggestion"]["rule"] == (
        "allow workload db-1 -> workload web-1 : tcp/80"
    )


def test_in_a_scope_without_rules_a_suggestion_says_all_labels(microseg: Microseg, shop: Path) -> None:
    policy = shop / "policy" / "all.yml"
    head, _mark, rest = policy.read_text().partition("      - {id: web-to-db")
    policy.write_text(head.replace("    rules:\n", "    rules: []\n") + rest.partition("\n")[2])

    assert told(microseg, "db-1", "web-1", "tcp/80")["suggestion"]["rule"] == "allow role=db -> role=web : tcp/80"
    policy.write_text(
        policy.read_text()
        .replace("match: {app: shop, env: prod}", "estate: true\nmatch: {}")
        .replace("{required: true}", "{}")
    )
    assert told(microseg, "db-1", "web-1", "tcp/80")["suggestion"]["rule"] == (
        "allow app=shop,env=prod,role=db -> app=shop,env=prod,role=web : tcp/80"
    )


def test_a_deny_is_not_answered_with_one_more_allow(microseg: Microseg, shop: Path) -> None:
    policy = shop / "policy" / "all.yml"
    deny = "      - {id: never, action: deny, from: any, to: {role: db}, services: [any]}\n---\nguardrails"
    policy.write_text(policy.read_text().replace("---\nguardrails", deny))
    data = told(microseg, "web-1", "db-1", "tcp/5432")
    assert data["verdict"] == "denied"
    assert data["suggestion"] is None
    assert data["pull_request"] is None
    assert [(rule["rule"], rule["decides"]) for rule in data["rules"]["ingress"]] == [
        ("never@shop/core", True),
        ("web-to-db@shop/core", False),
    ]
    assert "Next   read never in all.yml" in microseg("explain", "web-1", "db-1", "tcp/5432").stdout


def test_rules_that_came_close_say_what_they_need(microseg: Microseg) -> None:
    (miss,) = told(microseg, "batch-1", "db-1", "tcp/5432")["near_misses"]
    assert miss["rule"] == "web-to-db@shop/core"
    assert miss["why"] == "from needs app=shop, env=prod, role=web; batch-1 has app=batch, env=dev, role=job"


def test_drafts_staged_rules_and_closed_windows_are_named(microseg: Microseg, shop: Path) -> None:
    with (shop / "policy" / "all.yml").open("a") as file:
        file.write("---\nscope: more\nmatch: {app: shop}\nrulesets:\n")
        for stage, extra in (("draft", ""), ("staged", ""), ("active", ", expires: 2020-01-01")):
            rule = f"{{id: by-{stage}, from: {{role: web}}, to: {{role: db}}, services: [tcp/99]{extra}}}"
            file.write(f"  - {{name: {stage}, stage: {stage}, rules: [{rule}]}}\n")
    data = told(microseg, "web-1", "db-1", "tcp/99")
    assert {miss["rule"].partition("@")[0]: miss["why"] for miss in data["near_misses"]} == {
        "by-draft": "is draft",
        "by-staged": "is staged",
        "by-active": "ended 2020-01-02 00:00Z",
    }
    assert data["with_staged"] == "allowed"
    assert set(data["with_staged_by"]) == {"by-staged@more/staged"}
    assert "with staged: allowed by by-staged" in microseg("explain", "web-1", "db-1", "tcp/99").stdout


@pytest.mark.parametrize(
    "condition",
    [
        "from: {role: web}, expires: 2020-01-01",
        'from: {role: web}, when: {schedule: "DTSTART:20260105T080000Z RRULE:FREQ=DAILY", duration: PT1H}',
        "from: {role: web, posture: ok}",
    ],
    ids=["ended", "closed", "out of date"],
)
def test_a_rule_that_only_waits_is_answered_with_a_grant_that_works(
    microseg: Microseg, shop: Path, condition: str
) -> None:
    policy = shop / "policy" / "all.yml"
    rule = f"      - {{id: waits, {condition}, to: {{role: db}}, services: [tcp/99]}}\n---\nguardrails"
    policy.write_text(
        policy.read_text().replace("---\nguardrails", rule).replace("labels: {app", "labels: {posture: {}, app")
    )
    observed = 'format: 1\nsource: edr\nobserved: "2026-11-24T06:00:00Z"\nttl: PT1H\nlabels: {web-1: {posture: ok}}\n'
    (shop / "edr.yml").write_text(observed)
    moment = ("--facts", "edr.yml", "--at", "2026-11-24T12:00:00Z")

    words = shlex.split(next_command(microseg, "web-1", "db-1", "tcp/99", *moment))

    assert words[:3] == ["microseg", "grant", "allow role=web -> role=db : tcp/99"]
    assert microseg(*words[1:], "--at", "2026-11-24T12:00:00Z", inventory=False).code == 0
    assert told(microseg, "web-1", "db-1", "tcp/99", *moment)["verdict"] == "allowed"
    later = (*moment[:2], "--at", "2026-11-24T14:00:00Z")
    assert told(microseg, "web-1", "db-1", "tcp/99", *later)["verdict"] == "denied"


def test_modes_and_enforcement_points(microseg: Microseg) -> None:
    data = told(microseg, "batch-1", "db-1", "tcp/5432")
    said = data["modes"]["ingress"]
    assert {mode: one["verdict"] for mode, one in said.items()} == {
        "idle": "allowed", "visibility": "allowed", "selective": "allowed", "full": "denied"
    }  # fmt: skip
    assert [one["rule"] for one in said.values()] == [None] * 4
    allowed = told(microseg, "web-1", "db-1", "tcp/5432")["modes"]["ingress"]
    assert [one["rule"] for one in allowed.values()] == [None, None, "web-to-db@shop/core", "web-to-db@shop/core"]
    assert [(point["side"], point["point"], point["mode"]) for point in data["points"]] == [
        ("egress", "batch-1", "idle"),
        ("ingress", "db-1", "full"),
    ]


def test_the_deciding_rule_is_blamed(microseg: Microseg, shop: Path) -> None:
    assert told(microseg, "web-1", "db-1", "tcp/5432")["blame"] == {}  # no repository
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for words in (["init", "-q"], ["add", "policy"], [*who, "commit", "-qm", "orders go to the database"]):
        subprocess.run(["git", *words], cwd=shop, check=True)
    blamed = told(microseg, "web-1", "db-1", "tcp/5432")["blame"]
    assert (blamed["egress"]["author"], blamed["egress"]["subject"]) == ("Ada", "orders go to the database")
    policy = shop / "policy" / "all.yml"
    policy.write_text(policy.read_text().replace("services: [postgresql]}", "services: [postgresql, tcp/1]}"))
    assert told(microseg, "web-1", "db-1", "tcp/5432")["blame"] == {"egress": None, "ingress": None}
    assert "not committed" in microseg("explain", "web-1", "db-1", "tcp/5432").stdout


def test_observed_flows_are_counted_with_their_coverage(microseg: Microseg, shop: Path) -> None:
    def flow(service: str, count: int, disposition: str) -> dict[str, object]:
        return {
            "consumer": "10.0.0.3", "consumer_zone": "", "provider": "10.0.0.2", "provider_zone": "",
            "service": service, "count": count, "first_seen": "2026-11-01T00:00:00+00:00",
            "last_seen": "2026-11-20T01:00:00+00:00", "sensor": "s", "disposition": disposition,
        }  # fmt: skip

    observed = {
        "format": 1,
        "flows": [flow("tcp/5432", 7, "allowed"), flow("tcp/5432", 2, "dropped"), flow("tcp/1", 1, "allowed")],
        "start": "2026-11-01T00:00:00+00:00", "end": "2026-11-21T00:00:00+00:00",
        "reported": ["db-1"], "expected": ["db-1", "web-1"], "loss": 0.01, "source": "test",
    }  # fmt: skip
    (shop / "flows.json").write_text(json.dumps(observed))
    without_guardrails(shop)
    data = told(microseg, "batch-1", "db-1", "tcp/5432", "--flows", "flows.json")
    assert (data["seen"]["flows"], data["seen"]["dropped"], data["seen"]["coverage"]) == (9, 2, 0.5)
    assert "9 flows, 2 of them dropped" in data["pull_request"]["body"]
    none = told(microseg, "web-1", "db-1", "tcp/5432", "--flows", "flows.json")["seen"]
    assert (none["flows"], none["last_seen"]) == (0, "")
    screen = microseg("explain", "batch-1", "db-1", "tcp/5432", "--flows", "flows.json").stdout
    assert "seen: 9 flows, 2 dropped" in screen
    assert all(len(line) <= 100 or line.startswith("Next") for line in screen.splitlines())
