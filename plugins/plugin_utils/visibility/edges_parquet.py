# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Edges as Parquet: integer columns that any engine reads, and the coverage in the metadata of the file.

Columns are read into the columns of `model.edges.Edges` without a loop over rows. Addresses are looked up once per
distinct one, by the dictionaries of Arrow.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..model import services as line
from ..model.edges import Coverage, Edges
from ..model.errors import FlowsError, Place
from .parquet_columns import INTEGERS, Reading

if TYPE_CHECKING:
    import pyarrow

FORMAT = 1
FORMAT_KEY = b"microseg.format"
COVERAGE_KEY = b"microseg.coverage"
#: Bytes that a coverage may take: the names of a million hosts.
MOST_COVERAGE = 1 << 26
ROW_GROUP = 1 << 20
OUT_OF_TIME = "start and end are moments from 1970 to 2106"
OPTIONAL = ("consumer_v6", "provider_v6", "consumer_zone", "provider_zone")
COLUMNS = (*INTEGERS, "dropped", "sensor", *OPTIONAL)


def coverage_of(path: Path) -> Coverage:
    """What a file covers, from its metadata alone. Raises FlowsError as `read` does."""
    with _opened(path) as file:
        return _coverage(file, Place(str(path)))


def rows_of(path: Path) -> int:
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def read(path: Path, most: int) -> tuple[Edges, dict[str, int]]:
    """Edges, and how many records were left out for which reason.

    Raises FlowsError: E-FLOW-FILE, E-FLOW-FORMAT, E-FLOW-COLUMNS, E-FLOW-COVERAGE, E-FLOW-SIZE.
    """
    import pyarrow as pa

    place = Place(str(path))
    with _opened(path) as file:
        coverage = _coverage(file, place)
        if file.metadata.num_rows > most:
            raise too_many(path, file.metadata.num_rows, most)
        _check_columns(file.schema_arrow, place)
        wanted = [name for name in COLUMNS if name in file.schema_arrow.names]
        reading = Reading(file.metadata.num_rows)
        try:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=wanted, use_threads=False)
                table.validate()
                reading.add(table)
        except (pa.ArrowException, OSError, MemoryError) as error:
            raise _damaged(place, error) from error
    return reading.edges(coverage), reading.reasons


