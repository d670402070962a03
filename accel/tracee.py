"""One traced thread: what the tracer remembers of it, its registers, its memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from accel._kernel import memory as _memory
from accel._kernel import ptrace, signals
from accel.abi import Abi
from accel.call import Call
from accel.decision import Decision
from accel.errors import FaultError, TraceeDied, TraceeError
from accel.results import CallCounter
from bpf.value import replace

__all__ = ["PendingCall", "StopMemory", "Tracee", "process_of"]

P = ParamSpec("P")
R = TypeVar("R")


class PendingCall:
    """A call between its entry-stop and its exit-stop, and what was decided on it."""

    __slots__ = ("call", "decision", "entered_ns", "flags", "rule", "strings")

    def __init__(self, call: Call, decision: Decision, entered_ns: int, rule: int) -> None:
        self.call = call
        self.decision = decision
        self.entered_ns = entered_ns
        #: The position of its rule in the plan.
        self.rule = rule
        #: What its record will say besides: captured strings and flags.
        self.strings = self.flags = 0


class Tracee:
    """A thread that this tracer attached to; the state between its stops."""

    __slots__ = (
        "armed",
        "attaching",
        "deferred",
        "delay_ns",
        "emulated",
        "pending",
        "pid",
        "repeats",
        "returning",
        "sent",
        "signal_mask",
        "started",
        "stop_number",
        "tid",
    )

    def __init__(self, tid: int, pid: int, *, started: bool = True) -> None:
        self.tid = tid
        self.pid = pid
        #: False until the command has executed: stops of the launching child are not the user's.
        self.started = started
        #: True between PTRACE_SEIZE and the first stop of a thread that ran before.
        self.attaching = False
        self.pending: PendingCall | None = None
        #: The counter of the call that it makes, if nobody waits for that call's exit-stop.
        self.returning: CallCounter | None = None
        #: Whether exit events have been armed on it.
        self.armed = False
        #: The signals that it blocks, as bits, while some of them are unblocked for its tracer.
        self.signal_mask: int | None = None
        #: The siginfo_t of a signal whose delivery waits for the tracer's own to come.
        self.deferred: bytes | None = None
        #: Under PTRACE_SYSEMU: whether the call that it makes next does not run, and the call that
        #: it was sent back to.
        self.emulated = False
        self.repeats: tuple[int, ...] | None = None
        #: How long it is to stay in the stop that it is in.
        self.delay_ns = 0
        #: The signals that its tracer has sent it, as the kernel would, until they are delivered.
        self.sent: set[int] = set()
        #: Grows at every resumption: what was learnt at a stop is void after it.
        self.stop_number = 0

    def request(
        self, what: Callable[Concatenate[int, P], R], *arguments: P.args, **named: P.kwargs
    ) -> R:
        """Make a ptrace request; raise TraceeDied if the tracee was killed meanwhile."""
        try:
            return what(self.tid, *arguments, **named)
        except ProcessLookupError:
            # ESRCH in a valid stop means SIGKILL, ptrace(2) "Death under ptrace".
            raise TraceeDied(what.__name__, self.tid) from None
        except OSError as error:
            raise TraceeError(what.__name__, self.tid, error.strerror or "") from error

    @property
    def awaits_exit(self) -> bool:
        """Whether a call is pending that ends with an exit-stop."""
        return self.pending is not None

    def renamed(self, tid: int) -> None:
        """Take the thread group leader's tid, as execve(2) made this thread do.

        The execve that is pending will return under that tid, too.
        """
        self.tid = tid
        if self.pending is not None:
            self.pending.call = replace(self.pending.call, tid=tid)
        self.stop_number += 1

    def listen(self) -> None:
        """Leave it in its group-stop. One ptrace call."""
        self.stop_number += 1
        self.request(ptrace.listen)

    def detach(self, signal: int) -> None:
        """Let it go, with the signal that its stop was for. One ptrace call."""
        self.stop_number += 1
        self.request(ptrace.detach, signal)

    def event_message(self) -> int:
        """Read the number that came with an event-stop. One ptrace call."""
        return self.request(ptrace.get_event_message)

    def siginfo(self) -> bytes:
        """Read the siginfo_t of a signal-delivery-stop. One ptrace call."""
        return self.request(ptrace.get_siginfo)

    def send(self, signal: int) -> None:
        """Send it a signal that will be delivered as one of the kernel's. One tgkill(2).

        PTRACE_CONT delivers the signal that it is given only after a signal-delivery-stop; at a
        seccomp-stop it is dropped: __seccomp_filter() in the kernel ignores what ptrace_event()
        returns.
        """
        self.request(signals.send, self.pid, signal)
        self.sent.add(signal)

    def delivered(self, signal: int, siginfo: bytes) -> bytes:
        """Take a signal that is about to be delivered; return what the tracee will be told of it.

        One that was sent here is made the kernel's. One ptrace call, for those alone.
        """
        if signal not in self.sent or not signals.is_by_tgkill(siginfo):
            return siginfo
        self.sent.remove(signal)
        told = signals.by_kernel(signal)
        self.request(ptrace.set_siginfo, told)
        return told

    def set_argument(self, abi: Abi, index: int, value: int) -> None:
        """Replace one argument of the call that is about to run. Two ptrace calls."""
        registers = self.request(ptrace.get_registers)
        setattr(registers, _ARGUMENT_REGISTERS[abi][index], value)
        self.request(ptrace.set_registers, registers)


# syscall(2), "Architecture calling conventions".
_X86_64_ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
_ARGUMENT_REGISTERS = {
    Abi.X86_64: _X86_64_ARGUMENTS,
    Abi.X32: _X86_64_ARGUMENTS,
    Abi.I386: ("rbx", "rcx", "rdx", "rsi", "rdi", "rbp"),
}


class StopMemory:
    """The memory of a tracee during one stop; a read after it raises RuntimeError."""

    __slots__ = ("_stop_number", "_tracee")

    def __init__(self, tracee: Tracee, stop_number: int | None = None) -> None:
        self._tracee = tracee
        #: That of the stop, which may have been earlier.
        self._stop_number = tracee.stop_number if stop_number is None else stop_number

    def read(self, address: int, size: int) -> bytes:
        """Read up to ``size`` bytes, fewer where the memory ends. One process_vm_readv(2)."""
        tid = self._live()
        try:
            return _memory.read(tid, address, size)
        except ProcessLookupError:
            raise TraceeDied("process_vm_readv", tid) from None
        except OSError as error:
            if error.errno in (errno.ENOSYS, errno.EPERM):
                # A kernel or container without the call: the file is slower, not different.
                return _read_from_file(tid, address, size)
            raise TraceeError("process_vm_readv", tid, error.strerror or "") from error

    def write(self, address: int, data: bytes) -> None:
        """Write ``data``; raise FaultError where memory is missing or read-only."""
        tid = self._live()
        if _memory.write(tid, address, data) != len(data):
            raise FaultError("process_vm_writev", tid, address)

    def _live(self) -> int:
        if self._tracee.stop_number != self._stop_number:
            raise RuntimeError("the stop is over: read tracee memory while its handler runs")
        return self._tracee.tid


def _read_from_file(tid: int, address: int, size: int) -> bytes:
    try:
        with open(f"/proc/{tid}/mem", "rb", buffering=0) as file:
            return os.pread(file.fileno(), size, address)
    except OSError as error:
        if error.errno == errno.EIO:
            return b""
        raise TraceeError("/proc/pid/mem", tid, error.strerror or "") from error


def process_of(tid: int) -> int:
    """Tell the thread group of a thread; the tid itself when the thread is already gone."""
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"Tgid:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return tid
