"""seccomp-trace: a filter selects the calls, ptrace answers them; all others run untouched."""

from __future__ import annotations

import errno
import os
from typing import ClassVar, Final

from accel._kernel import ptrace, spawn
from accel.call import Call
from accel.launch import Command, exec_failure, prepare
from accel.mechanisms.calls import call_of
from accel.mechanisms.placement import AFFINITY_CALLS
from accel.mechanisms.ptrace_loop import TRACE_OPTIONS, PtraceLoop, kill_process
from accel.mechanisms.refusal import why_not_attached
from accel.tracee import Tracee
from bpf import Program

__all__ = ["SeccompTrace"]

_SYS_EXECVE: Final = 59
_CLONE_UNTRACED: Final = 0x0080_0000


class SeccompTrace(PtraceLoop):
    """Start a command under a filter; between selected calls it runs with PTRACE_CONT."""

    every_call: ClassVar[bool] = False

    def start(self, command: Command, program: Program) -> int:
        """Start ``command`` under ``program`` and return its pid once it has executed.

        Raise CommandError if it cannot be executed, PtraceUnavailable if it cannot be traced;
        nothing is left running. A filter outlives its tracer and would then fail the calls that it
        selects: PTRACE_O_EXITKILL is always set.
        """
        with prepare(command, program) as prepared:
            child = spawn.launch(prepared.steps)
            try:
                ptrace.seize(child.pid, TRACE_OPTIONS | ptrace.PTRACE_O_EXITKILL)
            except OSError as error:
                reason = why_not_attached(child.pid, error, started=True)
                kill_process(child.pid)
                os.waitpid(child.pid, 0)
                raise reason from error
            self._root = child.pid
            root = self.add(Tracee(child.pid, child.pid, started=False))
            os.write(prepared.release, b"!")
            while child.pid in self.tracees and not root.started:
                self.step()
        failure = child.failure()
        if failure is not None:
            raise exec_failure(command, *failure)
        return child.pid

    def _seccomp_stop(self, tracee: Tracee) -> None:
        words = self.tables.words
        ret_data = words[-1]
        rule = self._policy.rule_of(ret_data)
        call = call_of(tracee, words)
        if not tracee.started and words[4] != _SYS_EXECVE:
            pass  # The launching child gives up, by exit_group.
        elif call is None:
            self.calls.blind_spot(
                tracee, f"it made call {words[4]:#x} of unknown ABI {words[1]:#x}"
            )
        elif rule is not None:
            self.calls.enter(tracee, call, rule)
        elif self._policy.is_watched(ret_data):
            self._watched(tracee, call)
        else:
            # The tracee's own filter asked for a tracer. Alone it would have none, and the kernel
            # would fail the call: seccomp(2), SECCOMP_RET_TRACE.
            selected = self._policy.match(call) is not None
            self.calls.answer(tracee, call, -errno.ENOSYS, observed=selected)
        self._resume(tracee)

    def _watched(self, tracee: Tracee, call: Call) -> None:
        """Take note of a call that stopped for what it is; then ask the rules for an answer."""
        if call.name in AFFINITY_CALLS:
            self.placement.release()  # What it sees, or sets, is its own.
        elif call.name == "clone":
            # The child would keep the filter and, without a tracer, fail at every selected call.
            self.calls.blind_spot(tracee, "it uses clone with CLONE_UNTRACED, which is taken away")
            tracee.set_argument(call.abi, 0, call.arguments[0] & ~_CLONE_UNTRACED)
        else:
            self.calls.blind_spot(
                tracee, f"it uses {call.name}, whose operations are not system calls"
            )
            return
        rule = self._policy.match(call)
        if rule is not None:
            self.calls.enter(tracee, call, rule)

    def _entry_stop(self, tracee: Tracee, _words: tuple[int, ...], /) -> None:
        # Only a pending call is resumed to a boundary, so it had no exit-stop.
        self.calls.never_returned(tracee)
