"""How long ptrace-stops last: waiting for the tracer, and its work.

It knows nothing of how the tree is traced, or by whom: any tracer will do. While the programs are
attached, each switch, wakeup and system call of each process on the host runs one.
"""

from __future__ import annotations

from typing import Final

from bpf.probes.closing import Closing
from bpf.probes.histogram import Histogram
from bpf.probes.loader import LoadedProgram, load, source
from bpf.probes.tree import Role, Tree
from bpf.value import frozen

__all__ = ["Latencies", "Latency"]

#: enum of latency.bpf.c.
_SLOTS: Final = 64
_PARTS: Final = 3


@frozen
class Latencies:
    """The stops that have ended, by the time that they took.

    ``waiting`` and ``work`` make ``whole``, but for stops that the tracer was not told of.
    """

    #: From the tracee's SIGCHLD to its wakeup.
    whole: Histogram
    #: From that SIGCHLD until the wait(2) of the tracer returned that tells of it.
    waiting: Histogram
    #: From there until the tracer, or a SIGKILL, woke the tracee. At a group-stop that is SIGCONT.
    work: Histogram
    #: Stops that a kill ended before the tracer knew of them: they are in ``whole`` alone.
    unseen: int
    #: Events or threads that are in none of these numbers; with 0 they are exact.
    lost: int

    @property
    def stops(self) -> int:
        """How many stops there were."""
        return self.whole.count


class Latency(Closing):
    """Measure, within a ``with`` block, the ptrace-stops of the process trees that are followed.

    Raise ProbesUnavailable. Cost: that of ``load``; and while it measures, system calls of
    the host take about 0.2 us more, and a stop about 1 us.
    """

    def __init__(self) -> None:
        text = source("registers.bpf.h", "tree.bpf.h", "stops.bpf.h", "latency.bpf.c")
        self._program: LoadedProgram | None = load(text)
        self._tree = Tree(self._program)
        self._last = self.read()

    def follow(self, pid: int) -> None:
        """Measure the stops of a process from now on, and of all that it starts.

        Raise ProcessLookupError if there is no such process.
        """
        self._tree.follow(pid, Role.TRACEE)

    def follow_tracer(self, pid: int) -> None:
        """Measure the stops of all processes that a process starts from now on, not of itself.

        Raise ProcessLookupError if there is no such process.
        """
        self._tree.follow(pid, Role.TRACER)

    def read(self) -> Latencies:
        """Return what was measured so far; after the block, all of it. Cost: some ms."""
        program = self._program
        if program is None:
            return self._last
        slots = tuple(program.map("slots").sums().values())
        *nanoseconds, unseen = program.map("totals").sums().values()
        parts = (slots[at : at + _SLOTS] for at in range(0, _PARTS * _SLOTS, _SLOTS))
        whole, waiting, work = map(Histogram, parts, nanoseconds)
        _tracees, unfollowed = self._tree.counters()
        return Latencies(whole, waiting, work, unseen, unfollowed + program.missed)

    def close(self) -> None:
        """Detach the programs from the kernel; may be called again."""
        if self._program is not None:
            self._last = self.read()
            self._program.close()
            self._program = None
