"""Start a command under supervision: no tracer hears of its execve(2), a pipe tells of it."""

from __future__ import annotations

import fcntl
import os
import select
from typing import Final, Self

from accel._kernel import spawn
from accel.command import Command
from accel.launch import exec_failure, prepare
from accel.mechanisms.listener import Handover, flags_of, support
from accel.mechanisms.user_notify import UserNotify
from bpf import Program

__all__ = ["start_supervised"]

#: The child makes descriptors 0, 1 and 2 what the command is to have.
_FIRST_FREE: Final = 3


def start_supervised(loop: UserNotify, command: Command, program: Program) -> int:
    """Start ``command`` under the filter ``program``; return its pid once it has executed.

    Raise CommandError if it cannot be executed, UnsupportedKernel if there can be no listener;
    nothing is left running.
    """
    found = support()
    flags = flags_of(found)
    with _Execution() as execution, prepare(command, program, flags, is_traced=False) as prepared:
        child = spawn.launch(prepared.steps)
        execution.begins()
        loop.begin(child.pid)
        try:
            os.write(prepared.release, b"!")
            with Handover(child, found).meeting() as listener:
                if listener is not None:
                    loop.supervise(listener)
        except BaseException:
            loop.end_now()
            raise
        execution.wait()
    failure = child.failure()
    if failure is not None:
        raise exec_failure(command, *failure)
    loop.executed()
    return child.pid


class _Execution:
    """A pipe whose writing end a child loses when it executes, or ends."""

    def __enter__(self) -> Self:
        self._reading, self._writing = (_high(end) for end in os.pipe2(os.O_CLOEXEC))
        return self

    def begins(self) -> None:
        """Leave the writing end to the child."""
        os.close(self._writing)
        self._writing = -1

    def wait(self) -> None:
        """Wait until it has executed, or ended."""
        poll = select.poll()
        poll.register(self._reading, 0)
        poll.poll()

    def __exit__(self, *_exception: object) -> None:
        os.close(self._reading)
        if self._writing >= 0:
            os.close(self._writing)


def _high(descriptor: int) -> int:
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    os.close(descriptor)
    return high
