# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""diff: exact against reach of both versions, empty for refactorings, and usable without an inventory."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import selectors
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import PolicyError, Rejected
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import subtraction
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.combinations import combinations
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.decide import Decider
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.difference import compare_policies
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import loads
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.imagined import compare_imagined
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.reach import Reach
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.compile import compile_bundle
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.diff import diff, diff_bundles
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import load

from ...semantics.fixtures import NOW, inputs_of, inventory_host
from ...support.policies import World, random_world


def pair_of_versions(seed: int) -> tuple[World, World]:
    """Two policies over one estate: the second drops, changes or adds rules."""
    before, after = random_world(seed), random_world(seed)
    chooser = random.Random(seed)
    for document in after.documents:
        for ruleset in document.get("rulesets", []):
            for rule in ruleset["rules"]:
                if chooser.random() < 0.4:
                    rule["services"] = [chooser.choice(["tcp/443", "any", "udp/53", "icmp"])]
            if chooser.random() < 0.3:
                ruleset["stage"] = "draft"
    return before, after


@pytest.mark.parametrize("seed", range(40))
def test_boxes_are_exactly_the_cells_of_reach_that_changed(seed: int) -> None:
    before, after = (inputs_of(world.documents, world.hosts) for world in pair_of_versions(seed))
    old, new = Decider(before.active, NOW), Decider(after.active, NOW)
    found = compare_policies(old, new, lambda _groups: "-", lambda end: end.name)
    claimed: dict[tuple, tuple] = {}
    for direction, boxes in (("allowed", found.newly_allowed), ("denied", found.newly_denied)):
        for box in boxes:
            for consumer in box.consumer_ends:
                for provider in box.provider_ends:
                    if consumer.name != provider.name:
                        key = (direction, consumer, provider)
                        assert not subtraction(claimed.get(key, ()), subtraction(claimed.get(key, ()), box.services))
                        claimed[key] = tuple(sorted((*claimed.get(key, ()), *box.services)))
    answers = Reach(old), Reach(new)
    cells = 0
    for consumer in before.estate.workloads.values():
        for provider in before.estate.workloads.values():
            if consumer is provider:
                continue
            for source in _ends(consumer):
                for target in _ends(provider):
                    if source.address.family == target.address.family:
                        first, second = answers[0].allowed(source, target), answers[1].allowed(source, target)
                        assert claimed.get(("allowed", source, target), ()) == subtraction(second, first)
                        assert claimed.get(("denied", source, target), ()) == subtraction(first, second)
                        cells += 1
    assert cells


def _ends(workload):
    from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.ends import ends_of

    return list(ends_of(workload))


SHOP = """
settings: {labels: {app: {}, role: {}, env: {}}}
---
scope: shop
match: {app: shop}
owners: [t]
rulesets:
  - {name: core, stage: active, rules: [{id: web-to-db, from: {role: web}, to: {role: db}, services: [%s]}]}
"""
REFACTORED = """
scope: shop
match: {app: shop}
owners: [t]
rulesets:
  - name: two
    stage: active
    rules:
      - {id: b, from: "role=web", to: "role in (db)", services: [tcp/5433]}
      - {id: a, from: {role: [web]}, to: {role: db}, services: [tcp/5432]}
---
settings: {labels: {env: {}, role: {}, app: {}}}
"""


