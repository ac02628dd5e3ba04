# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files of facts: every fact has an end, bad files get one clear message, several files make one."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import Finding, Rejected
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.facts import Facts
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy import facts_file
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import loads
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.facts_file import load_facts, loads_facts
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.inputs import join

from ...semantics.fixtures import inventory_host

AT = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
POLICY, _ = loads(
    {
        "p.yml": "settings: {labels: {app: {}, role: {}, posture: {values: [ok, bad]}}, user_groups: [dba, ops], "
        "timezone: Europe/Berlin}\n"
    }
)
HEAD = 'format: 1\nsource: edr\nobserved: "2026-11-24T08:00:00Z"\n'
TTL = HEAD + "ttl: PT8H\n"


def read(*texts: str, at: dt.datetime = AT) -> tuple[Facts, tuple[Finding, ...]]:
    return loads_facts([(f"f{number}.yml", text) for number, text in enumerate(texts, 1)], POLICY, at)


def estate(*texts: str, at: dt.datetime = AT, **hosts: dict[str, Any]):
    facts, findings = read(*texts, at=at)
    here = [inventory_host(name, value) for name, value in hosts.items()]
    return join(POLICY, findings, here, at, facts)


def host(number: int, zone: str = "", **labels: str) -> dict[str, Any]:
    return {"labels": {"app": "office", **labels}, "addresses": [f"10.0.3.{number}"], "zone": zone}


def refused(*texts: str) -> list[Finding]:
    with pytest.raises(Rejected) as caught:
        read(*texts)
    return list(caught.value.findings)


def test_every_fact_ends_by_itself_or_with_its_file() -> None:
    text = TTL + (
        'labels: {pc-1: {posture: ok}, pc-2: {posture: {value: bad, expires: "2026-11-25"}}}\n'
        "groups: {dba: [ann]}\n"
        'sessions: [{user: ann, workload: pc-1}, {user: ann, workload: pc-2, until: "2026-11-24T10:00:00"}]\n'
    )
    facts, findings = read(text)
    by_file = dt.datetime(2026, 11, 24, 16, tzinfo=dt.UTC)
    assert not findings
    assert facts.labels["pc-1"]["posture"].fact.expires == by_file
    assert facts.labels["pc-1"]["posture"].fact.source == "edr"
    assert facts.labels["pc-2"]["posture"].fact.expires == dt.datetime(2026, 11, 25, 23, tzinfo=dt.UTC)
    assert facts.groups == {"dba": {"ann": by_file}}
    assert [session.expires for session in facts.sessions] == [by_file, dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)]


def test_json_is_read_like_yaml() -> None:
    data = {"format": 1, "source": "edr", "observed": "2026-11-24T08:00:00Z", "ttl": "P1D", "labels": {"pc-1": {}}}
    facts, _ = read(json.dumps({**data, "labels": {"pc-1": {"posture": "ok"}}}, indent=2))
    assert facts.labels["pc-1"]["posture"].fact.value == "ok"


