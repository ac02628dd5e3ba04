# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is proposed for what was seen: peers, services, places, evidence."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import Address, Prefix
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.authoring import PolicyFiles
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend import changed_texts
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend.names import overlap
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend.review import review

from .site import DOCUMENTS, HOSTS, SHOP, Site, reason, rule

WEBS, DBS = "web-1 web-2 web-3", "db-1 db-2"


def test_a_tier_gets_one_rule_in_the_words_of_its_scope_with_evidence() -> None:
    one = rule(Site().daily(WEBS, DBS, "tcp/5432").found())
    assert one.scope == "shop-prod"
    assert dict(one.document) == {
        "id": "web-to-db-postgresql",
        "from": {"role": "web"},
        "to": {"role": "db"},
        "services": ["postgresql"],
        "reason": "observed",
        "evidence": {
            "flows": 3 * 2 * 35 * 3,
            "pairs": 6,
            "first_seen": "2026-10-05T09:00:00Z",
            "last_seen": "2026-11-08T09:00:00Z",
            "window": "35 d",
            "loss": 0.0,
            "confidence": 1.0,
            "maturity": "stable",
        },
    }


def test_a_few_pairs_of_many_are_a_rule_for_the_groups_that_says_how_wide_it_is() -> None:
    one = rule(Site().daily("web-1 web-2", "db-1", "tcp/5432").found())
    assert (one.document["from"], one.pairs_observed, one.pairs_opened) == ({"role": "web"}, 2, 6)


def test_below_the_least_confidence_single_workloads_are_named() -> None:
    one = rule(Site().daily("web-1", "db-1", "tcp/5432").found("least_confidence: 50%"))
    assert one.document["from"] == {"workload": "web-1"}
    assert one.document["to"] == {"workload": "db-1"}
    assert one.confidence == 1.0


def test_a_rule_goes_around_what_was_excluded() -> None:
    site = Site().daily(WEBS, DBS, "tcp/5432")
    found = site.found("exclude: [{reason: decided, from: {workload: web-3}, to: {workload: db-2}}]")
    assert reason(found, "web-3", "db-2") == "excluded"
    opened = {
        (str(c["workload"]), str(one.document["to"]["workload"]))
        for one in found.rules
        for c in _list(one.document["from"])
    }
    assert opened == {(c, p) for c in WEBS.split() for p in DBS.split()} - {("web-3", "db-2")}


