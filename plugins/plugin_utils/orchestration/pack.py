# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Pieces packed into one file, each found by its digest through an index.

Layout: a line with the format; the pieces one after the other, each as it is or zlib-compressed; the index, one record
per piece in the order of digests (digest, offset, length, packing); at the very end the number of records and the
digest of the index. The index only says where to look: what is found is compared with the digest it was asked by.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from ..model.sections import FORMAT, Piece
from .store import damaged, missing, other_format

_MAGIC = b"microseg bundle "
_RECORD = struct.Struct(">32sQIB")
_TAIL = struct.Struct(">Q32s")
_PLAIN, _COMPRESSED = 0, 1
#: Smaller pieces do not get smaller, and compressing them costs more than everything else.
_WORTH = 512
#: The slower levels of zlib save a tenth of the file and cost twice the time of the whole save.
_LEVEL = 1


def write_pack(file: BinaryIO, pieces: Iterable[Piece]) -> str:
    """Write the pieces as they come, equal ones once. Returns the digest of the last one."""
    file.write(_MAGIC + b"%d\n" % FORMAT)
    offset = file.tell()
    records: dict[bytes, bytes] = {}
    last = ""
    for last, content in pieces:
        digest = bytes.fromhex(last)
        if digest in records:
            continue
        packed = zlib.compress(content, _LEVEL) if len(content) >= _WORTH else content
        kept, packing = (packed, _COMPRESSED) if len(packed) < len(content) else (content, _PLAIN)
        file.write(kept)
        records[digest] = _RECORD.pack(digest, offset, len(kept), packing)
        offset += len(kept)
    index = b"".join([records[digest] for digest in sorted(records)])
    file.write(index)
    file.write(_TAIL.pack(len(records), hashlib.sha256(index).digest()))
    return last


class Pack:
    """An open pack. Close it, or use it in a `with` block."""

    def __init__(self, path: Path) -> None:
        """Raises StoreError: E-STORE-MISSING, E-STORE-DAMAGED, E-STORE-FORMAT."""
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise missing(path, error) from error
        try:
            self._index = self._opened()
        except BaseException:
            self.close()
            raise

    def _opened(self) -> bytes:
        """The index. That it is whole is said by its own digest: a torn file is found before anything is used."""
        head = os.pread(self._descriptor, 64, 0).partition(b"\n")[0]
        if not head.startswith(_MAGIC) or not (number := head.removeprefix(_MAGIC)).isdigit():
            raise damaged(self.path)
        if int(number) != FORMAT:
            raise other_format(int(number), FORMAT, self.path)
        size = os.fstat(self._descriptor).st_size
        tail = os.pread(self._descriptor, _TAIL.size, max(0, size - _TAIL.size))
        if len(tail) != _TAIL.size:
            raise damaged(self.path)
        count, digest = _TAIL.unpack(tail)
        length = count * _RECORD.size
        if length > size:
            raise damaged(self.path)
        index = os.pread(self._descriptor, length, size - _TAIL.size - length)
        if hashlib.sha256(index).digest() != digest:
            raise damaged(self.path)
        return index

    def __enter__(self) -> Pack:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._descriptor)

    def read(self, digest: str) -> bytes:
        """The verified content of a piece. Raises StoreError (E-STORE-DAMAGED), for one that is not there too."""
        try:
            wanted = bytes.fromhex(digest)
            offset, length, packing = self._find(wanted)
            content = os.pread(self._descriptor, length, offset)
            if packing == _COMPRESSED:
                content = zlib.decompress(content)
        except (ValueError, zlib.error, OSError) as error:
            raise damaged(self.path) from error
        if hashlib.sha256(content).digest() != wanted:
            raise damaged(self.path)
        return content

    def _find(self, wanted: bytes) -> tuple[int, int, int]:
        index, size = self._index, _RECORD.size
        low, high = 0, len(index) // size
        while low < high:
            middle = (low + high) // 2
            if index[middle * size : middle * size + 32] < wanted:
                low = middle + 1
            else:
                high = middle
        if index[low * size : low * size + 32] != wanted:
            raise ValueError("no such piece")
        _digest, offset, length, packing = _RECORD.unpack_from(index, low * size)
        return offset, length, packing


__all__ = ["Pack", "write_pack"]