def versions(tmp_path: Path, first: str, second: str) -> tuple[Path, Path]:
    for name, text in (("a", first), ("b", second)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.yml").write_text(text, encoding="utf-8")
    return tmp_path / "a", tmp_path / "b"


def test_without_an_inventory_a_refactoring_is_no_difference(tmp_path: Path) -> None:
    report = diff(*versions(tmp_path, SHOP % "tcp/5432-5433", REFACTORED))
    assert report.difference.empty
    assert report.basis == "label combinations"


def test_without_an_inventory_a_change_is_said_in_labels(tmp_path: Path) -> None:
    report = diff(*versions(tmp_path, SHOP % "tcp/5432", SHOP % "tcp/5433")).to_dict()
    allowed, denied = report["newly_allowed"], report["newly_denied"]
    assert [box["services"] for box in allowed] == [["tcp/5433"], ["tcp/5433"]]
    assert {box["family"] for box in allowed} == {"ipv4", "ipv6"}
    assert {(box["from"], box["to"]) for box in allowed + denied} == {("app=shop,role=web", "app=shop,role=db")}
    assert [box["services"] for box in denied] == [["tcp/5432"], ["tcp/5432"]]


def test_with_an_inventory_a_mode_change_is_a_difference(tmp_path: Path) -> None:
    mode = "\n---\nmodes: [{match: {app: shop}, mode: full}]\n"
    hosts = [
        inventory_host("web-1", {"labels": {"app": "shop", "role": "web"}, "addresses": ["10.0.0.1"]}),
        inventory_host("db-1", {"labels": {"app": "shop", "role": "db"}, "addresses": ["10.0.0.2"]}),
    ]
    report = diff(*versions(tmp_path, SHOP % "tcp/5432", SHOP % "tcp/5432" + mode), lambda _names, _timezone: hosts)
    assert report.basis == "inventory"
    assert not report.difference.newly_allowed
    assert any("tcp/0-5431" in box.to_dict()["services"] for box in report.difference.newly_denied)


def test_combinations_that_no_selector_tells_apart_are_one() -> None:
    found = combinations([selectors.parse({"app": "shop", "role": "web"}), selectors.parse("app=shop,env notin (dev)")])
    vectors = {
        tuple(
            bool(selector.matches({k: _fact(v) for k, v in labels.items()}, None))
            for selector in (
                selectors.parse({"app": "shop", "role": "web"}),
                selectors.parse("app=shop,env notin (dev)"),
            )
        )
        for labels in found
    }
    assert len(found) == len(vectors) == 4


def _fact(value):
    from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.labels import Fact

    return Fact(value)


def test_too_many_combinations_are_refused_with_a_way_out() -> None:
    many = [selectors.parse({"a": f"v{index}", "b": f"w{index % 97}"}) for index in range(200)]
    many += [selectors.parse({"b": f"w{index}"}) for index in range(97)] + [
        selectors.parse({"a": f"v{index}"}) for index in range(200)
    ]
    with pytest.raises(PolicyError) as refused:
        combinations(many)
    assert refused.value.code == "E-TOO-MANY-CLASSES"
    assert "-i" in refused.value.hint


@pytest.mark.parametrize("seed", range(6))
def test_two_bundles_differ_where_their_policies_do(seed: int) -> None:
    before, after = (inputs_of(world.documents, world.hosts) for world in pair_of_versions(seed))
    try:
        bundles = compile_bundle(before), compile_bundle(after)
    except Rejected as ambiguous:
        pytest.skip(f"optional: {ambiguous.code}")
    found = diff_bundles(*bundles, NOW).difference
    expected = compare_policies(
        Decider(before.active, NOW), Decider(after.active, NOW), lambda _groups: "-", lambda end: end.name
    )
    assert bool(found.newly_allowed) == bool(expected.newly_allowed)
    assert bool(found.newly_denied) == bool(expected.newly_denied)
    assert diff_bundles(bundles[0], bundles[0], NOW).difference.empty


FRONT = "service_addresses: [{name: lb, address: 10.0.0.100, ports: {tcp/443: tcp/5432}, members: {role: db}}]"
OUTSIDE = """
settings: {labels: {app: {}, role: {}, env: {}}, controllers: [203.0.113.7]%s}
---
scope: shop
match: {app: shop}
owners: [t]
rulesets:
  - name: core
    stage: active
    rules:
      - {id: web-to-db, from: {role: web}, to: {role: db}, services: [tcp/5432]}
      - {id: name, from: {role: web}, to: {fqdn: %s}, services: [tcp/443]}
      - {id: one, from: {role: web}, to: {cidr: 203.0.113.7/32}, services: [%s]}
"""


@pytest.mark.parametrize(
    ("first", "second", "consumers", "providers", "services"),
    [
        (("", "a.example", "tcp/25"), ("", "b.example", "tcp/25"), "app=shop,role=web", "fqdn b.example", ["tcp/443"]),
        (("", "a.example", "tcp/25"), ("", "a.example", "tcp/26"), "app=shop,role=web", "203.0.113.7", ["tcp/26"]),
        (
            (", management_ports: [tcp/22]", "a.example", "tcp/25"),
            (", management_ports: [tcp/22-23]", "a.example", "tcp/25"),
            "203.0.113.7 outside the estate",
            "all-workloads",
            ["tcp/23"],
        ),
    ],
    ids=["a name", "one address outside", "the failsafe"],
)
def test_without_an_inventory_nothing_outside_is_overlooked(
    tmp_path: Path, first: tuple, second: tuple, consumers: str, providers: str, services: list[str]
) -> None:
    report = diff(*versions(tmp_path, OUTSIDE % first, OUTSIDE % second)).to_dict()
    assert any(
        consumers in box["from"] and providers in box["to"] and box["services"] == services
        for box in report["newly_allowed"]
    ), report["newly_allowed"]
    assert diff(tmp_path / "a", tmp_path / "a").difference.empty


def test_without_an_inventory_a_service_address_is_a_difference(tmp_path: Path) -> None:
    text = SHOP % "tcp/5432"
    boxes = diff(*versions(tmp_path, text, f"{text}\n---\n{FRONT}\n")).to_dict()["newly_allowed"]
    assert [(box["from"].partition(" at ")[0], box["services"]) for box in boxes] == [
        ("app=shop,role=web", ["tcp/443"])
    ]
    assert "10.0.0.100" in boxes[0]["to"]


def test_a_small_change_of_a_big_policy_is_found_at_once(tmp_path: Path) -> None:
    """30 applications in 4 environments, 6 roles: minutes of work where every pair is asked."""
    scopes = [
        f"scope: a{app}-{env}\nmatch: {{app: a{app}, env: {env}}}\nowners: [t]\n"
        "rulesets:\n- name: core\n  stage: active\n"
        "  rules:\n"
        + "".join(
            f"  - {{id: r{n}, from: {{role: r{n}}}, to: {{role: r{n + 1}}}, services: [tcp/80]}}\n" for n in range(5)
        )
        + "  - {id: office, from: {ip_list: office}, to: {role: r0}, services: [tcp/443]}\n"
        for app in range(30)
        for env in ("prod", "stage", "dev", "test")
    ]
    shared = (
        "settings: {labels: {app: {}, role: {}, env: {}}}\n---\nip_lists: {office: [198.51.100.0/24, 10.2.0.0/16]}\n"
    )
    text = "---\n".join([shared, *scopes])
    begin = time.process_time()
    report = diff(*versions(tmp_path, text, text.replace("[tcp/80]", "[tcp/81]", 1))).to_dict()
    assert time.process_time() - begin < 60
    assert {tuple(box["services"]) for box in report["newly_allowed"]} == {("tcp/81",)}
    assert all("app=a0,env=prod,role=r1" in box["to"] for box in report["newly_allowed"])


TIMED = """
settings: {labels: {app: {}, role: {}, posture: {}}, user_groups: [dba]}
---
ip_lists: {office: [%(office)s]}
---
scope: shop
match: {app: shop}
owners: [t]
rulesets:
  - name: core
    stage: active
    rules:
      - {id: %(id)s, from: %(who)s, to: {role: db}, services: [%(services)s]%(more)s}
      - {id: office, from: {ip_list: office}, to: {role: web}, services: [tcp/443]}
"""
PLAIN = {"id": "r", "who": "{role: web}", "services": "tcp/80-81", "more": "", "office": "198.51.100.0/24"}
ASKED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)  # a Tuesday
NIGHT = ', when: {schedule: "DTSTART:20261101T%s0000 RRULE:FREQ=DAILY", duration: PT8H}'


