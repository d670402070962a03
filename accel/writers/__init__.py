"""What becomes of the stops of a run: strace's text, JSON Lines, a table of counts.

A writer is an observer: ``tracer.observe(TextWriter(LineOutput(file)))``. Recorded calls go to
sinks: ``Replay`` tells an observer of them, the others write tables and timelines. What few runs
need is loaded when it is first named.
"""

from typing import TYPE_CHECKING, Final

from bpf.on_demand import names_on_demand

if TYPE_CHECKING:
    from accel.writers.arrays import ArraySink, NumpyWriter
    from accel.writers.arrow import ArrowWriter, ParquetWriter
    from accel.writers.files import record_writer
    from accel.writers.json_lines import JsonWriter
    from accel.writers.output import LineOutput
    from accel.writers.perfetto import PerfettoWriter
    from accel.writers.replay import Replay
    from accel.writers.selection import Selection
    from accel.writers.table import summary
    from accel.writers.text import TextFormat, TextWriter
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
_MODULES: Final = {
    "ArraySink": "arrays",
    "ArrowWriter": "arrow",
    "JsonWriter": "json_lines",
    "LineOutput": "output",
    "NumpyWriter": "arrays",
    "ParquetWriter": "arrow",
    "PerfettoWriter": "perfetto",
    "Replay": "replay",
    "Selection": "selection",
    "TextFormat": "text",
    "TextWriter": "text",
    "Unreturned": "unreturned",
    "record_writer": "files",
    "summary": "table",
}

__getattr__, __dir__ = names_on_demand(__name__, _MODULES)
