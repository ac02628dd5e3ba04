# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Edges as files: what is written is read again, by us and by others; bad records are counted, bad files refused."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import random

import numpy as np
import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import parse_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.edges import Edges, edges_of
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import FlowsError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.flows import Flow, Observations
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.visibility.edges_file import read_edges, write_edges

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

START = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
SERVICES = ["tcp/0", "tcp/443", "udp/65535", "sctp/7", "icmp/3.4", "proto/47", "proto/0", "proto/255"]


def random_edges(
    seed: int, count: int = 200, start: dt.datetime = START, zones: tuple[str, ...] = ("", "lab")
) -> Edges:
    chooser = random.Random(seed)
    flows = []
    for _ in range(count):
        six = chooser.random() < 0.3
        consumer, provider = (
            parse_address(
                f"2001:db8::{chooser.randint(1, 9)}" if six else f"10.0.0.{chooser.randint(1, 255)}",
                chooser.choice(zones),
            )
            for _ in range(2)
        )
        service = chooser.choice(["tcp/22", "icmpv6/128.0"] if six else SERVICES)
        first = start + dt.timedelta(seconds=chooser.randint(0, 80_000))
        flows.append(
            Flow(
                consumer,
                provider,
                line.parse(service)[0][0],
                chooser.randint(1, 1 << 35),
                first,
                first + dt.timedelta(seconds=chooser.randint(0, 1000)),
                chooser.choice(["w1", "wé2"]),
                chooser.choice(["allowed", "dropped"]),
            )
        )
    day = dt.timedelta(days=1)
    return edges_of(Observations(tuple(flows), start, start + day, ("w1", "w2"), ("w1", "w2", "w3"), 0.25, "conntrack"))


def flows_of(edges: Edges) -> list[Flow]:
    return list(edges.flows())


