"""The two ways to begin: start a command under the loop, or attach to a process that runs."""

from __future__ import annotations

import contextlib
import os
import threading

from accel._kernel import ptrace, spawn
from accel.command import Command
from accel.launch import exec_failure, prepare
from accel.mechanisms.ptrace_loop import TRACE_OPTIONS, PtraceLoop, kill_process
from accel.mechanisms.refusal import is_ending, tracer_of, why_not_attached
from accel.tracee import Tracee, process_of
from bpf import Program

__all__ = ["attach", "start"]


def start(loop: PtraceLoop, command: Command, program: Program | None) -> int:
    """Start ``command``, under the filter ``program``; return its pid once it has executed.

    Raise CommandError if it cannot be executed, PtraceUnavailable if it cannot be traced; nothing
    is left running. A filter outlives its tracer and would then fail the calls that it selects:
    PTRACE_O_EXITKILL is always set.
    """
    with prepare(command, program, loop.filter_flags) as prepared:
        child = spawn.launch(prepared.steps)
        try:
            ptrace.seize(child.pid, TRACE_OPTIONS | ptrace.PTRACE_O_EXITKILL)
        except OSError as error:
            reason = why_not_attached(child.pid, error, started=True)
            kill_process(child.pid)
            os.waitpid(child.pid, 0)
            raise reason from error
        root = loop.begin(Tracee(child.pid, child.pid, started=False))
        with loop.meeting(child):
            os.write(prepared.release, b"!")
            while child.pid in loop.tracees and not root.started:
                loop.step()
    failure = child.failure()
    if failure is not None:
        raise exec_failure(command, *failure)
    return child.pid


def attach(loop: PtraceLoop, pid: int) -> int:
    """Attach to all threads of the process that ``pid`` belongs to; return its pid.

    Raise PtraceUnavailable. Neither EXITKILL nor TRACESECCOMP is set: the process was there before
    its tracer, must outlive it, and its own filters are none of our business.
    """
    loop.is_attached = True
    process = process_of(pid)
    new = True
    while new:
        # Threads that are born meanwhile are found by another look, until there are none.
        new = False
        for tid in _threads(process):
            if tid not in loop.tracees:
                new |= _seize(loop, tid, process)
    if not loop.tracees:
        raise why_not_attached(pid, ProcessLookupError(3, "No such process"))
    loop.root = process
    loop.placement.started(process)
    return process


def _seize(loop: PtraceLoop, tid: int, process: int) -> bool:
    try:
        ptrace.seize(tid, TRACE_OPTIONS & ~ptrace.PTRACE_O_TRACESECCOMP)
    except ProcessLookupError:
        return False
    except OSError as error:
        # A thread born since its creator was seized is ours already; one that ends refuses, too.
        if tracer_of(tid) == threading.get_native_id() or (is_ending(tid) and tid != process):
            return False
        raise why_not_attached(tid, error) from error
    loop.add(Tracee(tid, process)).attaching = True
    # One that ended since is reaped like any other.
    with contextlib.suppress(ProcessLookupError):
        ptrace.interrupt(tid)
    return True


def _threads(process: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{process}/task")]
    except OSError:
        return []
