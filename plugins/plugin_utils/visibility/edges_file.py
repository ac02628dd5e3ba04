# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Edges as files: Parquet for millions of flows, JSON for few of them, a directory of Parquet files for a history.

The format is described in docs/flow-format.md. A record that cannot be used is left out, counted, and told; what was
left out is part of the loss that the coverage states.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ..model.addresses import Address
from ..model.edges import Coverage, Edges, taken
from ..model.errors import Finding, FlowsError, Place
from . import edges_json, edges_parquet
from .extras import needed

#: Flows in memory at once; each takes about 50 bytes.
MOST = 100_000_000
Window = tuple[datetime | None, datetime | None]
EVER: Window = (None, None)


def read_edges(
    path: Path, since: datetime | None = None, until: datetime | None = None, findings: list[Finding] | None = None
) -> Edges:
    """Edges of a `.parquet` or `.json` file, or of all Parquet files below a directory.

    With `since` and `until` only flows that were seen in [since, until); a flow that began before or went on after
    keeps its whole count. `findings` collects what a person should know: records left out, gaps in a history.
    Raises FlowsError: E-FLOW-FILE, E-FLOW-FORMAT, E-FLOW-COLUMNS, E-FLOW-COVERAGE, E-FLOW-SIZE, E-FLOW-WINDOW, E-EXTRA.
    """
    window = (since, until)
    found: list[Finding] = []
    if path.is_dir():
        edges = _history(path, window, found)
    elif path.suffix == ".json":
        edges = _single(path, *edges_json.read(path), window, found)
    elif path.is_file():
        needed("pyarrow", "flows")
        if _overlaps(edges_parquet.coverage_of(path), window):
            edges = _single(path, *edges_parquet.read(path, MOST), window, found)
        else:
            raise _nothing(path, [edges_parquet.coverage_of(path)])
    else:
        raise FlowsError("E-FLOW-FILE", "there is no such file or directory.", Place(str(path)))
    if findings is not None:
        findings.extend([*found, *_gap_findings(edges.coverage, path)])
    return edges


def write_edges(edges: Edges, path: Path) -> None:
    """Parquet, or JSON where the name ends in `.json`; the file is there as a whole or not at all.

    Raises FlowsError (E-FLOW-WRITE, E-EXTRA).
    """
    if path.suffix == ".json":
        edges_json.write(edges, path)
    else:
        needed("pyarrow", "flows")
        edges_parquet.write(edges, path)


def files_of(path: Path) -> list[Path]:
    """The files that `read_edges` reads of a history, in their order."""
    return [
        item
        for item in sorted(path.rglob("*.parquet"))
        if not any(part.startswith((".", "_")) for part in item.relative_to(path).parts)
    ]


def _history(path: Path, window: Window, findings: list[Finding]) -> Edges:
    needed("pyarrow", "flows")
    files = files_of(path)
    if not files:
        raise FlowsError("E-FLOW-FILE", "there is no .parquet file in this directory.", Place(str(path)))
    coverages = {item: edges_parquet.coverage_of(item) for item in files}
    wanted = [item for item in files if _overlaps(coverages[item], window)]
    if not wanted:
        raise _nothing(path, coverages.values())
    rows = sum(edges_parquet.rows_of(item) for item in wanted)
    if rows > MOST:
        raise edges_parquet.too_many(path, rows, MOST)
    parts = [_single(item, *edges_parquet.read(item, MOST), window, findings) for item in wanted]
    return joined(parts)


def _gap_findings(coverage: Coverage, path: Path) -> list[Finding]:
    return [
        Finding(
            "W-FLOW-GAP",
            "warning",
            f"nothing was observed from {low.astimezone(UTC):%Y-%m-%d %H:%M} to {high.astimezone(UTC):%Y-%m-%d %H:%M}.",
            Place(str(path)),
            "No data is not no traffic.",
        )
        for low, high in coverage.gaps
    ]


def _single(path: Path, edges: Edges, reasons: dict[str, int], window: Window, findings: list[Finding]) -> Edges:
    """Told what was left out, and cut to the window."""
    left_out = sum(reasons.values())
    if left_out:
        why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
        findings.append(
            Finding(
                "W-FLOW-RECORDS",
                "warning",
                f"{left_out:,} of {left_out + len(edges):,} records cannot be used and were left out: {why}.",
                Place(str(path)),
                "They count as loss.",
            )
        )
        share = left_out / (left_out + len(edges))
        loss = 1 - (1 - edges.coverage.loss) * (1 - share)
        edges = replace(edges, coverage=replace(edges.coverage, loss=loss))
    return _in_window(edges, window, path)