@pytest.mark.parametrize("suffix", ["parquet", "json"])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_written_is_read_again(tmp_path, suffix, seed):
    edges = random_edges(seed, count=seed * 100, zones=("", "lab")[: seed % 2 + 1])
    path = tmp_path / f"flows.{suffix}"
    write_edges(edges, path)
    findings: list = []
    again = read_edges(path, findings=findings)
    assert flows_of(again) == flows_of(edges)
    assert again.coverage == edges.coverage
    assert not findings
    for name in ("consumer", "provider", "service", "count", "first", "last", "dropped", "sensor"):
        assert getattr(again, name).dtype == getattr(edges, name).dtype, name
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_other_engines_read_the_file_and_write_it(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    edges = random_edges(3)
    write_edges(edges, tmp_path / "ours.parquet")
    row = duckdb.sql(
        f"""select sum("count"), count(consumer_v6), min(first_seen), sum(dropped::int), count(distinct sensor)
        from '{tmp_path / "ours.parquet"}'"""
    ).fetchall()[0]
    six = sum(flow.consumer.family == 6 for flow in edges.flows())
    assert row == (int(edges.count.sum()), six, int(edges.first.min()), int(edges.dropped.sum()), 2)
    said = pq.ParquetFile(tmp_path / "ours.parquet").metadata.metadata
    coverage = said[b"microseg.coverage"].decode()
    duckdb.sql(
        f"""copy (select * from '{tmp_path / "ours.parquet"}') to '{tmp_path / "theirs.parquet"}'
        (format parquet, kv_metadata {{'microseg.format': '1', 'microseg.coverage': '{coverage}'}})"""
    )
    assert flows_of(read_edges(tmp_path / "theirs.parquet")) == flows_of(edges)


def rewritten(tmp_path, change, metadata=None, edges=None):
    """A Parquet file whose table (pyarrow) somebody has changed."""
    write_edges(edges or random_edges(1, 50), tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    said = dict(table.schema.metadata) | (metadata or {})
    table = change(table).replace_schema_metadata(said)
    path = tmp_path / "b.parquet"
    pq.write_table(table, path)
    return path


def with_column(name, values, kind):
    return lambda table: table.set_column(table.schema.get_field_index(name), name, pa.array(values, kind))


def changed_first(name, value, kind=None):
    """The first row has another value in this column."""

    def change(table):
        values = table[name].to_pylist()
        return with_column(name, [value, *values[1:]], kind or table.schema.field(name).type)(table)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed_first("count", 0), "with a count below 1 or beyond counting"),
        (changed_first("count", -1), "with count out of range"),
        (changed_first("count", 1 << 36), "with count out of range"),
        (changed_first("count", None), "without count"),
        (changed_first("consumer", None), "with none or two addresses as consumer"),
        (changed_first("consumer", -1, pa.int64()), "with consumer out of range"),
        (changed_first("provider", 1 << 32, pa.int64()), "with provider out of range"),
        (changed_first("last_seen", 0), "with times that are no period"),
        (changed_first("port", 70_000, pa.int64()), "with port out of range"),
        (changed_first("protocol", 58), "with a service of the other address family"),
        (changed_first("dropped", None), "without dropped"),
        (changed_first("sensor", None), "without sensor"),
        (changed_first("provider_zone", None), "without provider_zone"),
        (changed_first("provider_v6", b"0123456789abcdef"), "with none or two addresses as provider"),
        (
            lambda table: changed_first("port", 7)(changed_first("protocol", 47)(table)),
            "with a port of a protocol that has none",
        ),
    ],
)
def test_a_bad_record_is_left_out_and_told(tmp_path, change, reason):
    chooser = random.Random(0)
    edges = random_edges(1, 50)
    first_four = next(index for index, flow in enumerate(edges.flows()) if flow.consumer.family == 4)
    edges = edges_of(Observations(tuple(flows_of(edges)[first_four:]), START, START, (), (), 0.25, str(chooser)))
    findings: list = []
    again = read_edges(rewritten(tmp_path, change, edges=edges), findings=findings)
    assert [finding.code for finding in findings] == ["W-FLOW-RECORDS"]
    assert f"1 {reason}" in findings[0].message
    assert flows_of(again) == flows_of(edges)[1:]
    assert again.coverage.loss == pytest.approx(1 - 0.75 * (1 - 1 / len(edges)))


def test_mixed_families_of_one_record_are_left_out(tmp_path):
    def change(table):
        table = changed_first("consumer", None)(table)
        return changed_first("consumer_v6", b"\x20\x01" + bytes(14))(table)

    flows = [flow for flow in random_edges(1, 50).flows() if flow.consumer.family == 4]
    edges = edges_of(Observations(tuple(flows), START, START, (), (), 0.0, "x"))
    findings: list = []
    assert flows_of(read_edges(rewritten(tmp_path, change, edges=edges), findings=findings)) == flows[1:]
    assert "between two address families" in findings[0].message


def coverage(**changes):
    """As the metadata of a file have it."""
    usual = {
        "start": START.isoformat(),
        "end": START.isoformat(),
        "reported": [],
        "expected": [],
        "loss": 0,
        "source": "x",
    }
    return json.dumps({**usual, **changes}).encode()