def write(edges: Edges, path: Path) -> None:
    """Raises FlowsError (E-FLOW-WRITE), with nothing changed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = _table(edges).replace_schema_metadata(
        {FORMAT_KEY: str(FORMAT).encode(), COVERAGE_KEY: coverage_text(edges.coverage).encode()}
    )
    beside = path.parent / f".{path.name[:64]}.{secrets.token_hex(6)}.new"
    try:
        pq.write_table(
            table,
            beside,
            compression="lz4",
            row_group_size=ROW_GROUP,
            dictionary_pagesize_limit=1 << 24,
        )
        os.replace(beside, path)
    except (OSError, pa.ArrowException) as error:
        with suppress(OSError):
            beside.unlink()
        raise FlowsError("E-FLOW-WRITE", f"the file cannot be written: {error}.", Place(str(path))) from error


def too_many(path: Path, rows: int, most: int) -> FlowsError:
    return FlowsError(
        "E-FLOW-SIZE",
        f"{rows:,} flows are more than {most:,}, which is what fits into memory at once.",
        Place(str(path)),
        "Ask about a shorter time with --from and --until.",
    )


def _opened(path: Path) -> pyarrow.parquet.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise FlowsError("E-FLOW-FILE", "there is no such file.", Place(str(path))) from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(Place(str(path)), error) from error


def _damaged(place: Place, error: BaseException) -> FlowsError:
    said = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
    return FlowsError(
        "E-FLOW-FILE", f"the file is damaged, cut off or not Parquet: {said}.", place, "Write or copy it again."
    )


def _coverage(file: pyarrow.parquet.ParquetFile, place: Place) -> Coverage:
    metadata = file.metadata.metadata or {}
    written = metadata.get(FORMAT_KEY)
    if written is None or COVERAGE_KEY not in metadata:
        raise _without_coverage("it has no metadata microseg.format and microseg.coverage", place)
    if written != str(FORMAT).encode():
        raise FlowsError(
            "E-FLOW-FORMAT",
            f"the file has format {written[:20].decode(errors='replace')}, this version reads {FORMAT}.",
            place,
            "Update microseg, or write the file anew.",
        )
    return coverage_from(metadata[COVERAGE_KEY], place)


def coverage_text(coverage: Coverage) -> str:
    """The JSON that stands in the metadata of a file."""
    said: dict[str, Any] = {
        "start": coverage.start.astimezone(UTC).isoformat(),
        "end": coverage.end.astimezone(UTC).isoformat(),
        "reported": sorted(coverage.reported),
        "expected": sorted(coverage.expected),
        "loss": coverage.loss,
        "source": coverage.source,
    }
    if coverage.gaps:
        said["gaps"] = [[moment.astimezone(UTC).isoformat() for moment in gap] for gap in coverage.gaps]
    return json.dumps(said)


def coverage_from(text: bytes | str, place: Place) -> Coverage:
    """Raises FlowsError (E-FLOW-COVERAGE, E-FLOW-SIZE)."""
    if len(text) > MOST_COVERAGE:
        raise FlowsError("E-FLOW-SIZE", f"its coverage takes {len(text):,} bytes.", place, "Write the file anew.")
    try:
        data = json.loads(text)
        start, end = (datetime.fromisoformat(data[key]) for key in ("start", "end"))
        names = [tuple(str(name) for name in data[key]) for key in ("reported", "expected")]
        loss = float(data["loss"])
        if start.tzinfo is None or end.tzinfo is None or end < start or not 0 <= loss <= 1:
            raise ValueError("start and end with a time zone, in this order, and a loss from 0 to 1 are expected")
        if not all(isinstance(data[key], list) for key in ("reported", "expected")):
            raise ValueError("reported and expected are lists of names")
        if not within_time(start, end):
            raise ValueError(OUT_OF_TIME)
        gaps = gaps_from(data.get("gaps", []), start, end)
        return Coverage(start, end, names[0], names[1], loss, str(data["source"]), gaps)
    except KeyError as error:
        raise _without_coverage(f"{error.args[0]} is missing", place) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise _without_coverage(str(error), place) from error


def gaps_from(written: Any, start: datetime, end: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """Raises ValueError for what is not pairs of moments within [start, end], ascending and disjoint."""
    expected = "gaps is a list of pairs of moments with a time zone, ascending, disjoint, between start and end"
    try:
        gaps = [(datetime.fromisoformat(low), datetime.fromisoformat(high)) for low, high in written]
        reached = start
        for low, high in gaps:
            if not reached <= low < high <= end:
                raise ValueError(expected)
            reached = high
    except (TypeError, ValueError):
        raise ValueError(expected) from None
    return tuple(gaps)


def within_time(start: datetime, end: datetime) -> bool:
    """Can a column of times hold them?"""
    return start.timestamp() >= 0 and end.timestamp() < 1 << INTEGERS["first_seen"]


def _without_coverage(why: str, place: Place) -> FlowsError:
    return FlowsError(
        "E-FLOW-COVERAGE",
        f"the file does not say what its observation covers: {why}.",
        place,
        "No data is not no traffic: see docs/flow-format.md.",
    )


def _check_columns(schema: pyarrow.Schema, place: Place) -> None:
    import pyarrow.types as kinds

    def text(kind: pyarrow.DataType) -> bool:
        return bool(kinds.is_string(kind) or kinds.is_large_string(kind))

    def wrong(name: str, kind: pyarrow.DataType) -> str:
        if name in INTEGERS:
            return "" if kinds.is_integer(kind) else "an integer"
        if name == "dropped":
            return "" if kinds.is_boolean(kind) else "a boolean"
        if name.endswith("_v6"):
            fits = kinds.is_fixed_size_binary(kind) and kind.byte_width == 16
            return "" if fits or kinds.is_binary(kind) or kinds.is_null(kind) else "16 bytes"
        return "" if text(kind) or (kinds.is_dictionary(kind) and text(kind.value_type)) else "a text"

    faults = [
        f"{name} is missing"
        if schema.get_field_index(name) < 0
        else f"{name} is {schema.field(name).type}, {wanted} is expected"
        for name in COLUMNS
        if (name not in OPTIONAL or schema.get_field_index(name) >= 0)
        and (wanted := "missing" if schema.get_field_index(name) < 0 else wrong(name, schema.field(name).type))
    ]
    if faults:
        raise FlowsError("E-FLOW-COLUMNS", f"{'; '.join(faults)}.", place, "The columns are in docs/flow-format.md.")


def _table(edges: Edges) -> pyarrow.Table:
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for side in ("consumer", "provider"):
        positions = edges.consumer if side == "consumer" else edges.provider
        numbers = np.array([end.number if end.family == 4 else 0 for end in edges.ends], np.uint32)
        six = np.array([end.family == 6 for end in edges.ends], np.bool_)
        masked = six[positions] if len(edges.ends) else np.zeros(0, np.bool_)
        columns[side] = pa.array(numbers[positions], mask=masked)
        texts = pa.array(
            [end.number.to_bytes(16, "big") if end.family == 6 else None for end in edges.ends], pa.binary(16)
        )
        columns[f"{side}_v6"] = texts.take(pa.array(positions))
        zones: dict[str, int] = {}
        of_end = np.array([zones.setdefault(end.zone, len(zones)) for end in edges.ends], np.int32)
        columns[f"{side}_zone"] = pa.DictionaryArray.from_arrays(
            pa.array(of_end[positions]), pa.array(list(zones), pa.string())
        )
    protocol, port = _protocol_and_port(edges.service)
    columns |= {
        "protocol": pa.array(protocol),
        "port": pa.array(port),
        "count": pa.array(edges.count),
        "first_seen": pa.array(edges.first.astype(np.uint32)),
        "last_seen": pa.array(edges.last.astype(np.uint32)),
        "dropped": pa.array(edges.dropped),
        "sensor": pa.DictionaryArray.from_arrays(pa.array(edges.sensor), pa.array(edges.sensors, pa.string())),
    }
    return pa.table(columns)


def _protocol_and_port(service: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    block, port = service >> 16, service & 0xFFFF
    numbers = [line.PROTOCOL_NUMBERS[name] for name, _base in sorted(line.BASES.items(), key=lambda item: item[1])]
    of_block = np.array([*numbers, 0], np.uint8)
    other = block == line.PROTO_BASE >> 16
    protocol = np.where(other, port, of_block[block]).astype(np.uint8)
    return protocol, np.where(other, 0, port).astype(np.uint16)


__all__ = [
    "OUT_OF_TIME",
    "coverage_from",
    "coverage_of",
    "coverage_text",
    "gaps_from",
    "read",
    "rows_of",
    "too_many",
    "within_time",
    "write",
]
