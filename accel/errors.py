"""What can go wrong, as types.

AccelError
├── SetupError             before the tracee's first instruction; ``hint`` says what to type next
│   ├── MaskError          unknown call or class, bad grammar, empty mask
│   ├── InjectionError     not what strace takes for -e inject= or -e fault=
│   ├── FilterError        the mask does not fit in a seccomp filter
│   ├── CommandError       the command cannot be executed (exit status 126 or 127)
│   ├── PtraceUnavailable  not permitted, already traced, no such process
│   ├── AuditUnavailable   the kernel's own count of stops cannot be had here
│   └── UnsupportedKernel  a kernel feature is missing; probed, never guessed from a version
├── TraceeError            a ptrace request failed: ``operation`` and ``tid``
│   ├── TraceeDied         ESRCH at a stop: the tracee was killed under the tracer
│   ├── FaultError         tracee memory that is not mapped
│   ├── NotStopped         ESRCH while it lives: the tracee runs, or is another thread's
│   └── StopError          not at the stop that the tracee is in; ``hint`` says where, or how
├── TagError               tags of PTRACE_VM that no stop can honour; ``hint``: what to write
│   └── UnknownTag         bits or numbers that their dialect does not have
├── HandlerError           a handler raised (``__cause__``); the tracees were killed
├── RecordingError         a sink of records raised (``__cause__``); the run went on without it
├── TimeoutExpired         the run took longer than ``timeout``; the tracees were killed
└── InternalError          this should never happen: please report it

The tracee's errno is data (a negative integer); the tracer's errno is an exception.
"""

from __future__ import annotations

__all__ = [
    "AccelError",
    "AuditUnavailable",
    "CommandError",
    "FaultError",
    "FilterError",
    "HandlerError",
    "InjectionError",
    "InternalError",
    "MaskError",
    "NotStopped",
    "PtraceUnavailable",
    "RecordingError",
    "SetupError",
    "StopError",
    "TagError",
    "TimeoutExpired",
    "TraceeDied",
    "TraceeError",
    "UnknownTag",
    "UnsupportedKernel",
]


class AccelError(Exception):
    """The root of every error that accel raises on purpose."""


class SetupError(AccelError):
    """A run that could not begin; nothing was started."""

    exit_status = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = str(self.args[0])
        return f"{message}; {self.hint}" if self.hint else message


class MaskError(SetupError, ValueError):
    """A mask that names no call, an unknown one, or is not in strace's grammar."""


class InjectionError(SetupError, ValueError):
    """An injection that is not in the grammar of strace's -e inject= or -e fault=."""


class FilterError(SetupError, ValueError):
    """A mask that cannot be compiled to a seccomp filter."""


class CommandError(SetupError):
    """A command that cannot be executed: 127 when it was not found, 126 otherwise."""

    def __init__(self, message: str, *, exit_status: int, errno: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_status = exit_status
        self.errno = errno


class PtraceUnavailable(SetupError):
    """The kernel refuses to let this process trace that one."""


class AuditUnavailable(SetupError):
    """The kernel's own count of stops cannot be had here; the text says why."""


class UnsupportedKernel(SetupError):
    """The kernel lacks something accel cannot do without."""


class TraceeError(AccelError):
    """A request on a stopped tracee failed."""

    def __init__(self, operation: str, tid: int, cause: str = "") -> None:
        super().__init__(operation, tid, cause)
        self.operation = operation
        self.tid = tid

    def __str__(self) -> str:
        operation, tid, cause = self.args
        return f"{operation} failed for tracee {tid}" + (f": {cause}" if cause else "")


class TraceeDied(TraceeError):
    """The tracee was killed while it was stopped (ESRCH, ptrace(2), "Death under ptrace")."""


class FaultError(TraceeError):
    """The tracee's memory at ``address`` is not mapped."""

    def __init__(self, operation: str, tid: int, address: int) -> None:
        super().__init__(operation, tid, f"bad address {address:#x}")
        self.address = address


class NotStopped(TraceeError):
    """A request needs a tracee of this thread in a ptrace-stop, and this is none (ESRCH)."""


class StopError(TraceeError):
    """The tracee is in a stop that has no place for what was asked; nothing was done."""

    def __init__(self, operation: str, tid: int, cause: str, *, hint: str) -> None:
        super().__init__(operation, tid, cause)
        self.hint = hint

    def __str__(self) -> str:
        return f"{super().__str__()}; {self.hint}"


class TagError(AccelError, ValueError):
    """Tags of PTRACE_VM that nothing can honour, whatever the tracee does; nothing was done."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.args[0]}; {self.hint}"


class UnknownTag(TagError):
    """Tags with bits, or a number, that their dialect does not have."""


class HandlerError(AccelError):
    """A handler raised; the tracees were killed before this was raised."""


class RecordingError(AccelError):
    """A sink of records failed, and records are lost; the command was not disturbed."""


class TimeoutExpired(AccelError):
    """The run did not end in time; the tracees were killed before this was raised."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"the command did not end within {self.seconds:g} seconds"


class InternalError(AccelError):
    """A state that should never be: please report it with the command that caused it."""
