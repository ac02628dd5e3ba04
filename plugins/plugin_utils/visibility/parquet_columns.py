# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Row groups of a Parquet file on their way into the columns of edges, without the records that cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..model import services as line
from ..model.addresses import Address, Family
from ..model.edges import Coverage, Edges

if TYPE_CHECKING:
    import pyarrow

#: Unsigned integers of so many bits. Counts of as many flows as fit into memory (edges_file.MOST) add up in 63 bits: a
#: sum that wraps could make what is blocked vanish.
INTEGERS = {
    "consumer": 32,
    "provider": 32,
    "protocol": 8,
    "port": 16,
    "count": 36,
    "first_seen": 32,
    "last_seen": 32,
}  # fmt: skip
#: Start of each protocol on the service line, by its number.
_BASE = np.full(256, -1, np.int64)
for _name, _number in line.PROTOCOL_NUMBERS.items():
    _BASE[_number] = line.BASES[_name]
_OTHER_FAMILY = "with a service of the other address family"
_PORTLESS = np.array([number not in line.PROTOCOL_NUMBERS.values() for number in range(256)])
_BASE[_PORTLESS] = line.PROTO_BASE + np.flatnonzero(_PORTLESS)


class Reading:
    """Row group after row group goes into columns that are there from the start: no memory twice."""

    def __init__(self, rows: int) -> None:
        self.reasons: dict[str, int] = {}
        self.ends: dict[Address, int] = {}
        self.sensors: dict[str, int] = {}
        self._four: dict[str, dict[int, int]] = {}
        self._filled = 0
        kinds = (np.int32, np.int32, np.int64, np.int64, np.int64, np.int64, np.bool_, np.int32)
        self._columns: list[npt.NDArray[Any]] = [np.empty(rows, kind) for kind in kinds]

    def add(self, table: pyarrow.Table) -> None:
        """Raises OSError for more rows than the file says it has."""
        group = _RowGroup(table, self)
        parts = group.columns()
        end = self._filled + len(parts[0])
        if end > len(self._columns[0]):
            raise OSError("it has more rows than it says")
        for column, part in zip(self._columns, parts, strict=True):
            column[self._filled : end] = part
        self._filled = end

    def edges(self, coverage: Coverage) -> Edges:
        consumer, provider, service, count, first, last, dropped, sensor = (
            column[: self._filled] for column in self._columns
        )
        ends, sensors = tuple(self.ends), tuple(self.sensors)
        return Edges(ends, sensors, consumer, provider, service, count, first, last, dropped, sensor, coverage)

    def end(self, zone: str, family: Family, number: int) -> int:
        return self.ends.setdefault(Address(zone, family, number), len(self.ends))

    def four(self, zone: str, number: int) -> int:
        """The same for IPv4, where most of the answers are known."""
        known = self._four.setdefault(zone, {})
        position = known.get(number)
        if position is None:
            position = known[number] = self.end(zone, 4, number)
        return position


