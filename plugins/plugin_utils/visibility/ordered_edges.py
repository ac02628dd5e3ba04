# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Edges in the order of their keys, as Parquet of which any part can be read, and is verified when it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..model.edges import Edges
from ..model.keys import Keys

if TYPE_CHECKING:
    import pyarrow.parquet

#: Edges of one part.
PART = 1 << 16
#: The length of the footer and the mark of the format, at the end of every Parquet file.
TAIL = 8
COLUMNS = ("consumer", "provider", "service", "count", "first", "last", "dropped")


class DamagedEdgesError(Exception):
    """A part is not what was written."""


def write_ordered(edges: Edges, order: npt.NDArray[np.int64], path: Path) -> list[str]:
    """The digests of the footer and of every part. Raises OSError and ArrowException."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: getattr(edges, name)[order] for name in COLUMNS}
    columns["last"] = columns["last"] - columns["first"]
    columns |= {"service": columns["service"].astype(np.int32), "place": order.astype(np.int32)}
    pq.write_table(
        pa.table(columns), path, compression="lz4", row_group_size=PART, write_statistics=False,
        use_dictionary=["consumer", "provider", "service", "count", "last", "dropped"],
    )  # fmt: skip
    with path.open("rb") as file:
        return [_digest(_footer(file)), *(_digest(part) for part in _parts(file, pq.ParquetFile(path)))]


def read_ordered(path: Path, keys: Keys, wanted: npt.NDArray[np.bool_], digests: Sequence[str]) -> Edges:
    """The edges of the wanted keys, in the order in which they were observed; `sensors` is one without a name.

    Raises DamagedEdgesError where a part that is needed is not there as it was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    asked = np.repeat(wanted, keys.rows)
    numbers = np.unique(np.flatnonzero(asked) // PART).tolist()
    columns: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in (*COLUMNS, "place")}
    try:
        with path.open("rb") as file:
            if _digest(_footer(file)) != digests[0]:
                raise DamagedEdgesError
            store = pq.ParquetFile(path)
            for number in numbers:
                if _digest(_part(file, store, number)) != digests[1 + number]:
                    raise DamagedEdgesError
                table = store.read_row_group(number, use_threads=False)
                keep = asked[number * PART : (number + 1) * PART]
                for name, parts in columns.items():
                    parts.append(table[name].to_numpy()[keep])
    except (OSError, pa.ArrowException, KeyError, IndexError, ValueError) as error:
        raise DamagedEdgesError from error
    place = np.concatenate([np.zeros(0, np.int32), *columns.pop("place")])
    back = np.argsort(place)
    whole: dict[str, npt.NDArray[Any]] = {
        name: np.concatenate([np.zeros(0, dtype), *columns[name]]).astype(dtype)[back]
        for name, dtype in zip(COLUMNS, (np.int32, np.int32, *[np.int64] * 4, np.bool_), strict=True)
    }
    whole["last"] += whole["first"]
    sensor = np.zeros(len(back), np.int32)
    return Edges(ends=keys.ends, sensors=("",), sensor=sensor, coverage=keys.edges.coverage, **whole)


def _footer(file: Any) -> bytes:
    size = file.seek(0, 2)
    file.seek(max(0, size - TAIL))
    tail = file.read(TAIL)
    length = min(size, TAIL + int.from_bytes(tail[:4], "little"))
    file.seek(size - length)
    return bytes(file.read(length))


def _parts(file: Any, store: pyarrow.parquet.ParquetFile) -> list[bytes]:
    return [_part(file, store, number) for number in range(store.num_row_groups)]


def _part(file: Any, store: pyarrow.parquet.ParquetFile, number: int) -> bytes:
    group = store.metadata.row_group(number)
    chunks = [group.column(place) for place in range(group.num_columns)]
    starts = [min(one.dictionary_page_offset or one.data_page_offset, one.data_page_offset) for one in chunks]
    low = min(starts)
    high = max(start + one.total_compressed_size for start, one in zip(starts, chunks, strict=True))
    file.seek(low)
    return bytes(file.read(high - low))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


__all__ = ["DamagedEdgesError", "read_ordered", "write_ordered"]
