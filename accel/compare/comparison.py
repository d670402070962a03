"""A comparison as a whole: what was asked for, the rows, and what a reader has to know of them."""

from __future__ import annotations

import os
import platform
import shlex

from accel.compare.measure import Result
from accel.compare.rows import Row, rows
from accel.compare.subjects import Absent
from bpf.value import frozen

__all__ = ["Comparison", "summed_up"]


@frozen
class Comparison:
    """One command under every mechanism."""

    command: tuple[str, ...]
    #: The selected calls, as they were written.
    calls: str
    runs: int
    is_audited: bool
    rows: tuple[Row, ...]
    absent: tuple[Absent, ...] = ()
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    kernel: str = ""
    cpus: int = 0
    python: str = ""

    def shown_command(self, length: int) -> str:
        """Write the command on one line, as in a shell, cut to ``length`` characters."""
        text = shlex.join(self.command).replace("\n", "\\n")
        return text if len(text) <= length else f"{text[: length - 3]}..."


def summed_up(
    result: Result, command: tuple[str, ...], calls: str, runs: int, *, is_audited: bool
) -> Comparison:
    """Sum up a measurement made on this machine."""
    return Comparison(
        command,
        calls,
        runs,
        is_audited,
        tuple(rows(result.entries)),
        result.absent,
        result.notes,
        result.faults,
        kernel=platform.release(),
        cpus=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
    )
