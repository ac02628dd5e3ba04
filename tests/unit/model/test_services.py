# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The notation of services: what is read is what is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import PolicyError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import (
    intersection,
    normalised,
    subtraction,
)

POINTS = st.integers(0, line.PROTO_BASE + 255)
SETS = st.lists(st.tuples(POINTS, st.integers(0, 70_000)).map(lambda p: (p[0], p[0] + p[1])), max_size=5).map(
    lambda pairs: intersection(normalised(pairs), line.ANY)
)


@given(SETS)
def test_what_is_shown_reads_back_as_the_same_set(services) -> None:
    assert line.parse_all(line.show(services)) == services


@given(SETS, st.sampled_from([4, 6]))
def test_any_is_said_exactly_for_everything_of_the_family(services, family) -> None:
    whole = intersection(services, line.UNIVERSE[family]) == line.UNIVERSE[family]
    assert (line.show(services, family) == ["any"]) == whole


@given(SETS)
def test_other_protocols_never_include_the_named_ones(services) -> None:
    for term in line.show(services):
        if term.startswith("proto/"):
            low, _dash, high = term.removeprefix("proto/").partition("-")
            assert not {1, 6, 17, 58, 132} & set(range(int(low), int(high or low) + 1))


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["tcp/80", "tcp/81-90", "udp/53"], ["tcp/80-90", "udp/53"]),
        (["udp/53", "tcp/22"], ["tcp/22", "udp/53"]),
        (["tcp/0-65535"], ["tcp"]),
        (["icmp/3.0-3"], ["icmp/3.0-3"]),
        (["icmp/3.0-255", "icmp/4"], ["icmp/3-4"]),
        (["icmp/3.4", "icmp/4"], ["icmp/3.4", "icmp/4"]),
        (["icmpv6/130-137"], ["icmpv6/130-137"]),
        (["proto/0-255"], ["proto/0", "proto/2-5", "proto/7-16", "proto/18-57", "proto/59-131", "proto/133-255"]),
        (["any"], ["any"]),
    ],
)
def test_the_canonical_notation(texts: list[str], shown: list[str]) -> None:
    assert line.show(line.parse_all(texts)) == shown


@pytest.mark.parametrize(
    "text",
    ["tcp/", "tcp/65536", "tcp/9-3", "tcp/a", "proto", "proto/6", "proto/256", "icmp/256", "icmp/3.4.5", "icmp/3-4.1",
     "http", "", "tcp/80/90", "TCP/80", "tcp/-1", "icmp/9-3", "any/1"],
)  # fmt: skip
def test_what_is_no_service_is_refused_with_one_code(text: str) -> None:
    with pytest.raises(PolicyError) as refused:
        line.parse(text)
    assert refused.value.code == "E-SERVICE"
    assert repr(text) in refused.value.message


def test_a_representative_is_a_packet_a_person_would_try() -> None:
    assert line.representative(line.ANY) == 1
    assert line.representative(line.parse_all(["udp/53", "tcp/443"])) == 443
    assert line.show(((line.representative(subtraction(line.ANY, line.WHOLE["tcp"])),) * 2,)) == ["udp/1"]
