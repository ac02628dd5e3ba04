# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Sums that simulate keeps: the answer is that without them, whatever the draft, and whatever happened to the files."""

from __future__ import annotations

import os
import random
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import FlowsError, Rejected
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.visibility import keys_cache
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.visibility.edges_file import write_edges
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow import flows_asked
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.workflow.simulate import (
    FlowsAsked,
    simulate_draft,
    simulate_staged,
)
from tests.semantics.fixtures import NOW, inputs_of, inventory_host
from tests.support.policies import random_world
from tests.support.traffic import random_edges
from tests.unit.policy.test_simulate_keys import draft_of

pytest.importorskip("pyarrow")
FULL = int(200 * float(os.environ.get("MICROSEG_PROOF_FRACTION", "1")))


class Asked:
    """One random estate with flows, and drafts of its policy."""

    def __init__(self, path, seed: int, count: int = 300) -> None:
        self.seed = seed
        self.world = random_world(seed, hosts=6)
        self.inputs = inputs_of(self.world.documents, self.world.hosts)
        self.path = path
        self.flows = path / "flows.parquet"
        write_edges(random_edges(self.inputs.estate, seed, count, instant=seed % 3 == 0), self.flows)
        self.cache = path / "store" / "cache" / "simulate"

    def hosts(self, _variables, _timezone):
        return [inventory_host(name, value) for name, value in self.world.hosts.items()]

    def draft(self, number: int):
        directory = self.path / f"draft-{number}"
        directory.mkdir()
        documents = draft_of(self.world, self.seed + number).documents
        (directory / "all.yml").write_text(yaml.safe_dump_all(documents, sort_keys=False))
        return directory

    def answer(self, draft=None, cached: bool = True, intent: bool = False, **window):
        flows = FlowsAsked(self.flows, store=self.path / "store" if cached else None, **window)
        if draft is None:
            return simulate_staged(self.inputs, flows, intent=intent).to_dict()
        return simulate_draft(draft, replace(self.inputs, at=NOW), self.hosts, flows, intent=intent).to_dict()

    def entries(self) -> list[str]:
        return sorted(item.name for item in self.cache.iterdir() if not item.name.startswith("."))


def prove(path, seed: int) -> tuple[int, int]:
    """Lines of all answers, and flows of which there are none."""
    asked = Asked(path, seed)
    try:
        drafts = [None, *(asked.draft(number) for number in range(3))]
        lines = quiet = 0
        middle = datetime(2026, 11, 1, tzinfo=UTC)
        for draft in drafts:
            for intent in (False, True):
                expected = asked.answer(draft, cached=False, intent=intent)
                assert asked.answer(draft, intent=intent) == expected, (seed, draft, intent)
                assert asked.answer(draft, intent=intent) == expected, (seed, draft, intent)
                lines += sum(map(len, (expected[kind] for kind in ("newly_blocked", "newly_allowed", "unknown"))))
                quiet += expected["flows"]["unchanged"]
            assert asked.entries() == asked.entries()[:1]
        for window in ({"since": middle}, {"until": middle}):
            try:
                expected = asked.answer(drafts[1], cached=False, **window)
            except FlowsError:
                continue
            assert [asked.answer(drafts[1], **window) for _again in range(2)] == [expected] * 2
    except Rejected:
        return 0, 0
    return lines, quiet


def test_answers_by_kept_sums_are_those_by_flows(tmp_path):
    found = []
    for seed in range(12):
        (tmp_path / str(seed)).mkdir()
        found.append(prove(tmp_path / str(seed), seed))
    assert sum(lines > 0 for lines, _quiet in found) >= 5
    assert sum(quiet > 0 for _lines, quiet in found) >= 5


@pytest.mark.proof
def test_answers_by_kept_sums_are_those_by_flows_two_hundred_times(tmp_path):
    for seed in range(50_000, 50_000 + FULL):
        (tmp_path / str(seed)).mkdir()
        prove(tmp_path / str(seed), seed)


