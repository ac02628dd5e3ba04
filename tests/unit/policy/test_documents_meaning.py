# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# ruff: noqa: E501  one case is one line

"""What documents mean once they are read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import selectors, services
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import parse_address, parse_prefix
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import Rejected
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.labels import Fact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.policy import (
    AddressPeer,
    AllWorkloadsPeer,
    AnyPeer,
    FqdnPeer,
    LabelPeer,
    MatchTarget,
    Policy,
    Rule,
    ScopePeer,
    TierGrant,
    WorkloadPeer,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.selectors import Selector
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import label_variables, loads

SETTINGS = "settings: {timezone: Europe/Berlin, labels: {app: {}, role: {}, env: {values: [prod, dev]}, pci: {}}}\n"


def policy(text: str) -> Policy:
    return loads({"policy.yml": text})[0]


def rule(text: str, extra: str = "") -> Rule:
    start = f"{SETTINGS}{extra}---\nscope: shop\nmatch: {{app: shop}}\nrulesets: [{{name: core, rules: [\n"
    return policy(f"{start}{{id: r, {text}}}]}}]\n").scopes[0].rulesets[0].rules[0]


def peer(text: str):
    written = rule(f"from: any, to: {text}, services: [any]", "ip_lists: {office: [198.51.100.0/24]}\n")
    return written.providers


def test_a_rule_without_further_words_is_an_allow_of_a_draft_in_tier_application():
    text = "scope: shop\nmatch: {app: shop}\nrulesets: [{name: core, rules: [{id: r, from: any, to: any, services: [any]}]}]"
    ruleset = policy(f"{SETTINGS}---\n{text}").scopes[0].rulesets[0]

    assert (ruleset.stage, ruleset.tier, ruleset.rules[0].action) == ("draft", "application", "allow")
    assert ruleset.rules[0].on_inexact == "refuse"


def test_a_draft_is_mentioned():
    _policy, findings = loads({"p.yml": f"{SETTINGS}---\nscope: a\nmatch: {{app: a}}\nrulesets: [{{name: x}}]\n"})

    assert [(finding.code, finding.severity, str(finding.where)) for finding in findings] == [
        ("W-DRAFT", "info", "p.yml:5")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scope", (ScopePeer(),)),
        ("all-workloads", (AllWorkloadsPeer(),)),
        ("any", (AnyPeer(),)),
        ("{role: web}", (LabelPeer(selectors.parse("role=web")),)),
        ('"role=web,env in (prod,dev),!pci"', (LabelPeer(selectors.parse("role=web,env in (prod,dev),!pci")),)),
        ('{env: [prod, dev], pci: "*"}', (LabelPeer(selectors.parse("env in (prod,dev),pci")),)),
        ("{app: 7}", (LabelPeer(selectors.parse("app=7")),)),
        ("{workload: web-1}", (WorkloadPeer("web-1"),)),
        ("{ip_list: office}", (AddressPeer((parse_prefix("198.51.100.0/24"),), "office"),)),
        ("{cidr: 10.0.0.0/8}", (AddressPeer((parse_prefix("10.0.0.0/8"),)),)),
        ('{cidr: "2001:db8::/32", zone: lab}', (AddressPeer((parse_prefix("2001:db8::/32", "lab"),)),)),
        ('{cidr: 10.0.0.0/8, zone: ""}', (AddressPeer((parse_prefix("10.0.0.0/8", ""),)),)),
        ("{fqdn: API.Example.com.}", (FqdnPeer("api.example.com"),)),
        ("[{role: web}, any, scope]", (LabelPeer(selectors.parse("role=web")), AnyPeer(), ScopePeer())),
        ("[any, any]", (AnyPeer(),)),
    ],
)
def test_every_form_of_a_peer_is_read(text, expected):
    assert peer(text) == expected


@pytest.mark.parametrize(
    ("written", "end"),
    [
        ("2026-12-31", datetime(2026, 12, 31, 23, 0, tzinfo=UTC)),
        ('"2026-12-31"', datetime(2026, 12, 31, 23, 0, tzinfo=UTC)),
        ("2027-06-30", datetime(2027, 6, 30, 22, 0, tzinfo=UTC)),
        ("2027-03-27", datetime(2027, 3, 27, 23, 0, tzinfo=UTC)),  # the night before the clocks change
        ("2027-03-28", datetime(2027, 3, 28, 22, 0, tzinfo=UTC)),  # a day of 23 hours
        ("2027-06-30T12:00:00", datetime(2027, 6, 30, 10, 0, tzinfo=UTC)),
        ("2027-06-30 12:00:00", datetime(2027, 6, 30, 10, 0, tzinfo=UTC)),
        ("2027-06-30T12:00:00Z", datetime(2027, 6, 30, 12, 0, tzinfo=UTC)),
        ("2027-06-30T12:00:00-05:00", datetime(2027, 6, 30, 17, 0, tzinfo=UTC)),
    ],
)
def test_a_date_ends_with_its_day_and_a_moment_without_offset_is_meant_in_the_zone_of_the_settings(written, end):
    assert rule(f"from: any, to: scope, services: [any], expires: {written}").expires == end


def test_settings_apply_whatever_file_they_stand_in():
    scope = "scope: a\nmatch: {app: a}\nrulesets: [{name: x, rules: [{id: r, from: any, to: scope, services: [db], expires: 2026-12-31}]}]"
    texts = {"a.yml": scope, "z.yml": f"{SETTINGS}services: {{db: [tcp/5432]}}"}

    read = loads(texts)[0].scopes[0].rulesets[0].rules[0]

    assert (read.services, read.expires) == (((5432, 5432),), datetime(2026, 12, 31, 23, 0, tzinfo=UTC))


def test_services_and_lists_may_name_others_in_any_order_and_depth():
    chain = ", ".join(f"s{number}: [s{number + 1}, tcp/{number}]" for number in range(1, 3000))
    lists = "ip_lists: {all: [office, {cidr: 10.0.0.0/8, zone: lab}], office: [198.51.100.1]}\n"

    read = policy(f"services: {{{chain}, s3000: [udp/53]}}\n{lists}")

    assert services.show(read.services["s1"]) == ["tcp/1-2999", "udp/53"]
    assert read.ip_lists["all"] == (parse_prefix("198.51.100.1"), parse_prefix("10.0.0.0/8", "lab"))


def test_settings_have_the_defaults_of_the_handbook():
    read = policy("modes: []").settings

    assert services.show(read.management_ports) == ["tcp/22", "tcp/5985-5986"]
    assert (read.timezone, read.max_shrink, read.controllers) == ("UTC", 0.01, ())


def test_settings_are_read():
    text = """\