@pytest.mark.parametrize(
    ("text", "code", "line", "said"),
    [
        (HEAD + "labels: {pc-1: {posture: ok}}\n", "E-FACTS", 4, "pc-1: posture has no end"),
        (HEAD + "groups: {dba: [ann]}\n", "E-FACTS", 4, "membership in groups has no end"),
        (HEAD + "sessions: [{user: ann, workload: pc-1}]\n", "E-FACTS", 4, "the session of ann has no end"),
        (TTL + "sessions: [{user: ann}]\n", "E-FACTS", 5, "needs one place"),
        (TTL + "sessions: [{user: ann, workload: pc-1, address: 10.0.0.1}]\n", "E-FACTS", 5, "needs one place"),
        (
            TTL + 'sessions: [{user: ann, workload: pc-1, since: "2026-11-24T09:00:00Z"}]\n',
            "E-FACTS",
            5,
            "after it was observed",
        ),
        (TTL + "labels: {pc-1: {postur: ok}}\n", "E-LABEL-KEY", 5, "'postur' is not declared"),
        (TTL + "labels: {pc-1: {posture: Bad}}\n", "E-LABEL-VALUE", 5, "posture is never 'Bad'"),
        (TTL + "labels: {pc-1: {posture: {value: worse}}}\n", "E-LABEL-VALUE", 5, "posture is never 'worse'"),
        (TTL + "labels: {pc-1: {posture: yes}}\n", "E-FACTS", 5, "posture is yes, not text"),
        (TTL + "labels: {pc-1: {posture: [ok]}}\n", "E-FACTS", 5, "is a list, not text"),
        (TTL + "labels: {pc-1: {posture: {valu: ok}}}\n", "E-FACTS", 5, "cannot be read"),
        (TTL + "labels: {pc-1: {posture: {value: ok, expires: 7}}}\n", "E-DATE", 5, "is not a date"),
        (TTL + "labels: {pc-1: {posture: {value: ok, expires: soon}}}\n", "E-DATE", 5, "'soon' is not a date"),
        (TTL + "labels: [pc-1]\n", "E-VALUE", 5, "must be a mapping"),
        (TTL + "labels: {pc-1: ok}\n", "E-VALUE", 5, "must be a mapping"),
        (TTL + "labls: {}\n", "E-KEY", 5, "labls"),
        (TTL + "labels: {pc-1: {posture: ok, posture: bad}}\n", "E-DUPLICATE-KEY", 5, "stands twice"),
        (TTL + "labels: {pc-1: {posture: ok}, pc-1: {posture: bad}}\n", "E-DUPLICATE-KEY", 5, "stands twice"),
        (HEAD + "ttl: 8h\n", "E-FACTS", 4, "'8h' is not a duration"),
        (HEAD + "ttl: P" + "9" * 5000 + "D\n", "E-FACTS", 4, "is not a duration"),
        (HEAD.replace("format: 1", "format: 2"), "E-VALUE", 1, "format is 2"),
        ("source: edr\nobserved: x\n", "E-MISSING", 1, "needs the key format"),
        (HEAD.replace('"2026-11-24T08:00:00Z"', '"2026-11-24"'), "E-DATE", 3, "is not a moment"),
        (HEAD.replace('"2026-11-24T08:00:00Z"', "now"), "E-DATE", 3, "'now' is not a moment"),
        (TTL + "labels: " + "[" * 2000 + "\n", "E-YAML", 0, ""),
        (TTL + "labels: " + "{a: " * 60 + "1" + "}" * 60 + "\n", "E-YAML", 5, "nested too deeply"),
        ("- 1\n", "E-FACTS", 1, "is a mapping"),
        ("", "E-FACTS", 0, "0 documents"),
        (TTL + "---\n" + TTL, "E-FACTS", 0, "2 documents"),
        ("a: &a [*a]\n", "E-YAML", 0, ""),
    ],
)
def test_a_bad_file_gets_one_clear_message(text: str, code: str, line: int, said: str) -> None:
    (error,) = [finding for finding in refused(text) if finding.severity == "error"]
    assert error.code == code
    assert error.where.file == "f1.yml"
    assert not line or error.where.line == line
    assert said in error.message
    assert len(error.message) < 250


def test_all_errors_of_all_files_come_at_once() -> None:
    found = refused(HEAD + "labels: {pc-1: {posture: ok}}\n", TTL + "labels: {pc-1: {postur: ok}}\n")
    assert [(error.code, error.where.file) for error in found] == [("E-FACTS", "f1.yml"), ("E-LABEL-KEY", "f2.yml")]


def test_files_that_agree_are_one_and_the_longer_end_counts() -> None:
    other = TTL.replace("PT8H", "PT9H").replace("edr", "mdm")
    facts, _ = read(TTL + "labels: {pc-1: {posture: ok}}\n", other + "labels: {pc-1: {posture: ok}}\n")
    assert facts.labels["pc-1"]["posture"].fact.expires == dt.datetime(2026, 11, 24, 17, tzinfo=dt.UTC)
    assert facts.labels["pc-1"]["posture"].fact.source == "mdm"


def test_files_that_differ_are_both_named() -> None:
    other = TTL.replace("edr", "mdm") + "labels: {pc-1: {posture: bad}}\n"
    (error,) = refused(TTL + "labels: {pc-1: {posture: ok}}\n", other)
    assert error.code == "E-FACTS-CONFLICT"
    assert "mdm here" in error.message
    assert "edr (f1.yml:5)" in error.message
    assert error.where.file == "f2.yml"


