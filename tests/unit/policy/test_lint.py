# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every finding of lint, planted and found; and its near neighbours, which are none."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import parse_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.edges import Coverage, Edges
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.services import parse
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.lint import LintReport, lint
from tests.semantics.fixtures import inputs_of

NOW = dt.datetime(2026, 11, 24, 12, 0, tzinfo=dt.UTC)
SETTINGS = {"labels": {key: {} for key in ("app", "role", "env")}, "controllers": ["10.9.9.9"]}
HOSTS: dict[str, dict[str, Any]] = {
    f"{app}-{role}-{number}": {
        "labels": {"app": app, "role": role, "env": "prod"},
        "addresses": [f"10.0.{index}.{number}", f"2001:db8:{index}::{number}"],
    }
    for index, (app, role) in enumerate([("shop", "web"), ("shop", "db"), ("crm", "web"), ("crm", "db")], 1)
    for number in (1, 2)
}


def rule(name: str, source: Any, target: Any, services: Any = "tcp/443", **words: Any) -> dict[str, Any]:
    told = {"reason": "needed", "owner": "team", **words}
    return {
        "id": name,
        "from": source,
        "to": target,
        "services": [services] if isinstance(services, str) else services,
        **told,
    }


def ruleset(*rules: dict[str, Any], tier: str = "application", stage: str = "active") -> dict[str, Any]:
    return {"name": f"{tier}-{stage}", "tier": tier, "stage": stage, "rules": list(rules)}


def estate(*rulesets: dict[str, Any]) -> dict[str, Any]:
    return {"scope": "estate", "estate": True, "match": {}, "owners": ["ops"], "rulesets": list(rulesets)}


def linted(
    *documents: dict[str, Any],
    hosts: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    **options: Any,
) -> LintReport:
    everything = [{"settings": {**SETTINGS, **(settings or {})}}, *documents]
    return lint(inputs_of(everything, HOSTS if hosts is None else hosts, NOW), **options)


def found(report: LintReport) -> set[tuple[str, str]]:
    """(code, rule), without what the made-up policies are not about."""
    return {(one.code, one.rule.partition("@")[0]) for one in report.findings} - {("W-DRAFT", "")}


def one(report: LintReport, code: str) -> Any:
    chosen = [item for item in report.findings if item.code == code]
    assert len(chosen) == 1, [item.message for item in report.findings]
    return chosen[0]


WEB, DB, SHOP = {"role": "web"}, {"role": "db"}, {"app": "shop"}


