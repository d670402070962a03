"""The kernel's own list of the calls that one process makes, independent of who traces it.

The tracepoint raw_syscalls:sys_enter is reached by calls that run, and only by those: a call that
seccomp or a tracer leaves out never gets there (kernel/entry/syscall-common.c).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from accel import Abi
from tests.support import require

INSTANCES = Path("/sys/kernel/tracing/instances")
#: PROC_PID_INIT_INO, of the first PID namespace: pids there are the kernel's own.
FIRST_PID_NAMESPACE = 0xEFFF_FFFC
_serial = itertools.count(1)


class KernelCalls:
    """Record the calls of a process from ``watch`` on, in a private instance of tracefs."""

    def __init__(self) -> None:
        # bench.audit removes what a killed process leaves behind under such a name.
        self._instance = INSTANCES / f"accel-{os.getpid()}-calls{next(_serial)}"
        self._pid = 0

    def __enter__(self) -> Self:
        first = os.stat("/proc/self/ns/pid").st_ino == FIRST_PID_NAMESPACE
        require(first, "the kernel's own pids are needed, and this is a PID namespace")
        try:
            self._instance.mkdir()
        except OSError as error:
            require(condition=False, reason=f"root and tracefs are needed: {error}")
        self._write("buffer_size_kb", "1024")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._write("events/raw_syscalls/sys_enter/enable", "0")
        self._instance.rmdir()

    def watch(self, pid: int) -> None:
        """Record from now on; call it while the process is stopped."""
        self._pid = pid
        self._write("set_event_pid", str(pid))
        self._write("events/raw_syscalls/sys_enter/enable", "1")

    def names(self) -> Counter[str]:
        """Count the calls so far by their names on x86_64, and see that none was lost."""
        text = (self._instance / "trace").read_text()
        kept, written = re.search(r"entries-written: (\d+)/(\d+)", text).groups()  # type: ignore[union-attr]
        assert kept == written, "the buffer was too small"
        numbers = re.findall(rf"-{self._pid}\s.* sys_enter: NR (\d+) ", text)
        assert len(numbers) == int(written)
        return Counter(Abi.X86_64.call_name(int(number)) for number in numbers)

    def _write(self, name: str, text: str) -> None:
        (self._instance / name).write_text(text)
