"""What PTRACE_VM promised of stops to come, remembered: exit-stops that nobody is to see."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Final

from accel._kernel import ptrace
from accel._kernel.wait import WSTOPPED_EVENT_SHIFT, wait_on
from accel.errors import StopError
from accel.ptrace_vm.failure import explained
from accel.ptrace_vm.requests import (
    ENTRY,
    Order,
    Request,
    carry_out,
    judge,
    kernel_request,
    leaves_exit_stop,
    order,
)
from accel.ptrace_vm.tags import SUPPORTED, Dialect, Dialect2006, dialect_of

__all__ = ["Session"]

#: A syscall-stop, marked by PTRACE_O_TRACESYSGOOD.
_SYSCALL_STOP: Final = signal.SIGTRAP | 0x80
#: The events that come between a call's entry and its exit-stop, which is still to come.
_WITHIN_CALL: Final = frozenset(
    {
        ptrace.PTRACE_EVENT_FORK,
        ptrace.PTRACE_EVENT_VFORK,
        ptrace.PTRACE_EVENT_CLONE,
        ptrace.PTRACE_EVENT_EXEC,
        ptrace.PTRACE_EVENT_VFORK_DONE,
        ptrace.PTRACE_EVENT_EXIT,
    }
)
_EMULATING: Final = (Request.SYSEMU, Request.SYSEMU_SINGLESTEP)


class Session:
    """The tracees of one thread, as a kernel with PTRACE_VM would report them.

    Resume and wait through it alone. Then PTRACE_SYSCALL with SKIPEXIT works at an entry-stop,
    too: the kernel still stops after the call, but ``wait`` resumes the tracee there at once, and
    does not return. Such a call has two kernel stops, of which one is seen; ``hidden_stops`` counts
    the others. At a seccomp-stop none is needed. A decision holds until the call has ended, though
    events (a fork, an exec) come in between.
    """

    def __init__(self) -> None:
        #: How many exit-stops the kernel made that ``wait`` did not return.
        self.hidden_stops = 0
        #: Whose next exit-stop is to be hidden.
        self._owed: set[int] = set()
        #: What each tracee was last resumed with.
        self._last: dict[int, Request] = {}

    def resume(
        self,
        tid: int,
        request: Request,
        tags: int = 0,
        *,
        signal: int = 0,
        value: int | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        """Resume a tracee as the function ``resume`` does, wherever a call can be decided on.

        Raise StopError also for tags that let a call run at the stop of PTRACE_SYSEMU, where it
        cannot be run any more. Cost as there.
        """
        wanted = order(request, tags, signal=signal, value=value, dialect=dialect)
        with explained(tid):
            stop = judge(tid, wanted)
            self._refuse_emulated(tid, wanted, stop)
            owed = leaves_exit_stop(wanted, stop)
            chosen = kernel_request(wanted, stop)
            if chosen is not request and self._last.get(tid) is Request.SYSCALL:
                # This call was announced by an entry-stop, too; so the next one is to be.
                owed, chosen = True, request
            carry_out(tid, wanted, chosen)
        self._last[tid] = chosen
        if owed:
            self._owed.add(tid)
        elif chosen is not Request.SYSCALL:
            # After another request, given at an event, the exit-stop does not come.
            self._owed.discard(tid)

    def sysvm(
        self,
        tid: int,
        tags: int = 0,
        *,
        signal: int = 0,
        value: int | None = None,
        dialect: Dialect | None = None,
    ) -> int:
        """Do what PTRACE_SYSVM did in 2006, as the function ``sysvm`` does. Raise as ``resume``."""
        dialect = dialect_of(tags, dialect, Dialect2006)
        if dialect is Dialect2006 and tags == Dialect2006.PTRACE_VM_TEST:
            return SUPPORTED
        self.resume(tid, Request.SYSCALL, tags, signal=signal, value=value, dialect=dialect)
        return 0

    def wait(self, tid: int = -1, options: int = 0) -> tuple[int, int]:
        """Wait for the next stop or end of ``tid``, or of any tracee; return what waitpid(2) does.

        With os.WNOHANG in ``options``, (0, 0) if there is none yet. Raise ChildProcessError where
        there is nothing to wait for. Cost: one waitpid(2); for a hidden stop another, and one
        ptrace call.
        """
        while True:
            changed, status = wait_on(tid, options)
            if not changed or not self._hides(changed, status):
                return changed, status

    def _refuse_emulated(self, tid: int, wanted: Order, stop: int) -> None:
        is_emulated = stop == ENTRY and self._last.get(tid) in _EMULATING
        if is_emulated and wanted.has_tags and wanted.call:
            raise StopError(
                wanted.name,
                tid,
                "the call that PTRACE_SYSEMU reports will not run, whatever follows",
                hint="or SKIPCALL into the tags; to choose, reach calls with Request.SYSCALL, or"
                " stop them with a filter of syscall_mask()",
            )

    def _hides(self, tid: int, status: int) -> bool:
        """Tell whether a change is an exit-stop that was left out; resume the tracee if so."""
        if not os.WIFSTOPPED(status):
            self._owed.discard(tid)
            self._last.pop(tid, None)
            return False
        event = status >> WSTOPPED_EVENT_SHIFT
        if event == ptrace.PTRACE_EVENT_EXEC:
            self._follow_exec(tid)
        if tid not in self._owed or event in _WITHIN_CALL:
            return False
        # Anything but the exit-stop is a seccomp-stop, where the call is decided on anew: "no other
        # kinds of ptrace-stop can occur in between", ptrace(2), "Syscall-stops".
        self._owed.discard(tid)
        if os.WSTOPSIG(status) != _SYSCALL_STOP:
            return False
        self.hidden_stops += 1
        # One that was killed at its stop will end: that is the next change.
        with contextlib.suppress(ProcessLookupError):
            ptrace.syscall(tid)
        return True

    def _follow_exec(self, tid: int) -> None:
        """Follow a thread whose execve(2) gave it the tid of its thread group leader."""
        try:
            former = ptrace.get_event_message(tid)
        except ProcessLookupError:
            return
        if former != tid and former in self._owed:
            self._owed.discard(former)
            self._owed.add(tid)
        elif former != tid:
            # What the leader owed has ended with it.
            self._owed.discard(tid)
        self._last.pop(former, None)