@pytest.fixture
def asked(tmp_path):
    """An estate and a draft that changes something and leaves something."""
    for seed in range(40):
        path = tmp_path / str(seed)
        path.mkdir()
        one = Asked(path, seed)
        try:
            one.tried = one.draft(0)
            one.expected = one.answer(one.tried, cached=False)
        except Rejected:
            continue
        if one.expected["newly_blocked"] or one.expected["newly_allowed"]:
            return one
    raise AssertionError("no draft changes anything")


def no_reading(*_arguments):
    raise AssertionError("the flows were read")


def test_the_second_run_reads_no_flows(asked, monkeypatch):
    assert asked.answer(asked.tried) == asked.expected
    monkeypatch.setattr(flows_asked, "read_edges", no_reading)
    assert asked.answer(asked.tried) == asked.expected


def test_other_flows_of_the_same_size_and_time_are_other_flows(asked):
    asked.answer(asked.tried)
    before = asked.flows.stat()
    edges = random_edges(asked.inputs.estate, 12345, 300)
    content = asked.flows.read_bytes()
    write_edges(replace(edges, count=edges.count + 1000), asked.flows)
    other = asked.flows.read_bytes()
    assert other != content
    os.utime(asked.flows, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = asked.answer(asked.tried)
    assert again == asked.answer(asked.tried, cached=False)
    assert again["flows"] != asked.expected["flows"]
    assert len(asked.entries()) == 2


@pytest.mark.parametrize("file", ["keys.parquet", "ends.parquet", "edges.parquet", "sums.json"])
def test_what_is_damaged_is_made_again(asked, file):
    chooser = random.Random(file)
    asked.answer(asked.tried)
    [entry] = asked.entries()
    path = asked.cache / entry / file
    content = path.read_bytes()
    noted = 0
    for damage in range(40):
        place = chooser.randrange(len(content))
        broken = bytearray(content)
        broken[place] ^= 1 << chooser.randrange(8)
        path.write_bytes(bytes(broken) if damage else content[:place])
        again = asked.answer(asked.tried)
        findings = again.pop("findings")
        assert again == {name: value for name, value in asked.expected.items() if name != "findings"}
        told = [item for item in findings if item["code"] == "W-SIMULATE-CACHE"]
        assert [item for item in findings if item not in told] == asked.expected["findings"]
        noted += bool(told)
        path.write_bytes(content)
    assert noted == 40 if file != "edges.parquet" else noted > 10
    path.unlink()
    assert asked.answer(asked.tried)["flows"] == asked.expected["flows"]
    assert asked.answer(asked.tried) == asked.expected


def test_the_newest_few_are_kept(asked):
    start = datetime.fromisoformat(asked.expected["coverage"]["start"])
    for day in range(keys_cache.MOST + 3):
        asked.answer(asked.tried, until=start + timedelta(days=day + 1))
    assert len(asked.entries()) == keys_cache.MOST
    newest = asked.entries()
    asked.answer(asked.tried, until=start + timedelta(days=keys_cache.MOST + 3))
    assert asked.entries() == newest


def test_what_was_left_half_written_goes(asked):
    asked.cache.mkdir(parents=True)
    dead, alive = asked.cache / ".a.1.new", asked.cache / ".b.2.new"
    for directory in (dead, alive):
        directory.mkdir()
    os.utime(dead, (1, 1))
    asked.answer(asked.tried)
    assert not dead.exists()
    assert alive.exists()


def test_a_store_that_cannot_be_written_costs_a_note(asked):
    (asked.path / "store").write_text("a file")
    again = asked.answer(asked.tried)
    [note] = [item for item in again["findings"] if item["code"] == "W-SIMULATE-CACHE"]
    assert "cannot be kept" in note["message"]
    assert {**again, "findings": asked.expected["findings"]} == asked.expected


def test_runs_at_the_same_time_have_one_answer(asked):
    answers = []

    def ask():
        for _time in range(4):
            answers.append(asked.answer(asked.tried))
            for name in asked.entries():
                keys_cache.KeysCache(asked.cache).remove(name)

    threads = [threading.Thread(target=ask) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16
    expected = {name: value for name, value in asked.expected.items() if name != "findings"}
    assert all({name: value for name, value in one.items() if name != "findings"} == expected for one in answers)
    asked.answer(asked.tried)
    assert len(asked.entries()) == len(list(asked.cache.iterdir())) == 1
