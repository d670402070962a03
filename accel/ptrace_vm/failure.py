"""Why the kernel refused a ptrace request, told apart by what /proc says of the tracee."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Final

from accel.errors import NotStopped, TraceeDied, TraceeError

__all__ = ["explained"]

_DEAD: Final = ("Z", "X")
_SIGKILL_BIT: Final = 1 << (signal.SIGKILL - 1)


@contextlib.contextmanager
def explained(tid: int) -> Iterator[None]:
    """Let the requests of a block raise TraceeDied, NotStopped or TraceeError, not OSError.

    The kernel says ESRCH of a tracee that is gone, that runs, and that another thread traces;
    ptrace(2), "Errors". Cost: nothing, unless a request fails.
    """
    try:
        yield
    except ProcessLookupError as error:
        raise _not_found(tid, str(error.filename)) from None
    except OSError as error:
        raise TraceeError(str(error.filename), tid, error.strerror or "") from error


def _not_found(tid: int, operation: str) -> TraceeError:
    status = _status(tid)
    if status.get("State", "X")[0] in _DEAD:
        return TraceeDied(operation, tid)
    pending = int(status["SigPnd"], 16) | int(status["ShdPnd"], 16)
    if pending & _SIGKILL_BIT:
        return TraceeDied(operation, tid)
    tracer = int(status["TracerPid"])
    if not tracer:
        return NotStopped(operation, tid, "nobody traces it: attach first, with PTRACE_SEIZE")
    if tracer != threading.get_native_id():
        return NotStopped(
            operation, tid, f"thread {tracer} traces it: ask from the thread that attached"
        )
    # Between the SIGKILL and its end a tracee looks like this, too: its end is the next report.
    return NotStopped(operation, tid, "it is not stopped: wait(2) for its next stop, or its end")


def _status(tid: int) -> dict[str, str]:
    """Read /proc/TID/status; nothing of a thread that is gone."""
    try:
        with open(f"/proc/{tid}/status", encoding="utf-8", errors="replace") as file:
            lines = [line.partition(":") for line in file]
    except OSError:
        return {}
    return {name: text.strip() for name, _colon, text in lines}
