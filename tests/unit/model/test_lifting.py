# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Words stand for exactly the workloads they were found for."""

from __future__ import annotations

import random
import re

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import selectors
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import WHOLE_FAMILY, parse_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.bundle import WorkloadEntry
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import Modes
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import normalised, subtraction
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.labels import Fact, Truth
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.lifting import Lifter


def entry(labels: str, *addresses: str, zone: str = "") -> WorkloadEntry:
    facts = dict(pair.split("=") for pair in labels.split(",")) if labels else {}
    numbers = tuple((one.family, one.number) for one in map(parse_address, addresses))
    return WorkloadEntry(facts, numbers, zone, True, Modes())


SHOP = {
    "web-1": entry("app=shop,role=web,env=prod", "10.0.0.1"),
    "web-2": entry("app=shop,role=web,env=prod", "10.0.0.2", "10.0.0.22"),
    "web-3": entry("app=shop,role=web,env=dev", "10.0.0.3"),
    "db-1": entry("app=shop,role=db,env=prod", "10.0.0.4"),
    "batch-1": entry("app=batch,role=batch,env=prod", "10.0.0.5"),
    "bare": entry("", "10.0.0.6"),
}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (set(SHOP), "all-workloads"),
        ({"web-1", "web-2", "web-3"}, "role=web"),
        ({"web-1", "web-2"}, "env=prod,role=web"),
        ({"db-1"}, "role=db"),
        ({"web-1", "web-2", "web-3", "db-1"}, "app=shop"),
        ({"bare"}, "bare"),
        ({"web-3", "batch-1"}, "app=batch | env=dev"),
    ],
)
def test_workloads_are_said_by_the_smallest_conjunction_of_labels(names, words):
    assert Lifter(SHOP).words(frozenset(names), "", 4) == words


def test_few_exceptions_are_named():
    many = {f"w{n}": entry("role=web", f"10.0.1.{n}") for n in range(1, 20)}

    assert (
        Lifter({**SHOP, **many}).words(frozenset(set(many) - {"w7"} | {"web-1", "web-2", "web-3"}), "", 4)
        == "role=web except w7"
    )


def test_one_address_of_several_is_said_with_the_address():
    lifter = Lifter(SHOP)

    assert lifter.say("", 4, ((0x0A000002, 0x0A000002),)) == "web-2 at 10.0.0.2"
    assert lifter.say("", 4, ((0x0A000002, 0x0A000002), (0x0A000016, 0x0A000016))) != "web-2 at 10.0.0.2"


def test_addresses_of_nobody_are_blocks():
    lifter = Lifter(SHOP)
    inhabited = lifter.inhabited("", 4)

    assert lifter.say("", 4, WHOLE_FAMILY[4]) == "any"
    assert lifter.say("", 4, subtraction(WHOLE_FAMILY[4], inhabited)) == "outside the estate"
    assert lifter.say("", 4, ((0xC6336400, 0xC63364FF),)) == "198.51.100.0/24"
    ten = subtraction(((0x0A000000, 0x0AFFFFFF),), inhabited)
    assert lifter.say("", 4, ten) == "10.0.0.0/8 outside the estate"
    most = subtraction(subtraction(WHOLE_FAMILY[4], inhabited), ((0xC6336400, 0xC63364FF),))
    assert lifter.say("", 4, most) == "outside the estate except 198.51.100.0/24"


SHOP_OF_C = {"c": entry("role=c", "10.0.0.2")}


def test_zones_are_kept_apart():
    lifter = Lifter({"a": entry("role=a", "10.0.0.1", zone="east"), "b": entry("role=b", "10.0.0.1"), **SHOP_OF_C})

    assert lifter.say("east", 4, ((0x0A000001, 0x0A000001),)) == "a"
    assert lifter.say("", 4, ((0x0A000001, 0x0A000001),)) == "role=b"


@pytest.mark.parametrize("seed", range(60))
def test_words_read_as_selectors_choose_exactly_the_workloads(seed):
    print(f"seed {seed}")
    dice = random.Random(seed)
    estate = {
        f"h{n}": entry(
            ",".join(f"{key}={dice.choice('xyz')}" for key in ("app", "env", "role") if dice.random() < 0.9),
            f"10.0.0.{n}",
        )
        for n in range(1, dice.randint(3, 25))
    }
    lifter = Lifter(estate)
    for _ in range(20):
        wanted = frozenset(dice.sample(sorted(estate), dice.randint(1, len(estate))))
        words = lifter.words(wanted, "", 4)
        if re.search(r" and \d+ more", words):
            continue
        assert _chosen(words, estate) == wanted, words


def _chosen(words: str, estate) -> frozenset[str]:
    result: set[str] = set()
    for term in words.split(" | "):
        if term == "all-workloads":
            return frozenset(estate)
        body, _except, left_out = term.partition(" except ")
        if "=" in body or " in " in body or " notin " in body:
            selector = selectors.parse(body)
            for name, one in estate.items():
                facts = {key: Fact(value) for key, value in one.labels.items()}
                if selector.matches(facts, None) is Truth.YES:
                    result.add(name)
        else:
            result |= set(body.split(","))
        result -= set(left_out.split(","))
    return frozenset(result)


def test_parts_split_addresses_into_workloads_and_the_rest():
    parts = Lifter(SHOP).parts("", 4, normalised([(0x0A000001, 0x0A000002), (0x0A000064, 0x0A000064)]))

    assert parts.whole == {"web-1"}
    assert parts.single == (("web-2", 0x0A000002),)
    assert parts.outside == ((0x0A000064, 0x0A000064),)