@pytest.mark.parametrize(
    ("change", "metadata", "code"),
    [
        (lambda table: table.drop_columns(["count", "port"]), {}, "E-FLOW-COLUMNS"),
        (lambda table: with_column("consumer", ["10.0.0.1"] * len(table), pa.string())(table), {}, "E-FLOW-COLUMNS"),
        (lambda table: with_column("dropped", [0] * len(table), pa.int8())(table), {}, "E-FLOW-COLUMNS"),
        (lambda table: with_column("count", [1.5] * len(table), pa.float64())(table), {}, "E-FLOW-COLUMNS"),
        (lambda table: table, {b"microseg.format": b"2"}, "E-FLOW-FORMAT"),
        (lambda table: table, {b"microseg.coverage": b"{"}, "E-FLOW-COVERAGE"),
        (lambda table: table, {b"microseg.coverage": b"[1]"}, "E-FLOW-COVERAGE"),
        (lambda table: table, {b"microseg.coverage": b"{}"}, "E-FLOW-COVERAGE"),
        (lambda table: table, {b"microseg.coverage": coverage(start="0001-01-01T00:00:00+00:00")}, "E-FLOW-COVERAGE"),
        (lambda table: table, {b"microseg.coverage": coverage(end="9999-12-31T23:59:59-12:00")}, "E-FLOW-COVERAGE"),
        (lambda table: table, {b"microseg.coverage": coverage(reported="web-1")}, "E-FLOW-COVERAGE"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path, change, metadata, code):
    with pytest.raises(FlowsError) as error:
        read_edges(rewritten(tmp_path, change, metadata))
    assert error.value.code == code
    assert error.value.where.file.endswith("b.parquet")


@pytest.mark.parametrize("keep", [0, 3, 100, -1, -9, -400])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = tmp_path / "cut.parquet"
    write_edges(random_edges(1), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FlowsError) as error:
        read_edges(path)
    assert error.value.code == "E-FLOW-FILE"


def test_damaged_bytes_never_give_anything_but_our_error(tmp_path):
    path = tmp_path / "damaged.parquet"
    write_edges(random_edges(1), path)
    whole = path.read_bytes()
    chooser = random.Random(1)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chooser.randint(1, 20)):
            data[chooser.randrange(len(data))] = chooser.randrange(256)
        path.write_bytes(data)
        try:
            edges = read_edges(path)
        except FlowsError as error:
            assert error.code.startswith("E-FLOW-")  # noqa: PT017
        else:
            assert len(edges.consumer) == len(edges.service) == len(edges.sensor)


def test_too_many_flows_are_refused_before_they_are_read(tmp_path, monkeypatch):
    from ansible_collections.bulkhead.microseg.plugins.plugin_utils.visibility import edges_file, edges_json

    write_edges(random_edges(1), tmp_path / "a.parquet")
    write_edges(random_edges(1), tmp_path / "a.json")
    monkeypatch.setattr(edges_file, "MOST", 199)
    monkeypatch.setattr(edges_json, "MOST_BYTES", 1000)
    for path in (tmp_path, tmp_path / "a.parquet", tmp_path / "a.json"):
        with pytest.raises(FlowsError) as error:
            read_edges(path)
        assert error.value.code == "E-FLOW-SIZE"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"consumer": "10.0.0.300"}, "with an address that is none"),
        ({"consumer": "2001:db8::1"}, "between two address families"),
        ({"service": "tcp/9-10"}, "with a service that is not one point"),
        ({"service": "any"}, "with a service that is not one point"),
        ({"service": "tpc/9"}, "with a service that is none"),
        ({"service": "icmpv6/128.0"}, "with a service of the other address family"),
        ({"count": 0}, "with a count below 1 or beyond counting"),
        ({"count": 1 << 36}, "with a count below 1 or beyond counting"),
        ({"count": 1.5}, "with a value of a wrong type"),
        ({"count": True}, "with a value of a wrong type"),
        ({"count": "7"}, "with a value of a wrong type"),
        ({"first_seen": "0001-01-01T00:00:00+00:00"}, "with a time out of range"),
        ({"last_seen": "9999-12-31T23:59:59-12:00"}, "with a time out of range"),
        ({"count": "many"}, "with a time or count that is none"),
        ({"count": None}, "with a value of a wrong type"),
        ({"first_seen": "2026-06-01T00:00:00"}, "with times that are no period"),
        ({"last_seen": "2020-01-01T00:00:00Z"}, "with times that are no period"),
        ({"last_seen": "yesterday"}, "with a time or count that is none"),
        ({"sensor": 7}, "with a value of a wrong type"),
        ({"consumer_zone": None}, "with a value of a wrong type"),
        ({"disposition": "maybe"}, "with a disposition that is none"),
    ],
)
def test_a_bad_record_of_json_is_left_out_and_told(tmp_path, change, reason):
    path = tmp_path / "a.json"
    flows = [flow for flow in random_edges(1, 50).flows() if flow.consumer.family == 4]
    write_edges(edges_of(Observations(tuple(flows), START, START, (), (), 0.0, "x")), path)
    data = json.loads(path.read_text())
    data["flows"][0] |= change
    data["flows"] += [17, {}]
    path.write_text(json.dumps(data))
    findings: list = []
    again = read_edges(path, findings=findings)
    assert reason in findings[0].message
    assert f"3 of {len(flows) + 2} records" in findings[0].message
    assert flows_of(again) == flows[1:]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "E-FLOW-FILE"),
        ("[]", "E-FLOW-FILE"),
        ("[" * 100_000, "E-FLOW-FILE"),
        ('{"flows": []}', "E-FLOW-FORMAT"),
        ('{"flows": [], "format": 2}', "E-FLOW-FORMAT"),
        ('{"flows": [], "format": 1}', "E-FLOW-COVERAGE"),
        (coverage(start="0001-01-01T00:00:00+00:00", flows=[], format=1).decode(), "E-FLOW-COVERAGE"),
    ],
)
def test_json_that_is_no_observation_is_refused(tmp_path, text, code):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(FlowsError) as error:
        read_edges(path)
    assert error.value.code == code