settings:
  labels: {app: {required: true}, env: {values: [prod, dev]}}
  controllers: [10.0.0.5, "::ffff:10.0.0.6", 10.0.0.5]
  management_ports: [ssh]
  criticality: [{match: {env: prod}, weight: 5}]
  dependencies: [{to: {fqdn: ldap.example.com}, services: [tcp/636]}]
  max_shrink: 2.5%
  standing_approvals: [{kinds: [membership], max_eps: 200}]
  grants: [{scope: a, tiers: [admin]}, {scope: a, actions: [pass], peers: [all-workloads]}]
services: {ssh: [tcp/22, tcp/2222]}
---
scope: a
match: {app: a}
"""
    read = policy(text).settings

    assert read.labels["app"].required
    assert read.labels["env"].values == ("prod", "dev")
    assert read.controllers == (parse_address("10.0.0.5"), parse_address("10.0.0.6"))
    assert services.show(read.management_ports) == ["tcp/22", "tcp/2222"]
    assert [(str(item.match), item.weight) for item in read.criticality] == [("env=prod", 5.0)]
    assert read.dependencies[0].peer == FqdnPeer("ldap.example.com")
    assert read.max_shrink == 0.025
    assert (read.standing_approvals[0].kinds, read.standing_approvals[0].max_eps) == (("membership",), 200)
    assert read.grants == (TierGrant("a", ("admin",), ("pass",), ("all-workloads",)),)


@pytest.mark.parametrize(("written", "share"), [("1%", 0.01), ("0", 0.0), ("0.25", 0.25), ("100 %", 1.0), ("0.0", 0.0)])
def test_a_share_is_a_percentage_or_a_fraction(written, share):
    assert policy(f"settings: {{max_shrink: {written}}}").settings.max_shrink == share


def test_an_estate_scope_matches_everything():
    read = policy("scope: estate\nestate: true\nmatch: {}\nowners: [s]").scopes[0]

    assert (read.match, read.estate, read.owners) == (Selector(), True, ("s",))


def test_modes_are_said_for_both_directions_or_each():
    text = """\
modes:
  - {match: {app: shop, env: prod}, ingress: visibility, egress: idle}
  - {match: {workload: bastion-1}, mode: selective}
  - {match: "env!=prod", ingress: full}
"""
    read = policy(SETTINGS + text).modes

    assert [(mode.ingress, mode.egress) for mode in read] == [
        ("visibility", "idle"),
        ("selective", "selective"),
        ("full", None),
    ]
    assert read[1].match == MatchTarget(workload="bastion-1")
    assert read[2].match == MatchTarget(selector=selectors.parse("env!=prod"))


def test_workloads_have_facts_with_source_and_end():
    text = """\
workloads:
  - name: pc-1
    addresses: [10.0.3.1, "2001:db8::1"]
    zone: lab
    shared: true
    labels: {app: office, role: {value: pc, expires: "2026-12-01T00:00:00Z", source: edr}}
