# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is not learned from, and why; and the settings that decide it."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import Rejected
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend.filters import REASONS

from .site import Site, reason, rule

WEBS, DBS = "web-1 web-2 web-3", "db-1 db-2"


@pytest.mark.parametrize(
    ("consumer", "provider", "service", "why"),
    [
        ("203.0.113.7", "198.51.100.9", "tcp/80", "outside"),
        ("web-1", "web-1", "tcp/80", "self"),
        ("web-1", "224.0.0.251", "udp/5353", "broadcast"),
        ("web-1", "10.0.1.255", "udp/137", "broadcast"),
        ("169.254.1.1", "web-1", "udp/9", "broadcast"),
        ("10.0.0.5", "web-1", "tcp/22", "failsafe"),
        ("web-1", "db-1", "tcp/7001", "included"),
    ],
)
def test_reasons_of_single_talks(consumer: str, provider: str, service: str, why: str) -> None:
    found = Site().daily(consumer, provider, service).found()
    names = {"web-1": "web-1", "db-1": "db-1"}
    assert reason(found, names.get(consumer, consumer), names.get(provider, provider)) == why


def test_everything_is_counted_once() -> None:
    site = Site().daily(WEBS, DBS, "tcp/5432").once("web-1", "db-1", "tcp/9999").once("web-1", "224.0.0.1", "udp/1")
    found = site.found()
    counted = sum(len(talks) for talks in found.sifted.left_out.values()) + len(found.sifted.included)
    assert counted == 6 + 2
    assert set(found.sifted.left_out) <= set(REASONS)


def test_a_single_conversation_is_noise_unless_its_group_talks_often() -> None:
    found = (
        Site()
        .daily("web-1 web-2", DBS, "tcp/5432")
        .once("web-3", "db-1", "tcp/5432")
        .once("crm-1", "db-1", "tcp/1")
        .found()
    )
    assert reason(found, "web-3", "db-1") == "included"
    assert reason(found, "crm-1", "db-1") == "noise"


def test_a_horizontal_scan_is_not_learned_and_does_not_hide_what_the_scanner_really_does() -> None:
    site = Site().daily("web-1", "db-1", "tcp/5432")
    for provider in ("web-2", "web-3", "db-1", "db-2", "crm-1", "crm-2"):
        site.once("web-1", provider, "tcp/445").once("web-2", provider, "tcp/446", dropped=True)
    found = site.found("scans: {providers: 5}")
    assert reason(found, "web-1", "crm-1") == "scan"
    assert reason(found, "web-2", "crm-1") == "scan"
    assert [one.document["services"] for one in found.rules] == [["postgresql"]]


def test_a_vertical_scan_is_not_learned() -> None:
    site = Site()
    for port in range(1, 15):
        site.once("crm-1", "web-1", f"tcp/{port}").once("crm-2", "web-2", f"tcp/{port}", count=20)
    found = site.found()
    assert reason(found, "crm-1", "web-1") == "scan"
    assert reason(found, "crm-2", "web-2") == "included"


@pytest.mark.parametrize("days", [1, 35])
def test_a_vertical_scan_that_tries_again_or_takes_its_time_is_not_learned(days: int) -> None:
    """Two conversations on each of 35 ports, all on one day or one port a day; what comes back stays."""
    site = Site().daily("crm-1", "web-1", "tcp/443").daily(WEBS, DBS, "tcp/5432")
    for port in range(35):
        site.once("crm-1", "web-1", f"tcp/{1000 + port}", day=port % days, count=2)
    found = site.found()
    assert [talk.point & 0xFFFF for talk in found.sifted.left_out["scan"]] == list(range(1000, 1035))
    assert sorted(one.document["services"] for one in found.rules) == [["postgresql"], ["web"]]


def test_many_services_that_come_back_are_no_scan_because_of_some_that_do_not() -> None:
    site = Site()
    for port in range(1000, 1020):
        site.daily("crm-1", "web-1", f"tcp/{port}")
    for port in range(1020, 1030):
        site.once("crm-1", "web-1", f"tcp/{port}", count=2)
    assert "scan" not in site.found().sifted.left_out


def _strangers(site: Site, count: int) -> Site:
    for number in range(count):
        site.once(f"203.0.{number // 250}.{number % 250 + 1}", "web-1", "tcp/22", day=number % 35)
    return site


def test_single_conversations_of_many_strangers_are_no_public_service() -> None:
    """Anybody can forge them; one true administrator does not make them true."""
    site = _strangers(Site().daily("198.51.100.9", "web-1", "tcp/22"), 300)
    found = site.found()
    assert {str(talk.consumer) for talk in found.sifted.included} == {"198.51.100.9"}
    assert len(found.sifted.left_out["scan"]) == 300
    assert rule(found).document["from"] == {"cidr": "198.51.100.9"}