def test_a_directory_is_a_history_with_a_window(tmp_path):
    days = [random_edges(day, 100, START + dt.timedelta(days=day)) for day in (0, 1, 3)]
    for number, edges in enumerate(days):
        (tmp_path / f"day={number}").mkdir()
        write_edges(edges, tmp_path / f"day={number}" / "part.parquet")
    (tmp_path / ".part.parquet").write_bytes(b"somebody is writing")
    findings: list = []
    whole = read_edges(tmp_path, findings=findings)
    everything = [flow for edges in days for flow in edges.flows()]
    assert flows_of(whole) == everything
    assert (whole.coverage.start, whole.coverage.end) == (START, START + dt.timedelta(days=4))
    assert [finding.code for finding in findings] == ["W-FLOW-GAP"]
    assert "2026-06-03 00:00 to 2026-06-04 00:00" in findings[0].message
    assert whole.coverage.gaps == ((START + dt.timedelta(days=2), START + dt.timedelta(days=3)),)
    assert whole.coverage.watched == dt.timedelta(days=3)

    since, until = START + dt.timedelta(hours=20), START + dt.timedelta(hours=30)
    part = read_edges(tmp_path, since, until)
    assert flows_of(part) == [flow for flow in everything if flow.last_seen >= since and flow.first_seen < until]
    assert (part.coverage.start, part.coverage.end) == (since, until)
    assert 0 < len(part) < 200
    with pytest.raises(FlowsError) as error:
        read_edges(tmp_path, START + dt.timedelta(days=9))
    assert error.value.code == "E-FLOW-WINDOW"
    assert np.all(part.consumer < len(part.ends))


def test_what_is_not_there_is_said(tmp_path):
    for path in (tmp_path, tmp_path / "none.parquet", tmp_path / "none.json"):
        with pytest.raises(FlowsError) as error:
            read_edges(path)
        assert error.value.code == "E-FLOW-FILE"
    with pytest.raises(FlowsError) as error:
        write_edges(random_edges(1), tmp_path / "missing" / "a.parquet")
    assert error.value.code == "E-FLOW-WRITE"


def gapped(*days: tuple[float, float], length: int = 10) -> Edges:
    edges = random_edges(4)
    gaps = tuple((START + dt.timedelta(days=low), START + dt.timedelta(days=high)) for low, high in days)
    return dataclasses.replace(
        edges, coverage=dataclasses.replace(edges.coverage, end=START + dt.timedelta(days=length), gaps=gaps)
    )