class TestRulesThatDecideNothing:
    def test_an_allow_under_a_union_of_denies_is_shadowed_by_both(self) -> None:
        report = linted(
            estate(
                ruleset(
                    rule("low", WEB, DB, "tcp/1-500", action="deny"),
                    rule("high", WEB, DB, "tcp/400-900", action="deny"),
                    tier="admin",
                ),
                ruleset(
                    rule("dead", {"app": "shop", "role": "web"}, DB, "tcp/300-800"),
                    rule("alive", WEB, DB, "tcp/900-901"),
                ),
            )
        )

        finding = one(report, "W-SHADOWED")
        assert finding.rule.startswith("dead@")
        assert set(finding.evidence["by"]) == {"low@estate/admin-active", "high@estate/admin-active"}
        assert {"W-SHADOWED"} == {code for code, name in found(report) if name == "dead"}

    def test_a_pass_above_brings_a_rule_back(self) -> None:
        admin = ruleset(rule("deny", WEB, DB, action="deny"), rule("lift", SHOP, DB, action="pass"), tier="admin")
        report = linted(
            estate(admin, ruleset(rule("lives", {**SHOP, **WEB}, DB), rule("dead", {"app": "crm", **WEB}, DB)))
        )

        assert one(report, "W-SHADOWED").rule.startswith("dead@")

    def test_what_the_failsafe_decides_anyway_is_shadowed_by_it(self) -> None:
        report = linted(
            estate(ruleset(rule("no-ssh", {"cidr": "10.9.9.9"}, {"workload": "shop-db-1"}, "tcp/22", action="deny")))
        )

        assert one(report, "W-SHADOWED").evidence["by"] == ["failsafe"]

    def test_a_deny_that_covers_only_for_a_while_shadows_nothing(self) -> None:
        deny = rule("deny", WEB, DB, action="deny", expires="2027-03-01")

        assert found(linted(estate(ruleset(deny, tier="admin"), ruleset(rule("later", WEB, DB))))) == set()

    def test_schedules_that_together_are_always_open_shadow(self) -> None:
        def half(name: str, hour: int) -> dict[str, Any]:
            start = f"DTSTART;TZID=UTC:20260101T{hour:02}0000\nRRULE:FREQ=DAILY"
            return rule(name, WEB, DB, action="deny", when={"schedule": start, "duration": "PT12H"})

        both = linted(estate(ruleset(half("day", 6), half("night", 18), tier="admin"), ruleset(rule("dead", WEB, DB))))
        day = linted(estate(ruleset(half("day", 6), tier="admin"), ruleset(rule("at-night", WEB, DB))))

        assert len(one(both, "W-SHADOWED").evidence["by"]) == 2
        assert found(day) == set()

    def test_of_two_equal_rules_one_is_redundant(self) -> None:
        report = linted(estate(ruleset(rule("first", WEB, DB), rule("second", WEB, DB))))

        assert found(report) == {("W-REDUNDANT", "second")}

    def test_a_union_in_a_lower_tier_makes_redundant_but_not_both_of_a_pair(self) -> None:
        report = linted(
            estate(
                ruleset(rule("narrow", {**SHOP, **WEB}, DB), tier="admin"),
                ruleset(rule("shops", SHOP, DB), rule("crms", {"app": "crm"}, DB), rule("all", {"env": "prod"}, DB)),
            )
        )

        assert {name for code, name in found(report) if code == "W-REDUNDANT"} == {"narrow", "shops", "crms"}

    def test_the_default_makes_no_deny_redundant(self) -> None:
        assert found(linted(estate(ruleset(rule("explicit", WEB, DB, action="deny"))))) == set()

    def test_a_deny_with_another_reply_is_not_the_same(self) -> None:
        quiet = rule("quiet", WEB, {"workload": "shop-db-1"}, action="deny")
        reply = rule("reply", WEB, DB, action="deny", reject=True)

        assert found(linted(estate(ruleset(quiet, reply)))) == set()

    def test_drafts_are_judged_as_if_added_and_shadow_nothing_in_force(self) -> None:
        report = linted(
            estate(
                ruleset(rule("deny", WEB, DB, action="deny"), tier="admin", stage="draft"),
                ruleset(rule("live", WEB, DB)),
                ruleset(rule("copy", {**SHOP, **WEB}, DB), stage="draft"),
            )
        )

        finding = one(report, "W-SHADOWED")
        assert (finding.rule.partition("@")[0], finding.stage) == ("copy", "draft")

    def test_rules_to_names_are_left_alone(self) -> None:
        assert (
            found(linted(estate(ruleset(rule("out", WEB, {"fqdn": "api.example.com"}), rule("any", WEB, "any")))))
            == set()
        )


def test_denies_over_allows_of_another_owner_are_conflicts() -> None:
    deny = rule("deny", WEB, DB, action="deny", owner="security")
    report = linted(
        estate(
            ruleset(deny, rule("allow", SHOP, DB, owner="shop"), rule("own", SHOP, DB, "tcp/80-443", owner="security"))
        )
    )

    finding = one(report, "W-CONFLICT")
    assert finding.rule.startswith("deny@")
    assert [item["rule"] for item in finding.evidence["overruled"]] == ["allow@estate/application-active"]
    assert finding.evidence["overruled"][0]["packet"]["service"] == "tcp/443"


def test_a_conflict_that_a_higher_tier_settles_is_none() -> None:
    deny = rule("deny", WEB, DB, action="deny", owner="security")
    admin = ruleset(rule("settled", WEB, DB, owner="boss"), tier="admin")
    report = linted(estate(admin, ruleset(deny, rule("allow", SHOP, DB, owner="shop"))))

    assert "W-CONFLICT" not in {code for code, _rule in found(report)}