def test_what_the_inventory_says_too_is_a_conflict() -> None:
    with pytest.raises(Rejected) as caught:
        estate(TTL + "labels: {pc-1: {posture: ok}}\n", **{"pc-1": host(1, posture="ok")})
    assert [finding.code for finding in caught.value.findings if finding.severity == "error"] == ["E-FACTS-CONFLICT"]


def test_members_come_from_one_file_and_sessions_from_another() -> None:
    inputs = estate(
        TTL + "groups: {dba: [ann, bob]}\n",
        HEAD + 'sessions: [{user: ann, workload: pc-1, until: "2026-11-24T20:00:00Z"}]\n',
        **{"pc-1": host(1), "pc-2": host(2)},
    )
    fact = inputs.estate.workloads["pc-1"].labels["users:dba"]
    assert fact.expires == dt.datetime(2026, 11, 24, 16, tzinfo=dt.UTC)  # by then nobody knows the members
    assert "users:dba" not in inputs.estate.workloads["pc-2"].labels
    assert [session.user for session in inputs.estate.sessions["pc-1"]] == ["ann"]
    assert inputs.estate.groups_of("ann", AT) == {"dba"}
    assert inputs.estate.groups_of("ann", AT + dt.timedelta(hours=5)) == frozenset()


def test_unmanaged_workloads_have_facts_too() -> None:
    policy, _ = loads(
        {"p.yml": "settings: {labels: {posture: {}}}\nworkloads: [{name: printer, addresses: [10.0.0.9]}]\n"}
    )
    facts, _ = loads_facts([("f.yml", TTL + "labels: {printer: {posture: ok}}\n")], policy, AT)
    assert join(policy, (), [], AT, facts).estate.workloads["printer"].labels["posture"].value == "ok"


def test_a_session_by_address_is_where_the_address_is() -> None:
    text = TTL + (
        "groups: {dba: [ann]}\nsessions: [{user: ann, address: 10.0.3.1, zone: lab}, {user: ann, address: 10.0.3.2}]\n"
    )
    inputs = estate(text, a=host(1), b=host(1, zone="lab"), c=host(2, zone="lab"))
    assert sorted(inputs.estate.sessions) == ["b", "c"]


def test_what_nobody_knows_is_counted_once_a_file() -> None:
    text = TTL + "labels: {pc-11: {posture: ok}, pc-3: {posture: ok}}\nsessions: [{user: ann, address: 10.9.9.9}]\n"
    inputs = estate(text, **{"pc-1": host(1)})
    (found,) = [finding for finding in inputs.findings if finding.code == "W-FACTS-UNKNOWN"]
    assert "3 of the workloads" in found.message
    assert found.hint == "Did you mean pc-1?"


def test_old_and_early_files_are_told() -> None:
    text = TTL + "labels: {pc-1: {posture: ok}}\n"
    assert not read(text)[1]
    assert [finding.code for finding in read(text, at=AT + dt.timedelta(hours=4))[1]] == ["W-FACTS-STALE"]
    assert [finding.code for finding in read(text, at=AT - dt.timedelta(hours=5))[1]] == ["W-FACTS-FUTURE"]


def test_groups_that_no_rule_can_name_are_told() -> None:
    _facts, (found,) = read(TTL + "groups: {dbas: [ann], ops: [bob]}\n")
    assert (found.code, found.hint) == ("W-FACTS-GROUP", "Did you mean dba?")


def test_only_regular_files_of_sensible_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good.yml").write_text(TTL + "labels: {pc-1: {posture: ok}}\n", encoding="utf-8")
    assert load_facts([tmp_path / "good.yml"], POLICY, AT)[0].labels["pc-1"]
    monkeypatch.setattr(facts_file, "MOST_BYTES", 20)
    (tmp_path / "latin.yml").write_bytes(b"a: \xff\n")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Rejected) as caught:
        load_facts([tmp_path / name for name in ("none", "pipe", "good.yml", "latin.yml")], POLICY, AT)
    assert sorted(error.code for error in caught.value.findings) == ["E-FACTS", "E-FILE", "E-FILE", "E-YAML"]


def test_a_label_key_never_looks_like_a_session() -> None:
    with pytest.raises(Rejected) as caught:
        loads({"p.yml": 'settings: {labels: {"users:dba": {}}}\n'})
    assert [finding.code for finding in caught.value.findings] == ["E-LABEL-KEY"]
