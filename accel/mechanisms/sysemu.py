"""sysemu: no call runs unless the tracer says so, at one stop each: total virtual machines.

PTRACE_SYSEMU is what User-Mode Linux was written with. The kernel reports a call and then does not
make it, whatever the tracer says at that stop (ptrace(2)). To let one run all the same, the tracee
is sent back to its system call instruction: after the exit-stop of the call that was not made it
stops there again, for one that does run. That is three stops, where a filter takes one. If a signal
handler runs in between, the call is decided on anew. Filters are not asked about calls that are not
made.
"""

from __future__ import annotations

import errno
from typing import ClassVar, Final

from accel._kernel import ptrace
from accel.call import Call
from accel.mechanisms.placement import AFFINITY_CALLS
from accel.mechanisms.ptrace_loop import PtraceLoop
from accel.tracee import Tracee

__all__ = ["Sysemu"]

#: Of ``syscall``, ``int 0x80`` and ``sysenter`` alike; the kernel restarts calls so, too.
_INSTRUCTION_SIZE: Final = 2
#: The exit-stop of the call that was not made, and the entry-stop of the one that is.
_STOPS_TO_REPEAT: Final = 2


class Sysemu(PtraceLoop):
    """Trace a command whose calls are made by the tracer; resumed with PTRACE_SYSEMU.

    Its own execve(2) comes before the first of them, and is told as an event only.
    """

    every_call: ClassVar[bool] = False

    def _request(self, tracee: Tracee, *, awaits_exit: bool) -> int:
        if not tracee.started:
            return ptrace.PTRACE_CONT  # The launching child makes its calls itself.
        if awaits_exit or tracee.repeats is not None:
            tracee.emulated = False
            return ptrace.PTRACE_SYSCALL
        tracee.emulated = True
        return ptrace.PTRACE_SYSEMU

    def _syscall_stop(self, tracee: Tracee) -> None:
        is_exit = self.tables.words()[0] == ptrace.PTRACE_SYSCALL_INFO_EXIT
        if is_exit and tracee.repeats is not None:
            self.stops["exit"] += 1  # Of the call that was not made; now it is repeated.
            self._resume(tracee)
            return
        super()._syscall_stop(tracee)

    def _entry_stop(self, tracee: Tracee, words: tuple[int, ...], /) -> None:
        place = words[2:5]
        repeated, tracee.repeats = tracee.repeats, None
        if repeated == place and not tracee.emulated:
            return  # It was decided on when it was emulated; now it runs.
        self.calls.never_returned(tracee)
        call = self._call_of(tracee, words)
        if call is None:
            self.tables.skip_call(-errno.ENOSYS)  # As of a kernel without that ABI.
        else:
            self._decide(tracee, call, place)

    def _decide(self, tracee: Tracee, call: Call, place: tuple[int, ...]) -> None:
        rule = self._policy.match(call)
        if rule is not None and not self.calls.enter(tracee, call, rule):
            return
        if call.name in AFFINITY_CALLS:
            self.placement.release()
        if rule is not None and tracee.emulated:
            self.calls.repeated(call, _STOPS_TO_REPEAT)
        self._let_run(tracee, place)

    def _let_run(self, tracee: Tracee, place: tuple[int, ...]) -> None:
        """Let the call run at whose entry-stop the tracee is. Two ptrace calls, two stops more."""
        if not tracee.emulated:
            return
        registers = tracee.request(ptrace.get_registers)
        registers.rip -= _INSTRUCTION_SIZE
        registers.rax = registers.orig_rax
        # It returns from no call: nothing is to be restarted if a signal comes first.
        registers.orig_rax = (1 << 64) - 1
        tracee.request(ptrace.set_registers, registers)
        tracee.repeats = place