class TestBroadRules:
    def test_anybody_to_anybody(self) -> None:
        report = linted(
            estate(ruleset(rule("open", "any", "all-workloads", "tcp"), rule("ping", "any", "any", "icmp/8")))
        )

        assert found(report) == {("W-ANY-ANY", "open")}

    def test_every_service_between_large_groups(self) -> None:
        many = {
            f"w{n}": {"labels": {"app": "a", "role": ("web", "db")[n % 2]}, "addresses": [f"10.1.0.{n}"]}
            for n in range(1, 41)
        }
        report = linted(estate(ruleset(rule("wide", WEB, DB, "any"))), hosts=many)

        assert one(report, "W-ANY-SERVICE").evidence == {"consumers": 20, "providers": 20}
        assert found(linted(estate(ruleset(rule("few", WEB, DB, "any"))))) == set()


class TestSelectorsAndLabels:
    def test_a_dead_element_beside_a_live_one(self) -> None:
        report = linted(estate(ruleset(rule("half", [WEB, {"role": "cache"}], DB))))

        assert found(report) == {("W-DEAD-SELECTOR", "half")}

    def test_a_value_one_letter_from_one_in_use(self) -> None:
        report = linted(estate(ruleset(rule("slip", {"env": ["prod", "pord"]}, DB))))

        finding = one(report, "W-LABEL-TYPO")
        assert (finding.evidence["written"], finding.evidence["near"]) == ("pord", "prod")

    def test_a_key_one_letter_from_one_in_use(self) -> None:
        labels = {"labels": {**SETTINGS["labels"], "roles": {}}}
        report = linted(estate(ruleset(rule("slip", "role=web,!roles", DB))), settings=labels)

        assert one(report, "W-LABEL-TYPO").evidence["change"] == "roles -> role"

    def test_a_label_rule_with_a_slip(self) -> None:
        report = linted(
            {"label_rules": [{"set": {"env": "prood"}, "group": "nobody"}]}, estate(ruleset(rule("r", WEB, DB)))
        )

        assert one(report, "W-LABEL-TYPO").evidence["near"] == "prod"

    def test_a_rare_value_of_the_inventory_beside_a_frequent_one(self) -> None:
        hosts = {
            f"w{n}": {"labels": {"app": "shop", "role": "web"}, "addresses": [f"10.1.0.{n}"]} for n in range(1, 13)
        }
        hosts["odd"] = {"labels": {"app": "shp", "role": "db"}, "addresses": ["10.1.1.1"]}
        report = linted(estate(ruleset(rule("r", WEB, DB))), hosts=hosts)

        assert one(report, "W-LABEL-TYPO").evidence["workloads"] == ["odd"]

    def test_numbered_values_are_no_slips(self) -> None:
        hosts = {
            f"w{n}": {"labels": {"app": "shop1", "role": "web"}, "addresses": [f"10.1.0.{n}"]} for n in range(1, 13)
        }
        hosts["odd"] = {"labels": {"app": "shop2", "role": "db"}, "addresses": ["10.1.1.1"]}

        assert found(linted(estate(ruleset(rule("r", WEB, DB))), hosts=hosts)) == set()


class TestTime:
    @pytest.mark.parametrize(("days", "said"), [(29, True), (31, False)])
    def test_what_ends_within_thirty_days(self, days: int, said: bool) -> None:
        end = (NOW + dt.timedelta(days=days)).isoformat()
        report = linted(estate(ruleset(rule("ends", WEB, DB, expires=end))))

        assert found(report) == ({("W-RULE-ENDS", "ends")} if said else set())

    def test_what_has_ended(self) -> None:
        assert found(linted(estate(ruleset(rule("over", WEB, DB, expires="2026-11-01"))))) == {
            ("W-RULE-EXPIRED", "over")
        }

    def test_a_schedule_that_opens_no_more(self) -> None:
        past = {"schedule": "DTSTART;TZID=UTC:20250101T000000\nRRULE:FREQ=DAILY;COUNT=3", "duration": "PT1H"}
        leap = {
            "schedule": "DTSTART;TZID=UTC:20240229T000000\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
            "duration": "PT1H",
        }
        report = linted(estate(ruleset(rule("past", WEB, DB, when=past), rule("leap", DB, WEB, when=leap))))

        assert found(report) == {("W-NEVER-OPENS", "past")}

    def test_a_schedule_whose_next_window_is_behind_the_end(self) -> None:
        late = {"schedule": "DTSTART;TZID=UTC:20270601T000000", "duration": "PT1H"}
        report = linted(estate(ruleset(rule("late", WEB, DB, when=late, expires="2027-05-01"))))

        assert found(report) == {("W-NEVER-OPENS", "late")}


