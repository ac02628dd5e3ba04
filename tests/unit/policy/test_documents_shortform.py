# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules in one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import selectors
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import PolicyError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import parse_rule, print_rule


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (
            "allow role=web -> role=db : postgresql",
            {"action": "allow", "from": "role=web", "to": "role=db", "services": ["postgresql"]},
        ),
        (
            "deny any -> app=shop,env in (dev,prod) : tcp/22, udp/53",
            {"action": "deny", "from": "any", "to": "app=shop,env in (dev,prod)", "services": ["tcp/22", "udp/53"]},
        ),
        (
            "pass workload web-1 | ip_list office -> all-workloads | scope : any",
            {
                "action": "pass",
                "from": [{"workload": "web-1"}, {"ip_list": "office"}],
                "to": ["all-workloads", "scope"],
                "services": ["any"],
            },
        ),
        (
            "allow 10.0.0.0/8 in zone lab -> 2001:db8::1 : tcp/443",
            {
                "action": "allow",
                "from": {"cidr": "10.0.0.0/8", "zone": "lab"},
                "to": {"cidr": "2001:db8::1"},
                "services": ["tcp/443"],
            },
        ),
        (
            "allow !legacy,pci -> fqdn api.example.com : tcp/443",
            {"action": "allow", "from": "!legacy,pci", "to": {"fqdn": "api.example.com"}, "services": ["tcp/443"]},
        ),
    ],
)
def test_a_line_is_read_and_printed_back(line, rule):
    assert parse_rule(line) == rule
    assert print_rule(rule) == line


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("", "E-SHORT-FORM"),
        ("allow role=web -> role=db", "E-SHORT-FORM"),
        ("allow role=web : tcp/1", "E-SHORT-FORM"),
        ("allow a=b -> c=d -> e=f : tcp/1", "E-SHORT-FORM"),
        ("allow role=web -> role=db : tcp/1 tcp/2", "E-SHORT-FORM"),
        ("allow role=web -> role=db : tcp/1,,", "E-SHORT-FORM"),
        ("allow role==,= -> role=db : tcp/1", "E-SHORT-FORM"),
        ("allow | role=web -> role=db : tcp/1", "E-SHORT-FORM"),
        ("alow role=web -> role=db : tcp/1", "E-ACTION"),
        ("allow 10.0.0.1/8 -> role=db : tcp/1", "E-CIDR"),
    ],
)
def test_a_bad_line_is_refused(line, code):
    with pytest.raises(PolicyError) as caught:
        parse_rule(line)

    assert caught.value.code == code


words = st.from_regex(r"[a-z][a-z0-9.\-]{0,6}[a-z0-9]", fullmatch=True).filter(
    lambda word: word not in selectors.RESERVED_KEYS
)
peers = st.one_of(
    st.sampled_from(["scope", "any", "all-workloads"]),
    st.dictionaries(
        words, st.one_of(words, st.lists(words, min_size=1, max_size=3), st.just("*")), min_size=1, max_size=3
    ),
    st.fixed_dictionaries({"workload": words}),
    st.fixed_dictionaries({"ip_list": words}),
    st.fixed_dictionaries({"cidr": st.sampled_from(["10.0.0.0/8", "::/0", "192.0.2.1"])}, optional={"zone": words}),
)
ends = st.one_of(peers, st.lists(peers, min_size=1, max_size=3))


def plain(written):
    """Peers with selectors in one form."""
    if isinstance(written, list):
        return [plain(item) for item in written] if len(written) > 1 else plain(written[0])
    if isinstance(written, dict) and set(written) & selectors.RESERVED_KEYS:
        return written
    return written if written in ("scope", "any", "all-workloads") else str(selectors.parse(written))


@given(st.sampled_from(["allow", "deny", "pass"]), ends, ends, st.lists(words, min_size=1, max_size=3))
def test_every_rule_survives_the_way_to_text_and_back(action, consumers, providers, services):
    rule = {"action": action, "from": consumers, "to": providers, "services": services}

    assert parse_rule(print_rule(rule)) == {**rule, "from": plain(consumers), "to": plain(providers)}
