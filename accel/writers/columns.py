"""Recorded calls as Arrow columns, a bounded number of rows at a time.

==================  ==================  ============================================================
column              type                meaning
==================  ==================  ============================================================
``entered_ns``      int64               CLOCK_MONOTONIC at the stop before the call, nanoseconds
``left_ns``         int64 or null       the same at its exit-stop; null if there was none
``tid``, ``pid``    int32               the thread that called, and its process
``abi``             dictionary          ``x86_64`` or ``i386``
``number``          int32               the call's number in its ABI
``name``            dictionary or null  its name; null for a number that no table knows
``arg0`` .. 5       uint64              the registers
``result``          int64 or null       the raw return value, -errno on failure; null where there is
                                        none: it never returned, or was let run without an exit-stop
``rule``            uint16              position of its rule in ``Tracer.plan.rules``
``injected``        bool                whether the tracer answered instead of the kernel
``string0`` .. 5    binary or null      the C string that ``arg0`` .. 5 pointed to, without its NUL,
                                        if it was captured; paths are bytes, and need not be UTF-8
==================  ==================  ============================================================

The metadata of the schema has ``accel.epoch_ns``: what to add to a time to get the time of day.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from accel.records import ABIS, CAPTURED, INJECTED, RETURNED, Batch, dtype
from accel.writers.extras import extra

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ROWS", "Columns"]

#: So many rows, or bytes of strings, are collected at most.
ROWS: Final = 1 << 17
_STRING_BYTES: Final = 32 << 20
#: Records are taken in pieces of so many, and the bytes of their strings are counted after each.
_PIECE: Final = 2048
_POSITIONS: Final = range(6)


class Columns:
    """Collects records, and makes an Arrow RecordBatch of them when there are enough."""

    def __init__(self, user: str) -> None:
        self._numpy = numpy = extra("numpy", user)
        self._arrow = pa = extra("pyarrow", user)
        names = sorted({name for abi in ABIS for name in abi.numbers})
        self._names = pa.array(names)
        self._abis = pa.array([abi.value for abi in ABIS])
        #: By ABI and number: where the name is in ``_names``; the last is for what has none.
        last = max(max(abi.names) for abi in ABIS) + 1
        self._codes = numpy.full((len(ABIS), last + 1), -1, "i2")
        for row, abi in enumerate(ABIS):
            self._codes[row, list(abi.names)] = numpy.searchsorted(names, list(abi.names.values()))
        self.schema = _schema(pa)
        self._records: np.ndarray = numpy.empty(ROWS, dtype())
        self._strings = self._no_strings()
        self._bytes = self._rows = 0

    def add(self, batch: Batch) -> Iterator[Any]:
        """Take records; yield a RecordBatch whenever enough have come together."""
        records = self._numpy.frombuffer(batch.raw, dtype())
        at = 0
        while at < len(records):
            piece = records[at : at + min(_PIECE, ROWS - self._rows)]
            self._records[self._rows : self._rows + len(piece)] = piece
            for index in (piece["flags"] & CAPTURED).nonzero()[0].tolist():
                for position, text in batch.strings_at(at + index).items():
                    self._strings[position][self._rows + index] = text.removesuffix(b"\0")
                    self._bytes += len(text)
            self._rows += len(piece)
            at += len(piece)
            if self._rows == ROWS or self._bytes >= _STRING_BYTES:
                yield from self.rest()

    def rest(self) -> Iterator[Any]:
        """Yield a RecordBatch of what was collected, if there is anything."""
        if not self._rows:
            return
        arrays = [*self._numbers(self._records[: self._rows]), *self._texts()]
        self._strings = self._no_strings()
        self._bytes = self._rows = 0
        yield self._arrow.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _numbers(self, records: np.ndarray) -> Iterator[Any]:
        """Make the columns up to ``injected``."""
        array = self._arrow.array
        flags = records["flags"]
        yield array(records["entered_ns"])
        yield array(records["left_ns"], mask=flags & RETURNED == 0)
        yield array(records["tid"])
        yield array(records["pid"])
        yield self._dictionary(records["abi"].view("i1"), self._abis)
        yield array(records["number"])
        yield self._dictionary(self._coded(records), self._names)
        for position in _POSITIONS:
            yield array(records["arguments"][:, position])
        yield array(records["result"], mask=flags & (RETURNED | INJECTED) == 0)
        yield array(records["rule"])
        yield array(flags & INJECTED != 0)

    def _coded(self, records: np.ndarray) -> np.ndarray:
        """Look up the names; -1 for a number without one."""
        last = self._codes.shape[1] - 1
        # Negative numbers become large ones.
        numbers = self._numpy.minimum(records["number"].astype("u4"), last)
        coded: np.ndarray = self._codes[records["abi"], numbers]
        return coded

    def _dictionary(self, codes: np.ndarray, values: Any) -> Any:
        indices = self._arrow.array(codes, mask=codes < 0)
        return self._arrow.DictionaryArray.from_arrays(indices, values)

    def _texts(self) -> Iterator[Any]:
        """Make the columns of strings."""
        binary = self._arrow.binary()
        for found in self._strings:
            if not found:
                yield self._arrow.nulls(self._rows, binary)
                continue
            texts: list[bytes | None] = [None] * self._rows
            for row, text in found.items():
                texts[row] = text
            yield self._arrow.array(texts, binary)

    def _no_strings(self) -> list[dict[int, bytes]]:
        return [{} for _ in _POSITIONS]


def _schema(pa: Any) -> Any:
    """Describe the columns, in the order in which they are made."""
    word, number = pa.int64(), pa.int32()
    fields = [
        pa.field("entered_ns", word, nullable=False),
        pa.field("left_ns", word),
        pa.field("tid", number, nullable=False),
        pa.field("pid", number, nullable=False),
        pa.field("abi", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("number", number, nullable=False),
        pa.field("name", pa.dictionary(pa.int16(), pa.string())),
        *(pa.field(f"arg{at}", pa.uint64(), nullable=False) for at in _POSITIONS),
        pa.field("result", word),
        pa.field("rule", pa.uint16(), nullable=False),
        pa.field("injected", pa.bool_(), nullable=False),
        *(pa.field(f"string{at}", pa.binary()) for at in _POSITIONS),
    ]
    return pa.schema(fields, {"accel.epoch_ns": str(time.time_ns() - time.monotonic_ns())})