class TestPeople:
    def test_no_owner_and_no_reason(self) -> None:
        nobody = {**estate(ruleset(rule("r", WEB, DB, owner="", reason=""))), "owners": []}

        assert found(linted(nobody)) == {("W-NO-OWNER", "r"), ("W-NO-REASON", "r")}

    def test_drafts_need_neither(self) -> None:
        nobody = {**estate(ruleset(rule("r", WEB, DB, owner="", reason=""), stage="draft")), "owners": []}

        assert found(linted(nobody)) == set()

    @pytest.mark.parametrize(("owner", "asked"), [("shop", False), ("crm", True), ("crm-lead", True)])
    def test_the_owner_of_a_rule_about_another_scope_must_be_one_of_its(self, owner: str, asked: bool) -> None:
        shop = {
            "scope": "shop",
            "match": SHOP,
            "owners": ["shop"],
            "rulesets": [ruleset(rule("out", WEB, {"app": "crm", "role": "db"}, owner=owner))],
        }
        crm = {"scope": "crm", "match": {"app": "crm"}, "owners": ["crm", "crm-lead"], "rulesets": []}
        codes = {code for code, _rule in found(linted(shop, crm))}

        assert ("W-OTHER-SCOPE" in codes) is not asked


class TestFamilies:
    def test_a_deny_by_ipv4_of_a_workload_with_both(self) -> None:
        deny = ruleset(rule("deny", {"cidr": "10.0.1.0/24"}, DB, action="deny"), tier="admin")
        finding = one(linted(estate(deny, ruleset(rule("allow", WEB, DB)))), "W-ONE-FAMILY")

        assert finding.rule.startswith("deny@")
        assert finding.evidence["verdict_of_other_family"] == "allowed"

    def test_an_allow_by_ipv6(self) -> None:
        finding = one(linted(estate(ruleset(rule("six", WEB, {"cidr": "2001:db8:2::/48"})))), "W-ONE-FAMILY")

        assert (finding.evidence["family"], finding.evidence["verdict_of_other_family"]) == ("ipv6", "denied")

    @pytest.mark.parametrize(
        ("source", "services", "why"),
        [
            (WEB, "icmp", "services are ipv4 only"),
            ({"cidr": "192.0.2.0/24"}, "tcp/443", "from has ipv4 only"),
            ({"cidr": "192.0.2.0/24"}, "icmpv6", "from has ipv4 only"),
            ("any", "icmp", "services are ipv4 only"),
            ("any", ["icmp/8.0", "icmp/3.4"], "services are ipv4 only"),
            ({"workload": "four"}, "tcp/443", "from has ipv4 only"),
        ],
    )
    @pytest.mark.parametrize("turned", [False, True])
    def test_a_rule_whose_sides_and_services_share_no_family(
        self, source: Any, services: Any, why: str, turned: bool
    ) -> None:
        """The databases have IPv6 only."""
        labels = {"app": "shop", "env": "prod", "role": "db"}
        six = {f"six-{number}": {"labels": labels, "addresses": [f"2001:db8:9::{number}"]} for number in (1, 2)}
        four = {"four": {"labels": {**labels, "role": "old"}, "addresses": ["10.0.9.9"]}}
        webs = {name: host for name, host in HOSTS.items() if "web" in name}
        sides = (DB, source) if turned else (source, DB)
        finding = one(
            linted(estate(ruleset(rule("r", *sides, services))), hosts={**webs, **six, **four}), "W-NO-PACKET"
        )

        assert finding.rule.startswith("r@")
        assert (why.replace("from has", "to has") if turned else why) in finding.message

    @pytest.mark.parametrize(
        ("source", "services"),
        [
            (WEB, ["icmp", "icmpv6"]),
            (WEB, "tcp/443"),
            ([{"cidr": "192.0.2.0/24"}, {"cidr": "2001:db8:5::/48"}], "tcp/443"),
            ("any", "icmpv6"),
            ({"role": "nobody"}, "icmp"),
        ],
    )
    def test_one_shared_family_is_enough(self, source: Any, services: Any) -> None:
        labels = {"app": "shop", "env": "prod", "role": "db"}
        six = {f"six-{number}": {"labels": labels, "addresses": [f"2001:db8:9::{number}"]} for number in (1, 2)}
        webs = {name: host for name, host in HOSTS.items() if "web" in name}
        report = linted(estate(ruleset(rule("r", source, DB, services))), hosts={**webs, **six})

        assert "W-NO-PACKET" not in {code for code, _rule in found(report)}

    def test_both_families_named_or_decided_alike_are_none(self) -> None:
        both = rule("both", WEB, [{"cidr": "2001:db8:2::/48"}, {"cidr": "10.0.2.0/24"}])
        alike = [
            rule("four", WEB, {"cidr": "10.0.4.0/24"}, "tcp/80"),
            rule("six", WEB, {"cidr": "2001:db8:4::/48"}, "tcp/80"),
        ]

        assert found(linted(estate(ruleset(both, *alike)))) == set()