@pytest.mark.parametrize("budget", [10**6, 0], ids=["diagrams", "classes"])
@pytest.mark.parametrize(
    ("first", "second", "allowed", "denied"),
    [
        ({}, {"more": ", expires: 2026-12-24"}, [], ["2026-12-25T00:00:00+00:00"]),
        ({"more": ", expires: 2029-01-01"}, {"more": ", expires: 2030-01-01"}, ["2029-01-02T00:00:00+00:00"], []),
        ({}, {"more": NIGHT % 22}, [], [None]),
        ({"more": NIGHT % 22}, {"more": NIGHT % 23}, ["2026-11-25T06:00:00+00:00"], ["2026-11-24T22:00:00+00:00"]),
        ({"more": NIGHT % 22}, {"more": NIGHT % 22}, [], []),
        ({}, {"who": "[{role: web}, {users: [dba]}]"}, [None], []),
        ({"who": "{role: web, posture: ok}"}, {"who": "{role: web}"}, [None], []),
        ({}, {"id": "renamed"}, [], []),
        ({}, {"services": "tcp/80, tcp/81"}, [], []),
        ({}, {"who": "[{role: web, posture: ok}, 'role=web,posture!=ok']"}, [], []),
        ({}, {"office": "198.51.100.0/25, 198.51.100.128/25"}, [], []),
        ({}, {"office": "198.51.100.0/25"}, [], [None]),
    ],
)
def test_time_conditions_and_rewritings_without_an_inventory(
    first: dict, second: dict, allowed: list, denied: list, budget: int
) -> None:
    old, new = (loads({"p.yml": TIMED % {**PLAIN, **change}})[0] for change in (first, second))
    found = compare_imagined(old, new, "active", ASKED, budget).to_dict()
    assert found["complete"]
    assert sorted({box["since"] for box in found["newly_allowed"]}, key=str) == allowed
    assert sorted({box["since"] for box in found["newly_denied"]}, key=str) == denied
    assert compare_imagined(old, new, "active", ASKED, budget).empty == (not allowed and not denied)


