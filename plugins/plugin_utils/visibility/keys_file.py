# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Keys as two Parquet files: `keys.parquet` has a row per key with its groups in label words, `ends.parquet` a row per
address with its group.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..model.addresses import Address
from ..model.edges import Edges
from ..model.errors import FlowsError, Place
from ..model.keys import Keys
from .edges_parquet import coverage_from, coverage_text

FORMAT = 2
KEYS, ENDS = "keys.parquet", "ends.parquet"
_NUMBERS = ("high", "dropped", "rows", "pairs", "itself", "example_consumer", "example_provider")
_OF_EDGES = ("consumer", "provider", "service", "count", "first", "last")


def write_keys(keys: Keys, directory: Path) -> None:
    """Into a directory that is there. Raises FlowsError (E-FLOW-WRITE)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    edges = keys.edges
    columns: dict[str, Any] = {name: getattr(edges, name) for name in _OF_EDGES}
    columns |= {name: getattr(keys, name) for name in _NUMBERS}
    texts = pa.array(keys.contents, pa.string())
    for side in ("consumer", "provider"):
        columns[f"{side}_labels"] = pa.DictionaryArray.from_arrays(pa.array(columns[side]), texts)
    about = {
        "format": FORMAT,
        "starts": keys.starts.tolist(),
        "contents": list(keys.contents),
        "coverage": coverage_text(edges.coverage),
    }
    table = pa.table(columns).replace_schema_metadata({b"microseg.keys": json.dumps(about).encode()})
    ends = pa.table(
        {
            "zone": pa.array([end.zone for end in keys.ends], pa.string()),
            "family": pa.array([end.family for end in keys.ends], pa.uint8()),
            "number": pa.array([end.number.to_bytes(16, "big") for end in keys.ends], pa.binary(16)),
            "group": keys.group,
            "holder": pa.array(keys.holder, pa.string()),
        }
    )
    try:
        pq.write_table(table, directory / KEYS, compression="lz4")
        pq.write_table(ends, directory / ENDS, compression="lz4")
    except (OSError, pa.ArrowException) as error:
        raise FlowsError("E-FLOW-WRITE", f"the keys cannot be written: {error}.", Place(str(directory))) from error


def read_keys(directory: Path) -> Keys | None:
    """None where there are none, or none that can be used."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(directory / KEYS).read(use_threads=False)
        ends = pq.ParquetFile(directory / ENDS).read(use_threads=False)
        about = json.loads(table.schema.metadata[b"microseg.keys"])
        if about["format"] != FORMAT:
            return None
        coverage = coverage_from(about["coverage"], Place(str(directory)))
        group = ends["group"].to_numpy().astype(np.int32)
        addresses = tuple(
            Address(zone, family, int.from_bytes(number, "big"))
            for zone, family, number in zip(
                *(ends[name].to_pylist() for name in ("zone", "family", "number")), strict=True
            )
        )
        contents = tuple(about["contents"])
        places = np.full(len(contents), -1, np.int64)
        places[group[::-1]] = np.arange(len(group))[::-1]
        number = {name: table[name].to_numpy() for name in (*_OF_EDGES, *_NUMBERS)}
        edges = Edges(
            ends=tuple(addresses[place] for place in places.tolist()),
            sensors=("",),
            dropped=number["dropped"] == number["count"],
            sensor=np.zeros(len(table), np.int32),
            coverage=coverage,
            **{name: number[name] for name in _OF_EDGES},
        )
        return Keys(
            ends=addresses,
            group=group,
            holder=tuple(ends["holder"].to_pylist()),
            contents=contents,
            starts=np.array(about["starts"], np.int64),
            edges=edges,
            **{name: number[name] for name in _NUMBERS},
        )
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError, IndexError, FlowsError):
        return None


__all__ = ["ENDS", "KEYS", "read_keys", "write_keys"]