@pytest.mark.parametrize("value", ["a,b", "in (x)", "a=b", "!x", "*", "a\nb"])
def test_values_without_words_widen_nothing_and_stop_nothing(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`*` in a selector means any value, so a workload that has it as its value is named by its own name."""
    odd = {"labels": {"app": "shop", "env": "prod", "role": value}, "addresses": ["10.0.5.1"]}
    stray = {"labels": {"app": value, "env": "prod", "role": "x"}, "addresses": ["10.0.5.2"]}
    monkeypatch.setitem(HOSTS, "odd-5", odd)
    monkeypatch.setitem(HOSTS, "stray-5", stray)
    found = Site().daily("odd-5", "db-1 db-2", "tcp/5432").daily("web-1 web-2", "stray-5", "tcp/8080").found()
    assert {str(one.document["from"]) for one in found.rules} == {"{'workload': 'odd-5'}"}
    assert reason(found, "web-1", "stray-5") == "unplaced"
    assert not found.scopes


def test_words_of_any_language_are_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the lack of a key such a value has no words."""
    monkeypatch.setitem(
        HOSTS, "odd-5", {"labels": {"app": "shop", "env": "prod", "role": "データ"}, "addresses": ["10.0.5.1"]}
    )
    monkeypatch.setitem(HOSTS, "odd-6", {"labels": {"app": "shop", "role": "データ"}, "addresses": ["10.0.5.2"]})
    found = Site().daily("odd-5", "db-1 db-2", "tcp/5432").daily("odd-6", "db-1 db-2", "tcp/5433").found()
    assert [one.document["from"] for one in found.rules] == [{"workload": "odd-6"}, {"role": "データ"}]


def test_the_review_shows_labels_from_outside_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = {"labels": {"app": "shop", "env": "prod", "role": "`<img> @all`"}, "addresses": ["10.0.5.1"]}
    monkeypatch.setitem(HOSTS, "odd-5", odd)
    found = Site().daily("odd-5", "db-1 db-2", "tcp/5432").once("odd-5", "crm-1", "tcp/9", dropped=True).found()
    text = MarkdownIt("commonmark").render(review(found))
    assert "<img" not in text
    assert "role=`&lt;img&gt; @all` -&gt; role=db" in text


def test_a_list_of_another_zone_is_not_taken_for_what_was_seen() -> None:
    listed = (Prefix("branch", 4, 0xC6336400, 0xC6336403),)
    seen = frozenset(Address("head", 4, 0xC6336400 + number) for number in range(4))
    assert overlap(listed, seen) == 0.0
    assert overlap(listed, frozenset(Address("branch", 4, one.number) for one in seen)) == 1.0
    assert overlap((Prefix(None, 4, 0xC6336400, 0xC6336403),), seen) == 1.0


def _list(peers: object) -> list[dict[str, str]]:
    return peers if isinstance(peers, list) else [peers]  # type: ignore[list-item]


def test_consumers_of_another_scope_are_named_in_full_and_marked() -> None:
    one = rule(Site().daily("crm-1 crm-2", DBS, "tcp/5432").found())
    assert one.scope == "shop-prod"
    assert one.document["from"] == {"app": "crm", "role": "app"}
    assert one.outside_scopes == ("crm-prod",)


def test_providers_without_a_scope_get_one_for_their_application() -> None:
    found = Site().daily(WEBS, "crm-1 crm-2", "tcp/8080").found()
    assert found.scopes == {"crm-prod": {"app": "crm", "env": "prod"}}
    assert rule(found).document["to"] == "scope" or rule(found).document["to"] == {"role": "app"}


def test_a_workload_without_scope_and_application_is_left_out_and_told() -> None:
    found = Site().daily(WEBS, "odd-1", "tcp/8080").found()
    assert not found.rules
    assert reason(found, "web-1", "odd-1") == "unplaced"


def test_only_one_scope_is_learned_when_one_is_asked_about() -> None:
    found = Site().daily(WEBS, DBS, "tcp/5432").daily(WEBS, "crm-1", "tcp/8080").found(scope="shop-prod")
    assert [one.id for one in found.rules] == ["web-to-db-postgresql"]
    assert reason(found, "web-1", "crm-1") == "elsewhere"


@pytest.mark.parametrize(
    ("ports", "overlap", "services", "widening"),
    [
        (("tcp/80", "tcp/443"), "50%", ["web"], ()),
        (("tcp/443",), "50%", ["web"], ("tcp/80",)),
        (("tcp/443",), "60%", ["https"], ()),
        (("tcp/7001",), "50%", ["tcp/7001"], ()),
        (("tcp/7001", "tcp/7003", "tcp/7005"), "50%", ["web-services"], ()),
    ],
)
def test_services_are_named(
    ports: tuple[str, ...], overlap: str, services: list[str], widening: tuple[str, ...]
) -> None:
    site = Site()
    for port in ports:
        site.daily("crm-1 crm-2", WEBS, port)
    one = rule(site.found(f"reuse: {overlap}"))
    assert one.document["services"] == services
    assert one.unseen_services == widening


def test_a_named_service_is_not_used_where_its_other_port_was_filtered() -> None:
    site = Site().daily("crm-1 crm-2", WEBS, "tcp/443").daily("crm-1", "web-1", "tcp/80")
    one = rule(site.found("exclude: [{reason: plain text, services: [tcp/80]}]"))
    assert one.document["services"] == ["https"]


def test_outside_addresses_are_a_block_a_list_that_exists_or_a_new_one() -> None:
    single = rule(Site().daily("203.0.113.7", "web-1 web-2 web-3", "tcp/80").found("reuse: 100%"))
    assert single.document["from"] == {"cidr": "203.0.113.7"}
    office = Site().daily("198.51.100.0 198.51.100.1 198.51.100.2", WEBS, "tcp/80").found("reuse: 70%")
    assert rule(office).document["from"] == {"ip_list": "office"}
    assert (rule(office).pairs_observed, rule(office).pairs_opened) == (9, 12), "one address of the list was not seen"
    new = Site().daily("203.0.113.7 203.0.113.9", WEBS, "tcp/80").found()
    assert new.ip_lists == {"web-clients": ["203.0.113.7", "203.0.113.9"]}
    assert rule(new).document["from"] == {"ip_list": "web-clients"}


def test_a_list_is_not_used_where_one_of_its_addresses_was_filtered() -> None:
    site = (
        Site().daily("198.51.100.0 198.51.100.1 198.51.100.2", WEBS, "tcp/80").daily("198.51.100.3", "web-1", "tcp/80")
    )
    found = site.found("{reuse: 70%, exclude: [{reason: decided, from: {cidr: 198.51.100.3}}]}")
    assert rule(found).document["from"] == {"ip_list": "web-clients"}


def test_many_outside_addresses_are_any_unless_something_was_filtered_there() -> None:
    clients = " ".join(f"203.0.113.{n}" for n in range(1, 9))
    site = Site().daily(clients, WEBS, "tcp/443", days=3)
    assert rule(site.found("{public_above: 5, noise: 0}")).document["from"] == "any"
    site.daily("192.0.2.1", "web-1", "tcp/443")
    settings = "{public_above: 5, noise: 0, exclude: [{reason: decided, from: {cidr: 192.0.2.1}}]}"
    assert rule(site.found(settings)).document["from"] == {"ip_list": "web-clients"}


def test_traffic_to_the_outside_stands_in_the_scope_of_the_consumer() -> None:
    one = rule(Site().daily(WEBS, "203.0.113.7", "tcp/443").found())
    assert (one.scope, one.document["from"], one.document["to"]) == (
        "shop-prod",
        {"role": "web"},
        {"cidr": "203.0.113.7"},
    )


def test_a_service_address_means_its_members() -> None:
    front = {
        "service_addresses": [
            {"name": "shop-lb", "address": "10.0.9.9", "ports": {"tcp/443": "tcp/8443"}, "members": {"role": "web"}}
        ]
    }
    found = Site().daily("crm-1 crm-2", "10.0.9.9", "tcp/443").found(more=(front,))
    one = rule(found)
    assert one.document["to"] == {"role": "web"}
    assert one.document["services"] == ["tcp/8443"]
    assert one.document["reason"] == "observed, by way of shop-lb"


@pytest.mark.parametrize(
    ("isolation", "consumers", "providers"),
    [
        ("role", {"app": "crm", "role": "app"}, {"role": "db"}),
        ("application", {"app": "crm"}, "scope"),
        ("environment", {"app": "*"}, "scope"),
    ],
)
def test_isolation_says_how_wide_rules_begin(isolation: str, consumers: object, providers: object) -> None:
    one = rule(Site().daily("crm-1 crm-2", DBS, "tcp/5432").found(f"{{isolation: {isolation}, least_confidence: 0%}}"))
    assert (one.document["from"], one.document["to"]) == (consumers, providers)
    assert isolation == "role" or one.pairs_opened > one.pairs_observed


def test_approved_rules_are_neither_changed_nor_repeated() -> None:
    approved = {"id": "w", "from": {"role": "web"}, "to": {"role": "db"}, "services": ["postgresql"]}
    shop = {**SHOP, "rulesets": [{"name": "core", "stage": "active", "rules": [approved]}]}
    site = Site().daily(WEBS, DBS, "tcp/5432").daily(WEBS, DBS, "tcp/5433")
    found = site.found(shop=shop)
    assert reason(found, "web-1", "db-1") in ("included", "approved")
    assert [one.document["services"] for one in found.rules] == [["tcp/5433"]]
    text = "".join(f"---\n{_yaml(document)}" for document in (*DOCUMENTS, shop))
    changed = changed_texts(PolicyFiles({"all.yml": text}), found)
    assert changed["all.yml"].startswith(text.rstrip("\n"))


def _yaml(document: object) -> str:
    import yaml

    return yaml.safe_dump(document, sort_keys=False)


@pytest.mark.parametrize("action", ["deny", "pass"])
def test_what_a_rule_forbids_needs_a_decision_and_no_allow(action: str) -> None:
    no = {"id": "no", "action": action, "from": {"role": "web"}, "to": {"role": "db"}, "services": ["tcp/5432"]}
    rulesets = [{"name": "g", "stage": "active", "rules": [no]}]
    guard = {"scope": "estate", "estate": True, "match": {}, "owners": ["sec"], "rulesets": rulesets}
    found = Site().daily(WEBS, DBS, "tcp/5432").found(more=(guard,))
    assert not found.rules
    assert reason(found, "web-1", "db-1") == ("denied" if action == "deny" else "overruled")
