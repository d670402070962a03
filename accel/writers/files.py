"""The writer of records that the name of a file asks for."""

from __future__ import annotations

import importlib
from typing import Any, Final

from accel.errors import SetupError
from accel.records import Sink

__all__ = ["record_writer"]

#: {ending: the module and the class of its writer}.
_WRITERS: Final = {
    ".npy": ("arrays", "NumpyWriter"),
    ".parquet": ("arrow", "ParquetWriter"),
    ".arrow": ("arrow", "ArrowWriter"),
    ".json": ("perfetto", "PerfettoWriter"),
}


def record_writer(path: str) -> Sink:
    """Open ``path`` for records: numpy, Parquet, Arrow, or JSON for ui.perfetto.dev.

    Raise SetupError for another ending, a file that cannot be written, a package that is missing.
    """
    for ending, (module, name) in _WRITERS.items():
        if path.endswith(ending):
            writer: Any = getattr(importlib.import_module(f"accel.writers.{module}"), name)
            try:
                sink: Sink = writer(path)
            except OSError as error:
                raise SetupError(
                    f"cannot write {path}: {error.strerror or error}", hint="name another file"
                ) from error
            return sink
    raise SetupError(
        f"{path}: what is to be written there?", hint=f"end its name in {', '.join(_WRITERS)}"
    )