class _RowGroup:
    """One table on its way into columns; `good` are the rows that can be used, None as long as all can."""

    def __init__(self, table: pyarrow.Table, reading: Reading) -> None:
        self.table = table
        self.reading = reading
        self.good: npt.NDArray[np.bool_] | None = None

    def columns(self) -> list[npt.NDArray[Any]]:
        """Columns of equal length, in the order of `Edges`, without the records that cannot be used."""
        count = self._integers("count", np.int64)
        first, last = self._integers("first_seen", np.int64), self._integers("last_seen", np.int64)
        protocol, port = self._integers("protocol", np.uint8), self._integers("port", np.uint16)
        self._leave_out(count < 1, "with a count below 1 or beyond counting")
        self._leave_out(first > last, "with times that are no period")
        service = _BASE[protocol]
        portless = _PORTLESS[protocol]
        if portless.any():
            self._leave_out(portless & (port > 0), "with a port of a protocol that has none")
            service += np.where(portless, np.uint16(0), port)
        else:
            service += port
        consumer, provider = self._side("consumer"), self._side("provider")
        six = np.array([end.family == 6 for end in self.reading.ends], np.bool_)
        if six.any():
            of_six = six[consumer]
            self._leave_out(of_six != six[provider], "between two address families")
            self._leave_out(np.where(of_six, protocol == 1, protocol == 58), _OTHER_FAMILY)
        else:
            self._leave_out(protocol == 58, _OTHER_FAMILY)
        dropped = self._without_nulls("dropped", False).to_numpy()
        names, sensor = self._texts("sensor")
        known = self.reading.sensors
        places = np.array([known.setdefault(name, len(known)) for name in names], np.int32)
        found = [consumer, provider, service, count, first, last, dropped, places.take(sensor, mode="clip")]
        return found if self.good is None else [column[self.good] for column in found]

    def _leave_out(self, bad: npt.NDArray[np.bool_], reason: str) -> None:
        """A record that is bad for several reasons counts for the first of them."""
        if self.good is not None:
            bad = bad & self.good
        found = int(np.count_nonzero(bad))
        if found:
            self.reading.reasons[reason] = self.reading.reasons.get(reason, 0) + found
            self.good = ~bad if self.good is None else self.good & ~bad

    def _without_nulls(self, name: str, instead: Any) -> pyarrow.ChunkedArray:
        import pyarrow.compute as pc

        column = self.table[name]
        if column.null_count:
            self._leave_out(pc.is_null(column).to_numpy(), f"without {name}")
            column = pc.fill_null(column, instead)
        return column

    def _integers(self, name: str, kind: type[np.generic]) -> npt.NDArray[Any]:
        column = self._without_nulls(name, 0)
        values: npt.NDArray[Any] = column.to_numpy()
        narrow = column.type.bit_width <= INTEGERS[name] and str(column.type).startswith("u")
        if not narrow:
            outside = (values < 0) | (values >= 1 << INTEGERS[name])
            if outside.any():
                self._leave_out(outside, f"with {name} out of range")
                values = np.where(outside, 0, values)
        return values.astype(kind, copy=False)

    def _texts(self, name: str) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
        """Distinct texts, and per row the position among them."""
        import pyarrow as pa

        column = self._without_nulls(name, "")
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        column = column.unify_dictionaries().combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # of an empty table
            column = column.chunk(0) if column.num_chunks else pa.array([], pa.dictionary(pa.int32(), pa.string()))
        return tuple(column.dictionary.to_pylist()), column.indices.to_numpy().astype(np.int32, copy=False)

    def _side(self, side: str) -> npt.NDArray[np.int32]:
        """Positions among the ends; each distinct address of the group is looked at once."""
        import pyarrow as pa
        import pyarrow.compute as pc

        zones: tuple[str, ...] = ("",)
        zone = np.zeros(0, np.int32)
        if f"{side}_zone" in self.table.column_names and len(self.table):
            zones, zone = self._texts(f"{side}_zone")
        name = f"{side}_v6"
        six = self.table[name] if name in self.table.column_names else None
        is_six = None
        if six is not None and six.null_count < len(six):
            is_six = pc.is_valid(six).to_numpy()
            self._leave_out(is_six == pc.is_valid(self.table[side]).to_numpy(), f"with none or two addresses as {side}")
        numbers = self._numbers(self.table[side], side, is_six is not None)
        keys = pa.array(numbers if len(zones) == 1 else (zone.astype(np.uint64) << np.uint64(32)) | numbers)
        coded = keys.dictionary_encode()
        four = self.reading.four
        places = np.array([four(zones[key >> 32], key & 0xFFFFFFFF) for key in coded.dictionary.to_pylist()], np.int32)
        positions: npt.NDArray[np.int32] = places.take(coded.indices.to_numpy(), mode="clip")
        if is_six is not None and six is not None:
            rows = np.flatnonzero(is_six)
            texts = pc.take(six, pa.array(rows)).to_pylist()
            wrong = rows[[len(text) != 16 for text in texts]]
            for row, text in zip(rows.tolist(), texts, strict=True):
                positions[row] = self._six(text, zones[int(zone[row]) if len(zone) else 0])
            bad = np.zeros(len(positions), np.bool_)
            bad[wrong] = True
            self._leave_out(bad, f"with {name} that is not 16 bytes")
        return positions

    def _six(self, text: bytes, zone: str) -> int:
        number = int.from_bytes(text[:16], "big")
        if number >> 32 == 0xFFFF:  # an IPv4 address in the clothes of IPv6
            return self.reading.four(zone, number & 0xFFFFFFFF)
        return self.reading.end(zone, 6, number)

    def _numbers(self, column: Any, side: str, mixed: bool) -> npt.NDArray[np.uint32]:
        """IPv4 addresses; 0 where there is another kind of address or none."""
        import pyarrow.compute as pc

        if column.null_count:
            if not mixed:
                self._leave_out(pc.is_null(column).to_numpy(), f"without {side}")
            column = pc.fill_null(column, 0)
        values: npt.NDArray[Any] = column.to_numpy()
        if str(column.type) != "uint32":
            outside = (values < 0) | (values > 0xFFFFFFFF)
            self._leave_out(outside, f"with {side} out of range")
            values = np.where(outside, 0, values)
        return values.astype(np.uint32, copy=False)


__all__ = ["INTEGERS", "Reading"]
