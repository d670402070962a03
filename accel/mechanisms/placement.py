"""On which CPU a tree of tracees runs, and the thread that traces it.

A tracer that is woken on another CPU makes a stop cost several times more, so while stops are
frequent both are kept on one. A program begins so, since it begins with one thread and many calls.
As soon as threads of the tree wait for each other's CPU, or stops have become rare, every thread
gets back the affinity that it had. Whoever sets an affinity meanwhile, the tracee or its user,
keeps what was set.

What the tracee can see of ``auto``: nothing in sched_getaffinity(2), so neither in ``nproc`` nor in
``os.cpu_count()``. That call and sched_setaffinity(2) always stop, and the affinities are given
back before they run. It is left to see in Cpus_allowed of /proc/PID/status, and in getcpu(2). An
affinity that another process gives it, and that is just our CPU, is taken for ours.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from time import monotonic_ns
from typing import Final, get_args

from accel.capabilities import PlacementName
from accel.errors import SetupError
from accel.mask import SyscallMask

__all__ = ["AFFINITY_CALLS", "Placement", "calls_to_hide"]


#: Before these run, the tracee's affinity must be its own.
AFFINITY_CALLS: Final = frozenset({"sched_getaffinity", "sched_setaffinity"})

#: Stops a second from which on together is better, and below which it ends.
_FREQUENT: Final = 1000
_RARE: Final = 500
_LOOK_SECONDS: Final = 0.01
#: So many looks in a row must find stops rare: a program that waits for nobody's CPU loses nothing.
_PATIENCE: Final = 10
#: Looking at many threads takes longer, and must not take much of the time.
_LOOK_SECONDS_A_THREAD: Final = 0.0005
#: Of the time: how long threads of the tree may be runnable without a CPU. A tracee waits for 10 to
#: 20 % while its tracer goes to sleep; two threads that compute wait for 100 %.
_CONTENDED: Final = 0.5
#: How long a tree is left alone: one that was contended, and one that looked at its affinity.
_BACK_OFF_NS: Final = 1_000_000_000
_PAUSE_NS: Final = 20_000_000

#: How many trees of this process were put on each CPU; the lock is for all of them.
_trees: Counter[int] = Counter()
_trees_lock: Final = threading.Lock()


class Placement:
    """The placement of one tree; ``release`` and the watching thread may run beside the tracer."""

    def __init__(self, name: PlacementName, stops: Callable[[], int]) -> None:
        self.name = name
        #: The CPU that all are kept on; None while they are not.
        self.cpu: int | None = None
        self._stops = stops
        self._lock = threading.RLock()
        self._tracer = 0
        #: The affinity of each thread before; kept after the release, for children still unknown.
        self._before: dict[int, set[int]] = {}
        #: Where this tree has been put so far.
        self._used: set[int] = set()
        self._beat = (0, 0)
        self._not_before = 0
        self._released = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def is_settled(self) -> bool:
        """Whether ``beat`` has nothing to decide for now."""
        return self.name != "auto" or self.cpu is not None

    # ------------------------------------------------------------------------- what happens

    def started(self, tid: int) -> None:
        """Begin, when the command has executed; in the tracing thread, as all but ``release``."""
        self._beat = (self._stops(), monotonic_ns())
        if self.name == "same-cpu":
            self._together([tid])
        elif self.name == "auto":
            self._together_for_now([tid])

    def beat(self, tids: Iterable[int]) -> None:
        """Put the tracees together if the stops since the last beat came fast."""
        if self.name != "auto" or self.cpu is not None:
            return
        (stops, then), self._beat = self._beat, (self._stops(), monotonic_ns())
        now = self._beat[1]
        is_frequent = (self._beat[0] - stops) * 1_000_000_000 >= _FREQUENT * (now - then)
        if is_frequent and now >= self._not_before:
            self._together_for_now(list(tids))

    def born(self, parent: int, child: int) -> None:
        """Follow a child, which has inherited its parent's affinity: ours, perhaps."""
        with self._lock:
            if not self._before:
                return
            mask = self._before.get(parent) or next(iter(self._before.values()))
            self._before[child] = mask
            if self.cpu is None:
                self._restore(child)
            elif self._is_ours(child):
                # It may have been made before a release, and be where the tree is no more.
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(child, {self.cpu})

    def renamed(self, former: int, tid: int) -> None:
        """Follow a thread whose execve(2) gave it the leader's tid."""
        with self._lock:
            if former in self._before:
                self._before[tid] = self._before.pop(former)

    def ended(self, tid: int) -> None:
        """Forget a thread."""
        with self._lock:
            self._before.pop(tid, None)

    # ------------------------------------------------------------------------- together, apart

    def _together_for_now(self, tids: list[int]) -> None:
        if self._together(tids):
            self._watcher = threading.Thread(
                target=self._watch, name="accel-placement", daemon=True
            )
            self._watcher.start()

    def _together(self, tids: list[int]) -> bool:
        with self._lock, contextlib.suppress(OSError):
            self._tracer = threading.get_native_id()
            own = os.sched_getaffinity(self._tracer)
            allowed = own & os.sched_getaffinity(tids[0])
            if len(own) < 2 or not allowed:
                return False  # There is no choice, or there is none that both may make.
            cpu = _take(allowed, _cpu_of(tids[0]))
            self._before = {}
            self.cpu = cpu
            self._used.add(cpu)
            self._released = threading.Event()
            for tid in (self._tracer, *tids):
                with contextlib.suppress(OSError):
                    mask = os.sched_getaffinity(tid)
                    if cpu in mask:
                        os.sched_setaffinity(tid, {cpu})
                        self._before[tid] = mask
            return True
        return False

    def release(self) -> None:
        """Give every thread the affinity that it had; from any thread."""
        with self._lock:
            if self.cpu is None:
                return
            _give_back(self.cpu)
            self.cpu = None
            self._not_before = max(self._not_before, monotonic_ns() + _PAUSE_NS)
            for tid in self._before:
                self._restore(tid)
            self._released.set()

    def close(self) -> None:
        """Release, and leave no thread behind; in the tracing thread."""
        self.release()
        if self._watcher is not None:
            self._watcher.join()

    def _restore(self, tid: int) -> None:
        with contextlib.suppress(OSError):  # It has ended.
            if self._is_ours(tid):
                os.sched_setaffinity(tid, self._before[tid])

    def _is_ours(self, tid: int) -> bool:
        """Tell whether the affinity of a thread is one that it has got here, or inherited."""
        with contextlib.suppress(OSError):
            mask = os.sched_getaffinity(tid)
            return len(mask) == 1 and mask <= self._used
        return False

    def _watch(self) -> None:
        """Release at once when CPUs are wanted, and after a while when being together is no use."""
        stops, waited, then = self._stops(), self._waited(), monotonic_ns()
        patience = _PATIENCE
        released = self._released
        while not released.wait(max(_LOOK_SECONDS, _LOOK_SECONDS_A_THREAD * len(self._before))):
            now_stops, now_waited, now = self._stops(), self._waited(), monotonic_ns()
            is_contended = now_waited - waited > _CONTENDED * (now - then)
            if is_contended:
                self._not_before = now + _BACK_OFF_NS
            is_rare = (now_stops - stops) * 1_000_000_000 < _RARE * (now - then)
            patience = patience - 1 if is_rare else _PATIENCE
            if is_contended or not patience:
                self.release()
            stops, waited, then = now_stops, now_waited, now

    def _waited(self) -> int:
        """Sum up for how many nanoseconds the tracees have been runnable, but not run."""
        with self._lock:
            tids = [tid for tid in self._before if tid != self._tracer]
        return sum(_run_delay(tid) for tid in tids)


