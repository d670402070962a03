"""What becomes of the stops of a run: strace's text, JSON Lines, a table of counts.

A writer is an observer: ``tracer.observe(TextWriter(LineOutput(file)))``.
"""

from accel.writers.json_lines import JsonWriter
from accel.writers.output import LineOutput
from accel.writers.replay import Replay
from accel.writers.selection import Selection
from accel.writers.summary import summary
from accel.writers.text import TextFormat, TextWriter

__all__ = ["JsonWriter", "LineOutput", "Replay", "Selection", "TextFormat", "TextWriter", "summary"]