MODES = {"modes": [{"match": SHOP, "mode": "full"}]}
NEEDS = {"dependencies": [{"to": {"cidr": "10.0.0.53"}, "services": ["udp/53"]}]}


class TestDependencies:
    def test_a_missing_allow(self) -> None:
        finding = one(linted(MODES, estate(ruleset(rule("r", WEB, DB))), settings=NEEDS), "W-DEPENDENCY-CUT")

        assert (finding.severity, finding.rule) == ("error", "")
        assert finding.evidence["workload_count"] == 4

    def test_a_deny_is_named(self) -> None:
        dns = rule("dns", "all-workloads", {"cidr": "10.0.0.53"}, "udp/53")
        deny = ruleset(rule("no-udp", {"role": "db"}, "any", "udp", action="deny"), tier="admin")
        finding = one(linted(MODES, estate(deny, ruleset(dns)), settings=NEEDS), "W-DEPENDENCY-CUT")

        assert finding.rule.startswith("no-udp@")
        assert finding.evidence["workloads"] == ["shop-db-1", "shop-db-2"]

    def test_open_or_not_enforced_is_none(self) -> None:
        dns = rule("dns", SHOP, {"cidr": "10.0.0.53"}, "udp/53")
        idle = linted(estate(ruleset(rule("r", WEB, DB))), settings=NEEDS)

        assert found(linted(MODES, estate(ruleset(dns)), settings=NEEDS)) == set()
        assert found(idle) == set()


def flows(*seen: tuple[str, str, str], reported: int = len(HOSTS), days: int = 30, loss: float = 0.0) -> Edges:
    names = tuple(HOSTS)
    ends: dict[Any, int] = {}
    columns = [
        [ends.setdefault(parse_address(HOSTS[flow[side]]["addresses"][0]), len(ends)) for flow in seen]
        for side in (0, 1)
    ]
    count = len(seen)
    return Edges(
        consumer=np.array(columns[0], np.int32),
        provider=np.array(columns[1], np.int32),
        service=np.array([parse(flow[2])[0][0] for flow in seen], np.int64),
        count=np.full(count, 7, np.int64),
        first=np.zeros(count, np.int64),
        last=np.zeros(count, np.int64),
        dropped=np.zeros(count, np.bool_),
        sensor=np.zeros(count, np.int32),
        ends=tuple(ends),
        sensors=("test",),
        coverage=Coverage(NOW - dt.timedelta(days=days), NOW, names[:reported], names, loss, "test"),
    )