def test_policies_with_more_classes_than_can_be_listed_are_compared() -> None:
    """100 applications by 97 roles, each with rules of its own: 9,700 classes, and pairs of them."""
    lines = ["settings: {labels: {app: {}, role: {}}}", "---", "scope: all", "match: {}", "estate: true"]
    lines += ["owners: [t]", "rulesets: [{name: core, stage: active, rules: ["]
    for n in range(200):
        lines.append(f"  {{id: r{n}, from: {{app: a{n % 100}, role: r{n % 97}}}, to: {{app: a{n % 100}}},")
        lines.append(f"   services: [tcp/{n + 1}]}},")
        lines.append(f"  {{id: s{n}, from: {{role: r{n % 97}}}, to: {{app: a{n % 100}}}, services: [udp/{n + 1}]}},")
    text = "\n".join([*lines, "]}]"])
    old, new = (loads({"p.yml": one})[0] for one in (text, text.replace("tcp/150]", "tcp/9150]")))
    with pytest.raises(PolicyError) as refused:
        compare_imagined(old, new, "active", ASKED, budget=0)
    assert refused.value.code == "E-TOO-MANY-CLASSES"
    found = compare_imagined(old, new, "active", ASKED).to_dict()
    assert {(box["from"], box["to"], *box["services"]) for box in found["newly_allowed"]} == {
        ("app=a49,role=r52", "app=a49", "tcp/9150")
    }
    assert {tuple(box["services"]) for box in found["newly_denied"]} == {("tcp/150",)}


def test_with_an_inventory_an_end_of_a_rule_is_a_difference(tmp_path: Path) -> None:
    hosts = [
        inventory_host("web-1", {"labels": {"app": "shop", "role": "web"}, "addresses": ["10.0.0.1"]}),
        inventory_host("db-1", {"labels": {"app": "shop", "role": "db"}, "addresses": ["10.0.0.2"]}),
    ]
    mode = "\n---\nmodes: [{match: {app: shop}, mode: full}]\n"
    text = TIMED % PLAIN + mode
    paths = versions(tmp_path, text, text.replace("tcp/80-81]", "tcp/80-81], expires: 2026-12-24"))
    report = diff(*paths, lambda _names, _timezone: hosts, at=ASKED).to_dict()
    assert [box["since"] for box in report["newly_denied"]] == ["2026-12-25T00:00:00+00:00"]
    assert not report["newly_allowed"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"more": ", expires: 2026-12-24"}),
        ({"more": ", expires: 2029-01-01"}, {"more": ", expires: 2030-01-01"}),
        ({}, {"more": NIGHT % 22}),
        ({"more": NIGHT % 22}, {"more": NIGHT % 23}),
        ({"more": NIGHT % 22}, {"more": NIGHT % 22, "id": "renamed"}),
        ({"more": NIGHT % 22}, {"more": NIGHT % 22, "services": "tcp/80-82"}),
    ],
)
def test_two_bundles_are_compared_over_time_as_their_policies_are(tmp_path: Path, first: dict, second: dict) -> None:
    hosts = [
        inventory_host("web-1", {"labels": {"app": "shop", "role": "web"}, "addresses": ["10.0.0.1"]}),
        inventory_host("db-1", {"labels": {"app": "shop", "role": "db"}, "addresses": ["10.0.0.2"]}),
    ]
    mode = "\n---\nmodes: [{match: {app: shop}, mode: full}]\n"
    paths = versions(tmp_path, *(TIMED % {**PLAIN, **change} + mode for change in (first, second)))
    expected = diff(*paths, lambda _names, _timezone: hosts, at=ASKED).to_dict()
    bundles = (compile_bundle(load(path, lambda _names, _timezone: hosts, ASKED)) for path in paths)
    found = diff_bundles(*bundles, ASKED).to_dict()
    assert found["complete"]
    for key in ("newly_allowed", "newly_denied"):
        said = [[(box["since"], *box["services"]) for box in report[key]] for report in (expected, found)]
        assert said[0] == said[1]


