"""ptrace-syscall: two stops for every call; the way into a process that already runs."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import ClassVar

from accel._kernel import ptrace
from accel.mechanisms.calls import call_of
from accel.mechanisms.ptrace_loop import TRACE_OPTIONS, PtraceLoop
from accel.mechanisms.refusal import tracer_of, why_not_attached
from accel.tracee import Tracee, process_of

__all__ = ["PtraceSyscall"]


class PtraceSyscall(PtraceLoop):
    """Attach to a running process; every tracee is always resumed with PTRACE_SYSCALL."""

    every_call: ClassVar[bool] = True

    def attach(self, pid: int) -> int:
        """Attach to all threads of the process that ``pid`` belongs to; return its pid.

        Raise PtraceUnavailable. Neither EXITKILL nor TRACESECCOMP is set: the process was there
        before its tracer, must outlive it, and its own filters are none of our business.
        """
        options = TRACE_OPTIONS & ~ptrace.PTRACE_O_TRACESECCOMP
        process = process_of(pid)
        new = True
        while new:
            # Threads that are born meanwhile are found by another look, until there are none.
            new = False
            for tid in _threads(process):
                if tid not in self.tracees:
                    new |= self._seize(tid, process, options)
        if not self.tracees:
            raise why_not_attached(pid, ProcessLookupError(3, "No such process"))
        self._root = process
        self.placement.started(process)
        return process

    def end(self) -> None:
        """Let every tracee go at its next stop; it runs on as if nothing had been."""
        self._ending = True
        self.placement.release()
        for tid in self.tracees:
            # Only those that have not stopped already need to be interrupted.
            with contextlib.suppress(OSError):
                ptrace.interrupt(tid)

    def _seize(self, tid: int, process: int, options: int) -> bool:
        try:
            ptrace.seize(tid, options)
        except ProcessLookupError:
            return False
        except OSError as error:
            # A thread born since its creator was seized is ours already; a dying one refuses, too.
            if tracer_of(tid) in (threading.get_native_id(), None):
                return False
            raise why_not_attached(tid, error) from error
        self.add(Tracee(tid, process)).attaching = True
        # One that ended since is reaped like any other.
        with contextlib.suppress(ProcessLookupError):
            ptrace.interrupt(tid)
        return True

    def _resume(self, tracee: Tracee, signal: int = 0) -> None:
        if not self._ending:
            super()._resume(tracee, signal)
            return
        tracee.detach(signal)
        self.tracees.pop(tracee.tid, None)
        self._event_of(tracee, "detached")

    def _entry_stop(self, tracee: Tracee, words: tuple[int, ...], /) -> None:
        self.calls.never_returned(tracee)
        call = call_of(tracee, words)
        if call is None:
            self.calls.blind_spot(
                tracee, f"it made call {words[4]:#x} of unknown ABI {words[1]:#x}"
            )
            return
        rule = self._policy.match(call)
        if rule is not None:
            self.calls.enter(tracee, call, rule)


def _threads(process: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{process}/task")]
    except OSError:
        return []