@pytest.mark.parametrize(("returning", "single"), [(100, 300), (300, 3000)])
def test_a_public_service_whose_clients_come_back_is_learned(returning: int, single: int) -> None:
    """A quarter of all clients come back, or as many as make a service public."""
    site = _strangers(Site(), single)
    for number in range(returning):
        for day in (number % 30, number % 30 + 4):
            site.once(f"192.0.{2 + number // 250}.{number % 250 + 1}", "web-1", "tcp/22", day=day)
    found = site.found()
    assert "scan" not in found.sifted.left_out
    assert rule(found).document["from"] == "any"


def test_replies_taken_for_requests_are_not_learned() -> None:
    site = Site().daily(WEBS, DBS, "tcp/5432")
    site.once("db-1", "web-1", "tcp/40001", count=50).once("db-1", "web-1", "tcp/40002", day=5, count=9)
    site.daily("crm-1 crm-2", "web-1", "tcp/40003")
    site.daily("crm-1", "db-1", "tcp/40004")
    found = site.found()
    assert reason(found, "db-1", "web-1") == "ephemeral"
    assert {one.document["services"][0] for one in found.rules} == {"postgresql", "tcp/40003", "tcp/40004"}


def test_dropped_flows_are_learned_when_somebody_trusts_them() -> None:
    site = Site().daily("web-1 web-2 web-3", DBS, "tcp/5432", dropped=True)
    assert reason(site.found(), "web-1", "db-1") == "dropped"
    settings = "trusted: [{reason: order storage, from: {role: web}, to: {role: db}, services: [postgresql]}]"
    one = rule(site.found(settings))
    assert one.document["reason"] == "order storage"
    assert one.document["evidence"]["flows"] == 3 * 6 * 35


def test_exclusion_by_sensor_and_by_time() -> None:
    site = Site().daily(WEBS, DBS, "tcp/5432").once("crm-1", "db-1", "tcp/5432", day=10, count=90)
    assert reason(site.found("exclude: [{reason: twin, sensors: [other]}]"), "crm-1", "db-1") == "included"
    assert not site.found("exclude: [{reason: twin, sensors: [sensor-1]}]").rules
    drill = "DTSTART:20261015T080000\\nRRULE:FREQ=DAILY;COUNT=1"
    found = site.found(f'exclude: [{{reason: drill, when: {{schedule: "{drill}", duration: PT2H}}}}]')
    assert reason(found, "crm-1", "db-1") == "excluded"
    assert reason(found, "web-1", "db-1") == "included", "other days of the same pair count"
    assert rule(found).document["evidence"]["flows"] == 3 * 6 * 34


def test_the_mesh_of_two_sensors_is_one_talk() -> None:
    site = Site().daily("web-1", "db-1", "tcp/5432").daily("web-1", "db-1", "tcp/5432")
    assert len(site.found().sifted.included) == 1


@pytest.mark.parametrize(
    ("text", "code", "line", "part"),
    [
        ("isolaton: role", "E-KEY", 1, "Did you mean isolation?"),
        ("isolation: rack", "E-VALUE", 1, "application"),
        ("noise: often", "E-VALUE", 1, "whole number"),
        ("noise: 1\nreuse: 150%", "E-VALUE", 2, "share"),
        ("reuse: 50", "E-VALUE", 1, "5%"),
        ("ephemeral: 61000-32768", "E-VALUE", 1, "32768-60999"),
        ("exclude:\n  - {reason: x}", "E-VALUE", 2, "exclude everything"),
        ("exclude:\n  - {from: {role: web}}", "E-MISSING", 2, "reason"),
        ("exclude:\n  - {reason: x, from: {rolle: web}}", "E-LABEL-KEY", 2, "Did you mean role?"),
        ("exclude:\n  - {reason: x, services: [tpc/1]}", "E-SERVICE", 2, "tpc"),
        ("exclude: [{reason: x, when: {schedule: daily, duration: PT1H}}]", "E-SCHEDULE", 1, "daily"),
        ("trusted: [{reason: x, from: {role: web}, to: {role: db}}]", "E-MISSING", 1, "services"),
        ("calendar: {jobs: [{name: j, schedule: x, duration: PT1H}]}", "E-SCHEDULE", 1, "x"),
        (
            'calendar: {jobs: [{name: j, schedule: "DTSTART:20260101T000000", duration: PT1H, workload: web-9}]}',
            "E-WORKLOAD", 1, "Did you mean web-",
        ),
        ("labels: [app, tier]", "E-LABEL-KEY", 1, "tier"),
        ("- role", "E-VALUE", 1, "mapping"),
        ("noise: 1\n---\nnoise: 2", "E-VALUE", 3, "one document"),
        ("noise: [", "E-YAML", 2, "not YAML"),
    ],
)  # fmt: skip
def test_wrong_settings_are_told_with_line_and_advice(text: str, code: str, line: int, part: str) -> None:
    with pytest.raises(Rejected) as caught:
        Site().found(text)
    error = caught.value.findings[0]
    assert (error.code, error.where.file, error.where.line) == (code, "learning.yml", line), error
    assert part in error.message + error.hint