def test_two_bundles_with_more_combinations_than_are_compared_say_so(tmp_path: Path) -> None:
    hosts = [
        inventory_host("web-1", {"labels": {"app": "shop", "role": "web"}, "addresses": ["10.0.0.1"]}),
        inventory_host("db-1", {"labels": {"app": "shop", "role": "db"}, "addresses": ["10.0.0.2"]}),
    ]
    rules = [
        f"      - {{id: d{day}, from: {{role: web}}, to: {{role: db}}, services: [tcp/{day}], "
        f"expires: {datetime.fromordinal(ASKED.toordinal() + day):%Y-%m-%d}}}"
        for day in range(1, 70)
    ]
    mode = "\n---\nmodes: [{match: {app: shop}, mode: full}]\n"
    text = "\n".join([TIMED % PLAIN, *rules]) + mode
    paths = versions(tmp_path, text, text.replace("tcp/80-81", "tcp/80"))
    bundles = [compile_bundle(load(path, lambda _names, _timezone: hosts, ASKED)) for path in paths]
    found = diff_bundles(*bundles, ASKED).to_dict()
    assert not found["complete"]
    assert [box["services"] for box in found["newly_denied"]] == [["tcp/81"]]
    assert diff_bundles(bundles[0], bundles[0], ASKED).difference.empty
    # With the inventory it is known which rules the change concerns: none of those that end.
    assert diff(*paths, lambda _names, _timezone: hosts, at=ASKED).to_dict()["complete"]


ONLY_AT_NIGHT = """
settings: {labels: {app: {}}}
---
modes: [{match: {app: shop}, mode: full}, {match: {app: crm}, ingress: idle, egress: %s}]
---
scope: shop
match: {app: shop}
owners: [t]
rulesets:
  - name: core
    stage: active
    rules: [{id: r, from: any, to: {app: shop}, services: [tcp/80]%s}]
"""


def test_a_change_of_one_end_is_seen_when_the_other_end_lets_it_through(tmp_path: Path) -> None:
    """At noon the provider denies, so that the consumer's new mode changes nothing."""
    hosts = [
        inventory_host("crm-1", {"labels": {"app": "crm"}, "addresses": ["10.0.0.1"]}),
        inventory_host("shop-1", {"labels": {"app": "shop"}, "addresses": ["10.0.0.2"]}),
    ]
    paths = versions(tmp_path, *(ONLY_AT_NIGHT % (mode, NIGHT % 22) for mode in ("full", "idle")))
    report = diff(*paths, lambda _names, _timezone: hosts, at=ASKED).to_dict()
    assert [(box["to"], *box["services"], box["since"]) for box in report["newly_allowed"] if "shop" in box["to"]] == [
        ("app=shop", "udp/68", "udp/546", None),  # the failsafe of the provider
        ("app=shop", "tcp/80", "2026-11-24T22:00:00+00:00"),
    ]


def test_two_addresses_of_one_workload_hide_no_other_workload_of_its_class(tmp_path: Path) -> None:
    hosts = [
        inventory_host("a", {"labels": {"app": "shop"}, "addresses": ["10.0.0.1", "10.0.0.2"]}),
        inventory_host("b", {"labels": {"app": "shop"}, "addresses": ["10.0.0.3"]}),
    ]
    text = (
        "settings: {labels: {app: {}}}\n---\nmodes: [{match: {app: shop}, mode: full}]\n---\nscope: shop\n"
        "match: {app: shop}\nowners: [t]\nrulesets:\n  - name: core\n    stage: active\n"
        "    rules: [{id: r, from: {app: shop}, to: {app: shop}, services: [%s]}]\n"
    )
    paths = versions(tmp_path, text % "tcp/80", text % "tcp/81")
    report = diff(*paths, lambda _names, _timezone: hosts, at=ASKED).to_dict()
    assert [(box["services"], box["pairs"]) for box in report["newly_allowed"]] == [(["tcp/81"], 2)]
    assert [(box["services"], box["pairs"]) for box in report["newly_denied"]] == [(["tcp/80"], 2)]
    assert {*report["newly_allowed"][0]["witness"].values()} == {"a", "b", "tcp/81"}
