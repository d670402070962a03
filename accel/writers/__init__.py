"""What becomes of the stops of a run: strace's text, JSON Lines, a table of counts.

A writer is an observer: ``tracer.observe(TextWriter(LineOutput(file)))``. Recorded calls go to
sinks: ``Replay`` tells an observer of them, the others write tables and timelines. What few runs
need is loaded when it is first named.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

from accel.writers.output import LineOutput
from accel.writers.replay import Replay
from accel.writers.selection import Selection
from accel.writers.summary import summary
from accel.writers.text import TextFormat, TextWriter

if TYPE_CHECKING:
    from accel.writers.arrays import ArraySink, NumpyWriter
    from accel.writers.arrow import ArrowWriter, ParquetWriter
    from accel.writers.files import record_writer
    from accel.writers.json_lines import JsonWriter
    from accel.writers.perfetto import PerfettoWriter
    from accel.writers.unreturned import Unreturned

__all__ = [
    "ArraySink",
    "ArrowWriter",
    "JsonWriter",
    "LineOutput",
    "NumpyWriter",
    "ParquetWriter",
    "PerfettoWriter",
    "Replay",
    "Selection",
    "TextFormat",
    "TextWriter",
    "Unreturned",
    "record_writer",
    "summary",
]

#: {name: the module that has it}.
_LATER: Final = {
    "ArraySink": "arrays",
    "ArrowWriter": "arrow",
    "JsonWriter": "json_lines",
    "NumpyWriter": "arrays",
    "ParquetWriter": "arrow",
    "PerfettoWriter": "perfetto",
    "Unreturned": "unreturned",
    "record_writer": "files",
}


def __getattr__(name: str) -> Any:
    """Load a writer that few runs need (PEP 562)."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
