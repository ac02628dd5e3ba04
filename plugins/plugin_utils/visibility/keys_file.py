# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The key store on disk: a directory of two Parquet files, a cache that anybody may delete.

`keys.parquet` has a row per key with its groups in label words, `ends.parquet` a row per address with its group.
The directory appears as a whole; its name is a digest of what the keys were made of.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ..model.addresses import Address
from ..model.edges import Edges
from ..model.errors import FlowsError, Place
from ..model.keys import Keys
from .edges_parquet import coverage_from, coverage_text

FORMAT = 1
_NUMBERS = ("high", "dropped", "rows", "pairs", "itself", "example_consumer", "example_provider")
_OF_EDGES = ("consumer", "provider", "service", "count", "first", "last")


def write_keys(keys: Keys, directory: Path) -> None:
    """Raises FlowsError (E-FLOW-WRITE); what somebody else has written in the meantime is kept."""
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
    beside = directory.parent / f".{directory.name[:64]}.{secrets.token_hex(6)}.new"
    try:
        beside.mkdir(parents=True)
        pq.write_table(table, beside / "keys.parquet", compression="lz4")
        pq.write_table(ends, beside / "ends.parquet", compression="lz4")
        os.rename(beside, directory)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        if not directory.is_dir():
            raise FlowsError("E-FLOW-WRITE", f"the keys cannot be written: {error}.", Place(str(directory))) from error


def read_keys(directory: Path) -> Keys | None:
    """None where there are none, or none that can be used: they are made again then."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(directory / "keys.parquet").read(use_threads=False)
        ends = pq.ParquetFile(directory / "ends.parquet").read(use_threads=False)
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


__all__ = ["read_keys", "write_keys"]
