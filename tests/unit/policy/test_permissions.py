# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may write and provision what, and who must approve: judged by the version before the change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import PlanError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import Workload
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.labels import Fact, Truth
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.policy import Policy, Role
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.selectors import Requirement, Selector
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.approvals import (
    can_overlap,
    required_approvals,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.changes import changes
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import loads
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.permissions import (
    approves,
    judge_author,
    may_provision,
)

SHARED = """
settings: {labels: {app: {}, role: {}, env: {}}, controllers: [10.0.0.5]}
services: {postgresql: [tcp/5432]}
ip_lists: {office: [198.51.100.0/24]}
modes: [{match: {app: shop}, mode: full}]
guardrails: [{id: no-dev, never: {from: {env: dev}, to: {env: prod}}}]
tests: [{deny: "a -> b tcp/22"}]
"""
ROLES = """
roles:
  - name: team-shop
    members: [[Ann@example.org, "@ann"]]
    write: {scopes: [shop], stages: [draft, staged, active]}
    provision: {kinds: [policy], max_eps: 5}
  - name: team-pay
    members: [bob]
    write: {scopes: [pay], documents: [tests]}
  - name: security
    members: [eve, ann2]
    write:
      scopes: ["*"]
      tiers: [admin, application]
      documents: [settings, services, ip_lists, modes, guardrails, tests, roles, scopes]
    provision: {kinds: [policy, mode]}
    own_changes: true
"""
SHOP = """
scope: shop
match: {app: shop}
owners: [team-shop]
rulesets:
  - name: core
    stage: active
    rules:
      - {id: web-to-db, from: {role: web}, to: {role: db}, services: [postgresql]}
      - {id: office, from: {ip_list: office}, to: {role: web}, services: [tcp/443]}
"""
PAY = """
scope: pay
match: {app: pay}
owners: [team-pay]
approvers: [pay-lead]
rulesets:
  - name: core
    stage: active
    rules:
      - {id: in, from: {role: gate}, to: {role: till}, services: [tcp/8443]}
"""
BEFORE = {"shared.yml": SHARED, "roles.yml": ROLES, "shop.yml": SHOP, "pay.yml": PAY}


def policy(**files: str) -> Policy:
    texts = {**BEFORE, **{f"{name}.yml": text for name, text in files.items()}}
    return loads({name: text for name, text in texts.items() if text})[0]


def judged(who: str, **files: str) -> list[str]:
    before = policy()
    after = policy(**files)
    return [f"{one.code} {one.message}" for one in judge_author(before, changes(before, after), who)]


def test_the_same_documents_elsewhere_and_in_another_order_are_no_change() -> None:
    moved = loads({"z.yml": SHOP + "---" + SHARED, "a.yml": PAY, "b/roles.yml": ROLES})[0]

    assert changes(policy(), moved).empty


WITHIN = {
    "a rule of the own scope": {"shop": SHOP.replace("tcp/443", "tcp/8443")},
    "a rule that goes": {"shop": SHOP.rpartition("      - {id: office")[0]},
    "a new rule": {"shop": SHOP + "      - {id: more, from: {role: db}, to: {role: web}, services: [tcp/1]}\n"},
    "a stage that is allowed": {"shop": SHOP.replace("stage: active", "stage: staged")},
}


@pytest.mark.parametrize("files", WITHIN.values(), ids=WITHIN)
@pytest.mark.parametrize("who", ["ann@example.org", "ann", "@Ann", "eve"])
def test_who_writes_a_scope_may(files: dict[str, str], who: str) -> None:
    assert judged(who, **files) == []


#: What Ann, who may write rules of the shop and nothing else, tries; and what must be said about it.
HOSTILE = {
    "grant herself a role": (
        {"roles": ROLES.replace("scopes: [shop]", 'scopes: ["*"]')},
        "E-MAY-DOCUMENT ann may not change roles: team-shop (changed).",
    ),
    "join a role": (
        {"roles": ROLES.replace("[eve, ann2]", "[eve, ann]")},
        "E-MAY-DOCUMENT ann may not change roles: security (changed).",
    ),
    "remove all roles": ({"roles": ""}, "E-MAY-DOCUMENT ann may not change roles: security (removed)."),
    "grant herself and use it": (
        {
            "roles": ROLES.replace("scopes: [shop]", "scopes: [shop, pay]"),
            "pay": PAY.replace("tcp/8443", "tcp/22"),
        },
        "E-MAY-RULE ann may not change rule in (changed) of scope pay, tier application, stage active.",
    ),
    "rename a scope into hers": (
        {"shop": "", "pay": PAY.replace("scope: pay", "scope: shop"), "roles": ROLES.replace("[pay]", "[shop]")},
        "E-MAY-RULE ann may not change rule in (removed) of scope pay, tier application, stage active.",
    ),
    "rename her scope": (
        {"shop": SHOP.replace("scope: shop", "scope: shop2"), "roles": ROLES.replace("[shop]", "[shop2]")},
        "E-MAY-DOCUMENT ann may not change scopes: shop2 (added).",
    ),
    "move a rule out of another scope": (
        {
            "pay": PAY.partition("      - {id: in")[0].replace("    rules:\n", "    rules: []\n"),
            "shop": SHOP + "      - {id: in, from: {role: gate}, to: {role: till}, services: [tcp/8443]}\n",
        },
        "E-MAY-RULE ann may not change rule in (removed) of scope pay, tier application, stage active.",
    ),
    "widen the match of her scope": (
        {"shop": SHOP.replace("match: {app: shop}", "match: {app: [shop, pay]}")},
        "E-MAY-DOCUMENT ann may not change scopes: shop: match (changed).",
    ),
    "make her scope an estate scope": (
        {"shop": SHOP.replace("owners:", "estate: true\nowners:")},
        "E-MAY-DOCUMENT ann may not change scopes: shop: estate (changed).",
    ),
    "own a scope": (
        {"pay": PAY.replace("owners: [team-pay]", "owners: [team-pay, ann]")},
        "E-MAY-DOCUMENT ann may not change scopes: pay: owners (changed).",
    ),
    "approve for a scope": (
        {"pay": PAY.replace("pay-lead", "ann")},
        "E-MAY-DOCUMENT ann may not change scopes: pay: approvers (changed).",
    ),
    "delete a guardrail": (
        {"shared": "\n".join(line for line in SHARED.splitlines() if "guardrails" not in line)},
        "E-MAY-DOCUMENT ann may not change guardrails: no-dev (removed).",
    ),
    "loosen a guardrail": (
        {"shared": SHARED.replace("to: {env: prod}}", "to: {env: prod}, services: [tcp/1]}")},
        "E-MAY-DOCUMENT ann may not change guardrails: no-dev (changed).",
    ),
    "loosen a test": (
        {"shared": SHARED.replace('deny: "a', 'allow: "a')},
        "E-MAY-DOCUMENT ann may not change tests: deny a -> b tcp/22 (removed).",
    ),
    "delete a test": (
        {"shared": "\n".join(line for line in SHARED.splitlines() if "tests" not in line)},
        "E-MAY-DOCUMENT ann may not change tests: deny a -> b tcp/22 (removed).",
    ),
    "widen a service that rules name": (
        {"shared": SHARED.replace("[tcp/5432]", "[tcp]")},
        "E-MAY-DOCUMENT ann may not change services: postgresql (changed).",
    ),
    "widen a list that rules name": (
        {"shared": SHARED.replace("198.51.100.0/24", "0.0.0.0/0")},
        "E-MAY-DOCUMENT ann may not change ip_lists: office (changed).",
    ),
    "change a setting": (
        {"shared": SHARED.replace("10.0.0.5", "10.0.0.6")},
        "E-MAY-DOCUMENT ann may not change settings: controllers (changed).",
    ),
    "turn enforcement off": (
        {"shared": SHARED.replace("mode: full", "mode: idle")},
        "E-MAY-DOCUMENT ann may not change modes: app=shop (changed).",
    ),
    "climb to another tier": (
        {"shop": SHOP.replace("stage: active", "stage: active\n    tier: admin")},
        "E-MAY-RULE ann may not change rule office (changed) of scope shop, tier admin, stage active.",
    ),
    "use a stage that is not hers": (
        {"shop": SHOP.replace("stage: active", "stage: retiring")},
        "E-MAY-RULE ann may not change rule office (changed) of scope shop, tier application, stage retiring.",
    ),
    "hide a foreign rule behind a service of the same change": (
        {
            "shared": SHARED.replace("[tcp/5432]", "[tcp/5432, tcp/22]"),
            "pay": PAY.replace("tcp/8443", "tcp/8443, tcp/22"),
        },
        "E-MAY-RULE ann may not change rule in (changed) of scope pay, tier application, stage active.",
    ),
    "forge the evidence of a foreign rule": (
        {"pay": PAY.replace("[tcp/8443]", "[tcp/8443], evidence: {flows: 99}")},
        "E-MAY-RULE ann may not change rule in (changed) of scope pay, tier application, stage active.",
    ),
}


@pytest.mark.parametrize(("files", "said"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_not_hers_is_said(files: dict[str, str], said: str) -> None:
    if "modes" in said:  # a mode rule has no name: one goes, one comes
        said = said.replace("(changed)", "(removed)")
    assert said in judged("ann", **files)
    assert judged("eve", **files) == []


def test_findings_name_place_and_who_could() -> None:
    before = policy()
    after = policy(pay=PAY.replace("tcp/8443", "tcp/22"))

    (finding,) = judge_author(before, changes(before, after), "ann")

    assert (finding.where.file, finding.where.line) == ("pay.yml", 10)
    assert finding.hint == "Could: team-pay, security."


def test_nobody_in_particular_may_nothing() -> None:
    assert judged("stranger", shop=WITHIN["a new rule"]["shop"])


def test_a_service_of_others_that_a_rule_names_is_no_change_of_the_rule() -> None:
    said = judged("ann", shared=SHARED.replace("[tcp/5432]", "[tcp]"))

    assert said == ["E-MAY-DOCUMENT ann may not change services: postgresql (changed)."]


def test_without_roles_everybody_may_and_that_is_said() -> None:
    before = policy(roles="")
    after = policy(shop=SHOP.replace("tcp/443", "tcp/1"))

    (finding,) = judge_author(before, changes(before, after), "anybody")

    assert (finding.code, finding.severity) == ("W-NO-ROLES", "info")


WORKLOADS = {
    name: Workload(name, {key: Fact(value) for key, value in labels.items()})
    for name, labels in {
        "web": {"app": "shop", "role": "web"},
        "till": {"app": "pay", "role": "till"},
        "lone": {"app": "else", "role": "till"},
    }.items()
}


class TestApprovals:
    def of(self, after: Policy, inventory: bool = True, before: Policy | None = None) -> dict[str, tuple[str, ...]]:
        before = before or policy()
        workloads = WORKLOADS if inventory else None
        found = required_approvals(before, after, changes(before, after), workloads)
        return {one.subject: one.parties for one in found}

    def rule(self, to: str) -> Policy:
        return policy(shop=SHOP + f"      - {{id: new, from: {{role: web}}, to: {to}, services: [tcp/1]}}\n")

    @pytest.mark.parametrize("inventory", [True, False])
    def test_inside_a_scope_its_owners(self, inventory: bool) -> None:
        assert self.of(self.rule("{role: db}"), inventory) == {"scope shop": ("team-shop",)}

    @pytest.mark.parametrize("inventory", [True, False])
    def test_of_another_scope_its_approvers_too(self, inventory: bool) -> None:
        wanted = {"scope shop": ("team-shop",), "scope pay": ("pay-lead",)}

        assert self.of(self.rule("{app: pay, role: till}"), inventory) == wanted
        assert self.of(self.rule("[{role: db}, {app: [pay, shop], role: db}]"), False) == wanted

    def test_by_members_where_there_is_an_inventory(self) -> None:
        assert "scope pay" in self.of(self.rule('{app: "*", role: till}'))
        assert "scope pay" not in self.of(self.rule('{app: "*", role: none}'))
        assert "scope pay" in self.of(self.rule('{app: "*", role: none}'), inventory=False)
        assert "scope pay" in self.of(self.rule("{workload: till}"))
        assert "scope pay" not in self.of(self.rule("{workload: lone}"))

    def test_addresses_bind_nobody_else(self) -> None:
        assert set(self.of(self.rule("{cidr: 10.0.0.0/8}"))) == {"scope shop"}

    @pytest.mark.parametrize("inventory", [True, False])
    def test_a_border_that_moves_concerns_those_whom_its_rules_speak_about(self, inventory: bool) -> None:
        rule = "      - {id: new, from: scope, to: {app: pay, role: till}, services: [tcp/1]}\n"
        narrow = SHOP.replace("{app: shop}", "{app: shop, env: prod}")
        dev = "---\nscope: pay-dev\nmatch: {app: pay, env: dev}\nowners: [team-pay-dev]\nrulesets: []\n"
        before, after = (policy(shop=shop + rule, pay=PAY + dev) for shop in (narrow, SHOP))
        labels = {"app": "pay", "role": "till", "env": "dev"}
        till = Workload("till-dev", {key: Fact(value) for key, value in labels.items()})
        workloads = {**WORKLOADS, "till-dev": till} if inventory else None
        found = required_approvals(before, after, changes(before, after), workloads)

        assert {one.subject: one.parties for one in found} == {
            "scope shop": ("team-shop",),
            "scope pay": ("pay-lead",),
            "scope pay-dev": ("team-pay-dev",),
            "scopes": ("security",),
        }

    @pytest.mark.parametrize("inventory", [True, False])
    def test_a_border_that_takes_in_members_of_another_scope_concerns_its_owners(self, inventory: bool) -> None:
        wanted = {"scope shop": ("team-shop",), "scope pay": ("pay-lead",), "scopes": ("security",)}
        wide = policy(shop=SHOP.replace("match: {app: shop}", "match: {app: [shop, pay]}"))
        mine = "---\nscope: mine\nmatch: {app: pay, role: till}\nowners: [ann]\nrulesets: []\n"

        assert self.of(wide, inventory) == wanted
        assert self.of(policy(), inventory, before=wide) == wanted
        assert self.of(policy(shop=SHOP + mine), inventory) == {
            "scope mine": ("ann",),
            "scope pay": ("pay-lead",),
            "scopes": ("security",),
        }

    def test_a_scope_without_owners_gets_them_from_those_who_may_write_scopes(self) -> None:
        nobody = policy(pay=PAY.replace("owners: [team-pay]\n", ""))

        assert self.of(policy(), before=nobody) == {"scopes": ("security",)}
        assert self.of(policy(pay=PAY.replace("tcp/8443", "tcp/1")), before=nobody)["scope pay"] == ()

    def test_what_goes_concerns_the_same_people(self) -> None:
        assert set(self.of(policy(), before=self.rule("{app: pay, role: till}"))) == {"scope shop", "scope pay"}

    def test_owners_are_those_before_the_change(self) -> None:
        after = policy(pay=PAY.replace("[team-pay]", "[ann]").replace("tcp/8443", "tcp/22"))

        assert self.of(after) == {"scope pay": ("team-pay",), "scopes": ("security",)}

    def test_documents_concern_the_roles_that_may_write_them(self) -> None:
        after = policy(shared=SHARED.replace('deny: "a', 'allow: "a'))

        assert self.of(after) == {"tests": ("team-pay", "security")}

    def test_a_service_concerns_those_whose_rules_name_it(self) -> None:
        after = policy(shared=SHARED.replace("[tcp/5432]", "[tcp]"))

        assert self.of(after) == {"services": ("security",), "scope shop": ("team-shop",)}

    def test_are_given_by_members_but_not_by_the_author(self) -> None:
        roles = policy().roles

        assert approves(roles, ("team-shop",), "ANN@example.org", "bob")
        assert not approves(roles, ("team-shop",), "bob", "ann")
        assert not approves(roles, ("team-shop",), "ann", "ann")
        assert not approves(roles, ("team-shop",), "ann", "ANN@example.org"), "one person under two names"
        assert not approves(roles, ("ann",), "ann", "ann@example.org"), "also where the person is the owner"
        assert approves(roles, ("security",), "eve", "eve"), "own_changes"
        assert approves(roles, ("pay-lead",), "@pay-lead", "ann")
        assert not approves(roles, ("pay-lead",), "pay-lead", "@Pay-Lead")
        assert not approves(roles, (), "eve")

    def test_letters_that_fold_alike_are_other_people(self) -> None:
        for who in ("\N{KELVIN SIGN}ate", "\N{LATIN SMALL LETTER LONG S}am", "stra\N{LATIN SMALL LETTER SHARP S}e"):
            assert not approves((), (who.casefold(),), who)

    def test_names_that_two_roles_join_are_one_person(self) -> None:
        roles = (
            Role("one", (("ann@example.org", "ann"),)),
            Role("two", (("ann", "a.smith@example.org"), ("bob",)), own_changes=False),
        )

        assert not approves(roles, ("two",), "a.smith@example.org", "Ann@example.org")
        assert approves(roles, ("two",), "bob", "ann@example.org")


REQUIREMENTS = st.builds(
    lambda key, operator, values: Requirement(key, operator, values if operator in ("in", "notin") else ()),
    st.sampled_from("ab"),
    st.sampled_from(["in", "notin", "exists", "absent"]),
    st.sets(st.sampled_from("xyz"), min_size=1).map(lambda some: tuple(sorted(some))),
)
SELECTORS = st.lists(REQUIREMENTS, max_size=3).map(lambda some: Selector(tuple(sorted(set(some)))))
EVERYBODY = [
    {key: Fact(value) for key, value in (("a", a), ("b", b)) if value} for a in ("", *"xyzw") for b in ("", *"xyzw")
]


@given(SELECTORS, SELECTORS)
def test_selectors_overlap_where_somebody_matches_both(one: Selector, other: Selector) -> None:
    somebody = any(one.matches(x, None) is Truth.YES and other.matches(x, None) is Truth.YES for x in EVERYBODY)

    assert can_overlap(one, other) or not somebody
    if all(len({item.key for item in side.requirements}) == len(side.requirements) for side in (one, other)):
        assert can_overlap(one, other) == somebody


class TestProvisioning:
    @pytest.mark.parametrize(("who", "kind", "points"), [("ann", "policy", 5), ("eve", "mode", 5000)])
    def test_who_may(self, who: str, kind: str, points: int) -> None:
        may_provision(policy(), who, kind, points)

    @pytest.mark.parametrize(
        ("who", "kind", "points"),
        [("ann", "policy", 6), ("ann", "mode", 1), ("bob", "policy", 1), ("", "policy", 1), ("eve", "repair", 1)],
    )
    def test_who_may_not(self, who: str, kind: str, points: int) -> None:
        with pytest.raises(PlanError) as caught:
            may_provision(policy(), who, kind, points)
        assert caught.value.code == "E-MAY-PROVISION"

    def test_the_author_only_where_a_role_says_so(self) -> None:
        may_provision(policy(), "eve", "policy", 1, author="eve")
        may_provision(policy(), "ann", "policy", 1, author="bob")
        with pytest.raises(PlanError) as caught:
            may_provision(policy(), "ann", "policy", 1, author="@Ann")
        assert caught.value.code == "E-OWN-CHANGE"

    def test_without_any_role_about_it_everybody(self) -> None:
        may_provision(loads({"a.yml": SHARED})[0], "", "policy", 10_000)