"""
    read = policy(SETTINGS + text).workloads[0]

    assert read.addresses == (parse_address("10.0.3.1", "lab"), parse_address("2001:db8::1", "lab"))
    assert read.labels == {
        "app": Fact("office", "workloads"),
        "role": Fact("pc", "edr", datetime(2026, 12, 1, tzinfo=UTC)),
    }
    assert (read.zone, read.shared, read.place.line) == ("lab", True, 3)


def test_service_addresses_map_points_of_the_service_line():
    text = "service_addresses: [{name: lb, address: 10.0.0.1, ports: {udp/53: udp/5353, tcp/443: tcp/8443}, members: {app: shop}, source: rewritten}]"
    read = policy(SETTINGS + text).service_addresses[0]

    assert read.ports == ((443, 8443), (0x10000 + 53, 0x10000 + 5353))
    assert (str(read.members), read.source) == ("app=shop", "rewritten")


def test_the_writer_with_most_conditions_comes_first_wherever_it_stands():
    broad, narrow = (
        "{match: {platform: aws}, writer: driver}",
        "{match: {platform: aws, account: 111111111111}, writer: terraform, stack: s}",
    )

    one, other = policy(f"writers: [{broad}, {narrow}]"), policy(f"writers: [{narrow}]\n---\nwriters: [{broad}]")

    assert [writer.writer for writer in one.writers] == ["terraform", "driver"]
    assert one.writers[0].match == (("account", "111111111111"), ("platform", "aws"))
    assert one.digest == other.digest


def test_a_guardrail_speaks_about_all_services_unless_it_says_which():
    text = "guardrails: [{id: g, never: {from: {env: dev}, to: {env: prod}}, except: {to: {role: log}, services: [tcp/6514]}, severity: critical}]"
    read = policy(SETTINGS + text).guardrails[0]

    assert read.services == services.ANY
    assert services.show(read.except_services) == ["tcp/6514"]
    assert (read.except_consumers, read.except_providers) == ((), (LabelPeer(selectors.parse("role=log")),))
    assert read.severity == "critical"


def test_a_test_is_a_sentence_between_names_or_addresses():
    text = """\
services: {pg: [tcp/5432]}
tests:
  - {allow: "web-1 -> db-1 pg, tcp/5433"}
  - {deny: "2001:db8::1 -> db-1 icmpv6/128.0", because: no pings}
"""
    read = policy(text).tests

    assert [(test.expect, test.consumer, test.provider) for test in read] == [
        ("allowed", "web-1", "db-1"),
        ("denied", "2001:db8::1", "db-1"),
    ]
    assert services.show(read[0].services) == ["tcp/5432-5433"]
    assert read[1].because == "no pings"


def test_an_anchor_may_stand_for_a_value_in_several_places():
    text = "---\nscope: a\nmatch: &m {app: a}\nrulesets: [{name: x, rules: [{id: r, from: *m, to: *m, services: &s [tcp/1]}, {id: q, from: any, to: *m, services: *s}]}]"
    rules = policy(SETTINGS + text).scopes[0].rulesets[0].rules

    assert rules[0].consumers == rules[1].providers == (LabelPeer(selectors.parse("app=a")),)


def test_dates_and_odd_numbers_stay_the_text_that_was_written():
    read = peer("{app: [2027-06-30, 0777, 12:30, 1_000, 0x1F]}")

    assert read == (LabelPeer(selectors.parse({"app": ["2027-06-30", "0777", "12:30", "1_000", "0x1F"]})),)


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("tags.Environment == 'production'", {"tags"}),
        ("@.tags.env", {"tags"}),
        ("tags && contains(tags.roles, 'web') || group_names[0] == 'x'", {"tags", "group_names"}),
        ("nics[?zone == 'dmz'].address | [0]", {"nics"}),
        ("sort_by(disks, &size)[0].name == root", {"disks", "root"}),
        ("{a: x.y, b: [z, !w]}", {"x", "z", "w"}),
        ("disks[*].{n: name}", {"disks"}),
        ("'constant'", set()),
        ('"odd-name".x', {"odd-name"}),
    ],
)
def test_only_the_variables_at_the_top_of_an_expression_are_asked_for(expression, names):
    read = policy(
        f"settings: {{labels: {{app: {{}}}}}}\nlabel_rules:\n  - set: {{app: x}}\n    when: |-\n      {expression}\n"
    )

    assert label_variables(read) == names


@pytest.mark.parametrize(
    "expression", ["@", "*.x", "keys(@)", "values(@)[0]", "[@][0].tags", "@ | keys(@)", "merge(@, `{}`)"]
)
def test_an_expression_over_all_variables_is_refused(expression):
    with pytest.raises(Rejected) as caught:
        policy(
            f"settings: {{labels: {{app: {{}}}}}}\nlabel_rules:\n  - set: {{app: x}}\n    when: |-\n      {expression}\n"
        )

    assert caught.value.code == "E-LABEL-RULE"