class TestUse:
    RULES = estate(ruleset(rule("used", WEB, DB, "tcp/1-1000"), rule("idle", DB, WEB)))

    def test_unused_and_broad_rules(self) -> None:
        report = linted(
            self.RULES, edges=flows(("shop-web-1", "shop-db-1", "tcp/443"), ("crm-web-1", "crm-db-1", "tcp/443"))
        )

        assert found(report) == {("W-STALE", "idle"), ("W-OVER-BROAD", "used")}
        evidence = one(report, "W-OVER-BROAD").evidence
        assert (evidence["pairs"], evidence["used_pairs"]) == (16, 2)
        assert (evidence["service_points"], evidence["used_services"], evidence["flows"]) == (1000, ["tcp/443"], 14)

    @pytest.mark.parametrize("thin", [{"reported": 6}, {"days": 3}, {"loss": 0.2}])
    def test_no_data_is_not_no_traffic(self, thin: dict[str, Any]) -> None:
        report = linted(self.RULES, edges=flows(("shop-web-1", "shop-db-1", "tcp/443"), **thin))

        assert found(report) == set()
        assert (report.use_judged, bool(report.use)) == (False, True)

    def test_without_flows_nothing_is_said(self) -> None:
        assert found(linted(self.RULES)) == set()


class TestWaivers:
    @staticmethod
    def waiver(code: str, until: str) -> dict[str, str]:
        return {"code": code, "reason": "moves next week", "until": until}

    def test_a_waiver_takes_a_finding_out_until_its_end(self) -> None:
        second = rule("second", WEB, DB, waivers=[self.waiver("W-REDUNDANT", "2026-12-24")])
        report = linted(estate(ruleset(rule("first", WEB, DB), second)))

        assert (found(report), report.ok) == (set(), True)
        assert [(one.code, one.rule) for one in report.waived] == [("W-REDUNDANT", "second@estate/application-active")]
        assert report.to_dict()["waived"][0]["waived_because"] == "moves next week"

    def test_an_expired_waiver_is_told_and_the_finding_is_back(self) -> None:
        second = rule("second", WEB, DB, waivers=[self.waiver("W-REDUNDANT", "2026-11-01")])
        report = linted(estate(ruleset(rule("first", WEB, DB), second)))

        assert found(report) == {("W-REDUNDANT", "second"), ("W-WAIVER-EXPIRED", "second")}

    @pytest.mark.parametrize("code", ["W-SHADOWED", "W-SHADOWD"])
    def test_a_waiver_that_waives_nothing(self, code: str) -> None:
        report = linted(estate(ruleset(rule("r", WEB, DB, waivers=[self.waiver(code, "2027-01-01")]))))

        assert found(report) == {("W-WAIVER-UNUSED", "r")}

    def test_a_waiver_for_a_code_that_lint_does_not_know(self) -> None:
        report = linted(estate(ruleset(rule("r", WEB, DB, waivers=[self.waiver("W-PLAN-ONLY", "2027-01-01")]))))

        finding = one(report, "W-WAIVER-UNUSED")
        assert "neither lint nor check says that about a rule" in finding.message

    @pytest.mark.parametrize("code", ["W-STALE", "W-OVER-BROAD"])
    def test_waivers_for_what_was_not_looked_at_are_left_alone(self, code: str) -> None:
        assert found(linted(estate(ruleset(rule("r", WEB, DB, waivers=[self.waiver(code, "2027-01-01")]))))) == set()


def test_what_check_finds_is_in_it_and_can_be_waived() -> None:
    dead = rule("dead", {"role": "cache"}, DB, waivers=[{"code": "W-NO-PAIR", "reason": "soon", "until": "2027-01-01"}])
    guardrail = {"guardrails": [{"id": "g", "never": {"from": WEB, "to": DB}}]}
    report = linted(guardrail, estate(ruleset(dead, stage="staged"), ruleset(rule("r", WEB, DB))))

    assert found(report) == {("E-GUARDRAIL", "")}
    assert [item.code for item in report.waived] == ["W-NO-PAIR"]


@pytest.mark.parametrize(("limit", "ok"), [("error", True), ("warning", False)])
def test_the_least_severity_that_fails_is_chosen(limit: Any, ok: bool) -> None:
    assert linted(estate(ruleset(rule("first", WEB, DB), rule("second", WEB, DB))), fail_on=limit).ok is ok
