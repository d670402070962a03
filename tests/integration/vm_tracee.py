"""Tracees for interfaces that need no Tracer: start one, wait for its stops, tell them."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from accel._kernel import ptrace, spawn
from accel._kernel.wait import wait_on
from accel.abi import Abi
from accel.command import Command
from accel.launch import prepare
from accel.ptrace_vm import Dialect2006, Dialect2008, Events, Numbered, syscall_mask
from bpf import Program
from tests.support import compiled

#: After so many seconds a tracee that hangs is killed, so that its test fails.
LIMIT = 60
OPTIONS = ptrace.PTRACE_O_TRACESYSGOOD | ptrace.PTRACE_O_TRACESECCOMP | ptrace.PTRACE_O_EXITKILL


SKIPCALL, SKIPEXIT = Dialect2006.PTRACE_VM_SKIPCALL, Dialect2006.PTRACE_VM_SKIPEXIT
#: What mkdir cannot return by itself.
VALUE = 4242
ABIS = (Abi.X86_64, Abi.I386)


class Tags(NamedTuple):
    """Tags of one dialect, and what they leave: is the call run, is the exit-stop wanted."""

    tags: int
    call: bool
    exit: bool


#: Every combination that a stopped call can be resumed with, as each dialect writes it.
ALL_TAGS = (
    Tags(0, call=True, exit=True),
    Tags(Dialect2006(0), call=True, exit=True),
    Tags(SKIPEXIT, call=True, exit=False),
    Tags(SKIPCALL, call=False, exit=True),
    Tags(SKIPCALL | SKIPEXIT, call=False, exit=False),
    Tags(Dialect2008.PTRACE_SYSCALL_SKIPEXIT, call=True, exit=False),
    Tags(Dialect2008.PTRACE_SYSCALL_SKIPCALL, call=False, exit=False),
    Tags(Numbered.PTRACE_VM_DOEXIT, call=True, exit=True),
    Tags(Numbered.PTRACE_VM_SKIPEXIT, call=True, exit=False),
    Tags(Numbered.PTRACE_VM_SKIPCALL, call=False, exit=False),
    Tags(Events(4), call=True, exit=True),
    Tags(Events(4 | 1), call=True, exit=False),
    Tags(Events(4 | 2), call=False, exit=True),
    Tags(Events(4 | 2 | 1), call=False, exit=False),
)


class Started:
    """A child that executes ``argv`` under a filter, traced by the calling thread; a context.

    ``every_call`` leaves it in a stop before it executes, to be resumed as the test likes; without
    it runs until the filter stops it.
    """

    def __init__(
        self,
        argv: Sequence[str],
        program: Program | None = None,
        *,
        options: int = OPTIONS,
        every_call: bool = False,
    ) -> None:
        self._stack = contextlib.ExitStack()
        self._read, write = os.pipe()
        command = Command(tuple(map(os.fsencode, argv)), stdout=write)
        prepared = self._stack.enter_context(prepare(command, program))
        self._launch = spawn.launch(prepared.steps)
        self.tid = self._launch.pid
        self._ended = False
        self._watchdog = threading.Timer(LIMIT, os.kill, (self.tid, signal.SIGKILL))
        self._watchdog.start()
        os.close(write)
        ptrace.seize(self.tid, options)
        if every_call:
            ptrace.interrupt(self.tid)
            assert self.wait() == "event 128"
        os.write(prepared.release, b"!")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._watchdog.cancel()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            while not self._ended:
                os.kill(self.tid, signal.SIGKILL)
                self.wait()
        self._stack.close()
        os.close(self._read)

    def wait(self) -> str:
        """Wait for the next stop or the end and tell what it is."""
        return self.describe(wait_on(self.tid)[1])

    def describe(self, status: int) -> str:
        """Tell what a status of the tracee means, in a few words."""
        if os.WIFEXITED(status):
            self._ended = True
            return f"exited {os.WEXITSTATUS(status)}"
        if os.WIFSIGNALED(status):
            self._ended = True
            return f"killed {signal.Signals(os.WTERMSIG(status)).name}"
        return describe_stop(self.tid, status)

    def to_call(self, kind: str) -> None:
        """Resume with PTRACE_SYSCALL until the stop is ``kind``: "entry mkdir"."""
        stop = ""
        while stop != kind:
            assert not self._ended
            ptrace.syscall(self.tid)
            stop = self.wait()

    def run_out(self) -> list[str]:
        """Wait for a tracee that runs, then ``finish``."""
        return [self.wait(), *self.finish()]

    def finish(self) -> list[str]:
        """Resume with PTRACE_CONT to the end; tell the stops and the end."""
        seen: list[str] = []
        while not self._ended:
            ptrace.cont(self.tid)
            seen.append(self.wait())
        return seen

    def output(self) -> bytes:
        """Read what it wrote, once it has ended."""
        assert self._ended
        self._stack.close()  # The pipe's other end is in there.
        with open(self._read, "rb", closefd=False) as stream:
            return stream.read()

    @property
    def instruction_pointer(self) -> int:
        """Where it is stopped."""
        return ptrace.get_registers(self.tid).rip


def describe_stop(tid: int, status: int) -> str:
    """Tell which stop a status reports: "entry mkdir", "exit 0", "seccomp mkdir", "SIGTRAP"."""
    event = status >> 16
    info = ptrace.get_syscall_info(tid)
    if info.op == ptrace.PTRACE_SYSCALL_INFO_EXIT:
        return f"exit {info.result}"
    if info.op == ptrace.PTRACE_SYSCALL_INFO_NONE:
        return f"event {event}" if event else signal.Signals(os.WSTOPSIG(status)).name
    abi = Abi.of(info.arch, info.number)
    assert abi is not None
    kind = "seccomp" if info.op == ptrace.PTRACE_SYSCALL_INFO_SECCOMP else "entry"
    return f"{kind} {abi.call_name(info.number)}"


class TwoDirectories(Started):
    """tests/programs/ptrace_vm.c of one ABI, stopped at its first mkdir(2).

    With a ``program``, which selects mkdir, it is at a seccomp-stop, unless ``every_call`` is to
    have a syscall-entry-stop; without one it is there anyway.
    """

    def __init__(
        self,
        abi: Abi,
        directory: Path,
        program: Program | None = None,
        *,
        every_call: bool = False,
    ) -> None:
        self.paths = (directory / "first", directory / "second")
        binary = compiled("ptrace_vm", *(("-m32",) if abi is Abi.I386 else ()))
        argv = [binary, *map(str, self.paths)]
        every_call |= program is None
        super().__init__(argv, program, every_call=every_call)
        if every_call:
            self.to_call("entry mkdir")
        else:
            assert self.wait() == "seccomp mkdir"

    def results(self) -> tuple[int, ...]:
        """Tell the results that it has seen, the parent's pid as "right" (1) or not (0)."""
        first, parent, second = struct.unpack("=3q", self.output())
        return first, int(parent == os.getpid()) if parent > 0 else parent, second


def bitmap(abi: Abi, *names: str) -> bytes:
    """Make a bitmap of 2006 in which only ``names`` are traced, long enough for every number."""
    bits = bytearray(128)
    for name in names:
        number = abi.numbers[name]
        bits[number // 8] |= 1 << number % 8
    return bytes(bits)


def selecting(*names: str) -> Program:
    """Make the filter that stops ``names``, in both ABIs."""
    return syscall_mask(bitmap(Abi.X86_64, *names), i386=bitmap(Abi.I386, *names))
