"""Recorded calls as tables for pandas, polars, DuckDB: Parquet and Arrow IPC (Feather, version 2).

    SELECT name, count(*), avg(left_ns - entered_ns) FROM 'calls.parquet' GROUP BY name

The columns are those of ``accel.writers.columns``. Both formats keep their index at the end: a file
can be read when its writer has been closed. Memory is bounded by the size of a row group. Both need
the extra ``arrow``.
"""

from __future__ import annotations

from typing import Any, Final

from accel.records import Batch
from accel.writers.columns import Columns
from accel.writers.extras import extra

__all__ = ["ArrowWriter", "ParquetWriter"]

#: Columns of few different values.
_REPEATED: Final = ["tid", "pid", "abi", "number", "name", "result", "rule"] + [
    f"string{at}" for at in range(6)
]


class _TableWriter:
    """A sink that writes columns through one of pyarrow's writers."""

    def __init__(self, columns: Columns, writer: Any) -> None:
        self._columns = columns
        self._writer = writer

    def write(self, batch: Batch) -> None:
        """Take some records, and write those that fill a row group."""
        for columns in self._columns.add(batch):
            self._writer.write_batch(columns)

    def close(self) -> None:
        """Write what is left, and the index."""
        for columns in self._columns.rest():
            self._writer.write_batch(columns)
        self._writer.close()


class ParquetWriter(_TableWriter):
    """A sink that writes a Parquet file: small, and read a column at a time."""

    def __init__(self, path: str) -> None:
        columns = Columns("ParquetWriter")
        parquet = extra("pyarrow.parquet", "ParquetWriter")
        writer = parquet.ParquetWriter(
            path, columns.schema, compression="zstd", compression_level=1, use_dictionary=_REPEATED
        )
        super().__init__(columns, writer)


class ArrowWriter(_TableWriter):
    """A sink that writes an Arrow IPC file: read without being parsed, mapped if need be."""

    def __init__(self, path: str) -> None:
        columns = Columns("ArrowWriter")
        ipc = extra("pyarrow.ipc", "ArrowWriter")
        # Uncompressed, it can be mapped.
        super().__init__(columns, ipc.new_file(path, columns.schema))
