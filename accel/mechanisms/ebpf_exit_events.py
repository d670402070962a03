"""Exit events by an eBPF program: conditions on arguments, too, are judged in the kernel.

It needs root, and while it is there every call of the host passes it; see ``bpf.probes``. Its
SIGTRAP looks like a breakpoint's, but a sample comes with it.
"""

from __future__ import annotations

import signal
import struct
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import bpf
from accel._kernel import ptrace
from accel.errors import UnsupportedKernel

__all__ = ["EbpfExitEvents"]

_SI_KERNEL: Final = 0x80
_SIGINFO: Final = struct.Struct("=iii")
_WORD: Final = (1 << 64) - 1


class EbpfExitEvents:
    """One eBPF program for all threads; see ``ExitEvents``, whose methods these are."""

    def __init__(self, selections: Sequence[bpf.ExitSelection]) -> None:
        """Load and attach; raise UnsupportedKernel. 5 ms, and 0.7 s the first time on a host."""
        from bpf.probes.exit_signal import ExitSignals  # noqa: PLC0415 - bcc, only here

        try:
            self._signals = ExitSignals(selections)
        except bpf.ProbesUnavailable as error:
            raise UnsupportedKernel(str(error.args[0]), hint=error.hint) from error
        self._samples: dict[int, list[bpf.ExitSample]] = defaultdict(list)
        #: Threads that were signalled, and whose tracer has not had the signal.
        self._signalled: set[int] = set()

    @property
    def lost(self) -> int:
        """How many samples found the ring full; their calls have not stopped."""
        return self._signals.lost

    def arm(self, tid: int, _arch: bpf.Arch) -> None:
        """Enter a thread in the program's table. One bpf(2) call."""
        self._signals.arm(tid)

    def ring_of(self, _tid: int) -> int:
        """Return 0: threads share a ring, which Python reads."""
        return 0

    def disarm(self, tid: int) -> None:
        """Remove a thread from it."""
        self._signals.disarm(tid)

    def take(self, tid: int) -> list[bpf.ExitSample]:
        """Take the samples of this thread that have come since the last time, in order."""
        self._collect()
        return self._samples.pop(tid, [])

    def owns(self, tid: int, siginfo: bytes) -> bool:
        """Tell whether a SIGTRAP of a thread comes from here."""
        number, _errno, code = _SIGINFO.unpack_from(siginfo)
        self._collect()
        return (number, code) == (signal.SIGTRAP, _SI_KERNEL) and tid in self._signalled

    def delivered(self, tid: int) -> None:
        """Take note that the tracer has had the signal."""
        self._signalled.discard(tid)

    def is_late(self, sample: bpf.ExitSample, _siginfo: bytes) -> bool:
        """Tell whether the thread, in its stop, is in another call by now. One ptrace call."""
        registers = ptrace.get_registers(sample.tid)
        here = (registers.rip, registers.orig_rax & _WORD)
        return here != (sample.instruction_pointer, sample.number)

    def renamed(self, former: int, tid: int) -> None:
        """Follow a thread that took its leader's tid: what it was signalled for is still its."""
        self._collect()
        if former in self._signalled:
            self._signalled.remove(former)
            self._signalled.add(tid)

    def forget(self, tid: int) -> None:
        """Forget a thread that has ended."""
        self.disarm(tid)
        self._collect()  # Else its last sample would be that of whoever gets its tid.
        self._samples.pop(tid, None)
        self._signalled.discard(tid)

    def close(self) -> None:
        """Detach the program."""
        self._signals.close()

    def _collect(self) -> None:
        for sample in self._signals.take():
            self._samples[sample.tid].append(sample)
            self._signalled.add(sample.tid)
