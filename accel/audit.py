"""The kernel's own count of ptrace-stops, independent of what any tracer says.

At each ptrace-stop the kernel sends the tracer a SIGCHLD with the code CLD_TRAPPED, or CLD_STOPPED
for PTRACE_EVENT_STOP (kernel/signal.c, ``ptrace_stop``). The tracepoint signal:signal_generate sees
each, even one that merges with a SIGCHLD that is still pending. A private instance of tracefs
records them in the context of the tracees, so that no other tracer of the machine counts; its ring
buffer counts also what it overwrites, so that no run is too long.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
from types import TracebackType
from typing import Final, Self

from accel.errors import AuditUnavailable

__all__ = ["KernelStopCount"]

_TRACEFS: Final = "/sys/kernel/tracing"
_EVENT: Final = "events/signal/signal_generate"
_CLD_TRAPPED, _CLD_STOPPED = 4, 5
_FILTER: Final = (
    f"sig == {int(signal.SIGCHLD)} && (code == {_CLD_TRAPPED} || code == {_CLD_STOPPED})"
)
#: Events are counted, never read: the smallest buffer will do.
_BUFFER_KB: Final = 4
#: What per_cpu/*/stats says of events that were recorded, wherever they are now.
_COUNTERS: Final = frozenset(
    ("entries", "overrun", "commit overrun", "dropped events", "read events")
)
_INSTANCES: Final = f"{_TRACEFS}/instances"
#: The inode of the first PID namespace (PROC_PID_INIT_INO): there, pids are the kernel's own.
_FIRST_PID_NAMESPACE: Final = 0xEFFF_FFFC
_serial = itertools.count(1)


class KernelStopCount:
    """Count the ptrace-stops of all processes that this process starts within the ``with`` block.

    Threads and children are followed by the kernel (``event-fork``), whoever traces them: this
    process, or one that it started. ``stops`` may be read during the run and after it. Stops of
    job control are counted for untraced children, too. Raise AuditUnavailable without root or
    tracefs, in a PID namespace, and where SIGCHLD is ignored: the kernel then sends none.
    """

    def __init__(self) -> None:
        self._instance = f"{_INSTANCES}/accel-{os.getpid()}-{next(_serial)}"
        self._stack = contextlib.ExitStack()
        self._stops: int | None = None

    @property
    def stops(self) -> int:
        """The stops so far; after the block, all of it."""
        return self._read_counters() if self._stops is None else self._stops

    def __enter__(self) -> Self:
        if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
            raise AuditUnavailable("SIGCHLD is ignored: the kernel sends none to count")
        if os.stat("/proc/self/ns/pid").st_ino != _FIRST_PID_NAMESPACE:
            raise AuditUnavailable("in a PID namespace, the kernel's own pids are not known")
        with contextlib.ExitStack() as stack:
            try:
                self._start(stack)
            except OSError as error:
                reason = f"{error.filename}: {error.strerror}"
                raise AuditUnavailable(f"{reason} (root and tracefs are needed)") from error
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stack:
            self._write(f"{_EVENT}/enable", "0")
            self._stops = self._read_counters()

    def _start(self, stack: contextlib.ExitStack) -> None:
        if not os.path.isdir(_INSTANCES):
            _mount()
            # Somebody else may use it by now: then it stays.
            stack.callback(
                subprocess.run, ["umount", _TRACEFS], stderr=subprocess.DEVNULL, check=False
            )
        _remove_stale_instances()
        os.mkdir(self._instance)
        stack.callback(os.rmdir, self._instance)
        self._write("buffer_size_kb", str(_BUFFER_KB))
        self._write("options/event-fork", "1")
        self._write("set_event_pid", " ".join(os.listdir("/proc/self/task")))
        self._write(f"{_EVENT}/filter", _FILTER)
        self._write(f"{_EVENT}/enable", "1")

    def _write(self, name: str, text: str) -> None:
        with open(f"{self._instance}/{name}", "w", encoding="ascii") as file:
            file.write(text)

    def _read_counters(self) -> int:
        total = 0
        per_cpu = f"{self._instance}/per_cpu"
        for cpu in os.listdir(per_cpu):
            with open(f"{per_cpu}/{cpu}/stats", encoding="ascii") as file:
                counters = dict(line.rstrip("\n").split(": ", 1) for line in file)
            total += sum(int(counters[name]) for name in _COUNTERS & counters.keys())
        return total


def _mount() -> None:
    """Mount tracefs at the place the kernel made for it; raise AuditUnavailable if that fails."""
    done = subprocess.run(
        ["mount", "-t", "tracefs", "tracefs", _TRACEFS], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = done.stderr.partition("\n")[0] or f"mount: exit status {done.returncode}"
        raise AuditUnavailable(f"no tracefs to count with: {reason}")


def _remove_stale_instances() -> None:
    """Remove what a killed process could not: its instance would go on counting."""
    for name in os.listdir(_INSTANCES):
        prefix, _, rest = name.partition("-")
        pid = rest.partition("-")[0]
        if prefix == "accel" and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            with contextlib.suppress(OSError):  # Another run removes it at the same time.
                os.rmdir(f"{_INSTANCES}/{name}")
