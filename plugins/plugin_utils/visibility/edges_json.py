# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Edges as JSON: the documented form of `model.flows.Observations`."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ..model import services as line
from ..model.edges import Edges, edges_of
from ..model.errors import FlowsError, MicrosegError, Place
from ..model.flows import FORMAT, Flow, Observations
from ..model.intervals import contains
from .edges_parquet import OUT_OF_TIME, gaps_from, within_time
from .parquet_columns import INTEGERS

#: Bytes of one file; more of them are a case for Parquet.
MOST_BYTES = 1 << 29


def read(path: Path) -> tuple[Edges, dict[str, int]]:
    """Edges, and how many records were left out for which reason.

    Raises FlowsError: E-FLOW-FILE, E-FLOW-FORMAT, E-FLOW-COVERAGE, E-FLOW-SIZE.
    """
    place = Place(str(path))
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise FlowsError(
                "E-FLOW-SIZE",
                f"{size / 1e6:,.0f} MB of JSON are more than {MOST_BYTES / 1e6:,.0f} MB.",
                place,
                "Write the flows as Parquet.",
            )
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FlowsError("E-FLOW-FILE", f"the file cannot be read: {error.strerror}.", place) from error
    except (ValueError, RecursionError) as error:
        raise FlowsError("E-FLOW-FILE", f"the file is damaged or not JSON: {error}.", place) from error
    if not isinstance(data, dict) or not isinstance(data.get("flows"), list):
        raise FlowsError(
            "E-FLOW-FILE", "a mapping with a list of flows is expected.", place, "See docs/flow-format.md."
        )
    if not isinstance(data.get("format"), int) or isinstance(data["format"], bool) or data["format"] != FORMAT:
        raise FlowsError(
            "E-FLOW-FORMAT",
            f"the file has format {data.get('format')!r}, this version reads {FORMAT}.",
            place,
            "Update microseg, or write the file anew.",
        )
    observations = _frame(data, place)
    flows: list[Flow] = []
    reasons: Counter[str] = Counter()
    for record in data["flows"]:
        flow = _flow(record)
        if isinstance(flow, str):
            reasons[flow] += 1
        else:
            flows.append(flow)
    return edges_of(replace(observations, flows=tuple(flows))), dict(reasons)


def write(edges: Edges, path: Path) -> None:
    """Raises FlowsError (E-FLOW-WRITE)."""
    coverage = edges.coverage
    observations = Observations(
        flows=tuple(edges.flows()),
        start=coverage.start,
        end=coverage.end,
        reported=coverage.reported,
        expected=coverage.expected,
        loss=coverage.loss,
        source=coverage.source,
        gaps=coverage.gaps,
    )
    content = json.dumps(observations.to_dict(), indent=1) + "\n"
    beside = path.parent / f".{path.name[:64]}.{secrets.token_hex(6)}.new"
    try:
        beside.write_text(content, encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise FlowsError("E-FLOW-WRITE", f"the file cannot be written: {error.strerror}.", Place(str(path))) from error


def _frame(data: Mapping[str, Any], place: Place) -> Observations:
    """What is said about the whole file, without its flows."""
    try:
        start, end = (datetime.fromisoformat(data[key]) for key in ("start", "end"))
        names = [data[key] for key in ("reported", "expected")]
        loss, source = data["loss"], data["source"]
        if start.tzinfo is None or end.tzinfo is None or end < start:
            raise ValueError("start and end are moments with a time zone, in this order")
        if not within_time(start, end):
            raise ValueError(OUT_OF_TIME)
        if not all(isinstance(item, list) and all(isinstance(name, str) for name in item) for item in names):
            raise ValueError("reported and expected are lists of names")
        if isinstance(loss, bool) or not isinstance(loss, int | float) or not 0 <= loss <= 1:
            raise ValueError("loss is a share from 0 to 1")
        if not isinstance(source, str):
            raise ValueError("source is a text")
        gaps = gaps_from(data.get("gaps", []), start, end)
    except KeyError as error:
        raise _without_coverage(f"{error.args[0]} is missing", place) from error
    except (TypeError, ValueError) as error:
        raise _without_coverage(str(error), place) from error
    return Observations((), start, end, tuple(names[0]), tuple(names[1]), float(loss), source, gaps)


def _without_coverage(why: str, place: Place) -> FlowsError:
    return FlowsError(
        "E-FLOW-COVERAGE",
        f"the file does not say what its observation covers: {why}.",
        place,
        "No data is not no traffic: see docs/flow-format.md.",
    )


def _flow(record: Any) -> Flow | str:
    """The flow, or why it cannot be used, in words that do not quote the record."""
    try:
        flow = Flow.from_dict(record)
        points = line.parse(record["service"])
    except KeyError as error:
        return f"without {error.args[0]}"
    except (TypeError, AttributeError):
        return "with a value of a wrong type"
    except MicrosegError as error:
        return "with a service that is none" if error.code == "E-SERVICE" else "with an address that is none"
    except (ValueError, OverflowError):
        return "with a time or count that is none"
    if flow.consumer.family != flow.provider.family:
        return "between two address families"
    ranged = len(points) != 1 or points[0][0] != points[0][1]
    if ranged and (line.protocol_of(flow.service) not in line.ICMP_PROTOCOLS or "/" not in record["service"]):
        return "with a service that is not one point"
    if not contains(line.UNIVERSE[flow.consumer.family], flow.service):
        return "with a service of the other address family"
    if not 1 <= flow.count < 1 << INTEGERS["count"]:
        return "with a count below 1 or beyond counting"
    if flow.first_seen.tzinfo is None or flow.last_seen.tzinfo is None or flow.last_seen < flow.first_seen:
        return "with times that are no period"
    if not within_time(flow.first_seen, flow.last_seen):
        return "with a time out of range"
    if type(record["count"]) is not int:
        return "with a value of a wrong type"
    if not all(isinstance(record[key], str) for key in ("sensor", "consumer_zone", "provider_zone")):
        return "with a value of a wrong type"
    return flow if record["disposition"] in ("allowed", "dropped") else "with a disposition that is none"


__all__ = ["read", "write"]