@pytest.mark.parametrize("name", ["flows.parquet", "flows.json"])
def test_gaps_of_one_file_are_kept_and_told(tmp_path, name):
    """A history that was written as one file looked no longer than it did."""
    edges = gapped((2, 3), (5, 7))
    write_edges(edges, tmp_path / name)
    findings: list = []
    again = read_edges(tmp_path / name, findings=findings)
    assert again.coverage == edges.coverage
    assert again.coverage.watched == dt.timedelta(days=7)
    assert [finding.code for finding in findings] == ["W-FLOW-GAP"] * 2


@pytest.mark.parametrize(
    ("since", "until", "left"),
    [
        (0, 10, [(2, 3), (5, 7)]),
        (2.5, 6, [(2.5, 3), (5, 6)]),
        (3, 5, []),
        (0, 2, []),
        (6.5, 8, [(6.5, 7)]),
    ],
)
@pytest.mark.parametrize("name", ["flows.parquet", "flows.json"])
def test_gaps_are_cut_to_the_window(tmp_path, name, since, until, left):
    write_edges(gapped((2, 3), (5, 7)), tmp_path / name)
    low, high = (START + dt.timedelta(days=day) for day in (since, until))
    coverage = read_edges(tmp_path / name, low, high).coverage
    assert [(gap - START, end - START) for gap, end in coverage.gaps] == [
        (dt.timedelta(days=one), dt.timedelta(days=two)) for one, two in left
    ]
    lost = sum(two - one for one, two in left)
    assert coverage.watched == dt.timedelta(days=until - since - lost)


@pytest.mark.parametrize("name", ["flows.parquet", "flows.json"])
def test_a_window_within_a_gap_has_nothing(tmp_path, name):
    write_edges(gapped((2, 3)), tmp_path / name)
    with pytest.raises(FlowsError, match="nothing was observed") as caught:
        read_edges(tmp_path / name, START + dt.timedelta(days=2), START + dt.timedelta(days=3))
    assert caught.value.code == "E-FLOW-WINDOW"


BAD_GAPS = [
    "never",
    [["2026-06-03T00:00:00+00:00"]],
    [["2026-06-03T00:00:00", "2026-06-04T00:00:00"]],
    [["2026-06-04T00:00:00+00:00", "2026-06-03T00:00:00+00:00"]],
    [["2026-06-03T00:00:00+00:00", "2026-06-03T00:00:00+00:00"]],
    [["2026-05-03T00:00:00+00:00", "2026-06-03T00:00:00+00:00"]],
    [["2026-06-03T00:00:00+00:00", "2026-07-03T00:00:00+00:00"]],
    [
        ["2026-06-03T00:00:00+00:00", "2026-06-05T00:00:00+00:00"],
        ["2026-06-04T00:00:00+00:00", "2026-06-06T00:00:00+00:00"],
    ],
    [[1, 2]],
    7,
]


@pytest.mark.parametrize("gaps", BAD_GAPS)
@pytest.mark.parametrize("name", ["flows.parquet", "flows.json"])
def test_gaps_that_are_none_are_refused(tmp_path, name, gaps):
    path = tmp_path / name
    edges = gapped()
    if name.endswith("json"):
        write_edges(edges, path)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"gaps": gaps}))
    else:
        write_edges(edges, path)
        table = pq.read_table(path)
        said = dict(table.schema.metadata)
        said[b"microseg.coverage"] = json.dumps(json.loads(said[b"microseg.coverage"]) | {"gaps": gaps}).encode()
        pq.write_table(table.replace_schema_metadata(said), path)
    with pytest.raises(FlowsError, match="gaps") as caught:
        read_edges(path)
    assert caught.value.code == "E-FLOW-COVERAGE"
