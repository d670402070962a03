"""exit-event alone: no filter and no entry-stop, so also for a process that runs already."""

from __future__ import annotations

from typing import ClassVar

from accel.mechanisms.ptrace_loop import PtraceLoop
from accel.tracee import Tracee

__all__ = ["ExitEvent"]


class ExitEvent(PtraceLoop):
    """Trace by the exit events that the loop was given; between these with PTRACE_CONT."""

    every_call: ClassVar[bool] = False

    def _entry_stop(self, tracee: Tracee, _words: tuple[int, ...], /) -> None:
        self.calls.never_returned(tracee)
