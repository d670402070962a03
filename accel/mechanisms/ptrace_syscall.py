"""ptrace-syscall: two stops for every call; what tracers did before there were filters."""

from __future__ import annotations

from typing import ClassVar

from accel.mechanisms.placement import AFFINITY_CALLS
from accel.mechanisms.ptrace_loop import PtraceLoop
from accel.tracee import Tracee

__all__ = ["PtraceSyscall"]


class PtraceSyscall(PtraceLoop):
    """Trace by PTRACE_SYSCALL alone, with which every tracee is always resumed."""

    every_call: ClassVar[bool] = True

    def _entry_stop(self, tracee: Tracee, words: tuple[int, ...], /) -> None:
        self.calls.never_returned(tracee)
        call = self._call_of(tracee, words)
        if call is None:
            return
        if call.name in AFFINITY_CALLS:
            self.placement.release()
        rule = self._policy.match(call)
        if rule is not None:
            self.calls.enter(tracee, call, rule)
