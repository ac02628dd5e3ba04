# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# ruff: noqa: E501  one case is one line

"""Bad input: the code, the line and what to do, for everything a person can get wrong."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import Finding, Rejected
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import loads

SETTINGS = """\
settings:
  labels: {app: {}, role: {}, env: {values: [prod, dev]}}
services: {postgresql: [tcp/5432]}
ip_lists: {office: [198.51.100.0/24]}
"""


def rule(text: str, action: str = "") -> str:
    """A rule with one part replaced; the rule stands in line 9."""
    parts = {"from": "{role: web}", "to": "{role: db}", "services": "[tcp/1]"}
    name, _colon, value = text.partition(": ")
    parts[name] = value
    if action:
        parts["action"] = action
    body = ", ".join(f"{key}: {part}" for key, part in parts.items())
    return f"---\nscope: shop\nmatch: {{app: shop}}\nrulesets: [{{name: core, rules: [\n{{id: r, {body}}}]}}]\n"


def errors(text: str) -> list[Finding]:
    with pytest.raises(Rejected) as caught:
        loads({"policy.yml": SETTINGS + text})
    return [finding for finding in caught.value.findings if finding.severity == "error"]


# (claim, text after the four lines of SETTINGS, code, line, part of message or hint)
BAD = [
    # YAML itself
    ("broken YAML names the line", "modes: [\n---\n", "E-YAML", 6, "not YAML"),
    ("an unknown alias", "modes: *no\n", "E-YAML", 5, "undefined alias"),
    ("a foreign tag", "tests: !vault x\n", "E-YAML", 5, "!vault"),
    ("a merge key", "modes:\n  - {<<: {}, mode: full}\n", "E-YAML", 6, "merge keys"),
    ("a key that is a list", "? [a]\n: b\n", "E-YAML", 5, "Keys are words"),
    ("an alias inside its anchor", "modes: &a [*a]\n", "E-YAML", 5, "inside its own anchor"),
    ("too deep nesting", "modes: " + "[" * 2000, "E-YAML", 5, "nesting depth"),
    ("nesting that YAML still takes", "modes: " + "[" * 600 + "]" * 600, "E-YAML", 5, "nested too deeply"),
    ("a document that is a list", "---\n- a\n", "E-VALUE", 6, "mapping"),
    ("a document that is text", "---\nhello\n", "E-VALUE", 6, "mapping"),
    ("a number of endless digits", f"workloads: [{{name: {'9' * 5000}}}]\n", "E-YAML", 5, "quotes"),
    ("a key twice", "modes: []\nwriters: []\nmodes: []\n", "E-DUPLICATE-KEY", 7, "first in line 5"),
    ("a service twice in one mapping", "---\nservices: {a: [tcp/1],\n a: [tcp/2]}\n", "E-DUPLICATE-KEY", 7, "'a'"),
    # words
    ("an unknown document", "rulez: []\n", "E-KEY", 5, "rulez"),
    ("a misspelt document", "mode:\n  []\n", "E-KEY", 5, "Did you mean modes?"),
    ("an unknown setting", "---\nsettings: {label: {}}\n", "E-SETTINGS-TWICE", 6, "first at policy.yml:2"),
    ("a misspelt rule key", rule("form: {role: web}"), "E-KEY", 9, "Did you mean from?"),
    ("an undeclared group of users", rule("from: {users: [dba]}"), "E-USERS", 9, "user_groups"),
    ("users beside a label", rule("from: {users: [dba], role: web}"), "E-USERS", 9, "stands alone"),
    ("users in to", rule("to: {users: [dba]}"), "E-USERS", 9, "Name users in `from`"),
    ("users that are text", rule("from: {users: dba}"), "E-USERS", 9, "list of group names"),
    ("a schedule without a duration", rule("when: {schedule: x}"), "E-MISSING", 9, "duration"),
    ("a schedule that is none", rule("when: {schedule: x, duration: PT1H}"), "E-SCHEDULE", 9, "DTSTART"),
    ("a boolean as a key", "on: []\n", "E-KEY", 5, "on"),
    ("a missing key", "---\nscope: shop\n", "E-MISSING", 6, "match"),
    ("a rule without services", rule("x: 1").replace(", services: [tcp/1]", ""), "E-MISSING", 9, "services"),
    ("a scope with another document", "---\nscope: a\nmatch: {app: a}\nmodes: []\n", "E-KEY", 8, "---"),
    ("a list that is text", "modes: full\n", "E-VALUE", 5, "must be a list"),
    ("a mapping that is a list", "---\nsettings: []\n", "E-VALUE", 6, "must be a mapping"),
    ("a value left out", "modes:\n", "E-VALUE", 5, "has no value"),
    ("a boolean as text", rule("reason: yes"), "E-VALUE", 9, 'Put quotes around it: "yes"'),
    ("a number as text", rule("ticket: 4711"), "E-VALUE", 9, 'Put quotes around it: "4711"'),
    ("text as a boolean", rule('log: "true"'), "E-VALUE", 9, "true or false"),
    ("a number as a boolean", rule("allow_empty: 1"), "E-VALUE", 9, "true or false"),
    ("an id with a blank", rule("x: 1").replace("{id: r", '{id: "a b"'), "E-VALUE", 9, "Names match"),
    ("an id with the separator of reports", rule("x: 1").replace("{id: r", '{id: "a@b"'), "E-VALUE", 9, "Names match"),
    ("an unknown on_inexact", rule("on_inexact: widen"), "E-VALUE", 9, "narrow"),
    # twice
    ("a rule twice in a scope", rule("x: 1").replace(", x: 1", "").replace("}]}]", "},\n{id: r, from: any, to: any, services: [any]}]}]"), "E-RULE-TWICE", 10, "first at policy.yml:9"),
    ("a role twice", "---\nroles:\n  - {name: a, members: [x]}\n  - {name: a, members: [y]}\n", "E-ROLE-TWICE", 8, "policy.yml:7"),
    ("a role for a scope that is not there", "---\nroles: [{name: a, members: [x], write: {scopes: [shopp]}}]\n---\nscope: shop\nmatch: {app: shop}\n", "E-SCOPE", 6, "Did you mean shop?"),
    ("a role of nobody", "---\nroles: [{name: a, members: []}]\n", "E-VALUE", 6, "empty"),
    ("a member that is a number", "---\nroles: [{name: a, members: [x, 7]}]\n", "E-VALUE", 6, "names nobody"),
    ("a member of no name", "---\nroles: [{name: a, members: [[]]}]\n", "E-VALUE", 6, "names nobody"),
    ("a role for unknown documents", "---\nroles: [{name: a, members: [x], write: {documents: [test]}}]\n", "E-VALUE", 6, "Did you mean tests?"),
    ("a role for an unknown stage", "---\nroles: [{name: a, members: [x], write: {stages: [live]}}]\n", "E-STAGE", 6, "active"),
    ("a scope twice", "---\nscope: a\nmatch: {app: a}\n---\nscope: a\nmatch: {app: a}\n", "E-SCOPE-TWICE", 9, "policy.yml:6"),
    ("a ruleset twice", "---\nscope: a\nmatch: {app: a}\nrulesets:\n - name: x\n - name: x\n", "E-RULESET-TWICE", 10, "policy.yml:9"),
    ("a guardrail twice", "guardrails:\n - {id: g, never: {from: any, to: {app: a}}}\n - {id: g, never: {from: any, to: {app: b}}}\n", "E-GUARDRAIL-TWICE", 7, "policy.yml:6"),
    ("a test twice", 'tests:\n - {name: t, allow: "a -> b tcp/1"}\n - {name: t, allow: "a -> b tcp/2"}\n', "E-TEST-TWICE", 7, "policy.yml:6"),
    ("a workload twice", "workloads:\n - {name: a, addresses: [10.0.0.1]}\n - {name: a, addresses: [10.0.0.2]}\n", "E-WORKLOAD-TWICE", 7, "policy.yml:6"),
    ("a service address named as a workload", "workloads:\n - {name: a, addresses: [10.0.0.1]}\nservice_addresses:\n - {name: a, address: 10.0.0.2, ports: {tcp/1: tcp/1}, members: {app: a}}\n", "E-WORKLOAD-TWICE", 8, "policy.yml:6"),
    ("a service in two documents", "---\nservices: {postgresql: [tcp/1]}\n", "E-SERVICE-TWICE", 6, "policy.yml:3"),
    ("a list in two documents", "---\nip_lists: {office: [10.0.0.1]}\n", "E-IP-LIST-TWICE", 6, "policy.yml:4"),
    ("writers that contradict", "writers:\n - {match: {platform: aws}, writer: none}\n - {match: {platform: aws}, writer: driver}\n", "E-WRITER-TWICE", 7, "policy.yml:6"),
    # services
    ("a misspelt service", rule("services: [postgres]"), "E-SERVICE", 9, "Did you mean postgresql?"),
    ("an unknown service", rule("services: [zzz]"), "E-SERVICE", 9, "Define it in services"),
    ("a service the wrong way round", rule("services: [5432/tcp]"), "E-SERVICE", 9, "Did you mean tcp/5432?"),
    ("a bare port", rule('services: ["443"]'), "E-SERVICE", 9, "Did you mean tcp/443?"),
    ("a port as a number", rule("services: [443]"), "E-SERVICE", 9, "tcp/443"),
    ("a port that does not exist", rule("services: [tcp/70000]"), "E-SERVICE", 9, "65535"),
    ("services that are text", rule("services: any"), "E-SERVICE", 9, "Write [any]."),
    ("no service", rule("services: []"), "E-SERVICE", 9, "Name at least one"),
    ("a service named as a protocol", "---\nservices: {tcp: [udp/1]}\n", "E-SERVICE", 6, "protocol"),
    ("a service with a slash", "---\nservices: {a/b: [udp/1]}\n", "E-SERVICE", 6, "cannot name"),
    ("a circle of services", "---\nservices: {a: [b], b: [c], c: [a]}\n", "E-SERVICE-CYCLE", 6, "->"),
    ("a service that names itself", "---\nservices: {a: [a]}\n", "E-SERVICE-CYCLE", 6, "a -> a"),
    ("an unknown management port", "---\nsettings: {}\n", "E-SETTINGS-TWICE", 6, "one set"),
    # address lists and addresses
    ("a misspelt list", rule("from: {ip_list: ofice}"), "E-IP-LIST", 9, "Did you mean office?"),
    ("a list naming an unknown list", "---\nip_lists: {a: [offices]}\n", "E-IP-LIST", 6, "Did you mean office?"),
    ("a circle of lists", "---\nip_lists: {a: [b], b: [a]}\n", "E-IP-LIST-CYCLE", 6, "->"),
    ("host bits in a list", "---\nip_lists: {a: [10.0.0.1/8]}\n", "E-CIDR", 6, "did you mean 10.0.0.0/8"),
    ("a bad block in a list", "---\nip_lists: {a: [10.0.0.300]}\n", "E-CIDR", 6, "10.0.0.300"),
    ("a number in a list", "---\nip_lists: {a: [10]}\n", "E-IP-LIST", 6, "10"),
    ("a bad block in a rule", rule("from: {cidr: 10.0.0.0/99}"), "E-CIDR", 9, "10.0.0.0/99"),
    ("a key beside cidr", rule("from: {cidr: 10.0.0.0/8, role: web}"), "E-KEY", 9, "zone"),
    ("a bad address", "workloads: [{name: a, addresses: [10.0.0]}]\n", "E-ADDRESS", 5, "10.0.0"),
    ("a block as an address", "workloads: [{name: a, addresses: [10.0.0.0/8]}]\n", "E-ADDRESS", 5, "ip_lists"),
    ("a workload without address", "workloads: [{name: a, addresses: []}]\n", "E-ADDRESS", 5, "at least one"),
    ("an interface scope", 'workloads: [{name: a, addresses: ["fe80::1%eth0"]}]\n', "E-ADDRESS", 5, "scope"),
    # selectors
    ("an undeclared key", rule("from: {rolle: web}"), "E-LABEL-KEY", 9, "Did you mean role?"),
    ("a workload as a selector", rule("from: web-1"), "E-LABEL-KEY", 9, "{workload: web-1}"),
    ("an undeclared key in text", rule('from: "rolle=web"'), "E-LABEL-KEY", 9, "Did you mean role?"),
    ("an undeclared key in a match", "---\nscope: a\nmatch: {ap: x}\n", "E-LABEL-KEY", 7, "Did you mean app?"),
    ("an undeclared key in modes", "modes:\n - {match: {ap: x}, mode: full}\n", "E-LABEL-KEY", 6, "Did you mean app?"),
    ("an undeclared key in a guardrail", "guardrails:\n - {id: g, never: {from: {ap: x}, to: any}}\n", "E-LABEL-KEY", 6, "app"),
    ("an undeclared key in an exception", "guardrails:\n - {id: g, never: {from: any, to: any}, except: {to: {ap: x}}}\n", "E-LABEL-KEY", 6, "app"),
    ("an undeclared key in members", "service_addresses:\n - {name: a, address: 10.0.0.2, ports: {tcp/1: tcp/1}, members: {ap: a}}\n", "E-LABEL-KEY", 6, "app"),
    ("an undeclared key of a workload", "workloads: [{name: a, addresses: [10.0.0.1], labels: {ap: x}}]\n", "E-LABEL-KEY", 5, "app"),
    ("an undeclared key of a label rule", "label_rules: [{set: {ap: x}, group: g}]\n", "E-LABEL-KEY", 5, "app"),
    ("a value outside the list", rule("from: {env: [prod, prd]}"), "E-LABEL-VALUE", 9, "Did you mean prod?"),
    ("a value outside the list in text", rule("from: env!=prd"), "E-LABEL-VALUE", 9, "Did you mean prod?"),
    ("a value outside the list of a workload", "workloads: [{name: a, addresses: [10.0.0.1], labels: {env: x}}]\n", "E-LABEL-VALUE", 5, "dev, prod"),
    ("no condition in from", rule("from: {}"), "E-EMPTY-SELECTOR", 9, "scope"),
    ("no condition in text", rule('to: ""'), "E-EMPTY-SELECTOR", 9, "scope"),
    ("no condition in a team's scope", "---\nscope: a\nmatch: {}\n", "E-EMPTY-SELECTOR", 7, "estate: true"),
    ("no condition in modes", "modes: [{match: {}, mode: full}]\n", "E-EMPTY-SELECTOR", 5, "everything"),
    ("a boolean as a label value", rule("from: {role: yes}"), "E-SELECTOR", 9, 'Put quotes around it: "yes"'),
    ("a label value left out", rule("from: {role: }"), "E-SELECTOR", 9, "empty"),
    ("a number that changes when read", rule("from: {role: 1.10}"), "E-SELECTOR", 9, 'Put quotes around it: "1.10"'),
    ("a mapping as a label value", rule("from: {role: {a: b}}"), "E-SELECTOR", 9, "text"),
    ("an empty list of values", rule("from: {role: []}"), "E-SELECTOR", 9, "empty list"),
    ("a value that would print as two conditions", rule('from: {role: "a,app=b"}'), "E-SELECTOR", 9, ","),
    ("a star in a list", rule('from: {role: ["*"]}'), "E-SELECTOR", 9, "*"),
    ("a bad term", rule('from: "role=web,,"'), "E-SELECTOR", 9, "cannot read"),
    # peers
    ("a peer left out", rule("from: "), "E-PEER", 9, "no value"),
    ("an empty list of peers", rule("from: []"), "E-PEER", 9, "names nobody"),
    ("a list in a list", rule("from: [[any]]"), "E-PEER", 9, "one peer"),
    ("a number as a peer", rule("from: 7"), "E-PEER", 9, "not a peer"),
    ("a bare block", rule("from: 10.0.0.0/8"), "E-PEER", 9, "Did you mean {cidr: 10.0.0.0/8}?"),
    ("a bare list", rule("from: office"), "E-PEER", 9, "Did you mean {ip_list: office}?"),
    ("two kinds of peer in one mapping", rule("from: {workload: a, role: web}"), "E-PEER", 9, "alone"),
    ("two workloads in one peer", rule("from: {workload: [a, b]}"), "E-PEER", 9, "list of peers"),
    ("a zone alone", rule("from: {zone: lab}"), "E-KEY", 9, "cidr"),
    # names on the network
    ("a name that opens connections", rule("from: {fqdn: api.example.com}"), "E-FQDN", 9, "from"),
    ("a name in deny", rule("to: {fqdn: api.example.com}", "deny"), "E-FQDN", 9, "allow"),
    ("a name in pass", rule("to: {fqdn: api.example.com}", "pass"), "E-FQDN", 9, "allow"),
    ("a name in a guardrail", "guardrails: [{id: g, never: {from: any, to: {fqdn: a.b.example}}}]\n", "E-FQDN", 5, "cidr"),
    ("a wildcard name", rule('to: {fqdn: "*.example.com"}'), "E-FQDN", 9, "wildcard"),
    ("a short name", rule("to: {fqdn: api}"), "E-FQDN", 9, "full host name"),
    ("an address as a name", rule('to: {fqdn: "10.0.0.1"}'), "E-FQDN", 9, "full host name"),
    # words with few values
    ("a misspelt tier", rule("x: 1").replace("name: core", "name: core, tier: admn"), "E-TIER", 8, "Did you mean admin?"),
    ("a misspelt stage", rule("x: 1").replace("name: core", "name: core, stage: activ"), "E-STAGE", 8, "Did you mean active?"),
    ("a misspelt action", rule("action: alow"), "E-ACTION", 9, "Did you mean allow?"),
    ("reject without deny", rule("reject: true"), "E-ACTION", 9, "action: deny"),
    ("reset without deny", rule("reset_established: true"), "E-ACTION", 9, "action: deny"),
    ("a misspelt mode", "modes: [{match: {app: a}, mode: ful}]\n", "E-MODE", 5, "Did you mean full?"),
    ("a mode said twice", "modes: [{match: {app: a}, mode: full, egress: idle}]\n", "E-MODE", 5, "either"),
    ("a mode left out", "modes: [{match: {app: a}, mode: }]\n", "E-MODE", 5, "has no value"),
    ("an exception left out", "guardrails: [{id: g, never: {from: any, to: any}, except: }]\n", "E-VALUE", 5, "has no value"),
    ("no mode at all", "modes: [{match: {app: a}}]\n", "E-MODE", 5, "needs mode"),
    # time
    ("a date that does not exist", rule("expires: 2027-02-30"), "E-DATE", 9, "2027-02-30"),
    ("a date of another country", rule("expires: 30.06.2027"), "E-DATE", 9, "2027-06-30"),
    ("a date beyond the calendar", rule("expires: 9999-12-31"), "E-DATE", 9, "9999"),
    ("an empty date", rule('expires: ""'), "E-DATE", 9, "not a date"),
    ("a year as a date", rule("expires: 2027"), "E-DATE", 9, "2027"),
    ("a bad end of a fact", "workloads: [{name: a, addresses: [10.0.0.1], labels: {app: {value: x, expires: soon}}}]\n", "E-DATE", 5, "soon"),
    ("a misspelt key of a fact", "workloads: [{name: a, addresses: [10.0.0.1], labels: {app: {value: x, expire: soon}}}]\n", "E-KEY", 5, "Did you mean expires?"),
    # the rest
    ("a label rule without condition", "label_rules: [{set: {app: x}}]\n", "E-LABEL-RULE", 5, "every host"),
    ("a bad expression", 'label_rules: [{set: {app: x}, when: "a =="}]\n', "E-LABEL-RULE", 5, "JMESPath"),
    ("an expression over everything", 'label_rules: [{set: {app: x}, when: "keys(@)"}]\n', "E-LABEL-RULE", 5, "all variables"),
    ("a bad name pattern", 'label_rules: [{set: {app: x}, name: "("}]\n', "E-LABEL-RULE", 5, "regular expression"),
    ("a bad subnet", "label_rules: [{set: {app: x}, subnet: 10.0.0.1/8}]\n", "E-CIDR", 5, "10.0.0.0/8"),
    ("a port range of a service address", "service_addresses: [{name: a, address: 10.0.0.2, ports: {tcp/1-2: tcp/1}, members: {app: a}}]\n", "E-SERVICE", 5, "one port"),
    ("a port that changes its protocol", "service_addresses: [{name: a, address: 10.0.0.2, ports: {tcp/1: udp/1}, members: {app: a}}]\n", "E-SERVICE", 5, "protocol"),
    ("a test that is no sentence", 'tests: [{allow: "web-1 db-1 tcp/1"}]\n', "E-TEST", 5, "not a test sentence"),
    ("a test without service", 'tests: [{allow: "web-1 -> db-1"}]\n', "E-TEST", 5, "not a test sentence"),
    ("a test that says both", 'tests: [{allow: "a -> b tcp/1", deny: "a -> b tcp/1"}]\n', "E-TEST", 5, "either"),
    ("a test that says nothing", "tests: [{because: x}]\n", "E-TEST", 5, "either"),
    ("a test with blanks between services", 'tests: [{allow: "a -> b tcp/1 tcp/2"}]\n', "E-TEST", 5, "commas"),
    ("a test with an unknown service", 'tests: [{allow: "a -> b postgres"}]\n', "E-SERVICE", 5, "Did you mean postgresql?"),
    ("an exception that excepts nothing", "guardrails: [{id: g, never: {from: any, to: any}, except: {}}]\n", "E-VALUE", 5, "excepts nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "line", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_it_is_refused_with_code_line_and_advice(text, code, line, says):
    found = errors(text)

    matching = [error for error in found if error.code == code and error.where.line == line]
    assert matching, [(error.code, str(error.where), error.message) for error in found]
    assert any(says in f"{error.message} {error.hint}" for error in matching), matching
    assert all(error.where.file == "policy.yml" for error in found)


# (claim, settings, code, line, part of message or hint)
BAD_SETTINGS = [
    ("a misspelt time zone", "timezone: Europe/Berln", "E-TIMEZONE", 2, "Did you mean Europe/Berlin?"),
    ("a zone that is a path", "timezone: ../etc/passwd", "E-TIMEZONE", 2, "time zone"),
    ("a reserved label key", "labels: {any: {}}", "E-LABEL-KEY", 2, "Choose another"),
    ("a boolean among values", "labels: {env: {values: [prod, no]}}", "E-SELECTOR", 2, '"no"'),
    ("a label without braces", "labels: {env: }", "E-VALUE", 2, "mapping"),
    ("a block of controllers", "controllers: [10.0.0.0/8]", "E-ADDRESS", 2, "Only single addresses"),
    ("a bare 1 as a share", "max_shrink: 1", "E-VALUE", 2, "Write 1%"),
    ("more than everything", "max_shrink: 101%", "E-VALUE", 2, "Write 1%"),
    ("a boolean share", "max_shrink: true", "E-VALUE", 2, "Write 1%"),
    ("not a number", "max_shrink: .nan", "E-VALUE", 2, "Write 1%"),
    ("a weight of nothing", "labels: {app: {}}\n  criticality: [{match: {app: a}, weight: 0}]", "E-VALUE", 3, "greater"),
    ("an undeclared key in criticality", "labels: {app: {}}\n  criticality: [{match: {ap: a}, weight: 2}]", "E-LABEL-KEY", 3, "app"),
    ("a key when none is declared", "criticality: [{match: {ap: a}, weight: 2}]", "E-LABEL-KEY", 2, "settings.labels"),
    ("an unknown management port", "management_ports: [ssh]", "E-SERVICE", 2, "ssh"),
    ("a dependency on nobody", "dependencies: [{to: [], services: [tcp/1]}]", "E-PEER", 2, "peer"),
    ("a policy plan approved in advance", "standing_approvals: [{kinds: [policy], max_eps: 1}]", "E-VALUE", 2, "membership"),
    ("a grant for no scope", "grants: [{scope: shop}]", "E-SCOPE", 2, "does not exist"),
    ("a grant of an unknown tier", "grants: [{scope: shop, tiers: [top]}]", "E-TIER", 2, "emergency"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "line", "says"), [case[1:] for case in BAD_SETTINGS], ids=[case[0] for case in BAD_SETTINGS]
)
def test_a_setting_is_refused_with_code_line_and_advice(text, code, line, says):
    with pytest.raises(Rejected) as caught:
        loads({"settings.yml": f"settings:\n  {text}\n"})

    matching = [error for error in caught.value.findings if error.code == code and error.where.line == line]
    assert matching, [(error.code, str(error.where), error.message) for error in caught.value.findings]
    assert any(says in f"{error.message} {error.hint}" for error in matching), matching


def test_one_run_shows_the_errors_of_all_files_and_kinds_sorted_by_place():
    texts = {
        "b.yml": rule("services: [postgres]").replace("action", "acton"),
        "a.yml": SETTINGS + "modes: [{match: {ap: x}, mode: ful}]\ntests: [{allow: nonsense}]\n",
    }

    with pytest.raises(Rejected) as caught:
        loads(texts)

    found = [(error.code, str(error.where)) for error in caught.value.findings if error.severity == "error"]
    assert found == [("E-MODE", "a.yml:5"), ("E-LABEL-KEY", "a.yml:5"), ("E-TEST", "a.yml:6"), ("E-SERVICE", "b.yml:5")]


def test_what_a_broken_definition_names_is_not_missed_elsewhere():
    found = errors(
        "---\nservices: {a: tcp/1, b: [b]}\nip_lists: {c: 7}\n"
        + rule("services: [a, b]")
        + rule("from: {ip_list: c}").replace("shop", "s2")
    )

    assert sorted(error.code for error in found) == ["E-IP-LIST", "E-SERVICE", "E-SERVICE-CYCLE"]


def test_an_unreadable_file_hides_no_yaml_error_of_others_and_causes_no_followers():
    with pytest.raises(Rejected) as caught:
        loads(
            {"a.yml": "settings: {labels: {app: {}}\n", "b.yml": "modes: [{match: {app: x}, mode: full}]", "c.yml": "}"}
        )

    assert [(error.code, error.where.file) for error in caught.value.findings] == [
        ("E-YAML", "a.yml"),
        ("E-YAML", "c.yml"),
    ]


def test_reading_stops_after_two_hundred_errors_and_says_so():
    rules = "".join(
        f"    - {{id: r{number}, from: {{x{number}: y}}, to: {{app: b}}, services: [any]}}\n" for number in range(500)
    )

    found = errors("---\nscope: a\nmatch: {app: a}\nrulesets:\n  - name: core\n    rules:\n" + rules)

    assert len(found) == 201
    assert found[-1].code == "E-TOO-MANY"


def test_an_alias_bomb_is_refused_without_being_built():
    levels = "\n".join(f"  b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 10)}]" for n in range(1, 12))

    found = errors(f"---\nip_lists:\n  b0: &b0 [10.0.0.1]\n{levels}\n")

    assert [error.code for error in found] == ["E-YAML"]
    assert "aliases blow" in found[0].message


def test_the_message_of_the_exception_names_the_first_error_and_counts_the_others():
    with pytest.raises(Rejected) as caught:
        loads({"policy.yml": SETTINGS + rule("services: [postgres]") + rule("form: any").replace("shop", "s2")})

    assert str(caught.value).startswith("E-SERVICE  policy.yml:9: there is no service 'postgres'. (and 1 more)")