def calls_to_hide(name: str) -> SyscallMask:
    """Tell which calls must stop for a placement; raise SetupError for one that is not known."""
    names = get_args(PlacementName)
    if name not in names:
        raise SetupError(f"placement {name!r} is not known", hint=f"use {', '.join(names)}")
    if name != "auto" or len(os.sched_getaffinity(0)) < 2:
        return SyscallMask.none()
    return SyscallMask.parse(",".join(sorted(AFFINITY_CALLS)))


def _take(allowed: set[int], current: int) -> int:
    """Choose the CPU that the fewest trees of this process are on; the current one, if equal."""
    with _trees_lock:
        cpu = min(sorted(allowed), key=lambda cpu: (_trees[cpu], cpu != current))
        _trees[cpu] += 1
        return cpu


def _give_back(cpu: int) -> None:
    with _trees_lock:
        _trees[cpu] -= 1


def _cpu_of(tid: int) -> int:
    """Tell on which CPU a thread ran last; -1 if that is not known. proc(5), field 39 of stat."""
    try:
        with open(f"/proc/{tid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[36])
    except (OSError, IndexError):
        return -1


def _run_delay(tid: int) -> int:
    """Read the second field of schedstat, sched-stats.rst; 0 where the kernel does not count it."""
    try:
        with open(f"/proc/{tid}/schedstat", "rb") as file:
            return int(file.read().split()[1])
    except (OSError, IndexError):
        return 0
