"""What the loop does about exit events: arms its tracees, takes their stops, lets them go unharmed.

The signal of an exit event is for the tracer alone. A tracee that is let go with one pending would
be killed by it, so it is taken first, even if the tracee blocks it.
"""

from __future__ import annotations

import contextlib
import errno
import signal
from collections import Counter
from typing import Final

import bpf
from accel._kernel import ptrace
from accel.abi import Abi
from accel.call import Call
from accel.errors import TraceeDied
from accel.mechanisms.calls import Calls
from accel.mechanisms.exit_events import ExitEvents
from accel.mechanisms.stop_tables import StopTables
from accel.tracee import Tracee

__all__ = ["ExitStops"]

_ABIS: Final = {bpf.Arch.X86_64: Abi.X86_64, bpf.Arch.I386: Abi.I386}
#: The code segment of 32-bit programs, __USER32_CS in <asm/segment.h>.
_USER32_CS: Final = 0x23
_TRAP: Final = 1 << (signal.SIGTRAP - 1)


class ExitStops:
    """The exit events of one loop; all methods but ``ended``, ``close`` need a stopped tracee."""

    def __init__(
        self, events: ExitEvents, calls: Calls, tables: StopTables, stops: Counter[str]
    ) -> None:
        self._events = events
        self._rings = tables.event_rings.view
        self._calls = calls
        self._stops = stops

    @property
    def lost(self) -> int:
        """How many calls nothing is known of."""
        return self._events.lost

    def arm(self, tracee: Tracee) -> None:
        """Have the calls of a tracee stop from now on. Some ten microseconds."""
        tracee.armed = True
        try:
            is_32bit = tracee.request(ptrace.get_registers).cs == _USER32_CS
            self._events.arm(tracee.tid, bpf.Arch.I386 if is_32bit else bpf.Arch.X86_64)
            self._rings[tracee.tid] = self._events.ring_of(tracee.tid)
        except (ProcessLookupError, TraceeDied):
            pass  # It was killed in the stop, which is counted all the same.
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno == errno.EMFILE:
                reason += ", see: ulimit -n"
            self._calls.blind_spot(tracee, f"no exit event can be armed: {reason}")

    def take(self, tracee: Tracee, siginfo: bytes) -> bool:
        """Take the SIGTRAP of an exit event, and tell of its calls; False if it is another's."""
        if not self._events.owns(tracee.tid, siginfo):
            return False
        *late, last = self._events.take(tracee.tid) or (None,)
        for sample in late:
            self._tell(tracee, sample, is_late=True)
        if last is not None:  # Else it was told of already, or lost.
            with contextlib.suppress(ProcessLookupError):
                self._tell(tracee, last, is_late=self._events.is_late(last, siginfo))
        # Last: if a handler has raised, the same stop is looked at again, to be left.
        self._events.delivered(tracee.tid)
        self._stops["exit-event"] += 1
        return True

    def drain(self, tracee: Tracee) -> None:
        """Tell of calls whose signal has not come, as the tracee blocks it; before it disarms."""
        for sample in self._events.take(tracee.tid):
            with contextlib.suppress(TraceeDied):
                self._tell(tracee, sample, is_late=True)

    def _tell(self, tracee: Tracee, sample: bpf.ExitSample, *, is_late: bool) -> None:
        call = Call(
            tracee.tid,
            tracee.pid,
            _ABIS[sample.arch],
            sample.number,
            sample.arguments,
            sample.instruction_pointer,
            sample.stack_pointer,
        )
        self._calls.exited(tracee, call, sample, is_late=is_late)

    def executed(self, tracee: Tracee, former: int) -> None:
        """Follow execve(2) of the thread that had the tid ``former``: it is armed no more."""
        for tid in {former, tracee.tid}:
            for sample in self._events.take(tid):
                self._tell(tracee, sample, is_late=True)
            self._disarm(tid)
        if former != tracee.tid:
            self._events.renamed(former, tracee.tid)

    def ended(self, tid: int, tracee: Tracee | None) -> None:
        """Forget a tracee; tell first of what it has not: who is killed has no last stop."""
        if tracee is not None:
            self.drain(tracee)
        self._rings[tid] = 0
        self._events.forget(tid)

    def _disarm(self, tid: int) -> None:
        self._rings[tid] = 0
        self._events.disarm(tid)

    def close(self) -> None:
        """Disarm all tracees."""
        self._events.close()

    # ------------------------------------------------------------------------- letting go

    def may_detach(self, tracee: Tracee) -> bool:
        """Disarm a tracee and tell whether no signal of an exit event is pending.

        If one is, resume the tracee with signal 0: its next stop is the delivery of that signal,
        before it runs any code, as it is unblocked until then, and comes before all that are not
        the thread's own faults: dequeue_synchronous_signal(), kernel/signal.c, since Linux 5.0.
        """
        self.drain(tracee)
        self._disarm(tracee.tid)
        pending = tracee.request(ptrace.peek_siginfo)
        if not any(self._events.owns(tracee.tid, siginfo) for siginfo in pending):
            self._restore(tracee)
            return True
        if tracee.signal_mask is None:
            mask = tracee.request(ptrace.get_signal_mask)
            if mask & _TRAP:
                tracee.request(ptrace.set_signal_mask, mask & ~_TRAP)
                tracee.signal_mask = mask
        return False

    @staticmethod
    def take_deferred(tracee: Tracee) -> int:
        """Give back the signal whose delivery was put off, as it was; 0 if none was.

        Precondition: the tracee is at the delivery of an exit event's signal. One ptrace call.
        """
        siginfo, tracee.deferred = tracee.deferred, None
        if siginfo is None:
            return 0
        tracee.request(ptrace.set_siginfo, siginfo)
        return int.from_bytes(siginfo[:4], "little")

    @staticmethod
    def _restore(tracee: Tracee) -> None:
        if tracee.signal_mask is not None:
            tracee.request(ptrace.set_signal_mask, tracee.signal_mask)
            tracee.signal_mask = None