def _in_window(edges: Edges, window: Window, path: Path) -> Edges:
    if window == EVER:
        return edges
    if not _overlaps(edges.coverage, window):
        raise _nothing(path, [edges.coverage])
    since, until = window
    coverage = edges.coverage
    keep = np.ones(len(edges), np.bool_)
    if since is not None:
        keep &= edges.last >= since.timestamp()
        coverage = replace(coverage, start=max(coverage.start, since))
    if until is not None:
        keep &= edges.first < until.timestamp()
        coverage = replace(coverage, end=min(coverage.end, until))
    gaps = ((max(low, coverage.start), min(high, coverage.end)) for low, high in coverage.gaps)
    coverage = replace(coverage, gaps=tuple((low, high) for low, high in gaps if low < high))
    if coverage.gaps and not coverage.watched:
        raise _nothing(path, [edges.coverage])
    return replace(taken(edges, keep), coverage=coverage)


def joined(parts: Sequence[Edges]) -> Edges:
    """One after the other, over one table of ends. At least one part is expected."""
    if len(parts) == 1:
        return parts[0]
    ends: dict[Address, int] = {}
    sensors: dict[str, int] = {}
    end_maps = [np.array([ends.setdefault(end, len(ends)) for end in part.ends], np.int32) for part in parts]
    sensor_maps = [
        np.array([sensors.setdefault(name, len(sensors)) for name in part.sensors], np.int32) for part in parts
    ]
    return Edges(
        ends=tuple(ends),
        sensors=tuple(sensors),
        consumer=np.concatenate([table[part.consumer] for table, part in zip(end_maps, parts, strict=True)]),
        provider=np.concatenate([table[part.provider] for table, part in zip(end_maps, parts, strict=True)]),
        service=np.concatenate([part.service for part in parts]),
        count=np.concatenate([part.count for part in parts]),
        first=np.concatenate([part.first for part in parts]),
        last=np.concatenate([part.last for part in parts]),
        dropped=np.concatenate([part.dropped for part in parts]),
        sensor=np.concatenate([table[part.sensor] for table, part in zip(sensor_maps, parts, strict=True)]),
        coverage=_joint_coverage([part.coverage for part in parts]),
    )


def _joint_coverage(coverages: Iterable[Coverage]) -> Coverage:
    """A host counts as reporting when it did so in every period; the loss is the worst of all."""
    coverages = list(coverages)
    by_period: dict[tuple[datetime, datetime], set[str]] = {}
    for one in coverages:
        by_period.setdefault((one.start, one.end), set()).update(one.reported)
    return Coverage(
        start=min(one.start for one in coverages),
        end=max(one.end for one in coverages),
        reported=tuple(sorted(set.intersection(*by_period.values()))),
        expected=tuple(sorted({name for one in coverages for name in one.expected})),
        loss=max(one.loss for one in coverages),
        source=", ".join(sorted({one.source for one in coverages})),
        gaps=_gaps(coverages),
    )


def _gaps(coverages: Iterable[Coverage]) -> tuple[tuple[datetime, datetime], ...]:
    """Between the periods."""
    looked = sorted(stretch for one in coverages for stretch in one.stretches)
    gaps, reached = [], looked[0][1]
    for low, high in looked[1:]:
        if low > reached:
            gaps.append((reached, low))
        reached = max(reached, high)
    return tuple(gaps)


def _overlaps(coverage: Coverage, window: Window) -> bool:
    since, until = window
    return (since is None or coverage.end > since) and (until is None or coverage.start < until)


def _nothing(path: Path, coverages: Iterable[Coverage]) -> FlowsError:
    coverages = list(coverages)
    start, end = min(one.start for one in coverages), max(one.end for one in coverages)
    return FlowsError(
        "E-FLOW-WINDOW",
        f"nothing was observed in the wanted window; the flows are from {start.isoformat()} to {end.isoformat()}.",
        Place(str(path)),
        "Choose --from and --until within it.",
    )


__all__ = ["MOST", "files_of", "joined", "read_edges", "write_edges"]
