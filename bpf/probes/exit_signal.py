"""Exit-only by signal: a thread stops once, after a selected system call has returned.

Combination 4 of the design. The kernel sends SIGTRAP to the thread that made the call, and its
ptracer gets one signal-delivery-stop, at which the registers are those of the exit; the tracer
resumes it with signal 0. While the program is attached, each call of each process on the host runs
it: on a 2-CPU virtual machine getppid(2) took 315 ns then, 190 ns before.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from bpf.arch import Arch
from bpf.errors import ProbesUnavailable
from bpf.exit_selection import ExitSample, ExitSelection
from bpf.probes.closing import Closing
from bpf.probes.loader import LoadedProgram, load, source
from bpf.probes.ring import Ring
from bpf.probes.selection_code import selection_code

__all__ = ["ExitSignals"]

#: struct sample of exit_signal.bpf.c.
_SAMPLE: Final = struct.Struct("=Qq8QIIi4x")
_TID: Final = struct.Struct("=I")
#: BPF_RINGBUF_OUTPUT(samples, 64) there.
_RING_SIZE: Final = 64 * 4096


class ExitSignals(Closing):
    """Send SIGTRAP to armed threads whose calls have returned and are of one of ``selections``.

    Only a ptracer stands between SIGTRAP and the end of a process: whoever arms a thread traces it,
    and disarms it before detaching. A thread's end disarms it; an execve(2) takes the armed thread
    along to its new tid. Children are not armed.

    The siginfo of such a stop has si_code SI_KERNEL, as a breakpoint's has; the sample tells them
    apart, and is in the ring before the stop is seen. A thread that blocks SIGTRAP stops when it
    unblocks it, once for all the calls meanwhile, each of which has its sample.

    Used from one thread. Raise ProbesUnavailable. Cost: that of ``load``.
    """

    def __init__(self, selections: Sequence[ExitSelection]) -> None:
        text = source("registers.bpf.h", "exit_signal.bpf.c") + selection_code(selections)
        self._program: LoadedProgram | None = load(text)
        self._lost = 0
        try:
            self._armed = self._program.map("armed")
            self._ring = Ring(self._program.map("samples").descriptor, _RING_SIZE)
        except OSError as error:
            self._program.close()
            raise ProbesUnavailable(f"the ring cannot be mapped: {error}", "ulimit -v") from error
        except BaseException:
            self._program.close()
            raise

    def arm(self, tid: int) -> None:
        """Signal a thread from now on, from the return of the call that it is in.

        Precondition: it is a tracee and has not ended. Raise OSError if 32768 threads are armed.
        Cost: one bpf(2) call.
        """
        self._armed.set(_TID.pack(tid), b"\1")

    def disarm(self, tid: int) -> None:
        """Signal a thread no more; a signal that is pending stays so. Cost: one bpf(2) call.

        Call it also when a tid was reaped that may have ended before it was armed.
        """
        if self._program is not None:
            self._armed.delete(_TID.pack(tid))

    def take(self) -> list[ExitSample]:
        """Return the samples since the last take, in order. Cost: no system call."""
        return self._ring.take(_sample)

    @property
    def lost(self) -> int:
        """How many samples found the ring full; their calls have not stopped."""
        if self._program is not None:
            count = self._program.map("lost").get(_TID.pack(0))
            assert count is not None  # BPF_ARRAY: its elements are always there
            self._lost = int.from_bytes(count, "little")
        return self._lost

    def close(self) -> None:
        """Detach the program from the kernel; may be called again. Only ``lost`` is usable then."""
        if self._program is None:
            return
        _ = self.lost
        self._ring.close()
        self._program.close()
        self._program = None


def _sample(record: memoryview) -> ExitSample:
    time_ns, result, *arguments, ip, sp, tid, arch, number = _SAMPLE.unpack(record)
    return ExitSample(tid, Arch(arch), number, tuple(arguments), result, time_ns, ip, sp)
