"""Recorded calls as numpy arrays: in memory up to a limit, or streamed to a ``.npy`` file.

    sink = ArraySink()
    ...
    calls = sink.array()
    slow = calls[calls["left_ns"] - calls["entered_ns"] > 1_000_000]

The fields are those of ``accel.records``. A file of 10 million calls is mapped, not read:
``numpy.load("calls.npy", mmap_mode="r")``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from accel.records import CAPTURED, FIELDS, Batch, dtype
from accel.writers.extras import extra

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ArraySink", "NumpyWriter"]

_NONE: Final[Mapping[int, bytes]] = {}


class ArraySink:
    """A sink that keeps the first ``limit`` records, 128 bytes each, and counts the rest.

    It may be read at any time, also while it is written to. Needs the extra ``arrow``.
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        #: How many records came after the limit was reached.
        self.dropped = 0
        self._limit = limit
        self._chunks: list[np.ndarray] = [extra("numpy", "ArraySink").empty(0, dtype())]
        self._length = 0
        self._strings: dict[int, Mapping[int, bytes]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._length

    def write(self, batch: Batch) -> None:
        """Keep as many records as there is room for."""
        kept = min(len(batch), self._limit - self._length)
        with self._lock:
            self.dropped += len(batch) - kept
            if kept:
                self._keep(batch, kept)

    def _keep(self, batch: Batch, kept: int) -> None:
        # A part of an array would keep all of it.
        records = batch.array() if kept == len(batch) else batch.array()[:kept].copy()
        for index in (records["flags"] & CAPTURED).nonzero()[0].tolist():
            self._strings[self._length + index] = batch.strings_at(index)
        self._chunks.append(records)
        self._length += kept

    def close(self) -> None:
        """Do nothing: what was kept stays."""

    def array(self) -> np.ndarray:
        """Return the records as one array of ``accel.records.dtype()``; do not change it.

        Its ``strings`` field means nothing any more: see the method of that name.
        """
        import numpy as np  # noqa: PLC0415 - an extra

        with self._lock:
            if len(self._chunks) > 1:
                self._chunks = [np.concatenate(self._chunks)]
            return self._chunks[0]

    def strings(self, index: int) -> Mapping[int, bytes]:
        """Tell what the arguments of one record pointed to, by position; NUL included."""
        return self._strings.get(index, _NONE)


class NumpyWriter:
    """A sink that streams records to a ``.npy`` file, at the speed of write(2).

    The file can be loaded at any moment, also when the tracer was killed: its header counts the
    records that are in it. Captured strings are not. Needs no numpy.
    """

    def __init__(self, path: str) -> None:
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by close()
        self._count = 0
        self._write(_header(0))

    def write(self, batch: Batch) -> None:
        """Append the records, then count them: the header never promises what is not there."""
        self._write(batch.raw)
        self._count += len(batch)
        os.pwrite(self._file.fileno(), _header(self._count), 0)

    def _write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


#: Room for any count; the data begin at a multiple of 64 bytes: numpy.lib.format, version 1.0.
_HEADER_SIZE: Final = 640
_MAGIC: Final = b"\x93NUMPY\x01\x00"


def _header(count: int) -> bytes:
    """Describe an array of ``count`` records, always in as many bytes."""
    text = repr({"descr": [*FIELDS], "fortran_order": False, "shape": (count,)}).encode()
    size = _HEADER_SIZE - len(_MAGIC) - 2
    return _MAGIC + size.to_bytes(2, "little") + text.ljust(size - 1) + b"\n"
