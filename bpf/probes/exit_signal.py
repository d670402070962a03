"""Exit-only by signal: a thread stops once, after a selected system call has returned.

Combination 4 of the design. The kernel sends SIGTRAP to the thread that made the call, and its
ptracer gets one signal-delivery-stop, at which the registers are those of the exit; the tracer
resumes it with signal 0. While the program is attached, each call of each process on the host runs
it: on a 2-CPU virtual machine getppid(2) took 315 ns then, 190 ns before.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from bpf.arch import Arch
from bpf.errors import ProbesUnavailable
from bpf.exit_selection import ExitSample, ExitSelection
from bpf.probes.loader import load, source, unload
from bpf.probes.ring import Ring
from bpf.probes.selection_code import selection_code

__all__ = ["ExitSignals"]

#: struct sample of exit_signal.bpf.c.
_SAMPLE: Final = struct.Struct("=Qq8QIIi4x")
#: BPF_RINGBUF_OUTPUT(samples, 64) there.
_RING_SIZE: Final = 64 * 4096


class ExitSignals:
    """Send SIGTRAP to armed threads whose calls have returned and are of one of ``selections``.

    Only a ptracer stands between SIGTRAP and the end of a process: whoever arms a thread traces it,
    and disarms it before detaching. A thread's end disarms it; an execve(2) takes the armed thread
    along to its new tid. Children are not armed.

    The siginfo of such a stop has si_code SI_KERNEL, as a breakpoint's has; the sample tells them
    apart, and is in the ring before the stop is seen. A thread that blocks SIGTRAP stops when it
    unblocks it, once for all the calls meanwhile, each of which has its sample.

    Used from one thread. Raise ProbesUnavailable. Cost: about 0.3 s.
    """

    def __init__(self, selections: Sequence[ExitSelection]) -> None:
        parts = source("registers.bpf.h"), source("exit_signal.bpf.c"), selection_code(selections)
        self._bpf: Any = load("\n".join(parts))
        self._lost = 0
        try:
            self._armed = self._bpf[b"armed"]
            self._ring = Ring(self._bpf[b"samples"].map_fd, _RING_SIZE)
        except OSError as error:
            unload(self._bpf)
            raise ProbesUnavailable(f"the ring cannot be mapped: {error}", "ulimit -v") from error
        except BaseException:
            unload(self._bpf)
            raise

    def arm(self, tid: int) -> None:
        """Signal a thread from now on, from the return of the call that it is in.

        Precondition: it is a tracee and has not ended. Raise OSError if 32768 threads are armed.
        Cost: one bpf(2) call.
        """
        try:
            self._armed[self._armed.Key(tid)] = self._armed.Leaf(1)
        except Exception as error:  # bcc raises nothing more specific
            raise OSError(f"thread {tid} cannot be armed: {error}") from error

    def disarm(self, tid: int) -> None:
        """Signal a thread no more; a signal that is pending stays so. Cost: one bpf(2) call.

        Call it also when a tid was reaped that may have ended before it was armed.
        """
        if self._bpf is not None:
            with contextlib.suppress(KeyError):
                del self._armed[self._armed.Key(tid)]

    def take(self) -> list[ExitSample]:
        """Return the samples since the last take, in order. Cost: no system call."""
        return self._ring.take(_sample)

    @property
    def lost(self) -> int:
        """How many samples found the ring full; their calls have not stopped."""
        if self._bpf is not None:
            table = self._bpf[b"lost"]
            self._lost = table[table.Key(0)].value
        return self._lost

    def close(self) -> None:
        """Detach the program from the kernel; may be called again. Only ``lost`` is usable then."""
        if self._bpf is None:
            return
        _ = self.lost
        self._ring.close()
        unload(self._bpf)
        self._bpf = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _sample(record: memoryview) -> ExitSample:
    time_ns, result, *arguments, ip, sp, tid, arch, number = _SAMPLE.unpack(record)
    return ExitSample(tid, Arch(arch), number, tuple(arguments), result, time_ns, ip, sp)
