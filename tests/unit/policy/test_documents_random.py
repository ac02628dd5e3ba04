# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# ruff: noqa: E501  one case is one line

"""Random policies: what is read does not depend on how, where and in which order it is written."""

from __future__ import annotations

import random
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import MicrosegError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import digest, load, loads
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents.digest import canonical

from .random_documents import random_documents, rewritten

ONE_RULE = """\
settings: {labels: {app: {}, env: {}}}
services: {pg: [tcp/5432]}
---
scope: a
match: {app: a}
owners: [one, two]
rulesets: [{name: x, stage: active, rules: [{id: r, from: [{app: a}, {cidr: 10.0.0.0/8}], to: {env: p}, services: [pg]}]}]
"""


def code_of(text: str) -> str:
    """The code with which a text is refused, or E-OK."""
    try:
        loads({"p.yml": text})
    except MicrosegError as error:
        return error.code
    return "E-OK"


@given(st.integers(min_value=0, max_value=2**32))
@settings(max_examples=150, deadline=None)
def test_format_order_and_distribution_over_files_do_not_change_what_is_read(seed):
    print("seed", seed)
    rng = random.Random(seed)
    documents = random_documents(rng)
    plain, _findings = loads({"all.yml": yaml.safe_dump_all(documents, sort_keys=False)})

    other, _findings = loads(rewritten(rng, documents))

    assert other.digest == plain.digest
    assert digest(other) == other.digest
    assert canonical(other) == canonical(plain)
    assert [(rule.match, rule.writer) for rule in other.writers] == [
        (rule.match, rule.writer) for rule in plain.writers
    ]


@given(st.integers(min_value=0, max_value=2**32))
@settings(max_examples=100, deadline=None)
def test_damaged_text_is_read_or_refused_but_never_an_accident(seed):
    print("seed", seed)
    rng = random.Random(seed)
    text = yaml.safe_dump_all(random_documents(rng), sort_keys=False)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text))
        text = (
            text[:at]
            + rng.choice(["", ":", "\n", "- ", "{", "]", "&a ", "*a", "~", "yes", "!x ", "#", "9" * 30, '"'])
            + text[at + rng.randint(0, 3) :]
        )

    assert code_of(text).startswith("E-")


@given(st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from([
        "settings", "labels", "values", "scope", "match", "rulesets", "rules", "from", "to", "services", "modes", "tests", "allow",
        "workloads", "name", "addresses", "ip_lists", "cidr", "zone", "workload", "never", "guardrails", "except", "id", "set",
        "when", "label_rules", "writers", "ports", "members", "service_addresses", "grants", "expires", "value", "fqdn",
    ]), inner, max_size=4)),
    max_leaves=20,
))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_any_nesting_of_known_words_is_read_or_refused_but_never_an_accident(data):
    assert code_of(yaml.safe_dump(data, allow_unicode=True)).startswith("E-")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tcp/5432", "tcp/5433"),
        ("app: a}, {cidr", "app: b}, {cidr"),
        ("10.0.0.0/8", "10.0.0.0/9"),
        ("10.0.0.0/8}", "10.0.0.0/8, zone: lab}"),
        ("env: p", "env: [p, q]"),
        ("stage: active", "stage: staged"),
        ("id: r,", "id: q,"),
        ("[one, two]", "[one]"),
        ("services: [pg]}", "services: [pg], log: true}"),
        ("services: [pg]}", "services: [pg], expires: 2027-01-01}"),
        ("services: [pg]}", "services: [pg], action: deny}"),
        ("name: x", "name: y"),
        ("name: x", "name: x, tier: admin"),
        ("{labels: ", "{max_shrink: 2%, labels: "),
    ],
)
def test_every_change_of_content_changes_the_digest(old, new):
    assert old in ONE_RULE

    assert loads({"p.yml": ONE_RULE})[0].digest != loads({"p.yml": ONE_RULE.replace(old, new)})[0].digest


def test_a_forwarded_port_and_its_reverse_differ_in_the_digest():
    text = "settings: {{labels: {{app: {{}}}}}}\nservice_addresses: [{{name: a, address: 10.0.0.1, ports: {{{}}}, members: {{app: a}}}}]"

    assert loads({"p": text.format("tcp/1: tcp/2")})[0].digest != loads({"p": text.format("tcp/2: tcp/1")})[0].digest


def many_rules(count: int) -> str:
    head = (
        "settings: {labels: {app: {}, role: {}, env: {values: [prod, dev]}}}\nservices: {postgresql: [tcp/5432]}\n---\n"
    )
    rules = "".join(
        f"      - {{id: r{n}, from: {{role: web{n}, env: [prod, dev]}}, to: {{role: db}}, services: [postgresql, tcp/{n % 65536}],"
        " reason: order storage, owner: team-shop, ticket: CHG-1234, expires: 2027-06-30}\n"
        for n in range(count)
    )
    return f"{head}scope: a\nmatch: {{app: x}}\nrulesets:\n  - name: core\n    rules:\n{rules}"


@pytest.mark.parametrize(("count", "seconds"), [(1000, 0.8), pytest.param(20_000, 8.0, marks=pytest.mark.proof)])
def test_reading_is_fast_enough_for_every_keystroke_of_a_pull_request(tmp_path, count, seconds):
    (tmp_path / "p.yml").write_text(many_rules(count), encoding="utf-8")
    load(tmp_path)

    began = time.process_time()
    policy, _findings = load(tmp_path)
    spent = time.process_time() - began

    assert len(policy.scopes[0].rulesets[0].rules) == count
    assert spent <= seconds
