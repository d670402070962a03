"""exit-event: one stop a call, when it has returned, without a filter and without an entry-stop.

Whatever the events come from, it sends SIGTRAP to a thread that has made a selected call, before
that runs user code again; its tracer has the signal as a signal-delivery-stop, where the result can
still be replaced. What the call was is in a sample, written when it returned: a thread that blocks
SIGTRAP stops later, or never, but what is then reported is right.

``perf_exit_events`` and ``ebpf_exit_events`` are the two sources, ``exit_stops`` is what the loop
does with either, ``exit_event`` the mechanism that has nothing else. A SIGTRAP that no tracer takes
kills the process: see ``ExitStops.may_detach``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import bpf

__all__ = ["ExitEvents"]


class ExitEvents(Protocol):
    """What stops armed threads when selected calls have returned."""

    @property
    def lost(self) -> int:
        """How many selected calls left no sample: the ring was full. From any thread."""

    def arm(self, tid: int, arch: bpf.Arch) -> None:
        """Stop this thread, of ``arch``'s code, from now on; until it executes a program."""

    def ring_of(self, tid: int) -> int:
        """Tell where the loop finds the samples of an armed thread; 0 if it cannot read them."""

    def disarm(self, tid: int) -> None:
        """Stop it no more; samples that were not taken are gone. No error if it is not armed."""

    def take(self, tid: int) -> Sequence[bpf.ExitSample]:
        """Take the samples of this thread that have come since the last time, in order."""

    def owns(self, tid: int, siginfo: bytes) -> bool:
        """Tell whether a SIGTRAP of this thread, pending or at hand, comes from here."""

    def delivered(self, tid: int) -> None:
        """Take note that the tracer has had such a signal."""

    def is_late(self, sample: bpf.ExitSample, siginfo: bytes) -> bool:
        """Tell whether the signal was blocked: the thread, now stopped, is in another call."""

    def renamed(self, former: int, tid: int) -> None:
        """Follow a thread that took its leader's tid, and whose samples have been taken."""

    def forget(self, tid: int) -> None:
        """Forget a thread that has ended."""

    def close(self) -> None:
        """Disarm all."""
